/* layers: embedding, affine, activation and dropout.
 *
 * Forward and backward are adjacent. Gradients of weights are overwritten, not
 * accumulated. Dropout after a recurrent layer is part of its cell (recurrent.h).
 *
 * Letters: S microbatches, T steps, B rows of a microbatch, M = S T B, E embedding, V
 * vocabulary.
 */
#ifndef TUTTI_NN_LAYERS_H
#define TUTTI_NN_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch_shape.h"
#include "model.h"
#include "base/real.h"
#include "base/token.h"
#include "kernels/matmul.h"

/* y[rows][E] := weight[tokens[i]], with weight[V][E] and E = width. */
void embedding_forward(const real *weight, const token *tokens, int rows, int width,
                       real *y);
/* dweight[V][E] := for each token the sum of dy[i] over the rows i that have it, in the
 * order of the rows. */
void embedding_backward(const real *dy, const token *tokens, int rows, int width,
                        int vocabulary, real *dweight);

/* y = x W^T + bias: the dense layer and the output layer. */
struct affine {
    int in, out;
    const real *weight, *bias;          /* [out][in], [out]: views of the flat block */
    size_t weight_offset, bias_offset;  /* in the flat block */
    struct matmul_weights forward;      /* weight */
    struct matmul_weights backward;     /* its transpose; training only */
    struct matmul_workspace *workspace; /* the model's, borrowed; training only */
};

/* Finds the tensors `name`/weight and `name`/bias of `params` in the flat block
 * `weights`, which is borrowed. STATUS_FAILED without memory; affine_free is safe after
 * it. */
enum status affine_create(const struct params *params, const real *weights,
                          const char *name, bool training,
                          const struct matmul_backend *backend,
                          struct matmul_workspace *workspace, struct affine *affine);
void affine_free(struct affine *affine);
size_t affine_bytes(const struct affine *affine);
void affine_pack(struct affine *affine); /* call after every change of the weights */

/* y[M][out] := x[M][in] W^T + bias */
void affine_forward(const struct affine *affine, struct matmul_batch m, const real *x,
                    real *y);
/* dx[M][in] := dy[M][out] W */
void affine_backward_input(const struct affine *affine, struct matmul_batch m,
                           const real *dy, real *dx);
/* Sends dW := dy^T x and dbias := the column sums of dy, of each microbatch, to
 * `sink`. */
void affine_backward_weights(const struct affine *affine, const real *x, const real *dy,
                             const struct gradient_sink *sink);

/* y[count] := f(y), in place; kind is an enum option_activation. */
void activation_forward(int kind, real *y, size_t count);
/* dy[count] := dy * f', computed from the activated y (before dropout). */
void activation_backward(int kind, const real *y, real *dy, size_t count);

/* mask[width] of one row at time step t: 1 for units that are kept, 0 for dropped ones.
 * `site` counts the model's dropout layers from the bottom; `row` is a global row of the
 * batch. */
void dropout_row(const struct dropout *dropout, int site, int64_t row, int t, int width,
                 uint8_t *mask);

/* The factor of kept units: 1 / (1 - rate). */
real dropout_scale(const struct dropout *dropout);

/* y[S][T][B][width] := mask * y / (1 - rate), in place, after drawing the mask
 * [S][T][B][width]. With rate 0, y and mask are left untouched. */
void dropout_forward(const struct dropout *dropout, int site, struct batch_shape batch,
                     int width, uint8_t *mask, real *y);
/* dy[S][T][B][width] := mask * dy / (1 - rate), in place. */
void dropout_backward(const struct dropout *dropout, struct batch_shape batch, int width,
                      const uint8_t *mask, real *dy);

#endif
