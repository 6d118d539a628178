/* simd16_math: exp, tanh, sigmoid. */
#ifndef TUTTI_KERNELS_SIMD16_MATH_H
#define TUTTI_KERNELS_SIMD16_MATH_H

#include <math.h>

#include "simd16.h"

#ifdef TUTTI_DOUBLE
/* The double build is the reference for the tests: it uses the C library's functions. */
static inline simd16 simd16_exp(simd16 x)
{
    for (int i = 0; i < VECTOR; i++)
        x.lane[i] = exp(x.lane[i]);
    return x;
}

static inline simd16 simd16_tanh(simd16 x)
{
    for (int i = 0; i < VECTOR; i++)
        x.lane[i] = tanh(x.lane[i]);
    return x;
}
#else
/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) from the polynomial
 * of Cephes' expf (S. Moshier). Inputs are clamped to [-87.3, 88]: the result is never 0,
 * subnormal or infinite. NaN stays NaN. */
static inline simd16 simd16_exp(simd16 x)
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

/* The odd polynomial of Cephes' tanhf for |x| < 0.625, else 1 - 2 / (exp(2|x|) + 1). */
static inline simd16 simd16_tanh(simd16 x)
{
    simd16 magnitude = simd16_abs(x);
    simd16 square = simd16_multiply(x, x);
    simd16 p = simd16_set(-5.70498872745e-3f);
    p = simd16_fma(p, square, simd16_set(2.06390887954e-2f));
    p = simd16_fma(p, square, simd16_set(-5.37397155531e-2f));
    p = simd16_fma(p, square, simd16_set(1.33314422036e-1f));
    p = simd16_fma(p, square, simd16_set(-3.33332819422e-1f));
    simd16 small = simd16_fma(simd16_multiply(p, square), x, x);
    simd16 e = simd16_exp(simd16_add(magnitude, magnitude));
    simd16 rest = simd16_divide(simd16_set(2.0f), simd16_add(e, simd16_set(1.0f)));
    simd16 large = simd16_copy_sign(simd16_subtract(simd16_set(1.0f), rest), x);
    return simd16_select_less(magnitude, simd16_set(0.625f), small, large);
}
#endif

static inline simd16 simd16_sigmoid(simd16 x)
{
    simd16 e = simd16_exp(simd16_subtract(simd16_set(0), x));
    return simd16_divide(simd16_set(1), simd16_add(simd16_set(1), e));
}

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
