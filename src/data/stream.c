/* stream: rows that read the pieces of a queue, reshuffled in each microbatch epoch.
 *
 * A piece of n tokens is n + 1 inputs: END, then its tokens. The target of each input is
 * the next one, and END for the last. A row's position is held twice: as the plain values
 * that a checkpoint stores (epoch, position in the queue, offset), and as the piece at
 * that position, so that only the current queue is in memory.
 *
 * A row reads its piece through a view: the entire piece if all tokens are in memory,
 * else a short part, reloaded when the row's offset leaves it.
 *
 * With augmentation a row reads its piece from the beginning, token by token, and varies
 * each. A row whose position was restored does this again up to its offset.
 */
#include "stream_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const size_t NO_PIECE = SIZE_MAX;

/* ---- creation ---- */

static void shuffle_queue(const struct stream *stream, int64_t epoch, uint32_t *queue)
{
    for (size_t i = 0; i < stream->source.piece_count; i++)
        queue[i] = (uint32_t)i;
    rng_shuffle(queue, stream->source.piece_count, stream->seed, RNG_SHUFFLE,
                (uint64_t)epoch, (uint64_t)stream->microbatch);
}

static void reset(struct stream *stream)
{
    stream->cursor = (struct stream_cursor){0};
    shuffle_queue(stream, 0, stream->queue);
    for (int r = 0; r < stream->rows; r++)
        stream->row[r] = (struct stream_row){.piece = -1};
    stream_rewind(stream);
}

static enum status allocate(struct stream *stream)
{
    size_t rows = (size_t)stream->rows, pieces = stream->source.piece_count;
    size_t views = stream->source.cache ? rows * VIEW_TOKENS : 1;
    stream->queue = calloc(pieces ? pieces : 1, sizeof *stream->queue);
    stream->row = calloc(rows, sizeof *stream->row);
    stream->row_piece = calloc(rows, sizeof *stream->row_piece);
    stream->view = calloc(rows, sizeof *stream->view);
    stream->buffer = calloc(views, sizeof *stream->buffer);
    stream->varied = calloc(rows, sizeof *stream->varied);
    stream->pass_piece = calloc(rows, sizeof *stream->pass_piece);
    stream->pass_offset = calloc(rows, sizeof *stream->pass_offset);
    if (!stream->queue || !stream->row || !stream->row_piece || !stream->view ||
        !stream->buffer || !stream->varied || !stream->pass_piece || !stream->pass_offset)
        return status_fail(STATUS_FAILED,
                           "no memory for the stream of microbatch %d (%zu pieces)",
                           stream->microbatch, pieces);
    return STATUS_OK;
}

static void source_free(struct stream_source *source)
{
    free(source->pieces);
    free(source->tokens);
    free(source->shards);
    *source = (struct stream_source){0};
}

enum status stream_create(struct stream_source *source, token end, int microbatch,
                          int rows, uint64_t seed, struct stream **out)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        source_free(source);
        return status_fail(STATUS_FAILED, "no memory for the stream of microbatch %d",
                           microbatch);
    }
    *stream = (struct stream){.source = *source,
                              .end = end,
                              .microbatch = microbatch,
                              .rows = rows,
                              .seed = seed};
    *source = (struct stream_source){0};
    enum status status = allocate(stream);
    if (status != STATUS_OK) {
        stream_close(stream);
        return status;
    }
    reset(stream);
    *out = stream;
    return STATUS_OK;
}

enum status stream_from_shard(struct shard *shard, token end, int microbatch, int rows,
                              uint64_t seed, struct stream **out)
{
    struct stream_source source = {.piece_count = shard->piece_count,
                                   .token_count = shard->token_count,
                                   .tokens = shard->tokens};
    shard->tokens = NULL;
    source.pieces = calloc(source.piece_count + 1, sizeof *source.pieces);
    for (size_t i = 0; source.pieces && i < source.piece_count; i++)
        source.pieces[i] = (struct stream_piece){shard->pieces[i].token_first,
                                                 shard->pieces[i].token_count};
    shard_free(shard);
    if (!source.pieces) {
        source_free(&source);
        return status_fail(STATUS_FAILED, "no memory for the stream of microbatch %d",
                           microbatch);
    }
    return stream_create(&source, end, microbatch, rows, seed, out);
}

void stream_augment(struct stream *stream, const struct augmentation *augmentation)
{
    stream->augmentation = *augmentation;
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    source_free(&stream->source);
    free(stream->queue);
    free(stream->row);
    free(stream->row_piece);
    free(stream->view);
    free(stream->buffer);
    free(stream->varied);
    free(stream->window_first);
    free(stream->pass_piece);
    free(stream->pass_offset);
    free(stream);
}

uint64_t stream_tokens(const struct stream *stream)
{
    return stream->source.token_count + (uint64_t)stream->source.piece_count;
}

size_t stream_piece_count(const struct stream *stream)
{
    return stream->source.piece_count;
}

token stream_end(const struct stream *stream)
{
    return stream->end;
}

uint64_t stream_table_bytes(uint64_t pieces, int rows, bool cached)
{
    const struct stream *stream = NULL;
    size_t each_piece = sizeof *stream->source.pieces + sizeof *stream->queue;
    size_t each_row = sizeof *stream->row + sizeof *stream->row_piece +
                      sizeof *stream->view + sizeof *stream->varied +
                      sizeof *stream->pass_piece + sizeof *stream->pass_offset +
                      (cached ? VIEW_TOKENS * sizeof *stream->buffer : 0);
    return sizeof *stream + pieces * each_piece + (uint64_t)rows * each_row;
}

uint64_t stream_bytes(const struct stream *stream)
{
    const struct stream_source *source = &stream->source;
    uint64_t tokens = source->cache ? 0 : source->token_count * sizeof(token);
    uint64_t windows =
        stream->window_first ? stream_windows_bytes(source->piece_count) : 0;
    return stream_table_bytes(source->piece_count, stream->rows, source->cache) + tokens +
           windows + source->shard_count * sizeof *source->shards;
}

/* ---- tokens ---- */

/* The cache's index of the shard that holds a piece. */
static size_t shard_of(const struct stream_source *source, size_t piece)
{
    size_t low = 0, high = source->shard_count;
    while (high - low > 1) { /* shards[low].piece <= piece < shards[high].piece */
        size_t middle = low + (high - low) / 2;
        if (source->shards[middle].piece <= piece)
            low = middle;
        else
            high = middle;
    }
    return source->shards[low].cache_index;
}

static enum status read_tokens(struct stream *stream, int r, size_t piece, uint64_t first,
                               uint64_t count)
{
    const struct stream_source *source = &stream->source;
    struct view *view = &stream->view[r];
    if (!source->cache) {
        view->tokens = source->tokens + source->pieces[piece].first;
        return STATUS_OK;
    }
    token *buffer = stream->buffer + (size_t)r * VIEW_TOKENS;
    view->tokens = buffer;
    return token_cache_read(source->cache, shard_of(source, piece),
                            source->pieces[piece].first + first, (size_t)count, buffer);
}

/* Makes the row's view cover input `offset` of the piece and its target: the tokens
 * offset - 1 and offset. */
static enum status load_view(struct stream *stream, int r, size_t piece, uint64_t offset)
{
    struct view *view = &stream->view[r];
    if (view->piece == piece && offset >= view->from && offset < view->to)
        return STATUS_OK;
    uint64_t total = stream->source.pieces[piece].count, first = 0, count = total;
    if (stream->source.cache) {
        first = offset ? offset - 1 : 0;
        count = total - first < VIEW_TOKENS ? total - first : VIEW_TOKENS;
    }
    *view = (struct view){.piece = piece, .first = first};
    enum status status = read_tokens(stream, r, piece, first, count);
    if (status == STATUS_OK) {
        view->from = first ? first + 1 : 0;
        view->to = first + count == total ? total + 1 : first + count;
    }
    return status;
}

enum status stream_read_input(struct stream *stream, int r, size_t piece, uint64_t offset,
                              token *input, int32_t *target)
{
    enum status status = load_view(stream, r, piece, offset);
    if (status != STATUS_OK)
        return status;
    const struct view *view = &stream->view[r];
    const token *next = view->tokens + (offset - view->first);
    *input = offset == 0 ? stream->end : next[-1];
    *target = offset == stream->source.pieces[piece].count ? stream->end : *next;
    return STATUS_OK;
}

/* ---- the queue ---- */

static enum status fail_position(const struct stream *stream)
{
    return status_fail(STATUS_FAILED,
                       "the saved position in microbatch %d doesn't fit its %zu pieces: "
                       "another dataset than the one trained on",
                       stream->microbatch, stream->source.piece_count);
}

/* Moves the row to the next piece of the queue; after the last one a new queue begins. */
static void start_next_piece(struct stream *stream, int r)
{
    struct stream_cursor *cursor = &stream->cursor;
    if ((size_t)cursor->next == stream->source.piece_count) {
        *cursor = (struct stream_cursor){.epoch = cursor->epoch + 1};
        shuffle_queue(stream, cursor->epoch, stream->queue);
    }
    stream->row[r] = (struct stream_row){.epoch = cursor->epoch, .piece = cursor->next};
    stream->row_piece[r] = stream->queue[cursor->next++];
    stream->varied[r].begun = false;
}

/* ---- variations ---- */

/* Draws the variation of the row's piece, within the bounds that its tokens allow. */
static enum status draw_variation(struct stream *stream, int r, struct variation *out)
{
    const struct stream_row *row = &stream->row[r];
    size_t piece = stream->row_piece[r];
    uint64_t count = stream->source.pieces[piece].count;
    struct variation_bounds bounds = variation_bounds_of(&stream->augmentation);
    for (uint64_t offset = 0; offset < count; offset++) {
        token input;
        int32_t target;
        enum status status = stream_read_input(stream, r, piece, offset, &input, &target);
        if (status != STATUS_OK)
            return status;
        variation_bounds_narrow(&bounds, stream->augmentation.encoding, (token)target);
    }
    *out = variation_draw(&bounds, stream->seed, (uint64_t)row->epoch,
                          (uint64_t)stream->microbatch, (uint64_t)row->piece);
    return STATUS_OK;
}

/* The next token of the varied piece, or END. */
static enum status next_varied_token(struct stream *stream, int r, token *out)
{
    struct varied_piece *varied = &stream->varied[r];
    token input;
    int32_t next;
    do {
        enum status status = stream_read_input(stream, r, stream->row_piece[r],
                                               varied->next++, &input, &next);
        if (status != STATUS_OK)
            return status;
    } while (time_stretch_collect(&varied->time, (token)next));
    if (time_stretch_next(&varied->time, out))
        varied->next--; /* the event is read again */
    else
        *out = variation_apply(&varied->variation, stream->augmentation.encoding,
                               (token)next);
    return STATUS_OK;
}

static enum status read_varied(struct stream *stream, int r, token *input,
                               int32_t *target)
{
    struct varied_piece *varied = &stream->varied[r];
    token next = 0;
    enum status status = next_varied_token(stream, r, &next);
    *input = varied->input;
    *target = varied->input = next;
    varied->ended = next == stream->end;
    return status;
}

/* Begins the row's piece in its variation, and reads it again up to the row's offset. */
static enum status begin_varied(struct stream *stream, int r)
{
    struct varied_piece *varied = &stream->varied[r];
    struct variation variation;
    enum status status = draw_variation(stream, r, &variation);
    if (status != STATUS_OK)
        return status;
    *varied =
        (struct varied_piece){.begun = true,
                              .variation = variation,
                              .time = time_stretch_of(&stream->augmentation, &variation),
                              .input = stream->end};
    for (int64_t i = 0; status == STATUS_OK && i < stream->row[r].offset; i++) {
        token input;
        int32_t target;
        if (varied->ended)
            return fail_position(stream);
        status = read_varied(stream, r, &input, &target);
    }
    return status;
}

static enum status read_varied_row(struct stream *stream, int r, token *input,
                                   int32_t *target)
{
    enum status status = STATUS_OK;
    if (stream->row[r].piece >= 0 && !stream->varied[r].begun) /* restored */
        status = begin_varied(stream, r);
    if (status == STATUS_OK && (stream->row[r].piece < 0 || stream->varied[r].ended)) {
        start_next_piece(stream, r);
        status = begin_varied(stream, r);
    }
    if (status == STATUS_OK)
        status = read_varied(stream, r, input, target);
    stream->row[r].offset++;
    return status;
}

/* ---- the endless rows ---- */

static enum status read_row(struct stream *stream, int r, token *input, int32_t *target)
{
    struct stream_row *row = &stream->row[r];
    if (augmentation_is_on(&stream->augmentation))
        return read_varied_row(stream, r, input, target);
    if (row->piece < 0 ||
        (uint64_t)row->offset > stream->source.pieces[stream->row_piece[r]].count)
        start_next_piece(stream, r);
    return stream_read_input(stream, r, stream->row_piece[r], (uint64_t)row->offset++,
                             input, target);
}

enum status stream_next(struct stream *stream, int steps, token *inputs, int32_t *targets)
{
    int rows = stream->rows;
    enum status status = STATUS_OK;
    if (stream->window_first && stream->source.piece_count > 0)
        return stream_next_windows(stream, steps, inputs, targets);
    for (int i = 0; status == STATUS_OK && i < steps * rows; i++) {
        inputs[i] = stream->end;
        targets[i] = -1;
        if (stream->source.piece_count > 0)
            status = read_row(stream, i % rows, &inputs[i], &targets[i]);
    }
    return status;
}

/* ---- the single pass ---- */

void stream_rewind(struct stream *stream)
{
    stream->pass_next = 0;
    for (int r = 0; r < stream->rows; r++)
        stream->pass_piece[r] = NO_PIECE;
}

/* Moves the row to the next piece if its own has no inputs left. False if no piece is
 * left.
 */
static bool pass_advance(struct stream *stream, int r)
{
    size_t piece = stream->pass_piece[r];
    if (piece != NO_PIECE && stream->pass_offset[r] <= stream->source.pieces[piece].count)
        return true;
    stream->pass_piece[r] = NO_PIECE;
    if (stream->pass_next == stream->source.piece_count)
        return false;
    stream->pass_piece[r] = stream->pass_next++;
    stream->pass_offset[r] = 0;
    return true;
}

enum status stream_pass_next(struct stream *stream, int steps, token *inputs,
                             int32_t *targets, int64_t *counted)
{
    int rows = stream->rows;
    enum status status = STATUS_OK;
    *counted = 0;
    for (int i = 0; status == STATUS_OK && i < steps * rows; i++) {
        int r = i % rows;
        inputs[i] = stream->end;
        targets[i] = -1;
        if (!pass_advance(stream, r))
            continue;
        status = stream_read_input(stream, r, stream->pass_piece[r],
                                   stream->pass_offset[r]++, &inputs[i], &targets[i]);
        *counted += 1;
    }
    return status;
}

/* ---- positions ---- */

void stream_save(const struct stream *stream, struct stream_row *rows,
                 struct stream_cursor *cursor)
{
    memcpy(rows, stream->row, (size_t)stream->rows * sizeof *rows);
    *cursor = stream->cursor;
}

/* Finds the piece of a saved row; `queue` is scratch. False if the position is invalid.
 */
static bool restore_row(struct stream *stream, int r, const struct stream_row *row,
                        uint32_t *queue)
{
    int64_t pieces = (int64_t)stream->source.piece_count;
    stream->row[r] = *row;
    stream->varied[r].begun = false;
    if (row->piece < 0)
        return true; /* none yet */
    const struct stream_cursor *cursor = &stream->cursor;
    if (stream->window_first || row->piece >= pieces || row->epoch < 0 ||
        row->epoch > cursor->epoch ||
        (row->epoch == cursor->epoch && row->piece >= cursor->next))
        return false;
    shuffle_queue(stream, row->epoch, queue);
    stream->row_piece[r] = queue[row->piece];
    int64_t tokens = (int64_t)stream->source.pieces[stream->row_piece[r]].count;
    bool stretched = stream->augmentation.time_stretch > 0; /* see stream_augment */
    return row->offset >= 0 && (stretched || row->offset <= tokens + 1);
}

enum status stream_restore(struct stream *stream, const struct stream_row *rows,
                           const struct stream_cursor *cursor)
{
    uint64_t count = stream->window_first ? stream_window_count(stream)
                                          : (uint64_t)stream->source.piece_count;
    bool valid =
        cursor->epoch >= 0 && cursor->next >= 0 && (uint64_t)cursor->next <= count;
    stream->cursor = *cursor;
    for (int r = 0; valid && r < stream->rows; r++)
        valid = restore_row(stream, r, &rows[r], stream->queue);
    if (!valid) {
        reset(stream);
        return fail_position(stream);
    }
    shuffle_queue(stream, cursor->epoch, stream->queue);
    return STATUS_OK;
}
