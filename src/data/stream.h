/* stream: a microbatch's endless rows of tokens, for stateful truncated back-propagation.
 *
 * A microbatch holds the pieces of the shards dealt to it. In each microbatch epoch it
 * goes once through them in an order keyed by (seed, microbatch epoch, microbatch): a
 * queue. Its rows start with the first pieces of the queue, and a row that has come to
 * the end of a piece takes the next. A row's sequence is END p END p' END ...: inputs[t]
 * and targets[t] = inputs[t + 1]; inputs and targets never stop, whatever the lengths of
 * the pieces. All of a microbatch's position is in struct stream_row and struct
 * stream_cursor, plain values that a checkpoint keeps; so a run goes on exactly, with any
 * number of ranks.
 *
 * The order needs no tokens, only how long each piece is. So the tokens are either all in
 * memory, or read from the shards' files when a row comes to them, with no more of them
 * in memory than was asked for; what a stream gives is the same.
 */
#ifndef TUTTI_DATA_STREAM_H
#define TUTTI_DATA_STREAM_H

#include <stdint.h>

#include "dataset.h"
#include "base/status.h"

struct stream_row {
    int64_t epoch;  /* microbatch epoch whose queue the piece is from */
    int64_t piece;  /* place in that queue; -1: none yet */
    int64_t offset; /* inputs of the piece given so far, its END among them */
};

struct stream_cursor {
    int64_t epoch; /* microbatch epoch of the queue in use */
    int64_t next;  /* place in the queue of the piece to be taken next */
};

struct stream; /* one microbatch: its pieces and its position */

/* ---- the streams of a rank ---- */

struct streams_request {
    const struct dataset *dataset; /* must outlive the streams */
    const int *assigned;           /* [shards] of dataset_assign */
    enum split split;
    int first, count; /* microbatches */
    int rows;         /* of a microbatch */
    uint64_t seed;
    /* Bytes for all that the streams hold: tables of pieces and tokens; at least
     * streams_least. 0: all tokens are read at once and stay. Streaming, what was read
     * from a shard is tested when it is read: its table of pieces against the index now,
     * each chunk of tokens later. */
    uint64_t memory;
};

struct streams { /* zero-initialise; free with streams_close */
    int count;
    struct stream **list;      /* [count] */
    struct token_cache *cache; /* NULL: all in memory */
};

/* The smallest `memory` with which the streams would work, and what of it they hold all
 * the time, at rest too. By the index alone. */
uint64_t streams_least(const struct streams_request *request);
uint64_t streams_least_resting(const struct streams_request *request);

/* Not collective. STATUS_MISUSE when `memory` is too small. */
enum status streams_open(const struct streams_request *request, struct streams *out);
void streams_close(struct streams *streams);

/* Gives back the tokens that can be read again, and closes the files, until a stream is
 * used again. */
void streams_rest(struct streams *streams);

uint64_t streams_bytes(const struct streams *streams); /* memory held at most */

/* ---- one stream ---- */

/* From pieces in memory, which the stream takes over (*pieces is zeroed, also on
 * failure). `end` is the encoding's END. */
enum status stream_from_shard(struct shard *pieces, token end, int microbatch, int rows,
                              uint64_t seed, struct stream **out);
void stream_close(struct stream *stream); /* NULL is fine */

uint64_t stream_tokens(const struct stream *stream); /* of its split, END included */
size_t stream_piece_count(const struct stream *stream);
token stream_end(const struct stream *stream); /* its END */

/* The next T columns: inputs[t * rows + r], targets[t * rows + r] for t < steps. Endless.
 * A stream without pieces gives input END and target -1. Fails only when tokens can't be
 * read from disk, with the file's name: then nothing but stream_restore and closing makes
 * sense. */
enum status stream_next(struct stream *stream, int steps, token *inputs,
                        int32_t *targets);

/* One pass without end-of-data wrap, for validation: like stream_next over the pieces in
 * shard order, but a row for which no piece is left gets input END and target -1 (not
 * counted). *counted: how many targets were not -1; 0 when the pass is over.
 * stream_rewind starts again. */
enum status stream_next_once(struct stream *stream, int steps, token *inputs,
                             int32_t *targets, int64_t *counted);
void stream_rewind(struct stream *stream);

/* The position, for a checkpoint: rows[rows of the microbatch] and one cursor. */
void stream_save(const struct stream *stream, struct stream_row *rows,
                 struct stream_cursor *cursor);
/* STATUS_FAILED if the position does not fit this data (another dataset). */
enum status stream_restore(struct stream *stream, const struct stream_row *rows,
                           const struct stream_cursor *cursor);

#endif
