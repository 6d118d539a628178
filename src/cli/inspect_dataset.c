/* inspect, datasets: counts, splits, shards, outcomes of the input files; differences. */
#include "inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect_reasons.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/printable.h"
#include "base/progress.h"
#include "data/dataset.h"
#include "h5/h5.h"

/* Counts of a shard or dataset, summed over all splits. */
struct sums {
    uint64_t pieces, notes, tokens;
    double seconds;
};

static struct sums sums_of(const struct split_counts *counts)
{
    struct sums sums = {0};
    for (int split = 0; split < SPLITS; split++) {
        sums.pieces += counts->pieces[split];
        sums.notes += counts->notes[split];
        sums.tokens += counts->tokens[split];
        sums.seconds += counts->seconds[split];
    }
    return sums;
}

static void print_split(const char *name, uint64_t pieces, uint64_t notes,
                        uint64_t tokens, double seconds)
{
    char one[INSPECT_COUNT_SIZE], two[INSPECT_COUNT_SIZE], three[INSPECT_COUNT_SIZE],
        four[64];
    printf("  %-8s %12s %14s %14s   %s\n", name, inspect_count(pieces, one),
           inspect_count(notes, two), inspect_count(tokens, three),
           duration_text(seconds, four, sizeof four));
}

static void print_splits(const struct split_counts *counts)
{
    printf("\n  %-8s %12s %14s %14s   %s\n", "split", "pieces", "notes", "tokens",
           "music");
    for (int split = 0; split < SPLITS; split++)
        print_split(split_name((enum split)split), counts->pieces[split],
                    counts->notes[split], counts->tokens[split], counts->seconds[split]);
    struct sums sums = sums_of(counts);
    print_split("all", sums.pieces, sums.notes, sums.tokens, sums.seconds);
}

static void print_shards(const struct dataset *dataset)
{
    uint64_t least = UINT64_MAX, most = 0;
    size_t empty = 0;
    for (size_t i = 0; i < dataset->shard_count; i++) {
        struct sums sums = sums_of(&dataset->shards[i]);
        least = sums.tokens < least ? sums.tokens : least;
        most = sums.tokens > most ? sums.tokens : most;
        empty += sums.pieces == 0;
    }
    char low[INSPECT_COUNT_SIZE], high[INSPECT_COUNT_SIZE];
    inspect_print_field("shards", "%zu, of %s to %s tokens, %zu empty",
                        dataset->shard_count,
                        inspect_count(dataset->shard_count ? least : 0, low),
                        inspect_count(most, high), empty);
}

static void print_files(const struct dataset *dataset,
                        const struct inspect_reasons *reasons)
{
    char count[INSPECT_COUNT_SIZE];
    inspect_print_field("input files",
                        "%s: %llu ok, %llu repaired, %llu skipped, %llu duplicate",
                        inspect_count(reasons->files, count),
                        (unsigned long long)dataset->outcomes[FILE_OK],
                        (unsigned long long)dataset->outcomes[FILE_REPAIRED],
                        (unsigned long long)dataset->outcomes[FILE_SKIPPED],
                        (unsigned long long)dataset->outcomes[FILE_DUPLICATE]);
}

void inspect_print_lost_notes(const struct dataset *dataset)
{
    char percussion[INSPECT_COUNT_SIZE], out_of_range[INSPECT_COUNT_SIZE],
        merged[INSPECT_COUNT_SIZE];
    const struct lost_notes *lost = &dataset->lost;
    if (dataset->knows_lost)
        inspect_print_field("notes left out", "%s percussion, %s out of range, %s merged",
                            inspect_count(lost->percussion, percussion),
                            inspect_count(lost->out_of_range, out_of_range),
                            inspect_count(lost->merged, merged));
    if (dataset->filtered > 0)
        inspect_print_field("notes filtered", "%s, by data.only_programs and data.tracks",
                            inspect_count(dataset->filtered, merged));
}

static void lost_notes_json(struct json *json, const struct dataset *dataset)
{
    if (!dataset->knows_lost)
        return;
    json_object(json, "notes_left_out");
    json_unsigned(json, "percussion", dataset->lost.percussion);
    json_unsigned(json, "out_of_range", dataset->lost.out_of_range);
    json_unsigned(json, "merged", dataset->lost.merged);
    json_close(json);
}

static enum status print_dataset(const struct dataset *dataset,
                                 const struct inspect_reasons *reasons)
{
    static struct options options; /* large */
    char text[HASH64_TEXT];
    printable_line(stdout, "dataset %s", dataset->path);
    inspect_print_field("dataset hash", "%s", hash64_text(dataset->dataset_hash, text));
    inspect_print_field("encoding", "%s, %zu tokens", dataset->encoding->name,
                        dataset->encoding->vocabulary);
    inspect_print_field("vocabulary hash", "%s",
                        hash64_text(dataset->vocabulary_hash, text));
    print_shards(dataset);
    print_files(dataset, reasons);
    inspect_print_lost_notes(dataset);
    enum status status = dataset_settings(dataset, &options);
    if (status == STATUS_OK)
        inspect_print_merges(dataset->encoding, options.data.bpe);
    print_splits(&dataset->total);
    inspect_reasons_print(reasons, FILE_SKIPPED);
    inspect_reasons_print(reasons, FILE_REPAIRED);
    return status == STATUS_OK ? inspect_settings_print(&options, SECTION_DATA) : status;
}

static void counts_json(struct json *json, uint64_t pieces, uint64_t notes,
                        uint64_t tokens, double seconds)
{
    json_integer(json, "pieces", (int64_t)pieces);
    json_integer(json, "notes", (int64_t)notes);
    json_integer(json, "tokens", (int64_t)tokens);
    json_number(json, "seconds", seconds);
}

static void splits_json(struct json *json, const struct split_counts *counts)
{
    struct sums sums = sums_of(counts);
    counts_json(json, sums.pieces, sums.notes, sums.tokens, sums.seconds);
    json_object(json, "splits");
    for (int split = 0; split < SPLITS; split++) {
        json_object(json, split_name((enum split)split));
        counts_json(json, counts->pieces[split], counts->notes[split],
                    counts->tokens[split], counts->seconds[split]);
        json_close(json);
    }
    json_close(json);
}

static void summary_json(struct json *json, const struct dataset *dataset)
{
    json_string(json, "kind", "dataset");
    json_string(json, "path", dataset->path);
    json_hash(json, "dataset_hash", dataset->dataset_hash);
    json_string(json, "encoding", dataset->encoding->name);
    json_integer(json, "vocabulary", (int64_t)dataset->encoding->vocabulary);
    json_hash(json, "vocabulary_hash", dataset->vocabulary_hash);
    inspect_merges_json(json, dataset->encoding);
    json_integer(json, "shards", (int64_t)dataset->shard_count);
    uint64_t files = 0;
    for (int outcome = 0; outcome < FILE_OUTCOMES; outcome++)
        files += dataset->outcomes[outcome];
    json_integer(json, "files", (int64_t)files);
    json_object(json, "outcomes");
    for (int outcome = 0; outcome < FILE_OUTCOMES; outcome++)
        json_integer(json, file_outcome_name((enum file_outcome)outcome),
                     (int64_t)dataset->outcomes[outcome]);
    json_close(json);
    json_unsigned(json, "notes_filtered", dataset->filtered);
    lost_notes_json(json, dataset);
    splits_json(json, &dataset->total);
}

static enum status dataset_json(const struct inspect_request *request,
                                const struct dataset *dataset,
                                const struct inspect_reasons *reasons)
{
    static struct options options; /* large */
    enum status status = dataset_settings(dataset, &options);
    if (status != STATUS_OK)
        return status;
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    summary_json(&json, dataset);
    if (request->verify)
        json_boolean(&json, "verified", true);
    json_object(&json, "reasons");
    inspect_reasons_json(&json, reasons, FILE_SKIPPED);
    inspect_reasons_json(&json, reasons, FILE_REPAIRED);
    json_close(&json);
    status = inspect_settings_json(&json, "settings", &options, SECTION_DATA);
    json_close(&json);
    return status == STATUS_OK ? json_end(&json) : status;
}

/* Parses the number in "shard-0007.h5". */
static enum status shard_index(const struct inspect_request *request,
                               const struct dataset *dataset, size_t *index)
{
    if (sscanf(request->shard, "shard-%zu.h5", index) != 1 ||
        *index >= dataset->shard_count)
        return status_fail(STATUS_FAILED, "%s/%s: not one of the %zu shards of the index",
                           dataset->path, request->shard, dataset->shard_count);
    return STATUS_OK;
}

/* Reads a shard's pieces and tokens; with `all`, everything in its file, including notes
 * and paths. */
static enum status check_shard(const struct dataset *dataset, size_t index,
                               const char *name, bool all)
{
    enum status status = STATUS_OK;
    for (int split = 0; split < SPLITS && status == STATUS_OK; split++) {
        struct shard shard = {0};
        status = dataset_read_shard(dataset, index, (enum split)split, &shard);
        shard_free(&shard);
    }
    if (status != STATUS_OK || !all)
        return status;
    char *path = path_join(dataset->path, name);
    struct h5_file *file = NULL;
    status = path ? h5_open(path, &file)
                  : status_fail(STATUS_FAILED, "%s: out of memory", dataset->path);
    free(path);
    if (status == STATUS_OK)
        status = h5_verify(file);
    h5_abandon(file);
    return status;
}

static enum status shard_json(const struct inspect_request *request,
                              const struct dataset *dataset, size_t index)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_string(&json, "kind", "shard");
    json_string(&json, "dataset", dataset->path);
    json_integer(&json, "shard", (int64_t)index);
    json_hash(&json, "dataset_hash", dataset->dataset_hash);
    if (request->verify)
        json_boolean(&json, "verified", true);
    splits_json(&json, &dataset->shards[index]);
    json_close(&json);
    return json_end(&json);
}

/* Shows a shard's entry in the index, after checking the shard's file against it. */
static enum status show_shard(const struct inspect_request *request,
                              const struct dataset *dataset)
{
    size_t index;
    enum status status = shard_index(request, dataset, &index);
    if (status == STATUS_OK)
        status = check_shard(dataset, index, request->shard, request->verify);
    if (status != STATUS_OK)
        return status;
    if (request->json)
        return shard_json(request, dataset, index);
    if (request->verify) {
        printable_line(stdout,
                       "%s/%s: verified: checksums, pieces and tokens as in the index",
                       dataset->path, request->shard);
        return STATUS_OK;
    }
    printable_line(stdout, "shard %zu of %zu of dataset %s", index, dataset->shard_count,
                   dataset->path);
    print_splits(&dataset->shards[index]);
    return STATUS_OK;
}

static enum status show_whole(const struct inspect_request *request,
                              const struct dataset *dataset)
{
    struct inspect_reasons reasons = {0};
    enum status status = inspect_reasons_read(dataset, &reasons);
    if (status == STATUS_OK)
        status = request->json ? dataset_json(request, dataset, &reasons)
                               : print_dataset(dataset, &reasons);
    inspect_reasons_free(&reasons);
    return status;
}

static enum status show(const struct inspect_request *request,
                        const struct dataset *dataset)
{
    if (request->shard)
        return show_shard(request, dataset);
    if (!request->verify)
        return show_whole(request, dataset);
    enum status status = dataset_verify(dataset);
    if (status != STATUS_OK || request->json)
        return status == STATUS_OK ? show_whole(request, dataset) : status;
    struct sums sums = sums_of(&dataset->total);
    char hash[HASH64_TEXT];
    printable_line(
        stdout,
        "%s: verified: %zu shards, %llu pieces, %llu notes, %llu tokens, dataset hash "
        "%s",
        dataset->path, dataset->shard_count, (unsigned long long)sums.pieces,
        (unsigned long long)sums.notes, (unsigned long long)sums.tokens,
        hash64_text(dataset->dataset_hash, hash));
    return STATUS_OK;
}

enum status inspect_dataset(const struct inspect_request *request)
{
    struct dataset *dataset = NULL;
    enum status status = dataset_open(request->path, &dataset);
    if (status != STATUS_OK)
        return status;
    status = show(request, dataset);
    dataset_close(dataset);
    return status;
}

static void print_count_pair(const char *label, uint64_t first, uint64_t second)
{
    char one[INSPECT_COUNT_SIZE], two[INSPECT_COUNT_SIZE];
    printf("  %-16s %-18s %s%s\n", label, inspect_count(first, one),
           inspect_count(second, two), first == second ? "" : "  differ");
}

static void print_hash_pair(const char *label, uint64_t first, uint64_t second)
{
    char one[HASH64_TEXT], two[HASH64_TEXT];
    printf("  %-16s %-18s %s%s\n", label, hash64_text(first, one),
           hash64_text(second, two), first == second ? "" : "  differ");
}

static void print_pair(const struct dataset *first, const struct dataset *second)
{
    printf("datasets %s\n",
           first->dataset_hash == second->dataset_hash ? "equal" : "differ");
    printf("  %-16s %-18s %s\n", "", "first", "second");
    print_hash_pair("dataset hash", first->dataset_hash, second->dataset_hash);
    print_hash_pair("vocabulary hash", first->vocabulary_hash, second->vocabulary_hash);
    print_count_pair("shards", first->shard_count, second->shard_count);
    for (int outcome = 0; outcome < FILE_OUTCOMES; outcome++) {
        char label[32];
        snprintf(label, sizeof label, "files %s",
                 file_outcome_name((enum file_outcome)outcome));
        print_count_pair(label, first->outcomes[outcome], second->outcomes[outcome]);
    }
    for (int split = 0; split < SPLITS; split++) {
        static const char *const of[] = {"pieces", "notes", "tokens"};
        const struct split_counts *one = &first->total, *two = &second->total;
        const uint64_t pairs[][2] = {{one->pieces[split], two->pieces[split]},
                                     {one->notes[split], two->notes[split]},
                                     {one->tokens[split], two->tokens[split]}};
        for (int i = 0; i < 3; i++) {
            char label[32];
            snprintf(label, sizeof label, "%s %s", split_name((enum split)split), of[i]);
            print_count_pair(label, pairs[i][0], pairs[i][1]);
        }
    }
}

static void pair_json(struct json *json, const struct dataset *first,
                      const struct dataset *second)
{
    json_string(json, "kind", "dataset difference");
    json_boolean(json, "equal", first->dataset_hash == second->dataset_hash);
    json_object(json, "first");
    summary_json(json, first);
    json_close(json);
    json_object(json, "second");
    summary_json(json, second);
    json_close(json);
}

static enum status compare(const struct inspect_request *request,
                           const struct dataset *first, const struct dataset *second)
{
    static struct options options[2]; /* large */
    size_t differ;
    enum status status = dataset_settings(first, &options[0]);
    if (status == STATUS_OK)
        status = dataset_settings(second, &options[1]);
    if (status != STATUS_OK)
        return status;
    if (!request->json) {
        print_pair(first, second);
        return inspect_settings_difference(NULL, &options[0], &options[1], SECTION_DATA,
                                           &differ);
    }
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    pair_json(&json, first, second);
    status = inspect_settings_difference(&json, &options[0], &options[1], SECTION_DATA,
                                         &differ);
    json_close(&json);
    return status == STATUS_OK ? json_end(&json) : status;
}

enum status inspect_dataset_difference(const struct inspect_request *request)
{
    struct dataset *first = NULL, *second = NULL;
    enum status status = dataset_open(request->path, &first);
    if (status == STATUS_OK)
        status = dataset_open(request->other, &second);
    if (status == STATUS_OK)
        status = compare(request, first, second);
    dataset_close(first);
    dataset_close(second);
    return status;
}
