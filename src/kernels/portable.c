/* portable: plain C for any processor; also the double build. */
#include <math.h>
#include <string.h>

#include "kernels.h"

#define KERNELS kernels_portable
#define KERNELS_NAME "portable"

enum { PART_INPUTS = 128, BF16_ROWS = 1, BF16_VECTORS = 1, PEAK_CHAINS = 6 };

typedef struct {
    real lane[VECTOR];
} simd16;

#ifdef TUTTI_DOUBLE
#define SIMD_FMA(a, b, c) ((a) * (b) + (c)) /* the reference need not be bit-exact */
#define SIMD_FABS fabs
#define SIMD_SIGN copysign
#define SIMD_SCALE ldexp
#else
#define SIMD_FMA fmaf
#define SIMD_FABS fabsf
#define SIMD_SIGN copysignf
#define SIMD_SCALE ldexpf
#endif

static inline simd16 simd16_load(const real *p)
{
    simd16 a;
    memcpy(a.lane, p, sizeof a.lane);
    return a;
}
static inline void simd16_store(real *p, simd16 a)
{
    memcpy(p, a.lane, sizeof a.lane);
}
static inline simd16 simd16_set(real x)
{
    simd16 a;
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] = x;
    return a;
}
#define SIMD_EACH(name, expression)                                                      \
    static inline simd16 name(simd16 a, simd16 b)                                        \
    {                                                                                    \
        for (int i = 0; i < VECTOR; i++) {                                               \
            real x = a.lane[i], y = b.lane[i];                                           \
            a.lane[i] = expression;                                                      \
        }                                                                                \
        return a;                                                                        \
    }
SIMD_EACH(simd16_add, x + y)
SIMD_EACH(simd16_subtract, x - y)
SIMD_EACH(simd16_multiply, x *y)
SIMD_EACH(simd16_divide, x / y)
#ifndef TUTTI_DOUBLE /* which takes exp and tanh from libm */
SIMD_EACH(simd16_min, x < y ? x : y)
SIMD_EACH(simd16_max, x > y ? x : y)
#endif
#undef SIMD_EACH
static inline simd16 simd16_fma(simd16 a, simd16 b, simd16 c)
{
    for (int i = 0; i < VECTOR; i++)
        c.lane[i] = SIMD_FMA(a.lane[i], b.lane[i], c.lane[i]);
    return c;
}
#ifndef TUTTI_DOUBLE
static inline simd16 simd16_scale(simd16 a, simd16 n)
{
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] *= isnan(n.lane[i]) ? n.lane[i] : SIMD_SCALE(1, (int)n.lane[i]);
    return a;
}
#endif
static inline simd16 simd16_select_less(simd16 a, simd16 b, simd16 x, simd16 y)
{
    for (int i = 0; i < VECTOR; i++)
        y.lane[i] = a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i];
    return y;
}
static inline simd16 simd16_mask(const uint8_t *mask, simd16 a)
{
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] = mask[i] ? a.lane[i] : 0;
    return a;
}
static inline real bf16_to_real(bfloat16 x)
{
    uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return (real)wide;
}
static inline simd16 simd16_even(const struct bf16_pair *pairs)
{
    simd16 a;
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] = bf16_to_real(pairs[i].even);
    return a;
}
static inline simd16 simd16_odd(const struct bf16_pair *pairs)
{
    simd16 a;
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] = bf16_to_real(pairs[i].odd);
    return a;
}
/* Flushes x = fma(a, b, c) to zero where it would be below 2^-126 with an unbounded
 * exponent range. */
static inline real simd16_flush(real x, real a, real b, real c)
{
    if (SIMD_FABS(x) > (real)0x1p-126)
        return x;
    double exact = (double)a * (double)b + (double)c;
    return fabs(exact) < 0x1p-126 - 0x1p-151 ? SIMD_SIGN(0, x) : x;
}
static inline simd16 simd16_add_flushed(simd16 a, simd16 b)
{
    for (int i = 0; i < VECTOR; i++) {
        real x = simd16_flush(a.lane[i], a.lane[i], 1, 0);
        real y = simd16_flush(b.lane[i], b.lane[i], 1, 0);
        b.lane[i] = simd16_flush(x + y, x, 1, y);
    }
    return b;
}
static inline simd16 simd16_fma_flushed(simd16 a, simd16 b, simd16 c)
{
    for (int i = 0; i < VECTOR; i++)
        c.lane[i] = simd16_flush(SIMD_FMA(a.lane[i], b.lane[i], c.lane[i]), a.lane[i],
                                 b.lane[i], c.lane[i]);
    return c;
}
static inline unsigned simd16_flush_begin(void)
{
    return 0;
}
static inline void simd16_flush_end(unsigned mode)
{
    (void)mode;
}

#include "kernel_set.h"
