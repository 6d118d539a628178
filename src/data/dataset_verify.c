/* dataset_verify: recomputes everything in a dataset. One piece is in memory at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "dataset_internal.h"

struct checker {
    const struct dataset *dataset;
    struct shard_file shard;
    struct notes notes;
    struct notes decoded; /* from the tokens as stored */
    struct tokens encoded;
    struct lost_notes lost; /* of the pieces so far */
    token *tokens;          /* as stored */
    void *packed;
    size_t capacity; /* of tokens and packed, items */
};

static enum status damaged(const struct checker *checker, size_t row, const char *what)
{
    return status_fail(STATUS_FAILED, "%s: piece %zu: %s: damaged, preprocess again",
                       h5_path(checker->shard.file), row, what);
}

static enum status reserve(struct checker *checker, size_t count)
{
    if (count <= checker->capacity)
        return STATUS_OK;
    free(checker->packed);
    free(checker->tokens);
    checker->packed = malloc(count * sizeof(uint64_t));
    checker->tokens = malloc(count * sizeof *checker->tokens);
    checker->capacity = checker->packed && checker->tokens ? count : 0;
    return checker->capacity ? STATUS_OK
                             : dataset_out_of_memory(h5_path(checker->shard.file));
}

static enum status reserve_notes(struct checker *checker, size_t count)
{
    struct notes *notes = &checker->notes;
    if (count > notes->capacity) {
        struct note *items = realloc(notes->items, count * sizeof *items);
        if (!items)
            return dataset_out_of_memory(h5_path(checker->shard.file));
        notes->items = items;
        notes->capacity = count;
    }
    if (count > 0)
        memset(notes->items, 0, count * sizeof *notes->items);
    notes->count = count;
    return STATUS_OK;
}

/* Older datasets lack the last two columns: then all ports are 0, and percussion follows
 * from the channel. */
static bool is_absent(const struct h5_file *file, const struct column *column)
{
    return (column->offset == offsetof(struct note, port) ||
            column->offset == offsetof(struct note, percussion)) &&
           !h5_has(file, column->name);
}

static void derive_percussion(struct notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        notes->items[i].percussion = notes->items[i].channel == PERCUSSION_CHANNEL;
}

static enum status read_notes(struct checker *checker, const struct piece_row *row)
{
    struct notes *notes = &checker->notes;
    enum status status = reserve_notes(checker, row->note_count);
    for (const struct column *column = note_columns; column->name; column++) {
        if (is_absent(checker->shard.file, column))
            continue;
        if (status == STATUS_OK)
            status = h5_read_slice(checker->shard.file, column->name, column->type,
                                   row->note_first, row->note_count, checker->packed);
        if (status == STATUS_OK)
            column_unpack(column, checker->packed, row->note_count, notes->items,
                          sizeof *notes->items);
    }
    if (status == STATUS_OK && !h5_has(checker->shard.file, "/notes/percussion"))
        derive_percussion(notes);
    notes->ticks_per_beat = row->ticks_per_beat;
    notes->ticks_per_second = row->ticks_per_second;
    return status;
}

/* Encodes the piece again. An encoding with bars has tokens for tempos and time
 * signatures, which the columns of notes lack: it encodes what the tokens say. */
static enum status encode_again(struct checker *checker, const struct piece_row *row)
{
    const struct encoding *encoding = checker->dataset->encoding;
    const struct notes *notes = &checker->notes;
    enum status status = STATUS_OK;
    checker->encoded.count = 0;
    if (encoding->has_bars) {
        notes = &checker->decoded;
        notes_clear(&checker->decoded);
        status = encoding->decode(encoding, checker->tokens, row->token_count, 0,
                                  &checker->decoded);
    }
    return status == STATUS_OK ? encoding->encode(encoding, notes, &checker->encoded)
                               : status;
}

static enum status check_piece(struct checker *checker, size_t index)
{
    const struct piece_row *row = &checker->shard.rows[index];
    const struct encoding *encoding = checker->dataset->encoding;
    enum status status = reserve(
        checker, row->note_count > row->token_count ? row->note_count : row->token_count);
    if (status == STATUS_OK)
        status = read_notes(checker, row);
    if (status == STATUS_OK)
        status = h5_read_slice(checker->shard.file, "/tokens", H5_U16, row->token_first,
                               row->token_count, checker->tokens);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < checker->notes.count; i++) {
        const char *field = dataset_invalid_note_field(&checker->notes.items[i]);
        if (field)
            return damaged(checker, index, field);
    }
    struct hash128 hash = notes_hash(&checker->notes);
    if (hash.high != row->hash_high || hash.low != row->hash_low)
        return damaged(checker, index, "its notes don't match its hash");
    if (row->hash_low % checker->dataset->shard_count != checker->shard.index)
        return damaged(checker, index, "its hash belongs to another shard");
    status = encode_again(checker, row);
    if (status != STATUS_OK)
        return status_fail(status, "%s: piece %zu: %s", h5_path(checker->shard.file),
                           index, status_message());
    if (checker->decoded.count > checker->notes.count ||
        checker->encoded.count != row->token_count ||
        memcmp(checker->encoded.items, checker->tokens,
               row->token_count * sizeof *checker->tokens) != 0)
        return damaged(checker, index, "its tokens don't match its notes");
    encoding_count_lost(encoding, &checker->notes, checker->tokens, row->token_count,
                        &checker->lost);
    return STATUS_OK;
}

/* Checks a column's length. Columns that no command reads, or that older datasets lack,
 * may be absent.
 */
static enum status check_column(const struct h5_file *file, const char *name,
                                uint64_t rows)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    if (!h5_has(file, name))
        return STATUS_OK;
    enum status status = h5_shape(file, name, &rank, dims);
    if (status == STATUS_OK && (rank != 1 || dims[0] != rows))
        status = status_fail(
            STATUS_FAILED, "%s: %s: %zu rows in %d dimensions (expected %llu in 1)",
            h5_path(file), name, dims[0], rank, (unsigned long long)rows);
    return status;
}

/* Every column must have the length that the pieces imply. */
static enum status check_lengths(const struct shard_file *shard)
{
    enum status status = check_column(shard->file, "/pieces/path", shard->count);
    if (status == STATUS_OK)
        status = check_column(shard->file, token_column.name, shard->tokens);
    for (const struct column *column = note_columns; column->name; column++)
        if (status == STATUS_OK)
            status = check_column(shard->file, column->name, shard->notes);
    return status;
}

static enum status check_file(const struct dataset *dataset,
                              const struct shard_file *shard)
{
    enum status status = h5_verify(shard->file);
    if (status == STATUS_OK)
        status = dataset_check_identity(shard->file, shard->index,
                                        dataset->shard_hashes[shard->index]);
    return status == STATUS_OK ? check_lengths(shard) : status;
}

static enum status check_shard(struct checker *checker, size_t index)
{
    enum status status = shard_file_open(checker->dataset, index, &checker->shard);
    if (status == STATUS_OK)
        status = check_file(checker->dataset, &checker->shard);
    for (size_t i = 0; i < checker->shard.count && status == STATUS_OK; i++)
        status = check_piece(checker, i);
    shard_file_close(&checker->shard);
    return status;
}

/* Checks the parts that no command reads, but other programs might. */
static enum status check_unread(const struct dataset *dataset, const struct h5_file *file)
{
    uint64_t files = 0;
    for (int outcome = 0; outcome < FILE_OUTCOMES; outcome++)
        files += dataset->outcomes[outcome];
    enum status status = dataset_check_names(file, dataset->encoding);
    if (status == STATUS_OK)
        status = check_column(file, "/files/hash_high", files);
    if (status == STATUS_OK)
        status = check_column(file, "/files/hash_low", files);
    return status;
}

/* Checks the index, including that each piece comes from exactly one file that is ok or
 * repaired. */
static enum status check_index(const struct dataset *dataset)
{
    struct h5_file *file = NULL;
    enum status status = dataset_open_index(dataset, &file);
    if (status != STATUS_OK)
        return status;
    status = h5_verify(file);
    if (status == STATUS_OK)
        status = check_unread(dataset, file);
    uint64_t used = dataset->outcomes[FILE_OK] + dataset->outcomes[FILE_REPAIRED];
    uint64_t pieces = 0;
    for (int split = 0; split < SPLITS; split++)
        pieces += dataset->total.pieces[split];
    if (status == STATUS_OK && used != pieces)
        status = status_fail(STATUS_FAILED, "%s: %llu files were used for %llu pieces",
                             h5_path(file), (unsigned long long)used,
                             (unsigned long long)pieces);
    h5_abandon(file);
    return status;
}

enum status dataset_check_part(const struct dataset *dataset, enum dataset_check scope,
                               int part, int parts)
{
    enum status status = part == 0 ? check_index(dataset) : STATUS_OK;
    for (size_t i = (size_t)part; i < dataset->shard_count && status == STATUS_OK;
         i += (size_t)parts) {
        struct shard_file shard;
        status = shard_file_open(dataset, i, &shard);
        if (status == STATUS_OK && scope == CHECK_ALL)
            status = check_file(dataset, &shard);
        shard_file_close(&shard);
    }
    return status;
}

static enum status check_files(const struct dataset *dataset)
{
    struct dataset_files files;
    enum status status = dataset_read_files(dataset, &files);
    if (status == STATUS_OK)
        dataset_files_free(&files);
    return status;
}

static enum status check_lost_notes(const struct checker *checker)
{
    const struct dataset *dataset = checker->dataset;
    const struct lost_notes *found = &checker->lost, *stored = &dataset->lost;
    if (!dataset->knows_lost ||
        (found->percussion == stored->percussion &&
         found->out_of_range == stored->out_of_range && found->merged == stored->merged))
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s/" INDEX_NAME ": /: the attributes " LOST_PERCUSSION
                       ", " LOST_OUT_OF_RANGE " and " LOST_MERGED
                       " don't match the notes: damaged, preprocess again",
                       dataset->path);
}

enum status dataset_verify(const struct dataset *dataset)
{
    struct checker checker = {.dataset = dataset};
    enum status status = check_index(dataset);
    if (status == STATUS_OK)
        status = check_files(dataset);
    for (size_t i = 0; i < dataset->shard_count && status == STATUS_OK; i++)
        status = check_shard(&checker, i);
    if (status == STATUS_OK)
        status = check_lost_notes(&checker);
    notes_free(&checker.notes);
    notes_free(&checker.decoded);
    tokens_free(&checker.encoded);
    free(checker.tokens);
    free(checker.packed);
    return status;
}
