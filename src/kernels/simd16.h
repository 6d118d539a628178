/* simd16: 16 floats at a time, the same operations on every instruction set.
 *
 * The file that includes this defines SIMD_AVX512 or SIMD_AVX2, or neither for the
 * portable form (which the double build also takes). Every operation is exactly rounded
 * (IEEE 754), so the three forms give the same bits.
 */
#ifndef TUTTI_KERNELS_SIMD16_H
#define TUTTI_KERNELS_SIMD16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"
#include "base/real.h"

#if defined(SIMD_AVX512)
#include <immintrin.h>
typedef __m512 simd16;

/* The mask of the first n lanes; n may exceed 16. */
static inline __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n < VECTOR ? (1u << n) - 1 : 0xffff);
}
static inline simd16 simd16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void simd16_store(float *p, simd16 a)
{
    _mm512_storeu_ps(p, a);
}
static inline simd16 simd16_set(float x)
{
    return _mm512_set1_ps(x);
}
static inline simd16 simd16_add(simd16 a, simd16 b)
{
    return _mm512_add_ps(a, b);
}
static inline simd16 simd16_subtract(simd16 a, simd16 b)
{
    return _mm512_sub_ps(a, b);
}
static inline simd16 simd16_multiply(simd16 a, simd16 b)
{
    return _mm512_mul_ps(a, b);
}
static inline simd16 simd16_divide(simd16 a, simd16 b)
{
    return _mm512_div_ps(a, b);
}
static inline simd16 simd16_fma(simd16 a, simd16 b, simd16 c) /* a b + c, rounded once */
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline simd16 simd16_min(simd16 a, simd16 b) /* b where a is NaN */
{
    return _mm512_min_ps(a, b);
}
static inline simd16 simd16_max(simd16 a, simd16 b) /* b where a is NaN */
{
    return _mm512_max_ps(a, b);
}
static inline simd16 simd16_absolute(simd16 a)
{
    return _mm512_abs_ps(a);
}
/* a 2^n for integers -126 <= n <= 127, NaN where both are */
static inline simd16 simd16_scale(simd16 a, simd16 n)
{
    return _mm512_scalef_ps(a, n);
}
static inline simd16 simd16_copy_sign(simd16 size, simd16 sign)
{
    __m512i bit = _mm512_set1_epi32((int)0x80000000u);
    __m512i signs = _mm512_and_epi32(bit, _mm512_castps_si512(sign));
    return _mm512_castsi512_ps(_mm512_or_epi32(_mm512_castps_si512(size), signs));
}
/* where a < b: x, else y (also where a or b is NaN) */
static inline simd16 simd16_if_less(simd16 a, simd16 b, simd16 x, simd16 y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
/* where mask[] is not 0: a, else 0 */
static inline simd16 simd16_mask(const uint8_t *mask, simd16 a)
{
    __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)mask));
    return _mm512_maskz_mov_ps(_mm512_test_epi32_mask(bytes, bytes), a);
}
/* 16 pairs of bfloat16, of which the first or the second of each become floats. */
static inline simd16 simd16_even(const struct bf16_pair *pairs)
{
    __m512i both = _mm512_loadu_si512(pairs);
    return _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
}
static inline simd16 simd16_odd(const struct bf16_pair *pairs)
{
    __m512i both = _mm512_loadu_si512(pairs);
    return _mm512_castsi512_ps(_mm512_and_epi32(both, _mm512_set1_epi32(-65536)));
}

#elif defined(SIMD_AVX2)
#include <immintrin.h>
typedef struct {
    __m256 half[2];
} simd16;

static inline simd16 simd16_load(const float *p)
{
    return (simd16){{_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}};
}
static inline void simd16_store(float *p, simd16 a)
{
    _mm256_storeu_ps(p, a.half[0]);
    _mm256_storeu_ps(p + 8, a.half[1]);
}
static inline simd16 simd16_set(float x)
{
    return (simd16){{_mm256_set1_ps(x), _mm256_set1_ps(x)}};
}
#define SIMD_EACH(name, expression)                                                      \
    static inline simd16 name(simd16 a, simd16 b)                                        \
    {                                                                                    \
        simd16 c;                                                                        \
        for (int i = 0; i < 2; i++)                                                      \
            c.half[i] = expression(a.half[i], b.half[i]);                                \
        return c;                                                                        \
    }
SIMD_EACH(simd16_add, _mm256_add_ps)
SIMD_EACH(simd16_subtract, _mm256_sub_ps)
SIMD_EACH(simd16_multiply, _mm256_mul_ps)
SIMD_EACH(simd16_divide, _mm256_div_ps)
SIMD_EACH(simd16_min, _mm256_min_ps)
SIMD_EACH(simd16_max, _mm256_max_ps)
#undef SIMD_EACH
static inline simd16 simd16_fma(simd16 a, simd16 b, simd16 c)
{
    for (int i = 0; i < 2; i++)
        c.half[i] = _mm256_fmadd_ps(a.half[i], b.half[i], c.half[i]);
    return c;
}
static inline simd16 simd16_absolute(simd16 a)
{
    for (int i = 0; i < 2; i++)
        a.half[i] = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.half[i]);
    return a;
}
static inline simd16 simd16_scale(simd16 a, simd16 n)
{
    for (int i = 0; i < 2; i++) {
        __m256i biased =
            _mm256_add_epi32(_mm256_cvtps_epi32(n.half[i]), _mm256_set1_epi32(127));
        __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
        a.half[i] = _mm256_mul_ps(a.half[i], power);
    }
    return a;
}
static inline simd16 simd16_copy_sign(simd16 size, simd16 sign)
{
    for (int i = 0; i < 2; i++)
        size.half[i] = _mm256_or_ps(size.half[i],
                                    _mm256_and_ps(_mm256_set1_ps(-0.0f), sign.half[i]));
    return size;
}
static inline simd16 simd16_if_less(simd16 a, simd16 b, simd16 x, simd16 y)
{
    for (int i = 0; i < 2; i++)
        y.half[i] = _mm256_blendv_ps(y.half[i], x.half[i],
                                     _mm256_cmp_ps(a.half[i], b.half[i], _CMP_LT_OQ));
    return y;
}
static inline simd16 simd16_mask(const uint8_t *mask, simd16 a)
{
    for (int i = 0; i < 2; i++) {
        __m256i bytes =
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(mask + 8 * i)));
        __m256i zero = _mm256_cmpeq_epi32(bytes, _mm256_setzero_si256());
        a.half[i] = _mm256_andnot_ps(_mm256_castsi256_ps(zero), a.half[i]);
    }
    return a;
}
static inline simd16 simd16_even(const struct bf16_pair *pairs)
{
    simd16 a;
    for (int i = 0; i < 2; i++) {
        __m256i both = _mm256_loadu_si256((const __m256i *)(pairs + 8 * i));
        a.half[i] = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    }
    return a;
}
static inline simd16 simd16_odd(const struct bf16_pair *pairs)
{
    simd16 a;
    for (int i = 0; i < 2; i++) {
        __m256i both = _mm256_loadu_si256((const __m256i *)(pairs + 8 * i));
        a.half[i] =
            _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(-65536)));
    }
    return a;
}

#else /* portable, and double */
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
SIMD_EACH(simd16_min, x < y ? x : y)
SIMD_EACH(simd16_max, x > y ? x : y)
SIMD_EACH(simd16_copy_sign, SIMD_SIGN(x, y))
#undef SIMD_EACH
static inline simd16 simd16_fma(simd16 a, simd16 b, simd16 c)
{
    for (int i = 0; i < VECTOR; i++)
        c.lane[i] = SIMD_FMA(a.lane[i], b.lane[i], c.lane[i]);
    return c;
}
static inline simd16 simd16_absolute(simd16 a)
{
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] = SIMD_FABS(a.lane[i]);
    return a;
}
static inline simd16 simd16_scale(simd16 a, simd16 n)
{
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] *= isnan(n.lane[i]) ? n.lane[i] : SIMD_SCALE(1, (int)n.lane[i]);
    return a;
}
static inline simd16 simd16_if_less(simd16 a, simd16 b, simd16 x, simd16 y)
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
static inline real simd16_of_bfloat16(bfloat16 x)
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
        a.lane[i] = simd16_of_bfloat16(pairs[i].even);
    return a;
}
static inline simd16 simd16_odd(const struct bf16_pair *pairs)
{
    simd16 a;
    for (int i = 0; i < VECTOR; i++)
        a.lane[i] = simd16_of_bfloat16(pairs[i].odd);
    return a;
}
/* x = a b + c, rounded; 0 where it would be less than 2^-126 if exponents had no end. */
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
#endif

/* Between simd16_flush_begin and simd16_flush_end, of these two operations results and
 * operands smaller than 2^-126 are zero. Nothing may be moved across them. */
#if defined(SIMD_AVX512) || defined(SIMD_AVX2)
#define simd16_add_flushed simd16_add
#define simd16_fma_flushed simd16_fma
static inline unsigned simd16_flush_begin(void)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | 0x40 /* _MM_DENORMALS_ZERO_ON */);
    __asm__ volatile("" ::: "memory");
    return mode;
}
static inline void simd16_flush_end(unsigned mode)
{
    __asm__ volatile("" ::: "memory");
    _mm_setcsr(mode);
}
#else
static inline unsigned simd16_flush_begin(void)
{
    return 0;
}
static inline void simd16_flush_end(unsigned mode)
{
    (void)mode;
}
#endif

#endif
