/* simd16_math: exp, tanh, sigmoid. */
#ifndef TUTTI_KERNELS_SIMD16_MATH_H
#define TUTTI_KERNELS_SIMD16_MATH_H

#include <math.h>

#include "simd16.h"

/* Inlined by force: gcc passes a simd16 of two registers to a function through memory. */
#define SIMD16_INLINE static inline __attribute__((always_inline))

#ifdef TUTTI_DOUBLE
/* The double build is the reference for the tests: it uses the C library's functions. */
SIMD16_INLINE simd16 simd16_exp(simd16 x)
{
    for (int i = 0; i < VECTOR; i++)
        x.lane[i] = exp(x.lane[i]);
    return x;
}

SIMD16_INLINE simd16 simd16_tanh(simd16 x)
{
    for (int i = 0; i < VECTOR; i++)
        x.lane[i] = tanh(x.lane[i]);
    return x;
}

SIMD16_INLINE simd16 simd16_sigmoid(simd16 x)
{
    simd16 e = simd16_exp(simd16_subtract(simd16_set(0), x));
    return simd16_divide(simd16_set(1), simd16_add(simd16_set(1), e));
}
#else
/* Limits x to [-bound, bound]; NaN stays NaN (simd16_min and _max return their second
 * operand then). */
SIMD16_INLINE simd16 simd16_clamp(simd16 x, float bound)
{
    return simd16_max(simd16_set(-bound), simd16_min(simd16_set(bound), x));
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) from the polynomial
 * of Cephes' expf (S. Moshier). Inputs are clamped to [-87.3, 88]: the result is never 0,
 * subnormal or infinite. NaN stays NaN. */
SIMD16_INLINE simd16 simd16_exp(simd16 x)
{
    x = simd16_min(simd16_set(88.0f), x); /* this operand order propagates NaN */
    x = simd16_max(simd16_set(-87.3f), x);
    const simd16 magic = simd16_set(0x1.8p23f); /* adding it rounds to an integer */
    simd16 n = simd16_fma(x, simd16_set(1.44269504f), magic);
    n = simd16_subtract(n, magic);
    simd16 r = simd16_fma(n, simd16_set(-0.693359375f), x);
    r = simd16_fma(n, simd16_set(2.12194440e-4f), r);
    simd16 p = simd16_set(1.9875691500e-4f);
    p = simd16_fma(p, r, simd16_set(1.3981999507e-3f));
    p = simd16_fma(p, r, simd16_set(8.3334519073e-3f));
    p = simd16_fma(p, r, simd16_set(4.1665795894e-2f));
    p = simd16_fma(p, r, simd16_set(1.6666665459e-1f));
    p = simd16_fma(p, r, simd16_set(5.0000001201e-1f));
    p = simd16_fma(p, simd16_multiply(r, r), r);
    p = simd16_add(p, simd16_set(1.0f));
    return simd16_scale(p, n);
}

/* x P(x^2) / Q(x^2), the rational function of degree 9 over 8 with the smallest maximum
 * relative error (2.1e-8) on [0, 9], from Remez' algorithm; beyond 9, tanh is 1 to within
 * half a unit in the last place. With rounding, the error is at most 6 units in the
 * last place. The result is clamped to [-1, 1], as rounding may exceed 1. */
SIMD16_INLINE simd16 simd16_tanh(simd16 x)
{
    x = simd16_clamp(x, 9.0f);
    simd16 square = simd16_multiply(x, x);
    simd16 p = simd16_set(1.3354594e-8f), q = simd16_set(7.7765298e-7f);
    p = simd16_fma(p, square, simd16_set(2.0609031e-5f));
    q = simd16_fma(q, square, simd16_set(3.2856296e-4f));
    p = simd16_fma(p, square, simd16_set(3.4955849e-3f));
    q = simd16_fma(q, square, simd16_set(2.5876970e-2f));
    p = simd16_fma(p, square, simd16_set(1.3381023e-1f));
    q = simd16_fma(q, square, simd16_set(4.6714338e-1f));
    p = simd16_fma(p, square, simd16_set(1.0f));
    q = simd16_fma(q, square, simd16_set(1.0f));
    return simd16_clamp(simd16_divide(simd16_multiply(x, p), q), 1.0f);
}

/* 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2; the absolute error is at most 2.1e-7, so
 * results near 0 have few correct digits, and 0 is possible. */
SIMD16_INLINE simd16 simd16_sigmoid(simd16 x)
{
    const simd16 half = simd16_set(0.5f);
    return simd16_fma(simd16_tanh(simd16_multiply(x, half)), half, half);
}
#endif

#define KERNEL_MAP(name, function)                                                       \
    static void name(size_t n, const real *x, real *y)                                   \
    {                                                                                    \
        for (size_t i = 0; i < n; i += VECTOR) {                                         \
            int lanes = n - i < VECTOR ? (int)(n - i) : VECTOR;                          \
            store_partial(y + i, function(load_partial(x + i, lanes)), lanes);           \
        }                                                                                \
    }
KERNEL_MAP(map_exp, simd16_exp)
KERNEL_MAP(map_tanh, simd16_tanh)
KERNEL_MAP(map_sigmoid, simd16_sigmoid)
#undef KERNEL_MAP

#endif
