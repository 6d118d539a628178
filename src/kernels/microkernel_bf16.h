/* microkernel_bf16: the microkernel on bfloat16 operands, and rounding to bfloat16.
 *
 * A set defines BF16_ROWS and BF16_VECTORS, the numbers of rows and vectors that are
 * computed at a time, with two sums (even and odd) for each element. It may define
 * HAS_ROUND_BF16 and the functions round_bf16 and round_bf16_pairs; and
 * HAS_RESULT_FLUSHED and the function simd16_result_flushed, if its flushed operations
 * may be wrong wherever they flush a result. The rows concerned are then computed by the
 * portable set.
 */
#ifndef TUTTI_KERNELS_MICROKERNEL_BF16_H
#define TUTTI_KERNELS_MICROKERNEL_BF16_H

#include "kernel_sets.h"
#include "simd16.h"

/* wide[i] := the KB16 inputs of row i of a block, as floats: the even ones, then the odd
 * ones. */
static inline void widen(int rows, const bfloat16 *x, size_t ldx,
                         real wide[BF16_ROWS][KB16])
{
    for (int i = 0; i < rows; i++, x += ldx) {
        const struct bf16_pair *pairs = (const struct bf16_pair *)x;
        simd16_store(wide[i], simd16_even(pairs));
        simd16_store(wide[i] + VECTOR, simd16_odd(pairs));
    }
}

/* y[i] += one block of inputs times the panel, for `vectors` vectors from column `first`
 * on. Inlined with constant `rows` and `vectors`. */
static inline __attribute__((always_inline)) void add_block(int rows, int vectors,
                                                            const struct bf16_pair *panel,
                                                            real wide[BF16_ROWS][KB16],
                                                            real *const *y, int first)
{
    panel += first;
    simd16 sum[BF16_ROWS][BF16_VECTORS][2];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            sum[i][j][0] = sum[i][j][1] = simd16_set(0);
    for (int p = 0; p < KB16 / 2; p++, panel += NR) {
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            simd16 even = simd16_even(panel + VECTOR * j),
                   odd = simd16_odd(panel + VECTOR * j);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                sum[i][j][0] =
                    simd16_fma_flushed(simd16_set(wide[i][p]), even, sum[i][j][0]);
                sum[i][j][1] = simd16_fma_flushed(simd16_set(wide[i][VECTOR + p]), odd,
                                                  sum[i][j][1]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            real *dst = y[i] + first + VECTOR * j;
            simd16 pair_sum = simd16_add_flushed(sum[i][j][0], sum[i][j][1]);
            simd16_store(dst, simd16_add_flushed(simd16_load(dst), pair_sum));
        }
}

/* sums[i][NR] += all blocks, for rows [first, first + rows). */
static void add_blocks(const struct microtile_bf16 *t, int first, int rows,
                       real *const *sums)
{
    real wide[BF16_ROWS][KB16];
    int vectors = (t->width + VECTOR - 1) / VECTOR;
    const struct bf16_pair *panel = t->panel;
    const bfloat16 *x = t->x + (size_t)first * t->ldx;
    for (int b = 0; b < t->blocks; b++, x += KB16, panel += KB16 / 2 * NR) {
        int j = 0;
        widen(rows, x, t->ldx, wide);
        for (; rows == BF16_ROWS && j + BF16_VECTORS <= vectors; j += BF16_VECTORS)
            add_block(BF16_ROWS, BF16_VECTORS, panel, wide, sums, VECTOR * j);
        for (; j < vectors; j++)
            for (int i = 0; i < rows; i++)
                add_block(1, 1, panel, &wide[i], &sums[i], VECTOR * j);
    }
}

#if defined(HAS_RESULT_FLUSHED)
/* Computes rows [first, first + rows) of the microtile with the portable set if a result
 * was flushed in `sums`, in which case it returns true. `mode` is that of
 * simd16_flush_begin. */
static bool repeat_flushed(const struct microtile_bf16 *t, int first, int rows,
                           const real *sums, unsigned mode)
{
    if (!simd16_result_flushed(sums))
        return false;
    struct microtile_bf16 part = *t;
    part.rows = rows;
    part.x = t->x + (size_t)first * t->ldx;
    for (int i = 0; i < rows; i++)
        part.y[i] = t->y[first + i];
    simd16_flush_end(mode);
    kernels_portable.microkernel_bf16(&part);
    simd16_flush_begin();
    return true;
}
#else
#define repeat_flushed(t, first, rows, sums, mode) false
#endif

static void microkernel_bf16(const struct microtile_bf16 *t)
{
    unsigned mode = simd16_flush_begin();
    for (int first = 0; first < t->rows; first += BF16_ROWS) {
        int rows = t->rows - first < BF16_ROWS ? t->rows - first : BF16_ROWS;
        _Alignas(64) real sums[BF16_ROWS][NR] = {{0}};
        real *sum_rows[BF16_ROWS];
        size_t bytes = (size_t)t->width * sizeof(real);
        for (int i = 0; i < rows; i++) {
            sum_rows[i] = sums[i];
            if (!t->overwrite)
                memcpy(sums[i], t->y[first + i], bytes);
        }
        add_blocks(t, first, rows, sum_rows);
        if (repeat_flushed(t, first, rows, sums[0], mode))
            continue;
        for (int i = 0; i < rows; i++)
            memcpy(t->y[first + i], sums[i], bytes);
    }
    simd16_flush_end(mode);
}

/* ---- rounding ---- */

#if !defined(HAS_ROUND_BF16)
static inline uint32_t round_to_bf16(real x)
{
    float narrow = (float)x;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    uint32_t magnitude = bits & 0x7fffffff;
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t quiet = bits >> 16 | 0x40; /* result for a NaN */
    uint32_t zero = bits >> 16 & 0x8000;
    rounded = magnitude > 0x7f800000 ? quiet : rounded;
    return magnitude < 0x00800000 ? zero : rounded;
}

static void round_bf16(size_t n, const real *restrict x, bfloat16 *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (bfloat16)round_to_bf16(x[i]);
}

static void round_bf16_pairs(size_t n, const real *restrict even,
                             const real *restrict odd, struct bf16_pair *restrict y)
{
    for (size_t i = 0; i < n; i++) {
        y[i].even = (bfloat16)round_to_bf16(even[i]);
        y[i].odd = (bfloat16)round_to_bf16(odd[i]);
    }
}
#endif

#endif
