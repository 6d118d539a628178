/* ingest_shards: the plan's pieces, from the spills into shards.
 *
 * A shard is written chunk by chunk: what a chunk of a column holds is gathered from the
 * spills, which have each piece's columns apart, and goes to the file as it is.
 *
 * The chunks' order in the file was made by HDF5's cache when notes were handed to it row
 * by row, and is kept, so that a corpus gives the bytes that it always gave: as if each
 * column had room for LATE_BYTES of chunks, of which the oldest goes to the file when
 * there is none for the next, and the others at the end.
 */
#include "ingest_internal.h"

#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "tutti/h5.h"
#include "tutti/progress.h"

struct result { /* of one shard, as sent to rank 0 */
    uint64_t shard, hash;
    struct dataset_shard counts;
};

struct writer {
    struct ingest *ingest;
    struct spill_reader spills;
    uint8_t *chunk; /* of any column */
    struct result *results;
    size_t result_count;
};

struct draft { /* a shard in the making */
    struct h5_file *file;
    const struct record *pieces;
    size_t count;
    struct piece_row *rows; /* count, and one more where the next would begin */
};

enum { TOKENS = NOTE_COLUMNS, DATA_COLUMNS, LATE_BYTES = 1 << 20 };

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory while writing the shards");
}

/* The data columns of a shard: those of notes, then the tokens. */
static const struct column *data_column(int c)
{
    return c < NOTE_COLUMNS ? &note_columns[c] : &token_column;
}

static uint64_t shard_length(const struct draft *shard, int c)
{
    const struct piece_row *last = &shard->rows[shard->count];
    return c < NOTE_COLUMNS ? last->note_first : last->token_first;
}

static uint64_t first_element(const struct piece_row *row, int c)
{
    return c < NOTE_COLUMNS ? row->note_first : row->token_first;
}

/* Where column c of a piece begins in its spill. */
static uint64_t spilled_column(const struct record *piece, int c)
{
    uint64_t at = piece->spilled;
    for (int before = 0; before < c; before++)
        at += piece->notes * h5_type_size(note_columns[before].type);
    return at;
}

/* The piece that holds an element of column c. */
static size_t find_piece(const struct draft *shard, int c, uint64_t element)
{
    size_t low = 0, high = shard->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (first_element(&shard->rows[middle], c) <= element)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Elements [first, first + count) of column c, from the spills into the chunk. */
static enum status gather_chunk(struct writer *writer, const struct draft *shard, int c,
                                uint64_t first, uint64_t count)
{
    size_t size = h5_type_size(data_column(c)->type);
    enum status status = STATUS_OK;
    size_t at = find_piece(shard, c, first);
    for (uint64_t have = 0; have < count && status == STATUS_OK; at++) {
        const struct record *piece = &shard->pieces[at];
        uint64_t skip = first + have - first_element(&shard->rows[at], c);
        uint64_t rest = first_element(&shard->rows[at + 1], c) - (first + have);
        uint64_t take = rest < count - have ? rest : count - have;
        status = spill_read(&writer->spills, (int)piece->rank,
                            spilled_column(piece, c) + skip * size, take * size,
                            writer->chunk + have * size);
        have += take;
    }
    return status;
}

static enum status write_chunk(struct writer *writer, const struct draft *shard, int c,
                               uint64_t chunk)
{
    const struct column *column = data_column(c);
    uint64_t first = chunk * H5_CHUNK, rest = shard_length(shard, c) - first;
    uint64_t count = rest < H5_CHUNK ? rest : H5_CHUNK;
    enum status status = gather_chunk(writer, shard, c, first, count);
    if (status != STATUS_OK)
        return status;
    return h5_write_part(shard->file, column->name, column->type, first, count,
                         writer->chunk);
}

static uint64_t late_chunks(int c)
{
    return LATE_BYTES / (H5_CHUNK * h5_type_size(data_column(c)->type));
}

static uint64_t chunk_count(const struct draft *shard, int c)
{
    return (shard_length(shard, c) + H5_CHUNK - 1) / H5_CHUNK;
}

/* Chunks [from, to) of one column. */
static enum status write_chunks(struct writer *writer, const struct draft *shard, int c,
                                uint64_t from, uint64_t to)
{
    enum status status = STATUS_OK;
    for (uint64_t chunk = from; chunk < to && status == STATUS_OK; chunk++)
        status = write_chunk(writer, shard, c, chunk);
    return status;
}

/* How many chunks of the column are not late. */
static uint64_t early_chunks(const struct draft *shard, int c)
{
    uint64_t count = chunk_count(shard, c), late = late_chunks(c);
    return count > late ? count - late : 0;
}

/* Makes columns [from, to). A first element of each, to be written again with its chunk,
 * has HDF5 make the column's index where it always was: before the chunks of all. */
static enum status make_columns(const struct draft *shard, int from, int to)
{
    static const uint64_t nothing;
    enum status status = STATUS_OK;
    for (int c = from; c < to && status == STATUS_OK; c++)
        status = h5_make(shard->file, data_column(c)->name, data_column(c)->type,
                         shard_length(shard, c));
    for (int c = from; c < to && status == STATUS_OK; c++)
        if (chunk_count(shard, c) > 1)
            status = h5_write_part(shard->file, data_column(c)->name,
                                   data_column(c)->type, 0, 1, &nothing);
    return status;
}

static enum status write_early_notes(struct writer *writer, const struct draft *shard)
{
    uint64_t chunks = chunk_count(shard, 0); /* of every note column */
    enum status status = STATUS_OK;
    for (uint64_t next = 0; next < chunks; next++)
        for (int c = 0; c < NOTE_COLUMNS && status == STATUS_OK; c++)
            if (next >= late_chunks(c))
                status = write_chunk(writer, shard, c, next - late_chunks(c));
    return status;
}

static enum status write_data(struct writer *writer, const struct draft *shard)
{
    enum status status = make_columns(shard, 0, NOTE_COLUMNS);
    if (status == STATUS_OK)
        status = write_early_notes(writer, shard);
    if (status == STATUS_OK)
        status = make_columns(shard, TOKENS, DATA_COLUMNS);
    if (status == STATUS_OK)
        status = write_chunks(writer, shard, TOKENS, 0, early_chunks(shard, TOKENS));
    for (int c = 0; c < DATA_COLUMNS && status == STATUS_OK; c++)
        status =
            write_chunks(writer, shard, c, early_chunks(shard, c), chunk_count(shard, c));
    return status;
}

/* One more than there are pieces: where the next would begin. */
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
            status = h5_write(file, column->name, column->type, 1, &count, packed);
    }
    free(packed);
    return status;
}

static enum status write_piece_paths(const struct ingest *ingest, struct h5_file *file,
                                     const struct record *pieces, size_t count)
{
    const char **paths = malloc((count + 1) * sizeof *paths);
    if (!paths)
        return out_of_memory();
    for (size_t i = 0; i < count; i++)
        paths[i] = scan_path(&ingest->scan, pieces[i].file);
    enum status status = h5_write_texts(file, "/pieces/path", count, paths);
    free(paths);
    return status;
}

static void count_pieces(const struct piece_row *rows, size_t count,
                         struct dataset_shard *counts)
{
    *counts = (struct dataset_shard){0};
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
                              struct result *result)
{
    const struct ingest *ingest = writer->ingest;
    const struct record *pieces = ingest->kept + ingest->shard_first[index];
    size_t count = ingest->shard_first[index + 1] - ingest->shard_first[index];
    struct draft shard = {file, pieces, count, piece_rows(pieces, count)};
    if (!shard.rows)
        return out_of_memory();
    count_pieces(shard.rows, count, &result->counts);
    result->shard = index;
    result->hash = shard_hash(shard.rows, count);
    enum status status = write_attributes(file, index, result->hash);
    if (status == STATUS_OK)
        status = write_piece_columns(file, shard.rows, count);
    if (status == STATUS_OK)
        status = write_piece_paths(ingest, file, pieces, count);
    if (status == STATUS_OK)
        status = write_data(writer, &shard);
    free(shard.rows);
    return status;
}

static enum status write_shard(struct writer *writer, size_t shard)
{
    char *path = shard_path(writer->ingest->partial, shard);
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

static enum status write_taken(struct writer *writer, struct comm_counter *counter)
{
    int64_t shards = writer->ingest->options->data.shards;
    struct progress progress;
    progress_begin(&progress, "writing", "shards", (uint64_t)shards);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        int64_t shard = comm_next(counter, 1);
        if (shard >= shards)
            break;
        progress_update(&progress, (uint64_t)shard, NULL);
        status = write_shard(writer, (size_t)shard);
    }
    progress_end(&progress);
    return status;
}

static enum status write_share(struct writer *writer, struct comm_counter *counter)
{
    size_t shards = (size_t)writer->ingest->options->data.shards;
    writer->chunk = malloc(H5_CHUNK * sizeof(uint64_t));
    writer->results = calloc(shards, sizeof *writer->results);
    spill_reader_open(writer->ingest->partial, &writer->spills);
    enum status status = STATUS_FAILED;
    if (writer->chunk && writer->results)
        status = write_taken(writer, counter);
    else
        out_of_memory();
    if (status != STATUS_OK)
        ingest_stop_counter(counter);
    spill_reader_close(&writer->spills);
    free(writer->chunk);
    return status;
}

static enum status take_results(struct ingest *ingest, const struct result *results,
                                size_t count)
{
    size_t shards = (size_t)ingest->options->data.shards;
    ingest->shards = calloc(shards, sizeof *ingest->shards);
    ingest->shard_hashes = calloc(shards, sizeof *ingest->shard_hashes);
    if (!ingest->shards || !ingest->shard_hashes)
        return out_of_memory();
    if (count != shards)
        return status_fail(STATUS_FAILED, "%zu of %zu shards were written", count,
                           shards);
    for (size_t i = 0; i < count; i++) {
        ingest->shards[results[i].shard] = results[i].counts;
        ingest->shard_hashes[results[i].shard] = results[i].hash;
    }
    return STATUS_OK;
}

static enum status gather_results(struct ingest *ingest, const struct writer *writer)
{
    uint8_t *all = NULL;
    size_t *sizes = NULL, size = 0;
    enum status status =
        comm_gather(ingest->comm, writer->results,
                    writer->result_count * sizeof *writer->results, &all, &sizes);
    if (status == STATUS_OK && comm_rank(ingest->comm) == 0) {
        for (int rank = 0; rank < comm_size(ingest->comm); rank++)
            size += sizes[rank];
        status = take_results(ingest, (const struct result *)(const void *)all,
                              size / sizeof(struct result));
    }
    free(sizes);
    free(all);
    return comm_agree(ingest->comm, status);
}

enum status ingest_write_shards(struct ingest *ingest)
{
    struct comm_counter *counter = NULL;
    enum status status = comm_counter_open(ingest->comm, &counter);
    if (status != STATUS_OK)
        return comm_agree(ingest->comm, status);
    struct writer writer = {.ingest = ingest};
    status = write_share(&writer, counter);
    comm_counter_close(counter); /* rank 0 answers the others until they are through */
    status = comm_agree(ingest->comm, status);
    if (status == STATUS_OK)
        status = gather_results(ingest, &writer);
    free(writer.results);
    return status;
}
