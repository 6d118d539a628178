/* statistics: what MIDI files play, in figures; several folders side by side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "statistics_table.h"
#include "statistics_training.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/scan.h"
#include "midi/midi.h"
#include "statistics/corpus.h"
#include "statistics/dataset_pieces.h"
#include "statistics/excerpt.h"
#include "statistics/piece_group.h"

struct arguments {
    const char *training; /* NULL: none */
    double seconds;       /* 0: whole pieces */
    bool ignore_pedal;
    bool json;
};

/* Called for every file with notes, which it may change; `context` is the visitor's.
 * `file` is a hash of the file's path, or of its notes, not 0. */
typedef enum status visit_notes(void *context, struct notes *notes, uint64_t file);

struct visit {
    visit_notes *function;
    void *context;
    struct midi_limits limits;
    bool ignore_pedal;
    bool by_notes;         /* pieces are identified by their notes, not by their files */
    struct midi_file midi; /* the last file */
    size_t visited, skipped;
};

static enum status skip_file(struct visit *visit, const char *path, const char *reason)
{
    visit->skipped++;
    log_info("skipped %s: %s", path, reason);
    return STATUS_OK;
}

static enum status visit_bytes(struct visit *visit, const char *path, uint64_t file,
                               const uint8_t *bytes, size_t size)
{
    struct midi_file *midi = &visit->midi;
    enum status status = midi_read(bytes, size, &visit->limits, midi);
    if (status != STATUS_OK)
        return status;
    if (midi->outcome == MIDI_SKIPPED)
        return skip_file(visit, path, midi->reason);
    if (!visit->ignore_pedal && midi_apply_pedal(midi) != STATUS_OK)
        return STATUS_FAILED;
    visit->visited++;
    if (visit->by_notes)
        file = dataset_pieces_owner(notes_hash(&midi->notes));
    return visit->function(visit->context, &midi->notes, file);
}

static enum status visit_file(struct visit *visit, const struct scan *scan, size_t file)
{
    if (scan->files[file].kind == SCAN_DIRECTORY) /* its files are in the list */
        return STATUS_OK;
    const char *recorded = scan_path(scan, file);
    if (scan->files[file].kind == SCAN_UNOPENABLE)
        return skip_file(visit, recorded, strerror(scan->files[file].error));
    char *path = scan_absolute(scan, file);
    if (!path)
        return status_fail(STATUS_FAILED, "out of memory");
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum status status = file_read(path, visit->limits.max_bytes, &bytes, &size);
    status =
        status == STATUS_OK
            ? visit_bytes(visit, recorded, hash64(path, strlen(path)) | 1, bytes, size)
            : skip_file(visit, recorded, status_message());
    free(bytes);
    free(path);
    return status;
}

static enum status visit_files(struct visit *visit, const struct scan *scan,
                               const char *path)
{
    struct progress progress;
    enum status status = STATUS_OK;
    progress_begin(&progress, "reading", "files", scan->file_count);
    for (size_t i = 0; i < scan->file_count && status == STATUS_OK; i++) {
        status = visit_file(visit, scan, i);
        progress_update(&progress, i + 1, NULL);
    }
    progress_end(&progress);
    if (status == STATUS_OK && visit->visited == 0)
        status = status_fail(STATUS_FAILED,
                             "%s: no MIDI file with notes (%zu files, %zu skipped)", path,
                             scan->file_count, visit->skipped);
    return status;
}

/* Reads a MIDI file, or all in a folder, with the limits of preprocess. */
static enum status visit_path(const char *path, const struct arguments *args,
                              struct visit *visit)
{
    static struct options options; /* large */
    options_defaults(&options);
    visit->ignore_pedal = args->ignore_pedal;
    visit->limits = (struct midi_limits){.max_bytes = (uint64_t)options.data.max_bytes,
                                         .max_notes = (uint64_t)options.data.max_notes,
                                         .min_notes = 1,
                                         .max_seconds = options.data.max_seconds};
    struct scan scan = {0};
    enum status status = scan_inputs(&path, 1, &scan);
    if (status == STATUS_OK)
        status = visit_files(visit, &scan, path);
    midi_free(&visit->midi);
    scan_free(&scan);
    return status;
}

struct corpus_builder {
    struct corpus corpus;
    struct melody melody; /* of the last piece */
};

static enum status add_to_corpus(void *context, struct notes *notes, uint64_t file)
{
    struct corpus_builder *builder = context;
    enum status status = melody_extract(notes, &builder->melody);
    return status == STATUS_OK ? corpus_add(&builder->corpus, &builder->melody, file)
                               : status;
}

struct group_builder {
    const struct corpus *corpus; /* NULL: none */
    double seconds;              /* of each piece; 0: all */
    struct piece_group group;
};

static enum status add_to_group(void *context, struct notes *notes, uint64_t file)
{
    struct group_builder *builder = context;
    if (builder->seconds > 0)
        excerpt_cut(notes, builder->seconds);
    return piece_group_add(&builder->group, notes, builder->corpus, file);
}

/* `reference` NULL: this is the first column. */
static enum status compute_column(const struct arguments *args,
                                  struct group_builder *builder,
                                  const struct group_builder *reference,
                                  struct statistics_column *column)
{
    struct visit visit = {.function = add_to_group,
                          .context = builder,
                          .by_notes =
                              args->training && statistics_is_dataset(args->training)};
    enum status status = visit_path(column->name, args, &visit);
    if (status == STATUS_OK)
        status = piece_group_summarise(
            &builder->group, reference ? &reference->group : NULL, &column->summary);
    column->skipped = visit.skipped;
    return status;
}

static enum status compute_columns(const struct arguments *args,
                                   const struct corpus *corpus,
                                   struct statistics_column *columns, size_t count)
{
    struct group_builder first = {.corpus = corpus, .seconds = args->seconds};
    enum status status = compute_column(args, &first, NULL, &columns[0]);
    for (size_t i = 1; i < count && status == STATUS_OK; i++) {
        struct group_builder other = {.corpus = corpus, .seconds = args->seconds};
        status = compute_column(args, &other, &first, &columns[i]);
        piece_group_free(&other.group);
    }
    piece_group_free(&first.group);
    return status;
}

static enum status print_json(const struct arguments *args,
                              const struct statistics_column *columns, size_t count)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_string(&json, "kind", "statistics");
    json_string(&json, "training", args->training);
    statistics_write_json(&json, columns, count);
    json_close(&json);
    return json_end(&json);
}

static enum status compute_and_print(const struct arguments *args,
                                     const struct corpus *corpus,
                                     struct statistics_column *columns, size_t count)
{
    enum status status = compute_columns(args, corpus, columns, count);
    if (status != STATUS_OK)
        return status;
    if (args->json)
        return print_json(args, columns, count);
    statistics_print_table(columns, count);
    return STATUS_OK;
}

static enum status statistics(const struct arguments *args, const char *const *paths,
                              size_t count)
{
    struct corpus_builder training = {0};
    struct visit visit = {.function = add_to_corpus, .context = &training};
    struct statistics_column *columns = calloc(count, sizeof *columns);
    enum status status =
        columns ? STATUS_OK
                : status_fail(STATUS_FAILED, "no memory for %zu paths", count);
    for (size_t i = 0; i < count && columns; i++)
        columns[i].name = paths[i];
    if (status == STATUS_OK && args->training)
        status = statistics_is_dataset(args->training)
                     ? statistics_read_training(args->training, &training.corpus)
                     : visit_path(args->training, args, &visit);
    if (status == STATUS_OK)
        status = compute_and_print(args, args->training ? &training.corpus : NULL,
                                   columns, count);
    corpus_free(&training.corpus);
    melody_free(&training.melody);
    free(columns);
    return status;
}

enum { PATHS_MAX = 64 };

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    struct arguments args = {0};
    const struct cli_argument arguments[] = {
        {.name = "--training",
         .placeholder = "PATH",
         .text = &args.training,
         .help = "dataset (its training split), MIDI file or folder: adds copied_groups, "
                 "the share of 8-note groups of the melody that stand in another piece "
                 "there"},
        {.name = "--seconds",
         .placeholder = "N",
         .number = &args.seconds,
         .low = 0.01,
         .high = 1e9,
         .help = "use only the first N seconds of each piece (default: all)"},
        {.name = "--ignore-pedal",
         .flag = &args.ignore_pedal,
         .help = "end notes when their key is released"},
        {.name = "--json", .flag = &args.json, .help = "print JSON instead of a table"},
        {.name = NULL},
    };
    static struct cli_request request;
    request = (struct cli_request){
        .arguments = arguments, .positional_min = 1, .positional_max = PATHS_MAX};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    return statistics(&args, request.positionals, request.positional_count);
}

const struct cli_command command_statistics = {
    .name = "statistics",
    .summary = "compare what MIDI files play, in figures",
    .usage = "statistics PATH... [options]",
    .examples =
        "PATH is a MIDI file or a folder, searched as by preprocess; each has a column\n"
        "of its own, and the first is the reference of the others. Files that can't be\n"
        "read are skipped with a line on stderr. Pitches are those of melodic notes, "
        "not\n"
        "of percussion. docs/usage.md defines the figures.\n"
        "\n"
        "  tutti statistics corpus runs/first/samples\n"
        "  tutti statistics corpus music.mid --training corpus --json",
    .run = run,
};
