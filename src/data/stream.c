/* stream: rows that draw pieces from a queue, shuffled anew in each slice epoch.
 *
 * A piece of n tokens is n + 1 inputs: END, then its tokens; the target of each is the
 * input behind it, and END behind the last. What a row is at is kept twice: as the plain
 * position that a checkpoint stores (queue, place, offset), and as the piece that stands
 * there, so that no queue but the current one need be remembered.
 */
#include "tutti/stream.h"

#include <stdlib.h>
#include <string.h>

#include "tutti/rng.h"

struct stream {
    struct shard shard;
    token end;
    int slice, rows;
    uint64_t seed;
    struct stream_cursor cursor;
    uint32_t *queue;        /* the order of slice epoch cursor.epoch */
    struct stream_row *row; /* [rows] */
    size_t *at;             /* [rows]: the piece in the shard that the row is in */
    /* of the single pass: */
    size_t once_next; /* piece to be taken next */
    size_t *once_at;  /* [rows]; NO_PIECE: none */
    size_t *once_offset;
};

static const size_t NO_PIECE = SIZE_MAX;

static void shuffle_queue(const struct stream *stream, int64_t epoch, uint32_t *queue)
{
    for (size_t i = 0; i < stream->shard.piece_count; i++)
        queue[i] = (uint32_t)i;
    rng_shuffle(queue, stream->shard.piece_count, stream->seed, RNG_SHUFFLE,
                (uint64_t)epoch, (uint64_t)stream->slice);
}

static void start(struct stream *stream)
{
    stream->cursor = (struct stream_cursor){0};
    shuffle_queue(stream, 0, stream->queue);
    for (int r = 0; r < stream->rows; r++)
        stream->row[r] = (struct stream_row){.piece = -1};
    stream_rewind(stream);
}

static enum status allocate(struct stream *stream)
{
    size_t rows = (size_t)stream->rows, pieces = stream->shard.piece_count;
    stream->queue = calloc(pieces ? pieces : 1, sizeof *stream->queue);
    stream->row = calloc(rows, sizeof *stream->row);
    stream->at = calloc(rows, sizeof *stream->at);
    stream->once_at = calloc(rows, sizeof *stream->once_at);
    stream->once_offset = calloc(rows, sizeof *stream->once_offset);
    if (!stream->queue || !stream->row || !stream->at || !stream->once_at ||
        !stream->once_offset)
        return status_fail(STATUS_FAILED,
                           "no memory for the stream of slice %d (%zu pieces)",
                           stream->slice, pieces);
    return STATUS_OK;
}

enum status stream_from_shard(struct shard *pieces, token end, int slice, int rows,
                              uint64_t seed, struct stream **out)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        shard_free(pieces);
        return status_fail(STATUS_FAILED, "no memory for the stream of slice %d", slice);
    }
    *stream = (struct stream){
        .shard = *pieces, .end = end, .slice = slice, .rows = rows, .seed = seed};
    *pieces = (struct shard){0};
    enum status status = allocate(stream);
    if (status != STATUS_OK) {
        stream_close(stream);
        return status;
    }
    start(stream);
    *out = stream;
    return STATUS_OK;
}

enum status stream_open(const struct dataset *dataset, const int *dealt, int slice,
                        enum split split, int rows, uint64_t seed, struct stream **out)
{
    struct shard pieces = {0};
    for (size_t i = 0; i < dataset->shard_count; i++) {
        if (dealt[i] != slice || dataset->shards[i].pieces[split] == 0)
            continue;
        enum status status = dataset_read_shard(dataset, i, split, &pieces);
        if (status != STATUS_OK) {
            shard_free(&pieces);
            return status;
        }
    }
    return stream_from_shard(&pieces, dataset->encoding->end, slice, rows, seed, out);
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    shard_free(&stream->shard);
    free(stream->queue);
    free(stream->row);
    free(stream->at);
    free(stream->once_at);
    free(stream->once_offset);
    free(stream);
}

uint64_t stream_tokens(const struct stream *stream)
{
    return (uint64_t)stream->shard.token_count + (uint64_t)stream->shard.piece_count;
}

uint64_t stream_bytes(const struct stream *stream)
{
    size_t each_piece = sizeof(struct piece) + sizeof *stream->queue;
    size_t each_row = sizeof *stream->row + 3 * sizeof *stream->at;
    return (uint64_t)(sizeof *stream + stream->shard.token_count * sizeof(token) +
                      stream->shard.piece_count * each_piece +
                      (size_t)stream->rows * each_row);
}

const struct shard *stream_pieces(const struct stream *stream)
{
    return &stream->shard;
}

/* The row takes the next piece of the queue; behind the last one a new queue begins. */
static void take_piece(struct stream *stream, int r)
{
    struct stream_cursor *cursor = &stream->cursor;
    if ((size_t)cursor->next == stream->shard.piece_count) {
        *cursor = (struct stream_cursor){.epoch = cursor->epoch + 1};
        shuffle_queue(stream, cursor->epoch, stream->queue);
    }
    stream->row[r] = (struct stream_row){.epoch = cursor->epoch, .piece = cursor->next};
    stream->at[r] = stream->queue[cursor->next++];
}

/* Input and target number `offset` of a piece. */
static void give(const struct stream *stream, size_t piece, size_t offset, token *input,
                 int32_t *target)
{
    const struct piece *facts = &stream->shard.pieces[piece];
    const token *tokens = stream->shard.tokens + facts->token_first;
    *input = offset == 0 ? stream->end : tokens[offset - 1];
    *target = offset == facts->token_count ? stream->end : tokens[offset];
}

void stream_next(struct stream *stream, int steps, token *inputs, int32_t *targets)
{
    int rows = stream->rows;
    for (int i = 0; i < steps * rows; i++) {
        int r = i % rows;
        if (stream->shard.piece_count == 0) {
            inputs[i] = stream->end;
            targets[i] = -1;
            continue;
        }
        struct stream_row *row = &stream->row[r];
        if (row->piece < 0 ||
            (size_t)row->offset > stream->shard.pieces[stream->at[r]].token_count)
            take_piece(stream, r);
        give(stream, stream->at[r], (size_t)row->offset++, &inputs[i], &targets[i]);
    }
}

void stream_rewind(struct stream *stream)
{
    stream->once_next = 0;
    for (int r = 0; r < stream->rows; r++)
        stream->once_at[r] = NO_PIECE;
}

/* Is the row in a piece that has inputs left? If not, it takes the next, if there is one.
 */
static int once_has_input(struct stream *stream, int r)
{
    size_t piece = stream->once_at[r];
    if (piece != NO_PIECE &&
        stream->once_offset[r] <= stream->shard.pieces[piece].token_count)
        return 1;
    stream->once_at[r] = NO_PIECE;
    if (stream->once_next == stream->shard.piece_count)
        return 0;
    stream->once_at[r] = stream->once_next++;
    stream->once_offset[r] = 0;
    return 1;
}

int64_t stream_next_once(struct stream *stream, int steps, token *inputs,
                         int32_t *targets)
{
    int rows = stream->rows;
    int64_t counted = 0;
    for (int i = 0; i < steps * rows; i++) {
        int r = i % rows;
        inputs[i] = stream->end;
        targets[i] = -1;
        if (!once_has_input(stream, r))
            continue;
        give(stream, stream->once_at[r], stream->once_offset[r]++, &inputs[i],
             &targets[i]);
        counted++;
    }
    return counted;
}

void stream_save(const struct stream *stream, struct stream_row *rows,
                 struct stream_cursor *cursor)
{
    memcpy(rows, stream->row, (size_t)stream->rows * sizeof *rows);
    *cursor = stream->cursor;
}

/* Finds the piece that a saved row is in; `queue` is room for one order. */
static int restore_row(struct stream *stream, int r, const struct stream_row *row,
                       uint32_t *queue)
{
    int64_t pieces = (int64_t)stream->shard.piece_count;
    stream->row[r] = *row;
    if (row->piece < 0)
        return 1; /* none yet */
    const struct stream_cursor *cursor = &stream->cursor;
    if (row->piece >= pieces || row->epoch < 0 || row->epoch > cursor->epoch ||
        (row->epoch == cursor->epoch && row->piece >= cursor->next))
        return 0;
    shuffle_queue(stream, row->epoch, queue);
    stream->at[r] = queue[row->piece];
    int64_t tokens = (int64_t)stream->shard.pieces[stream->at[r]].token_count;
    return row->offset >= 0 && row->offset <= tokens + 1;
}

enum status stream_restore(struct stream *stream, const struct stream_row *rows,
                           const struct stream_cursor *cursor)
{
    int fits = cursor->epoch >= 0 && cursor->next >= 0 &&
               (uint64_t)cursor->next <= stream->shard.piece_count;
    stream->cursor = *cursor;
    for (int r = 0; fits && r < stream->rows; r++)
        fits = restore_row(stream, r, &rows[r], stream->queue);
    if (!fits) {
        start(stream);
        return status_fail(STATUS_FAILED,
                           "the saved position in slice %d doesn't fit its %zu pieces: "
                           "another dataset than the one trained on",
                           stream->slice, stream->shard.piece_count);
    }
    shuffle_queue(stream, cursor->epoch, stream->queue);
    return STATUS_OK;
}
