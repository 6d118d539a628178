/* bfloat16: products whose operands are rounded to bfloat16; sums stay float32. Weights
 * are packed, and rows are rounded block by block, into the order that tiles read
 * (kernels.h). What product.c does for PRODUCT_BFLOAT16.
 */
#ifndef TUTTI_KERNELS_BFLOAT16_H
#define TUTTI_KERNELS_BFLOAT16_H

#include "kernels.h"
#include "matmul.h"

/* ---- weights ---- */

struct packed16;
enum status packed16_create(const struct matmul_weights *packed, struct packed16 **out);
void packed16_free(struct packed16 *packed); /* NULL is fine */
size_t packed16_bytes(const struct packed16 *packed);

/* From the float weights of `packed`. */
void packed16_refresh(const struct matmul_weights *packed);

/* As matmul. Rows are rounded into memory that belongs to the weights. */
void packed16_multiply(const struct matmul_weights *w, int rows, const real *const *x,
                       real *const *y, enum matmul_output how, int back);

/* ---- gradients ---- */

struct gradient_place { /* part of x: a microbatch's rows in a panel */
    int microbatch, panel;
};

struct gradient16;
/* With room for the blocks of `group` microbatches: microbatch s takes the place s %
 * group. */
enum status gradient16_create(struct matmul_batch m, int group, size_t panels,
                              struct gradient16 **out);
void gradient16_free(struct gradient16 *room); /* NULL is fine */
size_t gradient16_bytes(const struct gradient16 *room);

/* Rounds x[M][k] into panels, from `panel` on. */
void gradient16_input(struct gradient16 *room, int panel, int k, const real *x);
enum { GRADIENT16_ROWS = 128 };
size_t gradient16_block_bytes(struct matmul_batch m); /* of one microbatch */
/* Columns [first, first + height) of a microbatch's dy[rows][n]; height <=
 * GRADIENT16_ROWS. */
void gradient16_block(struct gradient16 *room, int microbatch, int n, int first,
                      int height, const real *dy);
/* tiles[height][NR] := the transpose of the microbatch's block, which must still be in
 * its place, times a panel of its x; meanwhile `next` is fetched. Between
 * kernels_bf16()->bf16_begin() and bf16_end(). */
void gradient16_multiply(struct gradient16 *room, struct gradient_place place,
                         struct gradient_place next, int height, int width, real *tiles);

#endif
