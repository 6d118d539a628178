/* preprocess_shards: assembles the shards of the plan from the spills.
 *
 * A spill is stored by piece, and each piece's notes by row; a shard is stored by column,
 * and each column by piece. So each piece is read once, its notes are scattered to the
 * chunks that their members belong to, and full chunks are written to the file: all
 * columns of the notes first, then the tokens, which training reads without the notes.
 */
#include "preprocess_internal.h"

#include <stdlib.h>

#include "schema.h"
#include "base/progress.h"
#include "h5/h5.h"

struct shard_result { /* of one shard, as sent to rank 0 */
    uint64_t shard, hash;
    struct split_counts counts;
};

enum { TOKEN_COLUMN = NOTE_COLUMNS, DATA_COLUMNS };

enum {
    READ_NOTES = 1024,  /* notes read from a spill at once: 32 KiB */
    SCATTER_NOTES = 128 /* notes scattered at once: 4 KiB, in the L1 cache */
};

struct writer {
    struct preprocess *preprocess;
    struct spill_reader spills;
    uint8_t *chunks[DATA_COLUMNS]; /* of each column, the chunk being filled, with its
                                      checksum */
    struct note notes[READ_NOTES]; /* read from a spill */
    struct shard_result *results;
    size_t result_count;
};

struct shard_builder { /* a shard being written */
    struct h5_file *file;
    const struct record *pieces;
    size_t count;
    struct piece_row *rows; /* [count + 1]; the last has the totals: see piece_rows */
};

/* Data columns of equal length: those of the notes, or the tokens. */
struct table {
    int first, end;
    /* Reads rows [skip, skip + count) of a piece into the chunks, after their first
     * `filled` rows. */
    enum status (*read)(struct writer *writer, const struct record *piece, uint64_t skip,
                        uint64_t count, uint64_t filled);
};

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory while writing the shards");
}

static const struct column *data_column(int c)
{
    return c < NOTE_COLUMNS ? &note_columns[c] : &token_column;
}

static size_t element_size(int c)
{
    return h5_type_size(data_column(c)->type);
}

static uint64_t table_length(const struct shard_builder *shard, struct table table)
{
    const struct piece_row *last = &shard->rows[shard->count];
    return table.first == TOKEN_COLUMN ? last->token_first : last->note_first;
}

/* The number of the table's rows that belong to the piece. */
static uint64_t piece_length(const struct record *piece, struct table table)
{
    return table.first == TOKEN_COLUMN ? piece->tokens : piece->notes;
}

/* Copies the members of writer->notes[0..count) to the chunks, after their first `filled`
 * rows. */
static void scatter_notes(const struct writer *writer, uint64_t count, uint64_t filled)
{
    for (uint64_t at = 0; at < count; at += SCATTER_NOTES) {
        uint64_t rows = count - at < SCATTER_NOTES ? count - at : SCATTER_NOTES;
        for (int c = 0; c < NOTE_COLUMNS; c++)
            column_pack(&note_columns[c], &writer->notes[at], sizeof(struct note), rows,
                        writer->chunks[c] + (filled + at) * element_size(c));
    }
}

static struct spill_piece spill_piece(const struct record *piece)
{
    return (struct spill_piece){(int)piece->rank, piece->spill_offset,
                                piece->spilled_tokens};
}

static enum status read_notes(struct writer *writer, const struct record *piece,
                              uint64_t skip, uint64_t count, uint64_t filled)
{
    const struct spill_piece spilled = spill_piece(piece);
    enum status status = STATUS_OK;
    for (uint64_t rows; count > 0 && status == STATUS_OK; count -= rows) {
        rows = count < READ_NOTES ? count : READ_NOTES;
        status = spill_read_notes(&writer->spills, &spilled, skip, rows, writer->notes);
        if (status == STATUS_OK)
            scatter_notes(writer, rows, filled);
        skip += rows;
        filled += rows;
    }
    return status;
}

static enum status read_tokens(struct writer *writer, const struct record *piece,
                               uint64_t skip, uint64_t count, uint64_t filled)
{
    const struct spill_piece spilled = spill_piece(piece);
    token *tokens = (token *)(void *)writer->chunks[TOKEN_COLUMN];
    return spill_read_tokens(&writer->spills, &spilled, skip, count, tokens + filled);
}

static const struct table note_table = {0, NOTE_COLUMNS, read_notes};
static const struct table token_table = {TOKEN_COLUMN, DATA_COLUMNS, read_tokens};

/* Writes the chunks as rows [first, first + count) of the table. */
static enum status write_chunks(struct writer *writer, const struct shard_builder *shard,
                                struct table table, uint64_t first, uint64_t count)
{
    enum status status = STATUS_OK;
    for (int c = table.first; c < table.end && status == STATUS_OK; c++)
        status = h5_write_chunk(shard->file, data_column(c)->name, data_column(c)->type,
                                first, count, writer->chunks[c]);
    return status;
}

static enum status write_table(struct writer *writer, const struct shard_builder *shard,
                               struct table table)
{
    uint64_t length = table_length(shard, table), chunk = h5_chunk_length(length);
    enum status status = STATUS_OK;
    for (int c = table.first; c < table.end && status == STATUS_OK; c++)
        status =
            h5_create_1d(shard->file, data_column(c)->name, data_column(c)->type, length);
    uint64_t written = 0, filled = 0;
    for (size_t i = 0; i < shard->count; i++) {
        const struct record *piece = &shard->pieces[i];
        uint64_t rows = piece_length(piece, table), part;
        for (uint64_t skip = 0; skip < rows && status == STATUS_OK; skip += part) {
            part = rows - skip < chunk - filled ? rows - skip : chunk - filled;
            status = table.read(writer, piece, skip, part, filled);
            filled += part;
            if (status == STATUS_OK && (filled == chunk || written + filled == length)) {
                status = write_chunks(writer, shard, table, written, filled);
                written += filled;
                filled = 0;
            }
        }
    }
    return status;
}

/* [count + 1]: the last row has only note_first and token_first, which are the totals.
 * NULL if out of memory. */
static struct piece_row *piece_rows(const struct record *pieces, size_t count)
{
    struct piece_row *rows = calloc(count + 1, sizeof *rows);
    uint64_t notes = 0, tokens = 0;
    for (size_t i = 0; rows && i < count; i++) {
        const struct record *piece = &pieces[i];
        rows[i] = (struct piece_row){
            .hash_high = piece->hash.high,
            .hash_low = piece->hash.low,
            .token_hash = piece->token_hash,
            .note_first = notes,
            .note_count = piece->notes,
            .token_first = tokens,
            .token_count = piece->tokens,
            .seconds = piece->seconds,
            .tempo = piece->tempo,
            .ticks_per_beat = piece->ticks_per_beat,
            .ticks_per_second = piece->ticks_per_second,
            .split = piece->split,
        };
        notes += piece->notes;
        tokens += piece->tokens;
    }
    if (rows) {
        rows[count].note_first = notes;
        rows[count].token_first = tokens;
    }
    return rows;
}

static enum status write_piece_columns(struct h5_file *file, const struct piece_row *rows,
                                       size_t count)
{
    void *packed = malloc((count + 1) * sizeof(uint64_t));
    if (!packed)
        return out_of_memory();
    enum status status = STATUS_OK;
    for (const struct column *column = piece_columns; column->name; column++) {
        column_pack(column, rows, sizeof *rows, count, packed);
        if (status == STATUS_OK)
            status = h5_create_1d(file, column->name, column->type, count);
        if (status == STATUS_OK)
            status = h5_write_slice(file, column->name, column->type, 0, count, packed);
    }
    free(packed);
    return status;
}

static enum status write_piece_paths(const struct preprocess *preprocess,
                                     struct h5_file *file, const struct record *pieces,
                                     size_t count)
{
    const char **paths = malloc((count + 1) * sizeof *paths);
    if (!paths)
        return out_of_memory();
    for (size_t i = 0; i < count; i++)
        paths[i] = scan_path(&preprocess->scan, pieces[i].file);
    enum status status = h5_write_texts(file, "/pieces/path", count, paths);
    free(paths);
    return status;
}

static void count_pieces(const struct piece_row *rows, size_t count,
                         struct split_counts *counts)
{
    *counts = (struct split_counts){0};
    for (size_t i = 0; i < count; i++) {
        counts->pieces[rows[i].split]++;
        counts->notes[rows[i].split] += rows[i].note_count;
        counts->tokens[rows[i].split] += rows[i].token_count;
        counts->seconds[rows[i].split] += rows[i].seconds;
    }
}

static enum status write_attributes(struct h5_file *file, size_t shard, uint64_t hash)
{
    char text[HASH64_TEXT];
    enum status status = h5_set_text(file, "/", "format", SHARD_FORMAT);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "format_version", DATASET_FORMAT_VERSION);
    if (status == STATUS_OK)
        status = h5_set_i64(file, "/", "shard", (int64_t)shard);
    if (status == STATUS_OK)
        status = h5_set_text(file, "/", "shard_hash", hash64_text(hash, text));
    return status;
}

static enum status fill_shard(struct writer *writer, struct h5_file *file, size_t index,
                              struct shard_result *result)
{
    const struct preprocess *preprocess = writer->preprocess;
    const struct record *pieces = preprocess->pieces + preprocess->shard_first[index];
    size_t count = preprocess->shard_first[index + 1] - preprocess->shard_first[index];
    struct shard_builder shard = {file, pieces, count, piece_rows(pieces, count)};
    if (!shard.rows)
        return out_of_memory();
    count_pieces(shard.rows, count, &result->counts);
    result->shard = index;
    result->hash = shard_hash(shard.rows, count);
    enum status status = write_attributes(file, index, result->hash);
    if (status == STATUS_OK)
        status = write_piece_columns(file, shard.rows, count);
    if (status == STATUS_OK)
        status = write_piece_paths(preprocess, file, pieces, count);
    if (status == STATUS_OK)
        status = write_table(writer, &shard, note_table);
    if (status == STATUS_OK)
        status = write_table(writer, &shard, token_table);
    if (status == STATUS_OK)
        status = describe_shard(file, preprocess->options->data.pedal == PEDAL_EXTEND);
    free(shard.rows);
    return status;
}

static enum status write_shard(struct writer *writer, size_t shard)
{
    char *path = shard_path(writer->preprocess->partial, shard);
    if (!path)
        return out_of_memory();
    struct h5_file *file = NULL;
    enum status status = h5_create(path, &file);
    free(path);
    if (status != STATUS_OK)
        return status;
    status = fill_shard(writer, file, shard, &writer->results[writer->result_count]);
    if (status != STATUS_OK) {
        h5_abandon(file);
        return status;
    }
    writer->result_count++;
    return h5_close_unsynced(file);
}

static enum status write_shards(struct writer *writer, struct comm_counter *counter)
{
    int64_t shards = writer->preprocess->options->data.shards;
    struct progress progress;
    progress_begin(&progress, "writing", "shards", (uint64_t)shards);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        int64_t shard = comm_counter_fetch_add(counter, 1);
        if (shard >= shards)
            break;
        progress_update(&progress, (uint64_t)shard, NULL);
        status = write_shard(writer, (size_t)shard);
    }
    progress_end(&progress);
    return status;
}

static bool allocate_chunks(struct writer *writer)
{
    bool allocated = true;
    for (int c = 0; c < DATA_COLUMNS; c++) {
        writer->chunks[c] = malloc(H5_MAX_CHUNK * element_size(c) + H5_CHECKSUM_SIZE);
        allocated &= writer->chunks[c] != NULL;
    }
    return allocated;
}

static enum status write_share(struct writer *writer, struct comm_counter *counter)
{
    size_t shards = (size_t)writer->preprocess->options->data.shards;
    bool allocated = allocate_chunks(writer);
    writer->results = calloc(shards, sizeof *writer->results);
    spill_reader_open(writer->preprocess->partial, &writer->spills);
    enum status status = STATUS_FAILED;
    if (allocated && writer->results)
        status = write_shards(writer, counter);
    else
        out_of_memory();
    if (status != STATUS_OK)
        preprocess_stop_counter(counter);
    spill_reader_close(&writer->spills);
    for (int c = 0; c < DATA_COLUMNS; c++)
        free(writer->chunks[c]);
    return status;
}

static enum status store_results(struct preprocess *preprocess,
                                 const struct shard_result *results, size_t count)
{
    size_t shards = (size_t)preprocess->options->data.shards;
    preprocess->shards = calloc(shards, sizeof *preprocess->shards);
    preprocess->shard_hashes = calloc(shards, sizeof *preprocess->shard_hashes);
    if (!preprocess->shards || !preprocess->shard_hashes)
        return out_of_memory();
    if (count != shards)
        return status_fail(STATUS_FAILED, "%zu of %zu shards were written", count,
                           shards);
    for (size_t i = 0; i < count; i++) {
        preprocess->shards[results[i].shard] = results[i].counts;
        preprocess->shard_hashes[results[i].shard] = results[i].hash;
    }
    return STATUS_OK;
}

static enum status gather_results(struct preprocess *preprocess,
                                  const struct writer *writer)
{
    uint8_t *all = NULL;
    size_t *sizes = NULL, size = 0;
    enum status status =
        comm_gather(preprocess->comm, writer->results,
                    writer->result_count * sizeof *writer->results, &all, &sizes);
    if (status == STATUS_OK && comm_rank(preprocess->comm) == 0) {
        for (int rank = 0; rank < comm_size(preprocess->comm); rank++)
            size += sizes[rank];
        status = store_results(preprocess, (const struct shard_result *)(const void *)all,
                               size / sizeof(struct shard_result));
    }
    free(sizes);
    free(all);
    return comm_agree(preprocess->comm, status);
}

enum status preprocess_write_shards(struct preprocess *preprocess)
{
    struct comm_counter *counter = NULL;
    enum status status = comm_counter_open(preprocess->comm, &counter);
    if (status != STATUS_OK)
        return comm_agree(preprocess->comm, status);
    struct writer writer = {.preprocess = preprocess};
    status = write_share(&writer, counter);
    comm_counter_close(counter); /* rank 0 serves requests until all ranks close it */
    status = comm_agree(preprocess->comm, status);
    if (status == STATUS_OK)
        status = gather_results(preprocess, &writer);
    free(writer.results);
    return status;
}
