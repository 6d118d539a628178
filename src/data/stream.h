/* stream: a microbatch's endless rows of tokens, for stateful truncated back-propagation.
 *
 * A microbatch holds the pieces of the shards assigned to it. In each microbatch epoch it
 * visits them once, in an order keyed by (seed, microbatch epoch, microbatch): a queue.
 * The rows start with the first pieces of the queue; a row that reaches the end of its
 * piece starts the next one. A row's sequence is END p END p' END ...: inputs[t] and
 * targets[t] = inputs[t + 1]. Inputs and targets never end, whatever the lengths of the
 * pieces. The position of a microbatch is entirely in struct stream_row and struct
 * stream_cursor, plain values that a checkpoint stores; so a run resumes exactly, with
 * any number of ranks.
 *
 * The rows may read variations of their pieces (augmentation.h), one for each piece and
 * microbatch epoch; it follows from the row's position, so no checkpoint stores it.
 *
 * Instead of endless rows, a stream may return independent windows: each row of each call
 * is a window of its own, whose last target is any target of any piece. A microbatch epoch
 * visits every target once as the last of a window, in an order keyed like that of the
 * pieces. A window does not extend beyond its piece: where the piece has fewer inputs
 * before the target, END and targets of -1 precede them. The position is in struct
 * stream_cursor alone.
 *
 * The order depends only on the lengths of the pieces. So the tokens are either all in
 * memory, or read from the shard files when a row reaches them, within a given memory
 * limit; the sequences are the same.
 */
#ifndef TUTTI_DATA_STREAM_H
#define TUTTI_DATA_STREAM_H

#include <stdint.h>

#include "augmentation.h"
#include "dataset.h"
#include "base/status.h"

struct stream_row {
    int64_t epoch;  /* microbatch epoch whose queue the piece is from */
    int64_t piece;  /* position in that queue; -1: none yet */
    int64_t offset; /* inputs of the piece, as varied, returned so far, with its END */
};

struct stream_cursor {
    int64_t epoch; /* microbatch epoch of the queue in use */
    int64_t next;  /* position in the queue of the next piece to start; of independent
                    * windows, the number of those visited in this microbatch epoch */
};

struct stream; /* one microbatch: its pieces and its position */

/* ---- the streams of a rank ---- */

struct streams_request {
    const struct dataset *dataset; /* must outlive the streams */
    const int *assigned;           /* [shards], from dataset_assign */
    enum split split;
    int first, count; /* microbatches */
    int rows;         /* of a microbatch */
    uint64_t seed;
    struct augmentation augmentation; /* of stream_next */
    bool independent;                 /* windows; without augmentation */
    /* Bytes for everything that the streams hold: tables of pieces and tokens; at least
     * streams_min_bytes. 0: all tokens are read at once and stay in memory. Otherwise a
     * shard's table of pieces is compared with the index by streams_open, and each chunk
     * of tokens is verified when it is read. */
    uint64_t memory;
};

struct streams { /* zero-initialise; free with streams_close */
    int count;
    struct stream **list;      /* [count] */
    struct token_cache *cache; /* NULL: all in memory */
};

/* The smallest `memory` with which the streams work, and the part of it that they hold
 * even when idle (after streams_release). Computed from the index alone. */
uint64_t streams_min_bytes(const struct streams_request *request);
uint64_t streams_min_idle_bytes(const struct streams_request *request);

/* Not collective. STATUS_MISUSE if `memory` is too small. */
enum status streams_open(const struct streams_request *request, struct streams *out);
void streams_close(struct streams *streams);

/* Frees the tokens that can be read again and closes the files, until a stream is used
 * again. */
void streams_release(struct streams *streams);

uint64_t
streams_bytes(const struct streams *streams); /* upper bound of the memory held */

/* ---- one stream ---- */

/* Creates a stream of pieces in memory. Takes ownership of *shard, which is zeroed, also
 * on failure. `end`: the encoding's END. */
enum status stream_from_shard(struct shard *shard, token end, int microbatch, int rows,
                              uint64_t seed, struct stream **out);
void stream_close(struct stream *stream); /* NULL is fine */

/* Lets stream_next return variations of the pieces. To find a piece's bounds, a row reads
 * all of it when it starts or resumes it. Call it before the first stream_next or
 * stream_restore. With stretched times, an offset beyond the end of its piece is detected
 * by stream_next instead of stream_restore. */
void stream_augment(struct stream *stream, const struct augmentation *augmentation);

/* Lets stream_next return independent windows of `steps` tokens. Call it before the first
 * stream_next or stream_restore, and not with stream_augment. */
enum status stream_use_windows(struct stream *stream);

uint64_t stream_tokens(const struct stream *stream); /* of its split, including END */
size_t stream_piece_count(const struct stream *stream);
token stream_end(const struct stream *stream); /* END */

/* The next `steps` columns, or a window of this length in each row: inputs[t * rows + r],
 * targets[t * rows + r] for t < steps.
 * Never ends. A stream without pieces returns input END and target -1. Fails only if
 * tokens can't be read from disk, with the file's name; then only stream_restore and
 * closing are valid. */
enum status stream_next(struct stream *stream, int steps, token *inputs,
                        int32_t *targets);

/* A single pass, for validation: like stream_next over the pieces in shard order, without
 * augmentation, but a row without a piece gets input END and target -1 (not counted).
 * *counted: the number of targets that are not -1; 0 when the pass is over. stream_rewind
 * starts again. */
enum status stream_pass_next(struct stream *stream, int steps, token *inputs,
                             int32_t *targets, int64_t *counted);
void stream_rewind(struct stream *stream);

/* The position, for a checkpoint: rows[rows of the microbatch] and one cursor. */
void stream_save(const struct stream *stream, struct stream_row *rows,
                 struct stream_cursor *cursor);
/* STATUS_FAILED if the position is invalid for this data (another dataset). */
enum status stream_restore(struct stream *stream, const struct stream_row *rows,
                           const struct stream_cursor *cursor);

#endif
