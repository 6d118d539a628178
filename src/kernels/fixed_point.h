/* fixed_point: floats to 64-bit fixed point and back, for the exact sum.
 *
 * A set may define HAS_FIXED_POINT_ROW and fixed_point_row. The other loops are free of
 * branches and use only operations that every instruction set offers for vectors, so the
 * compiler vectorises them for any set. Every operation is exact or rounds once, so all
 * sets give the same bits.
 */
#ifndef TUTTI_KERNELS_FIXED_POINT_H
#define TUTTI_KERNELS_FIXED_POINT_H

#include <math.h>
#include <string.h>

#include "kernels.h"

#if !defined(HAS_FIXED_POINT_ROW)
static inline int64_t bits_of(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The unit in the last place of a double in [2^52, 2^53) is 1. So adding `ones` to a
 * value below 2^51 in magnitude rounds it to an integer, ties to even, which is the
 * difference of the bit patterns of the sum and `ones`. This needs no conversion
 * instruction.
 *
 * The product is exact but may have 63 bits, so it is split at bit 32: high * 2^32 + low
 * with |low| <= 2^31. A float has 24 bits, so low is exact, and rounding it rounds the
 * product. */
static inline int fixed_point_row(int64_t *restrict sums, const float *restrict values,
                                  int n, bool overwrite, double scale, float bound)
{
    const double ones = 0x1.8p52;
    int64_t keep = overwrite ? 0 : -1; /* all bits */
    int bad = 0;
    for (int i = 0; i < n; i++) {
        float x = values[i];
        int good = fabsf(x) <= bound; /* false for NaN */
        bad += !good;
        double product = (double)(good ? x : 0.0f) * scale;
        double high = product * 0x1p-32 + ones;
        double low = product - (high - ones) * 0x1p32 + ones;
        sums[i] = (sums[i] & keep) +
                  (bits_of(high) - bits_of(ones)) * (INT64_C(1) << 32) +
                  (bits_of(low) - bits_of(ones));
    }
    return bad;
}
#endif /* !HAS_FIXED_POINT_ROW */

static int add_fixed_point(const struct fixed_point *block)
{
    const struct fixed_point b = *block; /* stores to sums cannot alias the copy */
    int bad = 0;
    for (size_t r = 0; r < (size_t)b.rows; r++)
        bad += fixed_point_row(b.sums + r * b.ld_sums, b.values + r * b.ld_values,
                               b.width, b.overwrite, b.scale, b.bound);
    return bad;
}

/* ---- reading ---- */

static inline double double_of(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* (double)value without a conversion instruction: the upper half becomes the mantissa of
 * a double in units of 2^32, the lower half the mantissa of a double in units of 1. Only
 * the last addition rounds. */
static inline double to_double(int64_t value)
{
    uint64_t high =
        ((uint64_t)value >> 32) ^ 0x4530000080000000; /* 2^84 + 2^63 + upper */
    uint64_t low = ((uint64_t)value & 0xffffffff) | 0x4330000000000000; /* 2^52 + lower */
    return (double_of((int64_t)high) - (0x1p84 + 0x1p63 + 0x1p52)) +
           double_of((int64_t)low);
}

static void fixed_point_squares(const int64_t *restrict sums, size_t n, double unit,
                                double factor, double *restrict squares)
{
    size_t whole = n - n % FIXED_POINT_LANES;
    for (size_t i = 0; i < whole; i += FIXED_POINT_LANES)
        for (size_t lane = 0; lane < FIXED_POINT_LANES; lane++) {
            double value = to_double(sums[i + lane]) * unit * factor;
            squares[lane] += value * value;
        }
    for (size_t i = whole; i < n; i++) {
        double value = to_double(sums[i]) * unit * factor;
        squares[i - whole] += value * value;
    }
}

static void fixed_point_read(const int64_t *restrict sums, size_t n, double unit,
                             double factor, float *restrict values)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(to_double(sums[i]) * unit * factor);
}

#endif
