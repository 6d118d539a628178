/* layers: embedding, affine, activation and dropout.
 *
 * Forward and backward are adjacent. Gradients of weights are overwritten, not
 * accumulated. Dropout after a recurrent layer is part of its cell (recurrent.h).
 *
 * Letters: S microbatches, T steps, B rows of a microbatch, M = S T B, E embedding, V
 * vocabulary.
 *
 * All functions but init and plan are called by all threads of the team (base/team.h):
 * each computes its share, by rows unless noted (matmuls of a single time step: by
 * outputs), and waits for the others only where noted.
 */
#ifndef TUTTI_NN_LAYERS_H
#define TUTTI_NN_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch_shape.h"
#include "model.h"
#include "base/arena.h"
#include "base/real.h"
#include "base/rng.h"
#include "base/token.h"
#include "kernels/matmul.h"

/* The segments (struct matmul_layout) of the weights that a forward pass multiplies over
 * all time steps. A window of several time steps is shared out by rows: 0. A single one
 * has too few rows for that, so it is shared out by outputs: `segments`. */
int forward_segments(const struct model_plan *plan, int segments);

/* Dropout of the tokens of an embedding: mask[V] is 1 for kept tokens, whose vectors are
 * multiplied by `scale`, and 0 for dropped ones. mask NULL: no dropout. */
struct token_dropout {
    const uint8_t *mask;
    real scale;
};

/* y[rows][E] := weight[tokens[i]] after dropout, with weight[V][E] and E = width. */
void embedding_forward(const real *weight, const token *tokens, int rows, int width,
                       struct token_dropout dropout, real *y);
/* dweight[V][E] := for each token the sum of dy[i] over the rows i with that token, in
 * row order. A thread computes columns: team_share(width, VECTOR). */
void embedding_backward(const real *dy, const token *tokens, int rows, int width,
                        int vocabulary, real *dweight);
/* Applies the dropout to dweight[V][E], of the columns of embedding_backward. */
void embedding_drop_gradient(struct token_dropout dropout, int width, int vocabulary,
                             real *dweight);

/* y = x W^T + bias: the dense layer and the output layer. */
struct affine {
    int in, out;
    size_t weight_offset, bias_offset; /* in the flat block */
    struct matmul_weights forward;     /* weight [out][in] */
    struct matmul_weights backward;    /* its transpose; training only */
    const real *bias;                  /* [out]: view of the flat block */
};

/* Sizes and offsets of the layer with the tensors of these names. */
void affine_init(const struct params *params, const char *weight_name,
                 const char *bias_name, struct affine *affine);

/* Plans the packed weights (base/arena.h), with the model's scratch memory. */
void affine_plan(struct affine *affine, const struct model_plan *plan,
                 struct matmul_scratch *scratch, struct arena *arena);

/* Packs the weights of the flat block, which is borrowed; must be called before the first
 * forward and after every change of the weights. */
void affine_pack(struct affine *affine, const real *weights);

/* y[M][out] := x[M][in] W^T + bias. Waits once. */
void affine_forward(const struct affine *affine, struct matmul_batch batch, const real *x,
                    real *y);
/* dx[M][in] := dy[M][out] W */
void affine_backward_input(const struct affine *affine, struct matmul_batch batch,
                           const real *dy, real *dx);
/* Sends dW := dy^T x and dbias := the column sums of dy, of each microbatch, to `sink`.
 * dy must be complete. Waits at its end. */
void affine_backward_weights(const struct affine *affine,
                             struct matmul_workspace *workspace, const real *x,
                             const real *dy, const struct gradient_sink *sink);

/* y[count] := f(y), in place; kind is an enum option_activation. */
void activation_forward(int kind, real *y, size_t count);
/* dy[count] := dy * f', computed from the activated y (before dropout). */
void activation_backward(int kind, const real *y, real *dy, size_t count);

enum { DROPOUT_SITE_INPUT = 1 << 16 }; /* of the embedded tokens */

/* Draws mask[S][T][B][width]: 1 for kept units, 0 for dropped units. `site` counts the
 * model's dropout layers from the bottom, or is DROPOUT_SITE_INPUT. */
void dropout_draw(const struct dropout *dropout, int site, struct batch_shape batch,
                  int width, uint8_t *mask);

/* Draws mask[count] of elements that do not belong to a row: it depends only on (seed,
 * purpose, step, layer, element). */
void dropout_draw_elements(const struct dropout *dropout, enum rng_purpose purpose,
                           int layer, size_t count, uint8_t *mask);

/* Scale of kept units: 1 / (1 - rate), of the rate in use. */
real dropout_scale(const struct dropout *dropout);

/* y[S][T][B][width] := mask * y / (1 - rate), in place; of outputs in forward and of
 * gradients in backward. With rate 0, y is left untouched. */
void dropout_apply(const struct dropout *dropout, struct batch_shape batch, int width,
                   const uint8_t *mask, real *y);

#endif
