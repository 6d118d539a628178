/* batch_shape: the shape of one rank's part of a batch, and the layout of its buffers.
 *
 * Letters: S microbatches, T time steps, B rows of a microbatch. Every activation buffer
 * is [S][T][B][width], row-major: a microbatch is contiguous, time is outermost within
 * it.
 */
#ifndef TUTTI_NN_BATCH_SHAPE_H
#define TUTTI_NN_BATCH_SHAPE_H

#include <stddef.h>

#include "kernels/matmul.h"

struct batch_shape {
    int microbatches, rows, steps; /* S, B, T */
};

/* Row (s, t, b) of a [S][T][B][width] buffer starts at element row_index() * width. */
static inline size_t row_index(struct batch_shape batch, int s, int t, int b)
{
    return ((size_t)s * (size_t)batch.steps + (size_t)t) * (size_t)batch.rows + (size_t)b;
}

/* T B: rows of one microbatch in such a buffer. */
static inline int microbatch_rows(struct batch_shape batch)
{
    return batch.steps * batch.rows;
}

/* S T B: rows of all microbatches. */
static inline size_t batch_rows(struct batch_shape batch)
{
    return (size_t)batch.microbatches * (size_t)batch.steps * (size_t)batch.rows;
}

/* S B: rows at one time step, and rows of carried state. */
static inline size_t state_rows(struct batch_shape batch)
{
    return (size_t)batch.microbatches * (size_t)batch.rows;
}

/* The batch for a matmul over all time steps: S microbatches of T B rows. */
static inline struct matmul_batch flatten_time(struct batch_shape batch)
{
    return (struct matmul_batch){batch.microbatches, microbatch_rows(batch)};
}

#endif
