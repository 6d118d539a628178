/* layers: embedding, affine, activation and dropout, over the rows of one slice.
 *
 * Forward and backward stand side by side; `rows` is T * B of a slice. Gradients of
 * weights are overwritten, never added to.
 */
#ifndef TUTTI_LAYERS_H
#define TUTTI_LAYERS_H

#include <stddef.h>
#include <stdint.h>

#include "tutti/model.h"
#include "tutti/real.h"
#include "tutti/token.h"

/* y[rows][E] := the rows of weight[V][E] that the tokens name. */
void embedding_forward(const real *weight, int width, const token *inputs, int rows,
                       real *y);
/* dweight[V][E] := sums of dy over the rows with that token, in the order of the rows. */
void embedding_gradient(const real *dy, int vocabulary, int width, const token *inputs,
                        int rows, real *dweight);

/* y[rows][out] := x[rows][in] weight[out][in]^T + bias[out] */
void affine_forward(const real *weight, const real *bias, const real *x, int rows, int in,
                    int out, real *y);
/* dx[rows][in] := dy[rows][out] weight[out][in] */
void affine_backward(const real *weight, const real *dy, int rows, int in, int out,
                     real *dx);
/* dweight[out][in] := dy^T x, dbias[out] := column sums of dy */
void affine_gradient(const real *x, const real *dy, int rows, int in, int out,
                     real *dweight, real *dbias);

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
