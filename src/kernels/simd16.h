/* simd16: 16 floats at a time, with the same operations on every instruction set.
 *
 * The file of an instruction set (avx512.c, avx2.c, neon.c, portable.c; x86.h holds what
 * the x86 sets share) defines the type simd16 and, as static inline functions:
 *
 *     simd16_load(p), simd16_store(p, a)     16 floats, at any address
 *     simd16_set(x)                          x in every lane
 *     simd16_add, _subtract, _multiply, _divide (a, b)
 *     simd16_fma(a, b, c)                    a b + c, rounded once
 *     simd16_min, _max (a, b)                a < b ? a : b, a > b ? a : b (NaN: b)
 *     simd16_scale(a, n)                     a 2^n, n an integer in [-126, 127]
 *     simd16_select_less(a, b, x, y)         x where a < b, else y (also for NaN)
 *     simd16_mask(mask, a)                   a where mask[lane] is not 0, else 0
 *     simd16_even(pairs), simd16_odd(pairs)  one half of 16 bf16_pairs, as floats
 *     simd16_add_flushed, _fma_flushed       see below
 *     simd16_flush_begin(), _end(mode)       bracket calls of the two above
 *
 * Flushed: operands below 2^-126 in magnitude count as 0, and so does a result that would
 * be below 2^-126 if it were rounded with an unbounded exponent range (x86 detects
 * tininess after rounding); the sign of zero is kept. The operands of fma_flushed are
 * never subnormal, as rounding to bfloat16 flushes them.
 *
 * Every operation is exactly rounded (IEEE 754), so all sets give the same bits. The
 * helpers below are built on them.
 */
#ifndef TUTTI_KERNELS_SIMD16_H
#define TUTTI_KERNELS_SIMD16_H

#include <string.h>

#include "kernels.h"

/* The first n elements of p, zeros in the other lanes; n may exceed 16. */
static inline simd16 load_partial(const real *p, int n)
{
    if (n >= VECTOR)
        return simd16_load(p);
    real padded[VECTOR] = {0};
    memcpy(padded, p, (size_t)n * sizeof *p);
    return simd16_load(padded);
}

static inline void store_partial(real *p, simd16 a, int n)
{
    if (n >= VECTOR) {
        simd16_store(p, a);
        return;
    }
    real padded[VECTOR];
    simd16_store(padded, a);
    memcpy(p, padded, (size_t)n * sizeof *p);
}

/* a after dropout of the units `first` to `first` + n. */
static inline simd16 dropout_partial(simd16 a, const struct dropout_mask *dropout,
                                     int first, int n)
{
    uint8_t padded[VECTOR] = {0};
    if (!dropout->mask)
        return a;
    a = simd16_multiply(a, simd16_set(dropout->scale));
    if (n >= VECTOR)
        return simd16_mask(dropout->mask + first, a);
    memcpy(padded, dropout->mask + first, (size_t)n);
    return simd16_mask(padded, a);
}

#endif
