/* stream: a slice's endless rows of tokens, for stateful truncated back-propagation.
 *
 * A slice holds the pieces of the shards dealt to it. In each slice epoch it goes once
 * through them in an order keyed by (seed, slice epoch, slice): a queue. Its rows start
 * with the first pieces of the queue, and a row that has come to the end of a piece takes
 * the next. A row's sequence is END p END p' END ...: inputs[t] and targets[t] = inputs[t
 * + 1]; inputs and targets never stop, whatever the lengths of the pieces. All of a
 * slice's position is in struct stream_row and struct stream_cursor, plain values that a
 * checkpoint keeps; so a run goes on exactly, with any number of ranks.
 */
#ifndef TUTTI_STREAM_H
#define TUTTI_STREAM_H

#include <stdint.h>

#include "tutti/dataset.h"
#include "tutti/status.h"

struct stream_row {
    int64_t epoch;  /* slice epoch whose queue the piece is from */
    int64_t piece;  /* place in that queue; -1: none yet */
    int64_t offset; /* inputs of the piece given so far, its END among them */
};

struct stream_cursor {
    int64_t epoch; /* slice epoch of the queue in use */
    int64_t next;  /* place in the queue of the piece to be taken next */
};

struct stream; /* one slice: its training pieces and its position */

/* Loads the `split` pieces of the slice's shards (dealt[] of dataset_deal). Not
 * collective. */
enum status stream_open(const struct dataset *dataset, const int *dealt, int slice,
                        enum split split, int rows, uint64_t seed, struct stream **out);
/* The same from pieces in memory, which the stream takes over (*pieces is zeroed, also on
 * failure). `end` is the encoding's END. */
enum status stream_from_shard(struct shard *pieces, token end, int slice, int rows,
                              uint64_t seed, struct stream **out);
void stream_close(struct stream *stream); /* NULL is fine */

uint64_t stream_tokens(const struct stream *stream); /* of its split, END included */
uint64_t stream_bytes(const struct stream *stream);  /* memory held */
const struct shard *stream_pieces(const struct stream *stream); /* in shard order */

/* The next T columns: inputs[t * rows + r], targets[t * rows + r] for t < steps. Endless.
 * A stream without pieces gives input END and target -1. */
void stream_next(struct stream *stream, int steps, token *inputs, int32_t *targets);

/* One pass without end-of-data wrap, for validation: like stream_next over the pieces in
 * shard order, but a row for which no piece is left gets input END and target -1 (not
 * counted). Returns how many targets were not -1; 0 when the pass is over. stream_rewind
 * starts again. */
int64_t stream_next_once(struct stream *stream, int steps, token *inputs,
                         int32_t *targets);
void stream_rewind(struct stream *stream);

/* The position, for a checkpoint: rows[rows of the slice] and one cursor. */
void stream_save(const struct stream *stream, struct stream_row *rows,
                 struct stream_cursor *cursor);
/* STATUS_FAILED if the position does not fit this data (another dataset). */
enum status stream_restore(struct stream *stream, const struct stream_row *rows,
                           const struct stream_cursor *cursor);

#endif
