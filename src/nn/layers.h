/* layers: embedding, affine, activation and dropout.
 *
 * Forward and backward stand side by side; `rows` is T * B of a microbatch. Gradients of
 * weights are overwritten, never added to. Behind a recurrent layer, dropout is part of
 * the cell (recurrent.h).
 */
#ifndef TUTTI_NN_LAYERS_H
#define TUTTI_NN_LAYERS_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"
#include "base/real.h"
#include "base/token.h"
#include "kernels/matmul.h"

/* y[rows][E] := the rows of weight[V][E] that the tokens name. */
void embedding_forward(const real *weight, int width, const token *inputs, int rows,
                       real *y);
/* dweight[V][E] := sums of dy over the rows with that token, in the order of the rows. */
void embedding_gradient(const real *dy, int vocabulary, int width, const token *inputs,
                        int rows, real *dweight);

/* y = x W^T + bias: the dense layer and the output's. Rows are those of all microbatches. */
struct affine {
    int in, out;
    const real *weight, *bias;      /* [out][in], [out]: in the flat block */
    size_t at_weight, at_bias;      /* their first elements there */
    struct matmul_weights forward;  /* weight */
    struct matmul_weights backward; /* its transpose; in training */
    struct matmul_workspace *room;  /* the model's; in training */
};

/* Finds the layer's tensors, `name`/weight and `name`/bias, of `params` in `block`. */
enum status affine_create(const struct params *params, const real *block,
                          const char *name, int in, int out, int training,
                          const struct matmul_backend *backend,
                          struct matmul_workspace *room, struct affine *affine);
void affine_free(struct affine *affine);
size_t affine_bytes(const struct affine *affine);
void affine_pack(struct affine *affine); /* after every change of the weights */

/* x[M][in] -> y[M][out] */
void affine_forward(const struct affine *affine, struct matmul_batch m, const real *x,
                    real *y);
/* dx[M][in] := dy[M][out] weight */
void affine_backward(const struct affine *affine, struct matmul_batch m, const real *dy,
                     real *dx);
/* Gives the gradients of weight and bias; x and dy are those of all the room's rows. */
void affine_gradient(const struct affine *affine, const real *x, const real *dy,
                     const struct gradient_sink *sink);

/* In place; kind is an enum option_activation. */
void activation_forward(int kind, real *y, size_t count);
/* dy *= f', from the activated y (before dropout). */
void activation_backward(int kind, const real *y, real *dy, size_t count);

/* kept[width] := 1 for the units of a row at time step t that are kept, 0 for those that
 * are dropped. `place` counts the places of dropout from below; `row` is a row of the
 * whole batch. */
void dropout_row(const struct dropout *dropout, int place, int64_t row, int t, int width,
                 uint8_t *kept);

/* What kept units are multiplied by: 1 / (1 - rate). */
real dropout_factor(const struct dropout *dropout);

/* Drops units of y[T][B][width] of one microbatch in place: y := y / (1 - rate) or 0.
 * kept[] gets 1 or 0. first_row is the row of the whole batch that is the microbatch's
 * row 0. Rate 0: y is left alone, and kept too. */
void dropout_forward(const struct dropout *dropout, int place, int64_t first_row,
                     int steps, int rows, int width, real *y, uint8_t *kept);
void dropout_backward(const struct dropout *dropout, const uint8_t *kept, size_t count,
                      real *dy);

#endif
