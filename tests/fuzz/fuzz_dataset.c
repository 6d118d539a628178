/* fuzz_dataset: all readers of datasets, up to one training step, on a dataset whose
 * files have modified values and structure.
 *
 * The first byte selects which hashes are repaired and which readers run. It is followed
 * by records of EDIT_RECORD bytes, one edit each: a byte for the file, then the edit
 * (h5_edits.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_edits.h"
#include "run.h"
#include "../remove_tree.h"
#include "base/file.h"
#include "cli/inspect.h"
#include "data/dataset.h"
#include "data/schema.h"
#include "data/stream.h"

enum { /* bits of the first byte: hashes not repaired, and readers that run */
       KEEP_NOTES = 1,
       KEEP_TOKENS = 2,
       KEEP_SHARDS = 4,
       KEEP_COUNTS = 8,
       INSPECTS = 16,
       READS = 32,
       TRAINS = 64
};
enum { FILES = 1 + FUZZ_RUN_SHARDS, MICROBATCHES = 2, MAX_ROWS = 4096 };

static struct fuzz_run run;
static struct fuzz_file originals[FILES]; /* the index, then the shards */
static struct h5_names names[FILES];
static char *run_directory;

/* A dataset may lack this hash; without it modified settings reach the readers. */
static void drop_settings_hash(const char *path)
{
    hid_t file = h5_edit_open(path);
    H5Adelete(file, "settings_hash");
    h5_edit_close(file);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    fuzz_run_start(&run);
    for (size_t i = 0; i < FILES; i++) {
        char *path =
            i ? shard_path(run.dataset, i - 1) : path_join(run.dataset, "index.h5");
        FUZZ_REQUIRE(path);
        if (i == 0)
            drop_settings_hash(path);
        originals[i] = fuzz_file_save(path);
        h5_names_read(path, &names[i]);
        free(path);
    }
    run_directory = path_join(run.folder, "other");
    FUZZ_REQUIRE(run_directory);
    snprintf(run.options.run.dir, sizeof run.options.run.dir, "%s", run_directory);
    return 0;
}

/* ---- repairs ---- */

static hid_t native_type(enum h5_type type)
{
    const hid_t types[] = {
        [H5_U8] = H5T_NATIVE_UINT8,   [H5_U16] = H5T_NATIVE_UINT16,
        [H5_U32] = H5T_NATIVE_UINT32, [H5_U64] = H5T_NATIVE_UINT64,
        [H5_I32] = H5T_NATIVE_INT32,  [H5_I64] = H5T_NATIVE_INT64,
        [H5_F32] = H5T_NATIVE_FLOAT,  [H5_F64] = H5T_NATIVE_DOUBLE,
    };
    return types[type];
}

/* Reads rows from the columns of a file; false unless every one has `count` elements.
 */
static bool read_rows(hid_t file, const struct column *columns, size_t count, void *rows,
                      size_t row_size)
{
    static uint64_t packed[MAX_ROWS];
    for (; columns->name; columns++) {
        if (!h5_edit_read(file, columns->name, native_type(columns->type), count, packed))
            return false;
        column_unpack(columns, packed, count, rows, row_size);
    }
    return true;
}

static void write_column(hid_t file, const char *name, const struct piece_row *rows,
                         size_t count)
{
    static uint64_t packed[MAX_ROWS];
    for (const struct column *column = piece_columns; column->name; column++)
        if (strcmp(column->name, name) == 0) {
            column_pack(column, rows, sizeof *rows, count, packed);
            h5_edit_write(file, name, native_type(column->type), count, packed);
        }
}

static bool is_within(uint64_t first, uint64_t count, size_t total)
{
    return first <= total && count <= total - first;
}

static void hash_notes(hid_t file, struct piece_row *rows, size_t count)
{
    static struct note notes[MAX_ROWS];
    size_t total = h5_edit_count(file, "/notes/pitch");
    memset(notes, 0, sizeof notes);
    if (total > MAX_ROWS || !read_rows(file, note_columns, total, notes, sizeof *notes))
        return;
    for (size_t i = 0; i < count; i++) {
        if (!is_within(rows[i].note_first, rows[i].note_count, total))
            continue;
        const struct notes piece = {.items = notes + rows[i].note_first,
                                    .count = (size_t)rows[i].note_count,
                                    .ticks_per_beat = rows[i].ticks_per_beat,
                                    .ticks_per_second = rows[i].ticks_per_second};
        struct hash128 hash = notes_hash(&piece);
        rows[i].hash_high = hash.high;
        rows[i].hash_low = hash.low;
    }
    write_column(file, "/pieces/hash_high", rows, count);
    write_column(file, "/pieces/hash_low", rows, count);
}

static void hash_tokens(hid_t file, struct piece_row *rows, size_t count)
{
    static token tokens[MAX_ROWS];
    size_t total = h5_edit_count(file, "/tokens");
    if (total > MAX_ROWS ||
        !h5_edit_read(file, "/tokens", H5T_NATIVE_UINT16, total, tokens))
        return;
    for (size_t i = 0; i < count; i++)
        if (is_within(rows[i].token_first, rows[i].token_count, total))
            rows[i].token_hash = hash64(tokens + rows[i].token_first,
                                        (size_t)rows[i].token_count * sizeof *tokens);
    write_column(file, "/pieces/token_hash", rows, count);
}

/* Repairs a shard and reads its rows; returns their number. */
static size_t repair_shard(const char *path, uint8_t flags, struct piece_row *rows)
{
    hid_t file = h5_edit_open(path);
    size_t count = h5_edit_count(file, "/pieces/split");
    bool complete =
        count <= MAX_ROWS && read_rows(file, piece_columns, count, rows, sizeof *rows);
    if (complete && !(flags & KEEP_NOTES))
        hash_notes(file, rows, count);
    if (complete && !(flags & KEEP_TOKENS))
        hash_tokens(file, rows, count);
    h5_edit_close(file);
    return complete ? count : 0;
}

struct index { /* the index's records of the shards */
    uint64_t hashes[FUZZ_RUN_SHARDS];
    uint64_t counts[3][FUZZ_RUN_SHARDS][SPLITS];
    double seconds[FUZZ_RUN_SHARDS][SPLITS];
};

static const char *const count_names[] = {"/shards/pieces", "/shards/notes",
                                          "/shards/tokens"};

static void count_shard(struct index *index, size_t shard, const struct piece_row *rows,
                        size_t count)
{
    index->hashes[shard] = shard_hash(rows, count);
    for (size_t i = 0; i < count; i++) {
        size_t split = rows[i].split % SPLITS;
        index->counts[0][shard][split]++;
        index->counts[1][shard][split] += rows[i].note_count;
        index->counts[2][shard][split] += rows[i].token_count;
        index->seconds[shard][split] += rows[i].seconds;
    }
}

static void repair_index(hid_t file, const struct index *index, uint8_t flags)
{
    char text[HASH64_TEXT];
    struct encoding *encoding = NULL;
    if (!(flags & KEEP_COUNTS)) {
        for (size_t i = 0; i < 3; i++)
            h5_edit_write(file, count_names[i], H5T_NATIVE_UINT64,
                          (size_t)FUZZ_RUN_SHARDS * SPLITS, index->counts[i]);
        h5_edit_write(file, "/shards/seconds", H5T_NATIVE_DOUBLE,
                      (size_t)FUZZ_RUN_SHARDS * SPLITS, index->seconds);
    }
    if (flags & KEEP_SHARDS)
        return;
    h5_edit_write(file, "/shards/hash", H5T_NATIVE_UINT64, FUZZ_RUN_SHARDS,
                  index->hashes);
    fuzz_require_ok(encoding_from_options(&run.options, &encoding));
    uint64_t hash =
        dataset_hash_of(encoding_hash(encoding), index->hashes, FUZZ_RUN_SHARDS);
    h5_edit_text_attribute(file, "/", "dataset_hash", hash64_text(hash, text));
    encoding_free(encoding);
}

static void repair(uint8_t flags)
{
    static struct piece_row rows[MAX_ROWS];
    struct index index = {0};
    for (size_t i = 0; i < FUZZ_RUN_SHARDS; i++)
        count_shard(&index, i, rows, repair_shard(originals[i + 1].path, flags, rows));
    hid_t file = h5_edit_open(originals[0].path);
    repair_index(file, &index, flags);
    h5_edit_close(file);
}

/* Replaces a setting of the stored [data] section, or inserts an arbitrary line before
 * it. */
static void edit_settings(hid_t file, struct fuzz_input *record)
{
    char text[64 * EDIT_RECORD];
    char *line = fuzz_text(record, '\0');
    snprintf(text, sizeof text, "%s\n[data]\nencoding = performance\nshards = %d\n", line,
             FUZZ_RUN_SHARDS);
    for (char *c = text; *c; c++)
        if (*c == '|')
            *c = '\n';
    h5_edit_text(file, "/settings", text);
    free(line);
}

static void edit(struct fuzz_input *input, uint8_t flags)
{
    for (int i = 0; i < EDITS_MAX && input->size > 0; i++) {
        struct fuzz_input record = h5_edit_record(input);
        size_t which = fuzz_below(&record, FILES);
        uint8_t kind = fuzz_byte(&record) % (EDIT_KINDS + 1);
        hid_t file = h5_edit_open(originals[which].path);
        if (kind == EDIT_KINDS)
            edit_settings(file, &record);
        else
            h5_edit(file, &names[which], kind, &record);
        h5_edit_close(file);
    }
    repair(flags);
}

/* ---- the readers ---- */

static void check(enum status status)
{
    fuzz_check_message(status, run.dataset);
}

static void read_files(const struct dataset *dataset)
{
    struct dataset_files files;
    enum status status = dataset_read_files(dataset, &files);
    check(status);
    if (status != STATUS_OK)
        return;
    for (size_t i = 0; i < files.count; i++)
        FUZZ_REQUIRE(files.outcomes[i] < FILE_OUTCOMES);
    dataset_files_free(&files);
}

static void check_tokens(void *context, const token *tokens, size_t count, bool ends)
{
    const struct dataset *dataset = context;
    (void)ends;
    for (size_t i = 0; i < count; i++)
        FUZZ_REQUIRE(tokens[i] < dataset->encoding->end);
}

static void read_shards(const struct dataset *dataset)
{
    for (size_t i = 0; i < dataset->shard_count; i++)
        for (int split = 0; split < SPLITS; split++) {
            struct shard shard = {0};
            enum status status =
                dataset_read_shard(dataset, i, (enum split)split, &shard);
            check(status);
            if (status == STATUS_OK)
                check_tokens((void *)(uintptr_t)dataset, shard.tokens, shard.token_count,
                             true);
            shard_free(&shard);
            check(dataset_visit_shard(dataset, i, (enum split)split, check_tokens,
                                      (void *)(uintptr_t)dataset));
        }
}

static void read_windows(const struct dataset *dataset, struct streams *streams)
{
    enum { ROWS = 2, STEPS = 50 };
    token inputs[ROWS * STEPS];
    int32_t targets[ROWS * STEPS];
    for (int s = 0; s < streams->count; s++) {
        enum status status = stream_next(streams->list[s], STEPS, inputs, targets);
        check(status);
        for (int i = 0; status == STATUS_OK && i < ROWS * STEPS; i++)
            FUZZ_REQUIRE(inputs[i] <= dataset->encoding->end &&
                         targets[i] <= dataset->encoding->end && targets[i] >= -1);
    }
}

static void read_streams(const struct dataset *dataset, uint64_t memory)
{
    int *assigned = calloc(dataset->shard_count, sizeof *assigned);
    FUZZ_REQUIRE(assigned);
    struct streams streams = {0};
    enum status status = dataset_assign(dataset, MICROBATCHES, assigned);
    fuzz_check_message(status, NULL);
    struct streams_request request = {.dataset = dataset,
                                      .assigned = assigned,
                                      .count = MICROBATCHES,
                                      .rows = 2,
                                      .seed = 1,
                                      .memory = memory};
    if (status == STATUS_OK) {
        if (memory)
            request.memory = streams_min_bytes(&request);
        status = streams_open(&request, &streams);
        fuzz_check_message(status, NULL);
    }
    if (status == STATUS_OK)
        read_windows(dataset, &streams);
    streams_close(&streams);
    free(assigned);
}

static void inspect(bool verifies, bool verified)
{
    for (int json = 0; json < 2; json++) {
        const struct inspect_request request = {
            .path = run.dataset, .json = json, .verify = verifies};
        enum status status = inspect_dataset(&request);
        check(status);
        FUZZ_REQUIRE(!verifies || (status == STATUS_OK) <= verified);
    }
}

/* Whatever the dataset contains, files are written only where the user asked for them. */
static void train_a_step(void)
{
    enum status status = fuzz_run_train(&run, false, 1);
    fuzz_check_message(status, NULL);
    FUZZ_REQUIRE(status != STATUS_OK || file_is_directory(run_directory));
    file_remove_tree(run_directory);
}

static void read_opened(const struct dataset *dataset, uint8_t flags)
{
    check(dataset_check_part(dataset, CHECK_PIECES, 0, 1));
    enum status checked = dataset_check_part(dataset, CHECK_ALL, 0, 1);
    check(checked);
    enum status verified = dataset_verify(dataset);
    check(verified);
    FUZZ_REQUIRE(verified != STATUS_OK || checked == STATUS_OK);
    if (flags & READS) {
        read_files(dataset);
        read_shards(dataset);
        read_streams(dataset, 0);
        read_streams(dataset, 1);
    }
    if (flags & INSPECTS) {
        inspect(false, false);
        inspect(true, verified == STATUS_OK);
    }
    if (flags & TRAINS && checked == STATUS_OK)
        train_a_step();
}

static void read_all(uint8_t flags)
{
    struct dataset *dataset = NULL;
    enum status status = dataset_open(run.dataset, &dataset);
    check(status);
    if (status == STATUS_OK)
        read_opened(dataset, flags);
    dataset_close(dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input input = {bytes, size};
    uint8_t flags = fuzz_byte(&input);
    for (size_t i = 0; i < FILES; i++)
        fuzz_file_restore(&originals[i]);
    edit(&input, flags);
    fuzz_check_leaks(read_all, flags);
    return 0;
}
