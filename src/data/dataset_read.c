/* dataset_read: reads the pieces and tokens of a shard. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_internal.h"
#include "base/file.h"

/* --- a shard's file --------------------------------------------------------------------
 */

void shard_file_close(struct shard_file *shard)
{
    h5_abandon(shard->file);
    free(shard->rows);
    *shard = (struct shard_file){0};
}

static enum status read_rows(struct shard_file *shard)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    enum status status = h5_shape(shard->file, "/pieces/split", &rank, dims);
    if (status == STATUS_OK && rank != 1)
        status = status_fail(STATUS_FAILED, "%s: /pieces/split: not a column",
                             h5_path(shard->file));
    if (status != STATUS_OK)
        return status;
    shard->count = dims[0];
    shard->rows = calloc(shard->count + 1, sizeof *shard->rows);
    void *packed = malloc((shard->count + 1) * sizeof(uint64_t));
    if (!shard->rows || !packed)
        status = dataset_out_of_memory(h5_path(shard->file));
    for (const struct column *column = piece_columns; column->name; column++) {
        if (status == STATUS_OK)
            status = h5_read(shard->file, column->name, column->type, 1, &shard->count,
                             packed);
        if (status == STATUS_OK)
            column_unpack(column, packed, shard->count, shard->rows, sizeof *shard->rows);
    }
    free(packed);
    return status;
}

static enum status invalid_row(const struct shard_file *shard, const char *field,
                               size_t row)
{
    return status_fail(STATUS_FAILED,
                       "%s: /pieces: %s of piece %zu is invalid: damaged, preprocess "
                       "again",
                       h5_path(shard->file), field, row);
}

/* Checks that the pieces are contiguous and sorted by hash, and that their fields are in
 * range. */
static enum status check_rows(struct shard_file *shard)
{
    const uint64_t size =
        h5_size(shard->file); /* a note or token takes at least one byte */
    for (size_t i = 0; i < shard->count; i++) {
        const struct piece_row *row = &shard->rows[i];
        if (row->split >= SPLITS)
            return invalid_row(shard, "the split", i);
        if (row->note_first != shard->notes || row->note_count > size - shard->notes)
            return invalid_row(shard, "the position of the notes", i);
        if (row->token_first != shard->tokens || row->token_count > size - shard->tokens)
            return invalid_row(shard, "the position of the tokens", i);
        const char *invalid = dataset_invalid_piece_field(row);
        if (invalid)
            return invalid_row(shard, invalid, i);
        if (i > 0 &&
            (row->hash_high < row[-1].hash_high ||
             (row->hash_high == row[-1].hash_high && row->hash_low <= row[-1].hash_low)))
            return invalid_row(shard, "the hash", i);
        shard->notes += row->note_count;
        shard->tokens += row->token_count;
    }
    return STATUS_OK;
}

/* The shard's hash matches, so a difference means that the index is damaged. */
static enum status check_counts(const struct dataset *dataset, size_t index,
                                const struct shard_file *shard)
{
    struct split_counts found = {0};
    for (size_t i = 0; i < shard->count; i++) {
        const struct piece_row *row = &shard->rows[i];
        found.pieces[row->split]++;
        found.notes[row->split] += row->note_count;
        found.tokens[row->split] += row->token_count;
        found.seconds[row->split] += row->seconds;
    }
    if (memcmp(&found, &dataset->shards[index], sizeof found) != 0)
        return status_fail(
            STATUS_FAILED,
            "%s/index.h5: /shards: the counts of shard %zu are not those in "
            "its file: damaged, preprocess again",
            dataset->path, index);
    return STATUS_OK;
}

static enum status check_shard(const struct dataset *dataset, size_t index,
                               struct shard_file *shard)
{
    enum status status = check_rows(shard);
    if (status != STATUS_OK)
        return status;
    if (shard_hash(shard->rows, shard->count) != dataset->shard_hashes[index])
        return status_fail(
            STATUS_FAILED,
            "%s: not the shard that %s/index.h5 was made with: damaged or from "
            "another dataset, preprocess again",
            h5_path(shard->file), dataset->path);
    return check_counts(dataset, index, shard);
}

enum status shard_file_open(const struct dataset *dataset, size_t index,
                            struct shard_file *shard)
{
    *shard = (struct shard_file){.index = index};
    char *path = shard_path(dataset->path, index);
    if (!path)
        return dataset_out_of_memory(dataset->path);
    enum status status = dataset_open_file(path, SHARD_FORMAT, &shard->file);
    free(path);
    if (status == STATUS_OK)
        status = read_rows(shard);
    if (status == STATUS_OK)
        status = check_shard(dataset, index, shard);
    if (status != STATUS_OK)
        shard_file_close(shard);
    return status;
}

/* --- tokens ----------------------------------------------------------------------------
 */

/* Reserves capacity for `pieces` more pieces and `tokens` more tokens. */
static enum status reserve(struct shard *out, size_t pieces, size_t tokens,
                           const char *path)
{
    struct piece *more_pieces =
        realloc(out->pieces, (out->piece_count + pieces + 1) * sizeof *more_pieces);
    if (more_pieces)
        out->pieces = more_pieces;
    token *more_tokens =
        realloc(out->tokens, (out->token_count + tokens + 1) * sizeof *more_tokens);
    if (more_tokens)
        out->tokens = more_tokens;
    return more_pieces && more_tokens ? STATUS_OK : dataset_out_of_memory(path);
}

static enum status check_vocabulary(const struct dataset *dataset,
                                    const struct shard_file *shard, uint64_t first,
                                    const token *tokens, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (tokens[i] >= dataset->encoding->end)
            return status_fail(STATUS_FAILED,
                               "%s: /tokens: %u at %llu, the vocabulary has %u: damaged, "
                               "preprocess again",
                               h5_path(shard->file), tokens[i],
                               (unsigned long long)(first + i), dataset->encoding->end);
    return STATUS_OK;
}

static enum status check_hash(const struct shard_file *shard, const struct piece_row *row,
                              const token *tokens)
{
    if (hash64(tokens, row->token_count * sizeof *tokens) == row->token_hash)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /tokens: from %zu on they don't match the piece's hash: "
                       "damaged, preprocess again",
                       h5_path(shard->file), (size_t)row->token_first);
}

static enum status append_piece(const struct shard_file *shard,
                                const struct piece_row *row, const token *tokens,
                                struct shard *out)
{
    enum status status = check_hash(shard, row, tokens);
    if (status != STATUS_OK)
        return status;
    out->pieces[out->piece_count++] = (struct piece){
        .hash = {row->hash_high, row->hash_low},
        .token_first = out->token_count,
        .token_count = row->token_count,
        .notes = row->note_count,
        .seconds = row->seconds,
    };
    out->token_count += row->token_count;
    return STATUS_OK;
}

/* Visits the part of one piece that lies in the tokens first .. end - 1. Returns whether
 * the piece ends there. */
static bool visit_part(const struct piece_row *piece, enum split split, uint64_t first,
                       uint64_t end, const token *part, dataset_visitor *visit,
                       void *context)
{
    uint64_t piece_end = piece->token_first + piece->token_count;
    uint64_t from = piece->token_first > first ? piece->token_first : first;
    uint64_t to = piece_end < end ? piece_end : end;
    bool ends = piece_end <= end;
    if (piece->split == (uint8_t)split && (from < to || ends))
        visit(context, part + (from - first), from < to ? to - from : 0, ends);
    return ends;
}

/* Reads the tokens chunk by chunk, each once: the pieces of a split are scattered over
 * the shard. */
static enum status visit_tokens(const struct dataset *dataset,
                                const struct shard_file *shard, enum split split,
                                dataset_visitor *visit, void *context)
{
    uint64_t chunk = h5_chunk_length(shard->tokens);
    token *part = malloc(chunk * sizeof *part);
    if (!part)
        return dataset_out_of_memory(h5_path(shard->file));
    enum status status = STATUS_OK;
    size_t row = 0;
    uint64_t first = 0;
    do { /* once even without tokens: pieces can be empty */
        uint64_t remaining = shard->tokens - first;
        uint64_t count = remaining < chunk ? remaining : chunk;
        status = h5_read_slice(shard->file, "/tokens", H5_U16, first, count, part);
        if (status == STATUS_OK)
            status = check_vocabulary(dataset, shard, first, part, count);
        while (status == STATUS_OK && row < shard->count &&
               visit_part(&shard->rows[row], split, first, first + count, part, visit,
                          context))
            row++;
        first += count;
    } while (status == STATUS_OK && first < shard->tokens);
    free(part);
    return status;
}

static void copy_part(void *context, const token *tokens, size_t count, bool ends)
{
    (void)ends;
    token **to = context;
    memcpy(*to, tokens, count * sizeof *tokens);
    *to += count;
}

static enum status check_length(const struct shard_file *shard)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    enum status status = h5_shape(shard->file, "/tokens", &rank, dims);
    if (status == STATUS_OK && (rank != 1 || dims[0] != shard->tokens))
        status =
            status_fail(STATUS_FAILED, "%s: /tokens: %zu (expected %llu)",
                        h5_path(shard->file), dims[0], (unsigned long long)shard->tokens);
    return status;
}

static enum status append_split(const struct dataset *dataset,
                                const struct shard_file *shard,
                                const struct split_counts *counts, enum split split,
                                struct shard *out)
{
    enum status status = check_length(shard);
    if (status == STATUS_OK)
        status = reserve(out, counts->pieces[split], counts->tokens[split],
                         h5_path(shard->file));
    token *end = out->tokens ? out->tokens + out->token_count : NULL;
    if (status == STATUS_OK)
        status = visit_tokens(dataset, shard, split, copy_part, &end);
    size_t pieces = out->piece_count, tokens = out->token_count;
    for (size_t i = 0; i < shard->count && status == STATUS_OK; i++)
        if (shard->rows[i].split == (uint8_t)split)
            status =
                append_piece(shard, &shard->rows[i], out->tokens + out->token_count, out);
    if (status != STATUS_OK) { /* drop the partial append */
        out->piece_count = pieces;
        out->token_count = tokens;
    }
    return status;
}

enum status dataset_read_shard(const struct dataset *dataset, size_t index,
                               enum split split, struct shard *out)
{
    struct shard_file shard;
    enum status status = shard_file_open(dataset, index, &shard);
    if (status != STATUS_OK)
        return status;
    if (dataset->shards[index].pieces[split] > 0)
        status = append_split(dataset, &shard, &dataset->shards[index], split, out);
    shard_file_close(&shard);
    return status;
}

enum status dataset_visit_shard(const struct dataset *dataset, size_t index,
                                enum split split, dataset_visitor *visit, void *context)
{
    if (dataset->shards[index].pieces[split] == 0)
        return STATUS_OK;
    struct shard_file shard;
    enum status status = shard_file_open(dataset, index, &shard);
    if (status != STATUS_OK)
        return status;
    status = check_length(&shard);
    if (status == STATUS_OK)
        status = visit_tokens(dataset, &shard, split, visit, context);
    shard_file_close(&shard);
    return status;
}

void shard_free(struct shard *shard)
{
    free(shard->pieces);
    free(shard->tokens);
    *shard = (struct shard){0};
}
