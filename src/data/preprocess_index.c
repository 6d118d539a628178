/* preprocess_index: index.h5, written last, by rank 0. */
#include "preprocess_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merges.h"
#include "schema.h"
#include "base/file.h"
#include "base/path_escape.h"
#include "h5/h5.h"

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory while writing the index");
}

static uint64_t dataset_hash(const struct preprocess *preprocess)
{
    return dataset_hash_of(encoding_hash(preprocess->encoding), preprocess->shard_hashes,
                           (size_t)preprocess->options->data.shards);
}

/* Writes the [data] section without the settings that must not affect the output: the
 * location of the dataset, the directory of the split file, and the memory limit of
 * training. */
static enum status write_settings(const struct preprocess *preprocess,
                                  struct h5_file *file)
{
    struct options *options = malloc(sizeof *options);
    char *text = NULL;
    if (options) {
        *options = *preprocess->options;
        options->data.dataset[0] = '\0';
        options->data.memory_mb = 0;
        char *base = path_escape(path_base(options->data.split_file));
        if (base) {
            snprintf(options->data.split_file, sizeof options->data.split_file, "%s",
                     base);
            text = options_text(options, SECTION_DATA);
        }
        free(base);
    }
    enum status status = text ? h5_write_text(file, "/settings", text) : out_of_memory();
    char hash[HASH64_TEXT];
    if (status == STATUS_OK)
        status = h5_set_text(
            file, "/", "settings_hash",
            hash64_text(settings_hash_of(dataset_hash(preprocess), text), hash));
    free(text);
    free(options);
    return status;
}

static enum status write_token_names(const struct encoding *encoding,
                                     struct h5_file *file)
{
    size_t count = encoding->vocabulary;
    char(*names)[ENCODING_TOKEN_NAME] = malloc(count * sizeof *names);
    const char **pointers = malloc(count * sizeof *pointers);
    enum status status = STATUS_FAILED;
    if (names && pointers) {
        for (size_t i = 0; i < count; i++)
            pointers[i] =
                encoding->token_name(encoding, (token)i, names[i], ENCODING_TOKEN_NAME);
        status = h5_write_texts(file, "/vocabulary/names", count, pointers);
    } else {
        out_of_memory();
    }
    free(pointers);
    free(names);
    return status;
}

static enum status write_vocabulary(const struct preprocess *preprocess,
                                    struct h5_file *file)
{
    char text[HASH64_TEXT];
    const struct encoding *encoding = preprocess->encoding;
    hash64_text(encoding_hash(encoding), text);
    enum status status = write_token_names(encoding, file);
    if (status == STATUS_OK)
        status = merges_write(file, encoding);
    if (status == STATUS_OK)
        status = h5_write_text(file, "/vocabulary/hash", text);
    if (status == STATUS_OK)
        status = h5_set_text(file, "/vocabulary", "encoding", encoding->name);
    if (status == STATUS_OK)
        status = h5_set_text(file, "/vocabulary", "grid", preprocess->options->data.grid);
    return status;
}

/* --- shards ----------------------------------------------------------------------------
 */

/* Writes a table [shards][splits] of one of the counts. */
static enum status write_counts(const struct preprocess *preprocess, struct h5_file *file,
                                const char *name, size_t member, enum h5_type type)
{
    static const char *const splits[SPLITS] = {"train", "valid", "test"};
    size_t dims[] = {(size_t)preprocess->options->data.shards, SPLITS};
    size_t row = SPLITS * sizeof(uint64_t);
    uint8_t *table = malloc(dims[0] * row);
    if (!table)
        return out_of_memory();
    for (size_t i = 0; i < dims[0]; i++)
        memcpy(table + i * row, (const uint8_t *)&preprocess->shards[i] + member, row);
    enum status status = h5_write(file, name, type, 2, dims, table);
    free(table);
    if (status == STATUS_OK)
        status = h5_set_texts(file, name, "columns", SPLITS, splits);
    return status;
}

static enum status write_shards(const struct preprocess *preprocess, struct h5_file *file)
{
    size_t shards = (size_t)preprocess->options->data.shards;
    enum status status = write_counts(preprocess, file, "/shards/pieces",
                                      offsetof(struct split_counts, pieces), H5_U64);
    if (status == STATUS_OK)
        status = write_counts(preprocess, file, "/shards/notes",
                              offsetof(struct split_counts, notes), H5_U64);
    if (status == STATUS_OK)
        status = write_counts(preprocess, file, "/shards/tokens",
                              offsetof(struct split_counts, tokens), H5_U64);
    if (status == STATUS_OK)
        status = write_counts(preprocess, file, "/shards/seconds",
                              offsetof(struct split_counts, seconds), H5_F64);
    if (status == STATUS_OK)
        status =
            h5_write(file, "/shards/hash", H5_U64, 1, &shards, preprocess->shard_hashes);
    return status;
}

/* --- files -----------------------------------------------------------------------------
 */

struct file_row {
    uint64_t hash_high, hash_low, bytes, notes;
    double seconds;
    uint8_t outcome;
};

static const struct column file_columns[] = {
    {"/files/outcome", H5_U8, offsetof(struct file_row, outcome)},
    {"/files/hash_high", H5_U64, offsetof(struct file_row, hash_high)},
    {"/files/hash_low", H5_U64, offsetof(struct file_row, hash_low)},
    {"/files/bytes", H5_U64, offsetof(struct file_row, bytes)},
    {"/files/notes", H5_U64, offsetof(struct file_row, notes)},
    {"/files/seconds", H5_F64, offsetof(struct file_row, seconds)},
    {NULL, H5_U8, 0},
};

static struct file_row *file_rows(const struct records *records)
{
    struct file_row *rows = calloc(records->count + 1, sizeof *rows);
    for (size_t i = 0; rows && i < records->count; i++) {
        const struct record *record = &records->items[i];
        rows[i] = (struct file_row){.hash_high = record->hash.high,
                                    .hash_low = record->hash.low,
                                    .bytes = record->bytes,
                                    .notes = record->notes,
                                    .seconds = record->seconds,
                                    .outcome = record->outcome};
    }
    return rows;
}

static enum status write_file_columns(const struct records *records, struct h5_file *file)
{
    struct file_row *rows = file_rows(records);
    void *packed = malloc((records->count + 1) * sizeof(uint64_t));
    enum status status = rows && packed ? STATUS_OK : out_of_memory();
    for (const struct column *column = file_columns; column->name; column++) {
        if (status != STATUS_OK)
            break;
        column_pack(column, rows, sizeof *rows, records->count, packed);
        status = h5_write(file, column->name, column->type, 1, &records->count, packed);
    }
    free(packed);
    free(rows);
    return status;
}

/* Writes the recorded paths, then the reasons; a duplicate's reason is "of " and the path
 * of the file that is kept. */
static enum status write_file_texts(const struct preprocess *preprocess,
                                    struct h5_file *file)
{
    const struct records *records = &preprocess->records;
    const char **texts = malloc((records->count + 1) * sizeof *texts);
    char **formatted = calloc(records->count + 1, sizeof *formatted);
    enum status status = texts && formatted ? STATUS_OK : out_of_memory();
    for (size_t i = 0; i < records->count && status == STATUS_OK; i++)
        texts[i] = scan_path(&preprocess->scan, i);
    if (status == STATUS_OK)
        status = h5_write_texts(file, "/files/path", records->count, texts);
    for (size_t i = 0; i < records->count && status == STATUS_OK; i++) {
        const struct record *record = &records->items[i];
        texts[i] = records->reasons.bytes + record->reason;
        if (record->outcome != FILE_DUPLICATE)
            continue;
        formatted[i] =
            path_format("of %s", scan_path(&preprocess->scan, record->original));
        texts[i] = formatted[i];
        status = formatted[i] ? STATUS_OK : out_of_memory();
    }
    if (status == STATUS_OK)
        status = h5_write_texts(file, "/files/reason", records->count, texts);
    for (size_t i = 0; formatted && i < records->count; i++)
        free(formatted[i]);
    free(formatted);
    free(texts);
    return status;
}

static enum status write_files(const struct preprocess *preprocess, struct h5_file *file)
{
    static const char *const outcomes[FILE_OUTCOMES] = {"ok", "repaired", "skipped",
                                                        "duplicate"};
    enum status status = write_file_columns(&preprocess->records, file);
    if (status == STATUS_OK)
        status = h5_set_texts(file, "/files/outcome", "names", FILE_OUTCOMES, outcomes);
    if (status == STATUS_OK)
        status = write_file_texts(preprocess, file);
    return status;
}

/* --- the index -------------------------------------------------------------------------
 */

static enum status write_lost_notes(struct h5_file *file, const struct lost_notes *lost)
{
    enum status status =
        h5_set_i64(file, "/", LOST_PERCUSSION, (int64_t)lost->percussion);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", LOST_OUT_OF_RANGE, (int64_t)lost->out_of_range);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", LOST_MERGED, (int64_t)lost->merged);
    return status;
}

static enum status write_totals(const struct preprocess *preprocess, struct h5_file *file)
{
    uint64_t notes = 0, tokens = 0, filtered = 0;
    struct lost_notes lost = {0};
    for (size_t i = 0; i < preprocess->piece_count; i++) {
        notes += preprocess->pieces[i].notes;
        tokens += preprocess->pieces[i].tokens;
        filtered += preprocess->pieces[i].filtered;
        lost_notes_add(&lost, &preprocess->pieces[i].lost);
    }
    enum status status =
        h5_set_i64(file, "/", "files", (int64_t)preprocess->scan.file_count);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "pieces", (int64_t)preprocess->piece_count);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "notes", (int64_t)notes);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "tokens", (int64_t)tokens);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", NOTES_FILTERED, (int64_t)filtered);
    return status == STATUS_OK ? write_lost_notes(file, &lost) : status;
}

static enum status write_format(const struct preprocess *preprocess, struct h5_file *file)
{
    char text[HASH64_TEXT];
    enum status status = h5_set_text(file, "/", "format", DATASET_FORMAT);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "format_version", DATASET_FORMAT_VERSION);
    if (status == STATUS_OK)
        status = h5_set_text(file, "/", "dataset_hash",
                             hash64_text(dataset_hash(preprocess), text));
    return status;
}

static enum status fill_index(const struct preprocess *preprocess, struct h5_file *file)
{
    static enum status (*const writers[])(const struct preprocess *, struct h5_file *) = {
        write_format,     write_totals, write_settings,
        write_vocabulary, write_shards, write_files};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof writers / sizeof *writers && status == STATUS_OK; i++)
        status = writers[i](preprocess, file);
    return status == STATUS_OK ? describe_index(file) : status;
}

enum status preprocess_write_index(const struct preprocess *preprocess)
{
    char *path = path_format("%s/index.h5", preprocess->partial);
    if (!path)
        return out_of_memory();
    struct h5_file *file = NULL;
    enum status status = h5_create(path, &file);
    free(path);
    if (status != STATUS_OK)
        return status;
    status = fill_index(preprocess, file);
    if (status != STATUS_OK) {
        h5_abandon(file);
        return status;
    }
    return h5_close_unsynced(file);
}
