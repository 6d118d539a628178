/* one_hot: the input-to-hidden matmul of one-hot tokens, y = W x with weight W [G][V], as
 * a lookup: x is 1 at the token and 0 elsewhere, so y is W's column of that token.
 *
 * W keeps the layout of other input weights. For the lookup its transpose [V][G] is
 * packed when the weights change, so that a token reads one row. No value is rounded to
 * bfloat16, and no result depends on the matmul backend.
 *
 * All functions but init and plan are called by all threads of the team (base/team.h).
 * Letters: G gates * hidden, V vocabulary.
 */
#ifndef TUTTI_NN_ONE_HOT_H
#define TUTTI_NN_ONE_HOT_H

#include <stddef.h>

#include "batch_shape.h"
#include "base/arena.h"
#include "base/real.h"
#include "base/token.h"
#include "kernels/matmul.h"

struct one_hot {
    int outputs, vocabulary; /* G, V */
    size_t weight_offset;    /* of W in the flat block */
    real *lookup;            /* [V][G]: the transpose of W */
    real *dweight;           /* [threads][VECTOR][V]: gradient of some outputs of one
                              * microbatch; training only */
};

/* Plans the memory (base/arena.h) of a layer whose sizes and offset are set; `threads` of
 * the team that trains, 0 for a model that is not trained. */
void one_hot_plan(struct one_hot *one_hot, int threads, struct arena *arena);

/* Packs W; must be called before the first forward and after every change of the weights.
 * Another thread's part is complete after a barrier. */
void one_hot_pack(struct one_hot *one_hot, const real *weights);

/* y[S][T][B][G] := W x of each token; tokens[s] is [T][B]. A thread computes a share of
 * the rows. */
void one_hot_forward(const struct one_hot *one_hot, struct batch_shape batch,
                     const token *const *tokens, real *y);

/* Sends dW := dy^T x of each microbatch to `sink`: in the column of each token the sum of
 * the rows of dy [S][T][B][G] with that token, in row order. dy must be complete. A thread
 * computes a share of the outputs. */
void one_hot_backward(const struct one_hot *one_hot, struct batch_shape batch,
                      const real *dy, const token *const *tokens,
                      const struct gradient_sink *sink);

#endif
