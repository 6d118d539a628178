/* kernels: the arithmetic of the step loop, as one table of functions per instruction
 * set.
 *
 * avx512, avx2, neon and portable are one source compiled for each of them
 * (kernel_set.h); amx is avx512 plus AMX for bfloat16 matmuls and hardware rounding to
 * bfloat16. The fastest set that the processor supports is selected at run time;
 * TUTTI_KERNELS=avx2 in the environment forces a set. All sets give the same bits: they
 * use 16 virtual lanes regardless of the register width, and every multiply-add is fused.
 *
 * matmul.h divides matrix products into microtiles, blocks of at most MR x NR results. A
 * microkernel keeps their sums in registers while it streams through the packed weights.
 */
#ifndef TUTTI_KERNELS_KERNELS_H
#define TUTTI_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/real.h"

/* Named as in BLIS: a panel is NR wide, a microtile has up to MR rows. VECTOR is the
 * number of elements in a simd16 (simd16.h). */
enum { NR = 48, MR = 8, VECTOR = 16 };

/* y[i][j] := beta y[i][j] + sum over l < k of x[i][l * ldx] panel[l * NR + j], for i <
 * rows <= MR and j < vectors * VECTOR <= NR; beta is 0 with `overwrite`, else 1. Each
 * element is one chain of fused multiply-adds in the order of l. `nontemporal` allows
 * stores that bypass the caches; each y[i] is then 64-byte aligned. */
struct microtile {
    int rows, vectors, k;
    bool overwrite, nontemporal;
    const real *panel; /* [k][NR], 64-byte aligned */
    size_t ldx;
    const real *x[MR];
    real *y[MR];
    /* Memory needed next: one cache line is prefetched for every l, at prefetch + l *
     * prefetch_stride bytes. Any address is allowed, even an invalid one. */
    const real *prefetch;
    size_t prefetch_stride;
};

/* ---- bfloat16 ----
 *
 * A bfloat16 is the upper half of a float. Sums are float32, and all sets add in the
 * order of Intel's AMX (TDPBF16PS): for every block of KB16 inputs, the even and the odd
 * inputs form two chains of fused multiply-adds that start from zero; then sum += even +
 * odd. Subnormal operands and results (below 2^-126) are treated as zero. */
typedef uint16_t bfloat16;
struct bf16_pair {
    bfloat16 even, odd;
};

/* Inputs per block, and maximum number of rows of a microtile. */
enum { KB16 = 32, MR16 = 32 };

/* y[i][j] := beta y[i][j] + sum over l < blocks * KB16 of x[i * ldx + l] times the even
 * or odd half of panel[(l / 2) * NR + j], for i < rows <= MR16 and j < width <= NR; beta
 * is 0 with `overwrite`, else 1. `nontemporal` as in a microtile; `width` is then a
 * multiple of VECTOR. `contiguous` (only with `overwrite`): the rows of y form an array
 * of NR columns, in which rows up to the next multiple of 16 may be overwritten. */
struct microtile_bf16 {
    int rows, width, blocks;
    bool overwrite, nontemporal, contiguous;
    const struct bf16_pair *panel; /* [blocks * KB16 / 2][NR], 64-byte aligned */
    const bfloat16 *x;             /* [rows, rounded up to 16][ldx]; 64-byte aligned */
    size_t ldx;                    /* a multiple of KB16 */
    real *y[MR16];
    /* Memory needed next: every block prefetches the next `prefetch_lines` cache lines,
     * starting at this address. Only amx prefetches; the other sets compute more slowly
     * than memory delivers. */
    const void *prefetch;
    int prefetch_lines;
};

/* Dropout of a row: unit j is multiplied by `scale` where mask[j] is 1, and becomes 0
 * where it is 0. mask NULL: no dropout. */
struct dropout_mask {
    const uint8_t *mask;
    real scale;
};

/* One row of the batch at one time step of a cell, H = hidden, G = 4H (LSTM) or 3H (GRU).
 * Only `units` of the H units are computed; each pointer is to the first of them, within
 * rows of H or G elements. Members that the cell does not use may be NULL: gates_hh and
 * h_prev for the LSTM; c_prev, tanh_c, c_next and dc for the GRU. Forward does not use
 * the members for backward, and vice versa. */
struct cell_step {
    int hidden, units;
    /* [G]: W_ih x, for the LSTM plus W_hh h_prev. Forward overwrites it with the
     * activations, backward with the gradient. */
    real *gates;
    real *gates_hh;     /* [G], GRU: W_hh h_prev + bias_hh; backward: its gradient */
    const real *bias;   /* [G]: bias; GRU: bias_ih */
    const real *h_prev; /* [H], GRU */
    const real *c_prev; /* [H], LSTM */
    real *tanh_c;       /* [H], LSTM: written by forward, read by backward */
    struct dropout_mask dropout; /* of h */

    /* Forward: */
    real *h;               /* [H]: output, after dropout */
    real *h_next, *c_next; /* [H]: h before dropout, and c: carried to the next step */

    /* Backward: */
    const real *dh; /* [H]: gradient of h after dropout */
    real *dh_next;  /* [H]: gradient of h_next; the GRU overwrites it */
    real *dc;       /* [H], LSTM: gradient of c_next, overwritten with that of c_prev */
};

/* sums[r * ld_sums + j] += round(values[r * ld_values + j] * scale), to nearest, ties to
 * even, for r < rows and j < width; := with `overwrite`. `scale` is a power of two from 1
 * to 2^60, and bound * scale < 2^63. A value that is not finite or exceeds `bound` in
 * magnitude is rejected: it counts as 0. */
struct fixed_point_block {
    int64_t *sums;
    size_t ld_sums;
    const float *values;
    size_t ld_values;
    int rows, width;
    bool overwrite;
    double scale;
    float bound;
};

enum { FIXED_POINT_LANES = 8 };

struct kernels {
    const char *name; /* "amx", "avx512", "avx2", "neon", "portable" */

    /* ---- matmul ---- */

    void (*microkernel)(const struct microtile *tile);
    /* Panels are multiplied in parts of at most so many inputs. A set that reads a panel
     * more than once for a microtile chooses parts that fit in the L1 cache. */
    int part_inputs;
    /* A thread calls bf16_begin before its calls of microkernel_bf16, bf16_end after. */
    void (*bf16_begin)(void);
    void (*bf16_end)(void);
    void (*microkernel_bf16)(const struct microtile_bf16 *tile);

    /* y[i] := x[i], rounded to nearest, ties to even; magnitudes below 2^-126 become 0.
     */
    void (*round_bf16)(size_t n, const real *x, bfloat16 *y);
    /* The same for two rows: y[i].even := even[i], y[i].odd := odd[i]. */
    void (*round_bf16_pairs)(size_t n, const real *even, const real *odd,
                             struct bf16_pair *y);
    /* y[j * ldy + i] := x[i * ldx + j] for i < rows, j < columns; fastest for 16 rows and
     * 16 columns. */
    void (*transpose)(int rows, int columns, const real *x, size_t ldx, real *y,
                      size_t ldy);
    void (*transpose_pairs)(int rows, int columns, const struct bf16_pair *x, size_t ldx,
                            struct bf16_pair *y, size_t ldy);

    /* ---- cells ---- */

    /* The LSTM (Hochreiter and Schmidhuber, 1997; forget gate of Gers, Schmidhuber,
     * Cummins, 2000); gates in the order i, f, g, o:
     *   i, f, o = sigmoid, g = tanh of (gates + bias)
     *   c = f c_prev + i g,  h = o tanh(c)
     * gates is overwritten with the activated gates; backward overwrites it with the
     * gradient of the gates before activation, and dc with the gradient of c_prev. */
    void (*lstm_forward)(const struct cell_step *step);
    void (*lstm_backward)(const struct cell_step *step);

    /* The GRU (Cho et al., 2014, with the reset gate applied after the matmul as in
     * cuDNN, PyTorch and Keras): x = gates, u = gates_hh, order r, z, n:
     *   r = sigmoid(x_r + b_r + u_r),  z = sigmoid(x_z + b_z + u_z)
     *   n = tanh(x_n + b_n + r u_n),   h = (1 - z) n + z h_prev
     * x is overwritten with r, z, n; backward overwrites x and u with their gradients,
     * and dh_next with (dh_next + masked dh) z, the direct part of the gradient of
     * h_prev. */
    void (*gru_forward)(const struct cell_step *step);
    void (*gru_backward)(const struct cell_step *step);

    /* One row of softmax and cross-entropy. Returns log p[target], in nats; *argmax
     * receives the index of the largest logit (the lowest index in a tie; NaN is
     * ignored). With `gradient`, logits[n] is overwritten with p - q, where
     * q = (1 - smoothing) onehot(target) + smoothing / n (label smoothing; Szegedy et
     * al., 2016), smoothing in [0, 1); the returned value is that of the target alone. */
    double (*softmax_cross_entropy)(int n, real *logits, int target, bool gradient,
                                    double smoothing, int *argmax);

    /* ---- fixed point ---- */

    /* Returns the number of rejected values, which count as 0. */
    int (*fixed_point_add)(const struct fixed_point_block *block);
    /* squares[i % FIXED_POINT_LANES] += (sums[i] * unit * factor)^2 for i < n, in the
     * order of i. */
    void (*fixed_point_add_squares)(const int64_t *sums, size_t n, double unit,
                                    double factor, double *squares);
    /* values[i] := (float)(sums[i] * unit * factor) for i < n. */
    void (*fixed_point_to_float)(const int64_t *sums, size_t n, double unit,
                                 double factor, float *values);

    /* y[i] := exp(x[i]), tanh(x[i]), 1 / (1 + exp(-x[i])) for i < n; y may be x. */
    void (*exp)(size_t n, const real *x, real *y);
    void (*tanh)(size_t n, const real *x, real *y);
    void (*sigmoid)(size_t n, const real *x, real *y);

    /* ---- measurement ---- */

    /* `iterations` rounds of independent multiply-adds on registers, enough of them in
     * flight to reach the processor's peak. Returns the number of floating-point
     * operations. */
    double (*peak)(size_t iterations);
};

/* The set in use, and the set for bfloat16, which may be amx. AMX is requested from the
 * OS only at the first call of kernels_bf16, because the grant lasts for the life of the
 * process.
 */
const struct kernels *kernels(void);
const struct kernels *kernels_bf16(void);

/* Why kernels() is the set in use. KERNELS_PORTABLE: there are no SIMD kernels for the
 * processor or in the build; KERNELS_FORCED: TUTTI_KERNELS is set. */
enum kernels_origin { KERNELS_PORTABLE, KERNELS_SIMD, KERNELS_FORCED };
enum kernels_origin kernels_origin(void);

/* A set by name; NULL if the processor, the build or the OS lacks it. */
const struct kernels *kernels_find(const char *name);

/* The names of all sets, fastest first: set < kernels_count. */
extern const int kernels_count;
const char *kernels_name(int set);

#endif
