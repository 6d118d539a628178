/* kernels: the arithmetic of the step loop, in one set of functions for each instruction
 * set.
 *
 * avx512, avx2 and portable are one source compiled three times; amx is avx512 with AMX
 * for products of bfloat16 and with the processor's own rounding to it. The fastest that
 * the processor has is taken at run time (TUTTI_KERNELS=avx2 in the environment forces
 * one). All sets give the same bits: they work in 16 virtual lanes whatever the machine's
 * width, and every multiply-add is a fused one.
 *
 * Matrix products are made of tiles (product.h): a few rows of results, NR wide, whose
 * sums stay in registers while the weights stream by.
 */
#ifndef TUTTI_KERNELS_KERNELS_H
#define TUTTI_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/real.h"

/* Of results: the width of a panel, in numbers; and the most rows of a tile. */
enum { NR = 48, MR = 8, VECTOR = 16 };

/* y[i][j] += the sum over l < k of x[i][l * ldx] panel[l * NR + j], for i < rows <=
 * MR and j < vectors * VECTOR <= NR; with `overwrite`, y[i][j] := that sum. One
 * chain of fused multiply-adds in the order of l for each element. With `nontemporal` the
 * results may go past the caches; each y[i] is 64-byte aligned then. */
struct microtile {
    int rows, vectors, k;
    bool overwrite, nontemporal;
    const real *panel; /* 64-byte aligned */
    size_t ldx;
    const real *x[MR];
    real *y[MR];
    /* What is read soon: for every l a cache line is fetched, each `prefetch_stride` bytes behind
     * the one before. It may be any address. */
    const real *prefetch;
    size_t prefetch_stride;
};

/* sums[r * ld_sums + j] += round(values[r * ld_values + j] * scale), to the nearest, ties to
 * even, for r < rows and j < width; with `overwrite`, := that. `scale` is a power of two from 1
 * to 2^60. A value that is not finite or exceeds `bound` in magnitude, which is such that
 * bound * scale < 2^63, counts as 0. */
struct fixed_point {
    int64_t *sums;
    size_t ld_sums;
    const float *values;
    size_t ld_values;
    int rows, width;
    bool overwrite;
    double scale;
    float bound;
};

/* ---- products of bfloat16 ----
 *
 * A bfloat16 is the upper half of a float. Sums are float32, in the order of Intel's AMX
 * (TDPBF16PS), which all sets keep to: of every KB16 inputs the even ones and the odd
 * ones are two chains of fused multiply-adds from zero; then sum += even + odd. Whatever
 * is smaller than 2^-126 is zero. */
typedef uint16_t bfloat16;
struct bf16_pair {
    bfloat16 even, odd;
};

enum { KB16 = 32, MR16 = 32 };

/* y[i][j] += the sum over blocks * KB16 inputs l of x[i * ldx + l] times the even or
 * the odd half of panel[(l / 2) * NR + j], for i < rows <= MR16 and j < width
 * <= NR; with `overwrite`, y[i][j] := that. `nontemporal` is as for a tile, and `width` whole
 * vectors then. With `contiguous` (and overwrite) the rows of y are those of an array
 * [MR16][NR], all of which may be overwritten. */
struct microtile_bf16 {
    int rows, width, blocks;
    bool overwrite, nontemporal, contiguous;
    const struct bf16_pair *panel; /* [blocks * KB16 / 2][NR], 64-byte aligned */
    const bfloat16 *x;             /* [MR16][pitch] whatever `rows` is; 64-byte aligned */
    size_t ldx;                    /* a multiple of KB16 */
    real *y[MR16];
    /* What is read soon: for every block so many cache lines are fetched, from here on
     * (by amx; the others are slower than memory). */
    const void *prefetch;
    int prefetch_lines;
};

/* Dropout of a row: unit j becomes `scale` times itself where mask[j] is 1, and 0 where
 * it is 0. mask NULL: there is none. */
struct dropout_mask {
    const uint8_t *mask;
    real scale;
};

struct kernels {
    const char *name; /* "amx", "avx512", "avx2", "portable" */

    void (*microkernel)(const struct microtile *tile);
    /* A thread calls bf16_begin before its calls of microkernel_bf16, bf16_end after. */
    void (*bf16_begin)(void);
    void (*bf16_end)(void);
    void (*microkernel_bf16)(const struct microtile_bf16 *tile);

    /* y[i] := x[i], rounded to the nearest, ties to even; what is smaller than 2^-126 to
     * 0. */
    void (*round_bf16)(size_t n, const real *x, bfloat16 *y);
    /* The same for two rows: y[i].even := even[i], y[i].odd := odd[i]. */
    void (*round_bf16_pairs)(size_t n, const real *even, const real *odd,
                             struct bf16_pair *y);
    /* y[j * ldy + i] := x[i * ldx + j] for i < rows, j < columns; fastest for 16
     * rows and 16 columns. */
    void (*transpose)(int rows, int columns, const real *x, size_t ldx, real *y,
                      size_t ldy);
    void (*transpose_pairs)(int rows, int columns, const struct bf16_pair *x, size_t ldx,
                            struct bf16_pair *y, size_t ldy);

    /* One row of the LSTM's cell (Hochreiter and Schmidhuber, 1997; forget gate of Gers,
     * Schmidhuber, Cummins, 2000):
     *   i, f, o = sigmoid, g = tanh of (gates + bias)
     *   c = f c_prev + i g,  h = o tanh(c)
     * gates[4H] (i, f, g, o) is overwritten by the activated gates. h goes to h_next, and
     * behind dropout to h; c to c_next, tanh(c) to tanh_c. */
    void (*lstm_forward)(int hidden, real *gates, const real *bias, const real *c_prev,
                         real *c_next, real *tanh_c, real *h_next, real *h,
                         struct dropout_mask dropout);

    /* Its gradient: dh[H] is that of h behind dropout, dh_next[H] that of h from the step
     * behind; dc[H] that of c from the step behind, and is overwritten by that of c_prev;
     * gates[4H] is overwritten by the gradient of the gates before activation. */
    void (*lstm_backward)(int hidden, real *gates, const real *c_prev, const real *tanh_c,
                          const real *dh, struct dropout_mask dropout,
                          const real *dh_next, real *dc);

    /* One row of the GRU (Cho et al., 2014, with the reset behind the product as in
     * cuDNN, PyTorch and Keras): x[3H] = W_ih x, u[3H] = W_hh h_prev + bias_hh, order r,
     * z, n:
     *   r = sigmoid(x_r + b_r + u_r), z likewise
     *   n = tanh(x_n + b_n + r u_n),  h = (1 - z) n + z h_prev
     * x is overwritten by r, z, n; h goes to h_next, and behind dropout to h. */
    void (*gru_forward)(int hidden, real *x, const real *bias_ih, const real *u,
                        const real *h_prev, real *h_next, real *h,
                        struct dropout_mask dropout);

    /* Its gradient: x (r, z, n) is overwritten by the gradient of x, u by that of u.
     * dh[H] is that of h behind dropout; dh_next[H] that of h from the step behind, and
     * is overwritten by its sum with dh times z, the direct part of the gradient of
     * h_prev. */
    void (*gru_backward)(int hidden, real *x, real *u, const real *h_prev, const real *dh,
                         struct dropout_mask dropout, real *dh_next);

    /* One row of softmax and cross-entropy: returns log p[target] and, in *best, the
     * index of the largest logit (the lowest of equals; what is not a number counts for
     * nothing). With `gradient`, logits[n] is overwritten by p - onehot(target). */
    double (*softmax_cross_entropy)(int n, real *logits, int target, bool gradient,
                                    int *best);

    /* Returns how many values counted as 0. */
    int (*add_fixed_point)(const struct fixed_point *block);

    /* `times` rounds of multiply-adds on registers alone, as many at once as keep the
     * processor busy: its limit. Returns how many floating-point operations they were. */
    double (*peak)(size_t times);

    /* y[i] = exp(x[i]), tanh(x[i]), 1 / (1 + exp(-x[i])), for the tests of their error.
     */
    void (*exp)(size_t n, const real *x, real *y);
    void (*tanh)(size_t n, const real *x, real *y);
    void (*sigmoid)(size_t n, const real *x, real *y);
};

/* The set in use, and that for products of bfloat16, which may be amx. The system is
 * asked for the use of AMX at the first call that needs to know, as it is granted for
 * good. */
const struct kernels *kernels(void);
const struct kernels *kernels_bf16(void);

/* A set by name, or NULL if this processor (or build, or system) doesn't have it. */
const struct kernels *kernels_named(const char *name);

#endif
