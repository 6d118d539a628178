/* avx2: AVX2 and FMA; two registers of 8 floats form the 16 lanes. */
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
#include "kernels.h"
#include "x86.h"

#define KERNELS kernels_avx2
#define KERNELS_NAME "avx2"

enum { PART_INPUTS = 128, BF16_ROWS = 2, BF16_VECTORS = 1, PEAK_CHAINS = 6 };

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
static inline simd16 simd16_select_less(simd16 a, simd16 b, simd16 x, simd16 y)
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

/* ---- the microkernel ---- */

/* Twelve of the 16 registers hold sums: 4 rows x 3 registers of 8 floats. */
enum { SUBTILE_ROWS = 4, SUBTILE_REGISTERS = 3, REGISTER_FLOATS = 8 };

/* The part of a microtile that starts at `row` and column `offset`. Inlined with constant
 * `rows` and `registers`, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void
multiply_subtile(int rows, int registers, const struct microtile *t, int row, int offset)
{
    __m256 sum[SUBTILE_ROWS][SUBTILE_REGISTERS], w[SUBTILE_REGISTERS];
    const real *const *x = t->x + row;
    real *const *y = t->y + row;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < registers; j++)
            sum[i][j] = t->overwrite
                            ? _mm256_setzero_ps()
                            : _mm256_loadu_ps(y[i] + offset + REGISTER_FLOATS * j);
    const real *panel = t->panel + offset;
    const char *prefetch = (const char *)t->prefetch;
    size_t at = 0, ldx = t->ldx, stride = row || offset ? 0 : t->prefetch_stride;
    for (int l = t->k; l > 0; l--, panel += NR, at += ldx, prefetch += stride) {
        _mm_prefetch(prefetch, _MM_HINT_T1);
#pragma GCC unroll 3
        for (int j = 0; j < registers; j++)
            w[j] = _mm256_load_ps(panel + REGISTER_FLOATS * j);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            __m256 a = _mm256_set1_ps(x[i][at]);
#pragma GCC unroll 3
            for (int j = 0; j < registers; j++)
                sum[i][j] = _mm256_fmadd_ps(a, w[j], sum[i][j]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < registers; j++)
            _mm256_storeu_ps(y[i] + offset + REGISTER_FLOATS * j, sum[i][j]);
}

static inline __attribute__((always_inline)) void
multiply_microtile(int rows, int vectors, const struct microtile *t)
{
    /* a row of 2, 4 or 6 registers is divided into subtiles of 2, 2 or 3 */
    const int registers = 2 * vectors,
              subtile_registers = registers % SUBTILE_REGISTERS ? 2 : SUBTILE_REGISTERS;
#pragma GCC unroll 2
    for (int first = 0; first < rows; first += SUBTILE_ROWS)
#pragma GCC unroll 2
        for (int j = 0; j < registers; j += subtile_registers)
            multiply_subtile(rows - first < SUBTILE_ROWS ? rows - first : SUBTILE_ROWS,
                             subtile_registers, t, first, REGISTER_FLOATS * j);
}
#define HAS_MULTIPLY_MICROTILE

#include "kernel_set.h"
#else
typedef int kernels_avx2_not_built; /* ISO C requires a declaration */
#endif
