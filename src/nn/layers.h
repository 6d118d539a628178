/* layers: embedding, affine, activation and dropout.
 *
 * Forward and backward stand side by side; `rows` is T * B of a slice. Gradients of
 * weights are overwritten, never added to.
 */
#ifndef TUTTI_LAYERS_H
#define TUTTI_LAYERS_H

#include <stddef.h>
#include <stdint.h>

#include "tutti/model.h"
#include "tutti/product.h"
#include "tutti/real.h"
#include "tutti/token.h"

/* y[rows][E] := the rows of weight[V][E] that the tokens name. */
void embedding_forward(const real *weight, int width, const token *inputs, int rows,
                       real *y);
/* dweight[V][E] := sums of dy over the rows with that token, in the order of the rows. */
void embedding_gradient(const real *dy, int vocabulary, int width, const token *inputs,
                        int rows, real *dweight);

/* y = x W^T + bias: the dense layer and the output's. Rows are those of all slices. */
struct affine {
    int in, out;
    const real *weight, *bias; /* [out][in], [out]: in the flat block */
    size_t at_weight, at_bias; /* their first elements there */
    struct packed forward;     /* weight */
    struct packed backward;    /* its transpose; in training */
    struct product_room *room; /* the model's; in training */
};

/* Finds the layer's tensors, `name`/weight and `name`/bias, of `params` in `block`. */
enum status affine_create(const struct params *params, const real *block,
                          const char *name, int in, int out, int training,
                          struct product_room *room, struct affine *affine);
void affine_free(struct affine *affine);
size_t affine_bytes(const struct affine *affine);
void affine_pack(struct affine *affine); /* after every change of the weights */

/* x[M][in] -> y[M][out] */
void affine_forward(const struct affine *affine, struct product_rows m, const real *x,
                    real *y);
/* dx[M][in] := dy[M][out] weight */
void affine_backward(const struct affine *affine, struct product_rows m, const real *dy,
                     real *dx);
/* Gives the gradients of weight and bias. */
void affine_gradient(const struct affine *affine, struct product_rows m, const real *x,
                     const real *dy, const struct gradient_sink *sink);

/* In place; kind is an enum option_activation. */
void activation_forward(int kind, real *y, size_t count);
/* dy *= f', from the activated y (before dropout). */
void activation_backward(int kind, const real *y, real *dy, size_t count);

/* Drops units of y[T][B][width] of one slice in place: y := y / (1 - rate) or 0. kept[]
 * gets 1 or 0. `layer` counts the places of dropout from below; first_row is the global
 * row of the slice's row 0. Rate 0: kept is set to 1 and y left alone. */
void dropout_forward(const struct dropout *dropout, int layer, int64_t first_row,
                     int steps, int rows, int width, real *y, uint8_t *kept);
void dropout_backward(const struct dropout *dropout, const uint8_t *kept, size_t count,
                      real *dy);

#endif
