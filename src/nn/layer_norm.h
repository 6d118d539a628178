/* layer_norm: layer normalisation (Ba, Kiros and Hinton, 2016) of each row over its
 * units:
 *
 *     y = gain * n + bias,  n = (x - mean) / sqrt(variance + 1e-5)
 *
 * mean and variance (divided by the width, not by one less) are those of the row's units.
 *
 * Letters: S microbatches, T time steps, B rows of a microbatch, H width.
 */
#ifndef TUTTI_NN_LAYER_NORM_H
#define TUTTI_NN_LAYER_NORM_H

#include <stdbool.h>
#include <stddef.h>

#include "batch_shape.h"
#include "params.h"
#include "base/arena.h"
#include "base/real.h"
#include "kernels/matmul.h"

#define LAYER_NORM_EPSILON 1e-5 /* PyTorch's */

struct layer_norm {
    int width;
    size_t weight_offset, bias_offset; /* of gain and bias in the flat block */
    const real *gain, *bias;           /* [H]: views of the flat block */
    real *y;                           /* [S][T][B][H]; then its gradient */
    real *mean, *scale;                /* [S T B]: of the last forward; scale is
                                        * 1 / sqrt(variance + epsilon) */
    real *d_gain, *d_bias;             /* [H]: of one microbatch; training only */
};

/* Sizes and offsets of norm `index`, no memory yet. */
void layer_norm_init(const struct params *params, int index, struct layer_norm *norm);

/* Plans the buffers (base/arena.h) for `rows` rows. */
void layer_norm_plan(struct layer_norm *norm, size_t rows, bool training,
                     struct arena *arena);

/* Sets the views of the flat block, which is borrowed. */
void layer_norm_pack(struct layer_norm *norm, const real *weights);

/* The functions below are called by all threads of the team (base/team.h). Forward and
 * backward_input compute the rows of team_share(S T B, 1), and do not wait. */

/* x [S][T][B][H] -> norm->y. */
void layer_norm_forward(struct layer_norm *norm, struct batch_shape batch, const real *x);

/* Sends the gradients of gain and bias of each microbatch to `sink`, from the gradient in
 * norm->y. It and x, the input of forward, must be complete. */
void layer_norm_backward_weights(const struct layer_norm *norm, struct batch_shape batch,
                                 const real *x, const struct gradient_sink *sink);

/* x := its gradient, from that in norm->y. */
void layer_norm_backward_input(const struct layer_norm *norm, struct batch_shape batch,
                               real *x);

#endif
