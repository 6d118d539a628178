/* product: the matrix products of the model, on weights that are packed into panels.
 *
 * Letters: N outputs, K inputs, M rows; W is [N][K], x [M][K], y [M][N], row-major and
 * without gaps. The M rows of a product over time are S microbatches of `rows` rows.
 *
 * Weights are packed into panels once a step: a panel holds NR outputs side by side,
 * [K][NR], so that a tile of rows streams it; see kernels.h. Each element of a result
 * is one chain of fused multiply-adds in the order of the sum: its bits depend on its own
 * row and the weights, not on how many rows or microbatches share the call, nor on the
 * processor.
 *
 * PRODUCT_BFLOAT16 rounds the operands of every product to bfloat16; sums are float32, in
 * an order that is likewise the same on every processor (kernels.h). It is for training.
 *
 * PRODUCT_OPENBLAS gives the products over time to OpenBLAS instead, one microbatch a
 * call, as BLAS does not promise that a row's bits are independent of the shape. Then
 * they are those of its kernels for this processor.
 */
#ifndef TUTTI_KERNELS_MATMUL_H
#define TUTTI_KERNELS_MATMUL_H

#include <stddef.h>

#include "base/real.h"
#include "base/status.h"

/* ---- weights ---- */

enum product_engine { PRODUCT_PACKED, PRODUCT_OPENBLAS, PRODUCT_BFLOAT16 };

struct matmul_weights {
    enum product_engine engine;
    int n, k;
    const real *w;  /* borrowed */
    int transposed; /* w is [k][n], and what is packed is its transpose */
    real *panels;   /* PRODUCT_PACKED: ceil(n / NR) of [k][NR], 64-byte aligned */
    struct packed16 *rounded; /* PRODUCT_BFLOAT16 */
};

/* A matrix [n][k] as its products read it: W, or with `transposed` the transpose of W
 * [k][n]; n and k are at least 1. W is borrowed; matmul_weights_pack is due before the first
 * product and whenever W changes. One thread at a time may multiply by it. */
enum status matmul_weights_create(enum product_engine engine, const real *w, int n, int k,
                                  int transposed, struct matmul_weights *out);
void matmul_weights_free(struct matmul_weights *packed);
void matmul_weights_pack(struct matmul_weights *packed);
size_t matmul_weights_bytes(const struct matmul_weights *packed);

/* What a product does with y. To stream is to put past the caches what they don't hold:
 * then each y[i] is 64-byte aligned, and n a multiple of VECTOR; it is for the thread
 * that calls, as nothing orders it for others. */
enum matmul_output { MATMUL_OVERWRITE, MATMUL_ACCUMULATE, MATMUL_NONTEMPORAL };

/* y[i][0..n) := W x[i][0..k) for i < rows, or +=; the rows may lie anywhere. Not for
 * PRODUCT_OPENBLAS. With `back` from the last panel to the first, which changes no bit: a
 * caller that alternates finds the panels it used last still in the cache. */
void matmul(const struct matmul_weights *w, int rows, const real *const *x,
            real *const *y, enum matmul_output how, int back);

/* ---- products over time ---- */

/* Who makes the products over time of models that are created from now on. */
void product_choose(enum product_engine engine);
enum product_engine product_chosen(void);
/* The one for a model; PRODUCT_BFLOAT16 is for training, and gives way to PRODUCT_PACKED
 * without. */
enum product_engine product_engine_for(int training);

/* What the bits of training's products depend on: an order of sums of our own, or the
 * name of OpenBLAS's kernels. */
const char *product_core(void);
/* Who makes them, for people: "avx512", "amx, in bfloat16", "OpenBLAS (Haswell)". Kept
 * until the next call. */
const char *product_makers(void);

struct matmul_batch { /* M = microbatches * rows */
    int microbatches, rows;
};

/* y[M][N] := x[M][K] W^T, or with `add` y += x W^T. */
void matmul_batched(const struct matmul_weights *w, struct matmul_batch m, const real *x,
                    int add, real *y);

/* ---- gradients ---- */

/* Working memory for gradients of M rows, of one or two matrices with up to `inputs`
 * inputs together, of up to `weights` elements each. */
struct matmul_workspace;
enum status matmul_workspace_create(enum product_engine engine, struct matmul_batch m,
                                    size_t inputs, size_t weights,
                                    struct matmul_workspace **out);
void matmul_workspace_free(struct matmul_workspace *room);          /* NULL is fine */
size_t matmul_workspace_bytes(const struct matmul_workspace *room); /* NULL: 0 */

/* A block of a gradient: element (r, j) is values[r * ld_values + j], r < rows, j < width,
 * and belongs to element first + r * ld + j of the flat block of weights. */
struct gradient_block {
    size_t first, ld;
    int rows, width;
    const real *values;
    size_t ld_values;
};

struct gradient_sink {
    /* Called with every block of every microbatch. Of each element the microbatches come
     * in their order; nothing else is promised of the order. A block's numbers are in the
     * cache, and are overwritten behind the call. */
    void (*write)(void *context, int microbatch, const struct gradient_block *block);
    void *context;
};

/* One of the matrices whose products were added to make y: dW = dy^T x [N][K] goes to the
 * elements of the flat block from `weight` on. */
struct gradient_input {
    const real *x; /* [M][K] */
    int k;
    size_t weight;
};
enum { GRADIENT_INPUTS = 2 };

/* For each microbatch the dW of `count` inputs, and db := the sums of the columns of dy
 * [M][N], block by block, every element once. db goes to the elements from `bias` on;
 * NO_BIAS: there is none. */
#define NO_BIAS ((size_t)-1)
void matmul_gradient(struct matmul_workspace *room, int n, const real *dy,
                     const struct gradient_input *inputs, int count, size_t bias,
                     const struct gradient_sink *sink);

#endif
