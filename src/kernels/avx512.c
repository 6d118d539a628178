/* avx512: AVX-512 F and DQ; one register holds the 16 lanes. */
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
#include "kernels.h"
#include "x86.h"

#define KERNELS kernels_avx512
#define KERNELS_NAME "avx512"

/* As many sums as fit in registers. */
enum { PART_INPUTS = 512, BF16_ROWS = 4, BF16_VECTORS = 3, PEAK_CHAINS = 24 };

typedef __m512 simd16;

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
static inline simd16 simd16_fma(simd16 a, simd16 b, simd16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline simd16 simd16_min(simd16 a, simd16 b)
{
    return _mm512_min_ps(a, b);
}
static inline simd16 simd16_max(simd16 a, simd16 b)
{
    return _mm512_max_ps(a, b);
}
static inline simd16 simd16_scale(simd16 a, simd16 n)
{
    return _mm512_scalef_ps(a, n);
}
static inline simd16 simd16_select_less(simd16 a, simd16 b, simd16 x, simd16 y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
static inline simd16 simd16_mask(const uint8_t *mask, simd16 a)
{
    __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)mask));
    return _mm512_maskz_mov_ps(_mm512_test_epi32_mask(bytes, bytes), a);
}
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

/* ---- the microkernel ---- */

enum { PREFETCH_DISTANCE = 16 * NR }; /* in the panel, elements */

/* Inlined with constant `rows` and `vectors`, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void
multiply_microtile(int rows, int vectors, const struct microtile *t)
{
    __m512 sum[MR][NR / VECTOR], w[NR / VECTOR];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            sum[i][j] = t->overwrite ? _mm512_setzero_ps()
                                     : _mm512_loadu_ps(t->y[i] + VECTOR * j);
    const real *panel = t->panel, *const *x = t->x;
    const char *prefetch = (const char *)t->prefetch;
    size_t at = 0, ldx = t->ldx, stride = t->prefetch_stride;
    for (int l = t->k; l > 0; l--, panel += NR, at += ldx, prefetch += stride) {
        _mm_prefetch(prefetch, _MM_HINT_T1);
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            _mm_prefetch((const char *)(panel + PREFETCH_DISTANCE + VECTOR * j),
                         _MM_HINT_T0);
            w[j] = _mm512_load_ps(panel + VECTOR * j);
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            __m512 a = _mm512_set1_ps(x[i][at]);
#pragma GCC unroll 3
            for (int j = 0; j < vectors; j++)
                sum[i][j] = _mm512_fmadd_ps(a, w[j], sum[i][j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            if (t->nontemporal)
                _mm512_stream_ps(t->y[i] + VECTOR * j, sum[i][j]);
            else
                _mm512_storeu_ps(t->y[i] + VECTOR * j, sum[i][j]);
}
#define HAS_MULTIPLY_MICROTILE

/* ---- rounding to bfloat16 ---- */

/* Rounds each float to the nearest bfloat16, in the upper 16 bits of each lane. */
static inline __m512i round_to_upper_half(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i lsb = _mm512_and_epi32(_mm512_srli_epi32(bits, 16), one);
    __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff)));
    __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __mmask16 is_subnormal = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
    rounded = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_mask_and_epi32(rounded, is_subnormal, bits,
                                 _mm512_set1_epi32((int)0x80000000u));
}

static void round_bf16(size_t n, const real *x, bfloat16 *y)
{
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = lane_mask(n - i);
        __m512i rounded = round_to_upper_half(_mm512_maskz_loadu_ps(mask, x + i));
        _mm512_mask_cvtepi32_storeu_epi16(y + i, mask, _mm512_srli_epi32(rounded, 16));
    }
}

static void round_bf16_pairs(size_t n, const real *even, const real *odd,
                             struct bf16_pair *y)
{
    const __m512i upper = _mm512_set1_epi32(-65536);
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = lane_mask(n - i);
        __m512i first = round_to_upper_half(_mm512_maskz_loadu_ps(mask, even + i));
        __m512i second = round_to_upper_half(_mm512_maskz_loadu_ps(mask, odd + i));
        __m512i pairs = _mm512_or_epi32(_mm512_srli_epi32(first, 16),
                                        _mm512_and_epi32(second, upper));
        _mm512_mask_storeu_epi32(y + i, mask, pairs);
    }
}
#define HAS_ROUND_BF16

/* ---- transposing ---- */

/* y := x^T, for 16 x 16 elements of 4 bytes. In four stages: pairs of rows exchange every
 * other element, then pairs of elements, then quarters of a register, twice. */
static inline void transpose_16x16(const float *x, size_t ldx, float *y, size_t ldy)
{
    __m512 a[VECTOR], b[VECTOR];
#pragma GCC unroll 16
    for (size_t i = 0; i < VECTOR; i++)
        a[i] = _mm512_loadu_ps(x + i * ldx);
#pragma GCC unroll 8
    for (int i = 0; i < VECTOR; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < VECTOR; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            __m512d first = _mm512_castps_pd(b[i + j]),
                    second = _mm512_castps_pd(b[i + j + 2]);
            a[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(first, second));
            a[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(first, second));
        }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512 first = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x44),
               second = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xee),
               third = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x44),
               fourth = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xee);
        b[i] = _mm512_shuffle_f32x4(first, third, 0x88);
        b[i + 4] = _mm512_shuffle_f32x4(first, third, 0xdd);
        b[i + 8] = _mm512_shuffle_f32x4(second, fourth, 0x88);
        b[i + 12] = _mm512_shuffle_f32x4(second, fourth, 0xdd);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < VECTOR; i++)
        _mm512_storeu_ps(y + i * ldy, b[i]);
}
#define HAS_TRANSPOSE_16X16

/* ---- fixed point ---- */

/* sums += products (:= with `overwrite`), for those of eight integers that are in `mask`.
 */
static inline void accumulate_int64x8(int64_t *sums, __m256 products, __mmask8 mask,
                                      bool overwrite)
{
    __m512i sum = _mm512_cvtps_epi64(products); /* rounds to nearest */
    if (!overwrite)
        sum = _mm512_add_epi64(sum, _mm512_maskz_loadu_epi64(mask, sums));
    _mm512_mask_storeu_epi64(sums, mask, sum);
}

/* Multiplying by a power of two is exact. */
static inline int fixed_point_add_row(int64_t *sums, const float *values, int n,
                                      bool overwrite, double scale, float bound)
{
    const __m512 scales = _mm512_set1_ps((float)scale), bounds = _mm512_set1_ps(bound);
    int rejected = 0;
    for (int i = 0; i < n; i += VECTOR) {
        __mmask16 mask = lane_mask((size_t)(n - i));
        __m512 x = _mm512_maskz_loadu_ps(mask, values + i);
        __mmask16 accepted = _mm512_cmp_ps_mask(_mm512_abs_ps(x), bounds, _CMP_LE_OQ);
        __m512 products = _mm512_maskz_mul_ps(accepted, x, scales);
        accumulate_int64x8(sums + i, _mm512_castps512_ps256(products), (__mmask8)mask,
                           overwrite);
        if (n - i > VECTOR / 2)
            accumulate_int64x8(sums + i + VECTOR / 2, _mm512_extractf32x8_ps(products, 1),
                               (__mmask8)(mask >> VECTOR / 2), overwrite);
        if (accepted != 0xffff)
            rejected += VECTOR - __builtin_popcount(accepted);
    }
    return rejected;
}
#define HAS_FIXED_POINT_ADD_ROW

#include "kernel_set.h"
#else
typedef int kernels_avx512_not_built; /* ISO C requires a declaration */
#endif
