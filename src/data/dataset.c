/* dataset: the index. Everything read from a file is validated before use: the checksums
 * detect a flipped bit, the hashes a file of another dataset.
 */
#include "dataset_internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merges.h"
#include "base/file.h"

/* --- names -----------------------------------------------------------------------------
 */

static const char *const split_names[SPLITS] = {"train", "valid", "test"};
static const char *const outcome_names[FILE_OUTCOMES] = {"ok", "repaired", "skipped",
                                                         "duplicate"};

const char *split_name(enum split split)
{
    return split_names[split];
}

int split_from_name(const char *text)
{
    for (int split = 0; split < SPLITS; split++)
        if (strcmp(text, split_names[split]) == 0)
            return split;
    return -1;
}

const char *file_outcome_name(enum file_outcome outcome)
{
    return outcome_names[outcome];
}

enum status dataset_out_of_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

/* --- checking the directory ------------------------------------------------------------
 */

static enum status unfinished(const char *path)
{
    return status_fail(STATUS_MISUSE,
                       "%s: an unfinished preprocess, not a dataset; run it again", path);
}

static bool ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);
    while (length > 1 && path[length - 1] == '/')
        length--;
    return length >= tail && strncmp(path + length - tail, ending, tail) == 0;
}

static enum status check_directory(const char *path)
{
    if (strcmp(path, "-") == 0)
        return status_fail(STATUS_MISUSE,
                           "-: a dataset is a folder and can't be read from standard "
                           "input; give its path");
    if (!file_exists(path))
        return status_fail(
            STATUS_MISUSE,
            "%s: no such dataset; make it with: tutti preprocess FOLDER -o %s", path,
            path);
    if (!file_is_directory(path))
        return status_fail(STATUS_MISUSE,
                           "%s: not a dataset (expected a folder with an index.h5)",
                           path);
    if (ends_with(path, ".partial"))
        return unfinished(path);
    char *marker = path_join(path, UNFINISHED_NAME), *index = path_join(path, "index.h5");
    enum status status = STATUS_OK;
    if (!marker || !index)
        status = dataset_out_of_memory(path);
    else if (file_exists(marker))
        status = unfinished(path);
    else if (!file_exists(index))
        status =
            errno == EACCES
                ? status_fail_errno("%s: can't search it", path)
                : status_fail(STATUS_MISUSE,
                              "%s: not a dataset, it has no index.h5; make one with: "
                              "tutti preprocess FOLDER -o DATASET",
                              path);
    free(index);
    free(marker);
    return status;
}

static enum status check_format(const struct h5_file *file, const char *format)
{
    char found[64] = "";
    int64_t version = 0;
    enum status status = h5_get_text(file, "/", "format", found, sizeof found);
    if (status == STATUS_OK && strcmp(found, format) != 0)
        return status_fail(STATUS_FAILED, "%s: a '%s' (expected a '%s')", h5_path(file),
                           found, format);
    if (status == STATUS_OK)
        status = h5_get_i64(file, "/", "format_version", &version);
    if (status == STATUS_OK && version != DATASET_FORMAT_VERSION)
        return status_fail(STATUS_FAILED,
                           "%s: format version %" PRId64
                           " (this program reads %d): use the "
                           "program that wrote it, or preprocess again",
                           h5_path(file), version, DATASET_FORMAT_VERSION);
    return status;
}

enum status dataset_open_file(const char *path, const char *format, struct h5_file **out)
{
    enum status status = h5_open(path, out);
    if (status != STATUS_OK)
        return status;
    status = check_format(*out, format);
    if (status != STATUS_OK) {
        h5_abandon(*out);
        *out = NULL;
    }
    return status;
}

enum status dataset_open_index(const struct dataset *dataset, struct h5_file **out)
{
    char *path = path_format("%s/index.h5", dataset->path);
    if (!path)
        return dataset_out_of_memory(dataset->path);
    enum status status = dataset_open_file(path, DATASET_FORMAT, out);
    free(path);
    return status;
}

/* --- reading the index -----------------------------------------------------------------
 */

static enum status read_hash_text(const struct h5_file *file, const char *text,
                                  const char *name, uint64_t *hash)
{
    if (hash64_parse(text, hash))
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: '%s' is not a hash", h5_path(file), name,
                       text);
}

enum status dataset_settings(const struct dataset *dataset, struct options *options)
{
    char *origin = path_format("%s/index.h5: /settings", dataset->path);
    if (!origin)
        return dataset_out_of_memory(dataset->path);
    enum status status = options_read_dataset(options, dataset->settings, origin);
    free(origin);
    return status;
}

static enum status read_encoding(const struct h5_file *file, struct dataset *dataset)
{
    struct options options;
    char name[64], grid[64];
    enum status status = dataset_settings(dataset, &options);
    if (status == STATUS_OK)
        status = encoding_from_options(&options, &dataset->encoding);
    if (status != STATUS_OK)
        return status_fail(STATUS_FAILED, "%s: /settings: %s", h5_path(file),
                           status_message());
    status = merges_read(file, &options, &dataset->encoding);
    if (status == STATUS_OK)
        status = h5_get_text(file, "/vocabulary", "encoding", name, sizeof name);
    if (status == STATUS_OK)
        status = h5_get_text(file, "/vocabulary", "grid", grid, sizeof grid);
    if (status == STATUS_OK && (strcmp(name, dataset->encoding->name) != 0 ||
                                strcmp(grid, options.data.grid) != 0))
        status = status_fail(STATUS_FAILED,
                             "%s: /settings: data.encoding and data.grid are not those "
                             "of /vocabulary",
                             h5_path(file));
    return status;
}

static enum status read_vocabulary(const struct h5_file *file, struct dataset *dataset)
{
    char *text = NULL, expected_text[HASH64_TEXT];
    enum status status = read_encoding(file, dataset);
    if (status == STATUS_OK)
        status = h5_read_text(file, "/vocabulary/hash", &text);
    if (status == STATUS_OK)
        status =
            read_hash_text(file, text, "/vocabulary/hash", &dataset->vocabulary_hash);
    uint64_t expected = status == STATUS_OK ? encoding_hash(dataset->encoding) : 0;
    if (status == STATUS_OK && dataset->vocabulary_hash != expected)
        status =
            status_fail(STATUS_FAILED,
                        "%s: its vocabulary (%s, hash %s) is not this program's (%s): "
                        "preprocess again",
                        h5_path(file), dataset->encoding->name, text,
                        hash64_text(expected, expected_text));
    free(text);
    return status;
}

/* The number of shards, from the shape of the table /shards/pieces [shards][SPLITS]. */
static enum status count_shards(const struct h5_file *file, size_t *shards)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    enum status status = h5_shape(file, "/shards/pieces", &rank, dims);
    if (status == STATUS_OK && (rank != 2 || dims[0] == 0 || dims[1] != SPLITS))
        status =
            status_fail(STATUS_FAILED, "%s: /shards/pieces: not a table with %d columns",
                        h5_path(file), SPLITS);
    *shards = dims[0];
    return status == STATUS_OK ? dataset_check_shard_count(file, dims[0]) : status;
}

static enum status read_counts(const struct h5_file *file, const char *name,
                               size_t member, enum h5_type type, struct dataset *dataset)
{
    size_t dims[] = {dataset->shard_count, SPLITS}, row = SPLITS * sizeof(uint64_t);
    uint8_t *table = calloc(dims[0], row);
    if (!table)
        return dataset_out_of_memory(dataset->path);
    enum status status = h5_read(file, name, type, 2, dims, table);
    for (size_t i = 0; i < dims[0] && status == STATUS_OK; i++)
        memcpy((uint8_t *)&dataset->shards[i] + member, table + i * row, row);
    free(table);
    return status;
}

static void add_totals(struct dataset *dataset)
{
    struct split_counts *total = &dataset->total;
    for (size_t i = 0; i < dataset->shard_count; i++)
        for (int split = 0; split < SPLITS; split++) {
            total->pieces[split] += dataset->shards[i].pieces[split];
            total->notes[split] += dataset->shards[i].notes[split];
            total->tokens[split] += dataset->shards[i].tokens[split];
            total->seconds[split] += dataset->shards[i].seconds[split];
        }
}

static enum status check_dataset_hash(const struct h5_file *file, struct dataset *dataset)
{
    char text[64];
    enum status status = h5_get_text(file, "/", "dataset_hash", text, sizeof text);
    if (status == STATUS_OK)
        status = read_hash_text(file, text, "dataset_hash", &dataset->dataset_hash);
    if (status == STATUS_OK)
        status = h5_read(file, "/shards/hash", H5_U64, 1, &dataset->shard_count,
                         dataset->shard_hashes);
    if (status == STATUS_OK &&
        dataset->dataset_hash != dataset_hash_of(dataset->vocabulary_hash,
                                                 dataset->shard_hashes,
                                                 dataset->shard_count))
        status = status_fail(STATUS_FAILED,
                             "%s: dataset_hash: does not match /shards/hash: "
                             "damaged, preprocess again",
                             h5_path(file));
    return status;
}

static enum status read_shards(const struct h5_file *file, struct dataset *dataset)
{
    enum status status = count_shards(file, &dataset->shard_count);
    if (status != STATUS_OK)
        return status;
    dataset->shards = calloc(dataset->shard_count, sizeof *dataset->shards);
    dataset->shard_hashes = calloc(dataset->shard_count, sizeof *dataset->shard_hashes);
    if (!dataset->shards || !dataset->shard_hashes)
        return dataset_out_of_memory(dataset->path);
    status = read_counts(file, "/shards/pieces", offsetof(struct split_counts, pieces),
                         H5_U64, dataset);
    if (status == STATUS_OK)
        status = read_counts(file, "/shards/notes", offsetof(struct split_counts, notes),
                             H5_U64, dataset);
    if (status == STATUS_OK)
        status = read_counts(file, "/shards/tokens",
                             offsetof(struct split_counts, tokens), H5_U64, dataset);
    if (status == STATUS_OK)
        status = read_counts(file, "/shards/seconds",
                             offsetof(struct split_counts, seconds), H5_F64, dataset);
    if (status == STATUS_OK)
        status = check_dataset_hash(file, dataset);
    if (status == STATUS_OK)
        status = dataset_check_counts(file, dataset);
    if (status == STATUS_OK)
        add_totals(dataset);
    return status;
}

static enum status read_outcomes(const struct h5_file *file, uint8_t *outcomes,
                                 size_t count)
{
    enum status status = h5_read(file, "/files/outcome", H5_U8, 1, &count, outcomes);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (outcomes[i] >= FILE_OUTCOMES)
            status =
                status_fail(STATUS_FAILED, "%s: /files/outcome: %d in row %zu (0 to %d)",
                            h5_path(file), outcomes[i], i, FILE_OUTCOMES - 1);
    return status;
}

/* The number of rows of /files. */
static enum status count_files(const struct h5_file *file, size_t *count)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    enum status status = h5_shape(file, "/files/outcome", &rank, dims);
    if (status == STATUS_OK && rank != 1)
        status =
            status_fail(STATUS_FAILED, "%s: /files/outcome: not a column", h5_path(file));
    *count = dims[0];
    return status;
}

static enum status count_outcomes(const struct h5_file *file, struct dataset *dataset)
{
    size_t count = 0;
    enum status status = count_files(file, &count);
    if (status != STATUS_OK)
        return status;
    uint8_t *outcomes = malloc(count + 1);
    if (!outcomes)
        return dataset_out_of_memory(dataset->path);
    status = read_outcomes(file, outcomes, count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        dataset->outcomes[outcomes[i]]++;
    free(outcomes);
    return status;
}

/* The attribute is absent in older datasets. */
static enum status check_settings_hash(const struct h5_file *file,
                                       const struct dataset *dataset)
{
    char text[64];
    uint64_t hash = 0;
    if (!h5_has_attribute(file, "/", "settings_hash"))
        return STATUS_OK;
    enum status status = h5_get_text(file, "/", "settings_hash", text, sizeof text);
    if (status == STATUS_OK)
        status = read_hash_text(file, text, "settings_hash", &hash);
    if (status == STATUS_OK &&
        hash != settings_hash_of(dataset->dataset_hash, dataset->settings))
        status = status_fail(STATUS_FAILED,
                             "%s: settings_hash: does not match /settings: changed since "
                             "they were written, preprocess again",
                             h5_path(file));
    return status;
}

/* Checks that the settings agree with the rest of the index. */
static enum status check_settings(const struct h5_file *file,
                                  const struct dataset *dataset)
{
    struct options options;
    enum status status = dataset_settings(dataset, &options);
    if (status == STATUS_OK && (uint64_t)options.data.shards != dataset->shard_count)
        status =
            status_fail(STATUS_FAILED,
                        "%s: /settings: data.shards = %" PRId64 ", but /shards has %zu",
                        h5_path(file), options.data.shards, dataset->shard_count);
    return status == STATUS_OK ? check_settings_hash(file, dataset) : status;
}

static enum status read_count(const struct h5_file *file, const char *attribute,
                              uint64_t *count)
{
    int64_t value = 0;
    enum status status = h5_get_i64(file, "/", attribute, &value);
    *count = (uint64_t)value;
    return status;
}

/* Older datasets, which had no filters, lack the attribute. */
static enum status read_filtered(const struct h5_file *file, struct dataset *dataset)
{
    return h5_has_attribute(file, "/", NOTES_FILTERED)
               ? read_count(file, NOTES_FILTERED, &dataset->filtered)
               : STATUS_OK;
}

/* Reads the attributes, which older datasets lack. No count can exceed that of all notes.
 */
static enum status read_lost_notes(const struct h5_file *file, struct dataset *dataset)
{
    struct lost_notes *lost = &dataset->lost;
    uint64_t notes = 0;
    for (int split = 0; split < SPLITS; split++)
        notes += dataset->total.notes[split];
    dataset->knows_lost = h5_has_attribute(file, "/", LOST_PERCUSSION) ||
                          h5_has_attribute(file, "/", LOST_OUT_OF_RANGE) ||
                          h5_has_attribute(file, "/", LOST_MERGED);
    if (!dataset->knows_lost)
        return STATUS_OK;
    enum status status = read_count(file, LOST_PERCUSSION, &lost->percussion);
    if (status == STATUS_OK)
        status = read_count(file, LOST_OUT_OF_RANGE, &lost->out_of_range);
    if (status == STATUS_OK)
        status = read_count(file, LOST_MERGED, &lost->merged);
    if (status == STATUS_OK &&
        (lost->percussion > notes || lost->out_of_range > notes || lost->merged > notes))
        status = status_fail(STATUS_FAILED,
                             "%s: /: more notes are left out or merged than the %" PRIu64
                             " of all pieces: damaged, preprocess again",
                             h5_path(file), notes);
    return status;
}

static enum status read_index(const struct h5_file *file, struct dataset *dataset)
{
    enum status status = h5_read_text(file, "/settings", &dataset->settings);
    if (status == STATUS_OK)
        status = read_vocabulary(file, dataset);
    if (status == STATUS_OK)
        status = read_shards(file, dataset);
    if (status == STATUS_OK)
        status = count_outcomes(file, dataset);
    if (status == STATUS_OK)
        status = dataset_check_totals(file, dataset);
    if (status == STATUS_OK)
        status = read_lost_notes(file, dataset);
    if (status == STATUS_OK)
        status = read_filtered(file, dataset);
    return status == STATUS_OK ? check_settings(file, dataset) : status;
}

enum status dataset_open(const char *path, struct dataset **out)
{
    *out = NULL;
    enum status status = check_directory(path);
    if (status != STATUS_OK)
        return status;
    struct dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset || !(dataset->path = strdup(path))) {
        free(dataset);
        return dataset_out_of_memory(path);
    }
    struct h5_file *file = NULL;
    status = dataset_open_index(dataset, &file);
    if (status == STATUS_OK) {
        status = read_index(file, dataset);
        h5_abandon(file);
    }
    if (status != STATUS_OK) {
        dataset_close(dataset);
        return status;
    }
    *out = dataset;
    return STATUS_OK;
}

void dataset_close(struct dataset *dataset)
{
    if (!dataset)
        return;
    encoding_free(dataset->encoding);
    free(dataset->shard_hashes);
    free(dataset->shards);
    free(dataset->settings);
    free(dataset->path);
    free(dataset);
}

/* --- the table of files ----------------------------------------------------------------
 */

static enum status read_texts(const struct h5_file *file, const char *name, size_t count,
                              char ***texts)
{
    size_t found = 0;
    enum status status = h5_read_texts(file, name, &found, texts);
    if (status == STATUS_OK && found != count)
        status = status_fail(STATUS_FAILED, "%s: %s: %zu rows (expected %zu)",
                             h5_path(file), name, found, count);
    return status;
}

static enum status read_files(const struct h5_file *file, struct dataset_files *files)
{
    size_t count = files->count;
    enum status status = read_outcomes(file, files->outcomes, count);
    if (status == STATUS_OK)
        status = h5_read(file, "/files/bytes", H5_U64, 1, &count, files->bytes);
    if (status == STATUS_OK)
        status = h5_read(file, "/files/notes", H5_U64, 1, &count, files->notes);
    if (status == STATUS_OK)
        status = h5_read(file, "/files/seconds", H5_F64, 1, &count, files->seconds);
    if (status == STATUS_OK)
        status = read_texts(file, "/files/path", count, &files->paths);
    if (status == STATUS_OK)
        status = read_texts(file, "/files/reason", count, &files->reasons);
    if (status == STATUS_OK)
        status = dataset_check_files(file, files);
    return status;
}

enum status dataset_read_files(const struct dataset *dataset, struct dataset_files *files)
{
    *files = (struct dataset_files){0};
    struct h5_file *file = NULL;
    enum status status = dataset_open_index(dataset, &file);
    if (status != STATUS_OK)
        return status;
    status = count_files(file, &files->count);
    if (status == STATUS_OK) {
        files->outcomes = malloc(files->count + 1);
        files->bytes = malloc((files->count + 1) * sizeof *files->bytes);
        files->notes = malloc((files->count + 1) * sizeof *files->notes);
        files->seconds = malloc((files->count + 1) * sizeof *files->seconds);
        status = files->outcomes && files->bytes && files->notes && files->seconds
                     ? read_files(file, files)
                     : dataset_out_of_memory(dataset->path);
    }
    h5_abandon(file);
    if (status != STATUS_OK)
        dataset_files_free(files);
    return status;
}

void dataset_files_free(struct dataset_files *files)
{
    free(files->paths);
    free(files->reasons);
    free(files->outcomes);
    free(files->bytes);
    free(files->notes);
    free(files->seconds);
    *files = (struct dataset_files){0};
}
