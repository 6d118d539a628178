/* stream_windows: independent windows of a stream.
 *
 * Every target of every piece ends one window; there are count + 1 of a piece of count
 * tokens. A window is found by its number: window_first[piece] is the number of windows
 * of the pieces before.
 */
#include <stdlib.h>

#include "stream_internal.h"
#include "window_order.h"

uint64_t stream_windows_bytes(uint64_t pieces)
{
    return (pieces + 1) * sizeof(uint64_t);
}

enum status stream_use_windows(struct stream *stream)
{
    const struct stream_source *source = &stream->source;
    stream->window_first = calloc(source->piece_count + 1, sizeof(uint64_t));
    if (!stream->window_first)
        return status_fail(STATUS_FAILED, "no memory for the windows of microbatch %d",
                           stream->microbatch);
    for (size_t i = 0; i < source->piece_count; i++)
        stream->window_first[i + 1] =
            stream->window_first[i] + source->pieces[i].count + 1;
    return STATUS_OK;
}

uint64_t stream_window_count(const struct stream *stream)
{
    return stream->window_first[stream->source.piece_count];
}

static size_t piece_of(const struct stream *stream, uint64_t window)
{
    size_t low = 0, high = stream->source.piece_count;
    while (high - low > 1) { /* window_first[low] <= window < window_first[high] */
        size_t middle = low + (high - low) / 2;
        if (stream->window_first[middle] <= window)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The next window of the microbatch epoch; after the last one a new epoch begins. */
static uint64_t take_window(struct stream *stream)
{
    struct stream_cursor *cursor = &stream->cursor;
    struct window_order order = {.count = stream_window_count(stream),
                                 .seed = stream->seed,
                                 .microbatch = (uint64_t)stream->microbatch};
    if ((uint64_t)cursor->next == order.count)
        *cursor = (struct stream_cursor){.epoch = cursor->epoch + 1};
    order.epoch = (uint64_t)cursor->epoch;
    return window_order_at(&order, (uint64_t)cursor->next++);
}

/* Row r := the window: its last input is input window - window_first[piece] of the piece,
 * and END fills the time steps before the piece. */
static enum status read_window(struct stream *stream, int r, uint64_t window, int steps,
                               token *inputs, int32_t *targets)
{
    size_t piece = piece_of(stream, window), rows = (size_t)stream->rows;
    uint64_t last = window - stream->window_first[piece], length = (uint64_t)steps;
    enum status status = STATUS_OK;
    for (uint64_t t = 0; status == STATUS_OK && t < length; t++) {
        size_t i = (size_t)t * rows + (size_t)r;
        inputs[i] = stream->end;
        targets[i] = -1;
        if (last + t + 1 >= length)
            status = stream_read_input(stream, r, piece, last + t + 1 - length,
                                       &inputs[i], &targets[i]);
    }
    return status;
}

enum status stream_next_windows(struct stream *stream, int steps, token *inputs,
                                int32_t *targets)
{
    enum status status = STATUS_OK;
    for (int r = 0; status == STATUS_OK && r < stream->rows; r++)
        status = read_window(stream, r, take_window(stream), steps, inputs, targets);
    return status;
}
