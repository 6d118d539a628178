/* fixed_point: floats to 64-bit fixed point and back, for the exact sum.
 *
 * A set may define HAS_FIXED_POINT_ADD_ROW and fixed_point_add_row. The other loops are
 * free of branches and use only operations that every instruction set offers for vectors,
 * so the compiler vectorises them for any set. Every operation is exact or rounds once,
 * so all sets give the same bits.
 */
#ifndef TUTTI_KERNELS_FIXED_POINT_H
#define TUTTI_KERNELS_FIXED_POINT_H

#include <math.h>
#include <string.h>

#include "kernels.h"

#if !defined(HAS_FIXED_POINT_ADD_ROW)
static inline int64_t double_bits(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The unit in the last place of a double in [2^52, 2^53) is 1. So adding `magic` to a
 * value below 2^51 in magnitude rounds it to an integer, ties to even, which is the
 * difference of the bit patterns of the sum and `magic`. This needs no conversion
 * instruction.
 *
 * The product is exact but may have 63 bits, so it is split at bit 32: high * 2^32 + low
 * with |low| <= 2^31. A float has 24 bits, so low is exact, and rounding it rounds the
 * product. */
static inline int fixed_point_add_row(int64_t *restrict sums,
                                      const float *restrict values, int n, bool overwrite,
                                      double scale, float bound)
{
    const double magic = 0x1.8p52;
    int64_t sum_mask = overwrite ? 0 : -1; /* all bits */
    int rejected = 0;
    for (int i = 0; i < n; i++) {
        float x = values[i];
        int accepted = fabsf(x) <= bound; /* false for NaN */
        rejected += !accepted;
        double product = (double)(accepted ? x : 0.0f) * scale;
        double high = product * 0x1p-32 + magic;
        double low = product - (high - magic) * 0x1p32 + magic;
        sums[i] = (sums[i] & sum_mask) +
                  (double_bits(high) - double_bits(magic)) * (INT64_C(1) << 32) +
                  (double_bits(low) - double_bits(magic));
    }
    return rejected;
}
#endif /* !HAS_FIXED_POINT_ADD_ROW */

static int fixed_point_add(const struct fixed_point_block *block)
{
    const struct fixed_point_block b = *block; /* stores to sums cannot alias the copy */
    int rejected = 0;
    for (size_t r = 0; r < (size_t)b.rows; r++)
        rejected +=
            fixed_point_add_row(b.sums + r * b.ld_sums, b.values + r * b.ld_values,
                                b.width, b.overwrite, b.scale, b.bound);
    return rejected;
}

/* ---- reading ---- */

#if defined(__aarch64__)
static inline double int64_to_double(int64_t value)
{
    return (double)value; /* one instruction, also for vectors */
}
#else
static inline double double_from_bits(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* (double)value without a conversion instruction: the upper half becomes the mantissa of
 * a double in units of 2^32, the lower half the mantissa of a double in units of 1. Only
 * the last addition rounds. */
static inline double int64_to_double(int64_t value)
{
    uint64_t high =
        ((uint64_t)value >> 32) ^ 0x4530000080000000; /* 2^84 + 2^63 + upper */
    uint64_t low = ((uint64_t)value & 0xffffffff) | 0x4330000000000000; /* 2^52 + lower */
    return (double_from_bits((int64_t)high) - (0x1p84 + 0x1p63 + 0x1p52)) +
           double_from_bits((int64_t)low);
}
#endif

static void fixed_point_add_squares(const int64_t *restrict sums, size_t n, double unit,
                                    double factor, double *restrict squares)
{
    size_t full = n - n % FIXED_POINT_LANES;
    for (size_t i = 0; i < full; i += FIXED_POINT_LANES)
        for (size_t lane = 0; lane < FIXED_POINT_LANES; lane++) {
            double value = int64_to_double(sums[i + lane]) * unit * factor;
            squares[lane] += value * value;
        }
    for (size_t i = full; i < n; i++) {
        double value = int64_to_double(sums[i]) * unit * factor;
        squares[i - full] += value * value;
    }
}

static void fixed_point_to_float(const int64_t *restrict sums, size_t n, double unit,
                                 double factor, float *restrict values)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(int64_to_double(sums[i]) * unit * factor);
}

#endif
