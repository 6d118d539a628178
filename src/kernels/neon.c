/* neon: Advanced SIMD, which every aarch64 processor has; four registers of 4 floats form
 * the 16 lanes. */
#if defined(__AARCH64EL__) && !defined(TUTTI_DOUBLE)
#include <arm_neon.h>
#include <string.h>

#include "kernels.h"

#define KERNELS kernels_neon
#define KERNELS_NAME "neon"

enum { PART_INPUTS = 128, BF16_ROWS = 2, BF16_VECTORS = 1, PEAK_CHAINS = 6 };

enum { REGISTERS = 4, REGISTER_FLOATS = 4 };

typedef struct {
    float32x4_t part[REGISTERS];
} simd16;

/* The value of `expression` for each of the registers i. */
#define SIMD16(expression)                                                               \
    ((simd16){{expression(0), expression(1), expression(2), expression(3)}})

static inline simd16 simd16_load(const float *p)
{
#define LOAD(i) vld1q_f32(p + REGISTER_FLOATS * (i))
    return SIMD16(LOAD);
#undef LOAD
}
static inline void simd16_store(float *p, simd16 a)
{
    vst1q_f32(p, a.part[0]);
    vst1q_f32(p + REGISTER_FLOATS, a.part[1]);
    vst1q_f32(p + 2 * REGISTER_FLOATS, a.part[2]);
    vst1q_f32(p + 3 * REGISTER_FLOATS, a.part[3]);
}
static inline simd16 simd16_set(float x)
{
    float32x4_t part = vdupq_n_f32(x);
    return (simd16){{part, part, part, part}};
}

static inline float32x4_t min_or_second(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b); /* vminq_f32 also propagates NaN in a */
}
static inline float32x4_t max_or_second(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
static inline float32x4_t scale_by_power(float32x4_t a, float32x4_t n)
{
    int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(biased, 23)));
}
#define SIMD_EACH(name, operation)                                                       \
    static inline simd16 name(simd16 a, simd16 b)                                        \
    {                                                                                    \
        return (simd16){                                                                 \
            {operation(a.part[0], b.part[0]), operation(a.part[1], b.part[1]),           \
             operation(a.part[2], b.part[2]), operation(a.part[3], b.part[3])}};         \
    }
SIMD_EACH(simd16_add, vaddq_f32)
SIMD_EACH(simd16_subtract, vsubq_f32)
SIMD_EACH(simd16_multiply, vmulq_f32)
SIMD_EACH(simd16_divide, vdivq_f32)
SIMD_EACH(simd16_min, min_or_second)
SIMD_EACH(simd16_max, max_or_second)
SIMD_EACH(simd16_scale, scale_by_power)
#undef SIMD_EACH

static inline simd16 simd16_fma(simd16 a, simd16 b, simd16 c)
{
#define FMA(i) vfmaq_f32(c.part[i], a.part[i], b.part[i])
    return SIMD16(FMA);
#undef FMA
}
static inline simd16 simd16_select_less(simd16 a, simd16 b, simd16 x, simd16 y)
{
#define SELECT(i) vbslq_f32(vcltq_f32(a.part[i], b.part[i]), x.part[i], y.part[i])
    return SIMD16(SELECT);
#undef SELECT
}
static inline simd16 simd16_mask(const uint8_t *mask, simd16 a)
{
    uint8x16_t bytes = vld1q_u8(mask);
    int8x16_t all = vreinterpretq_s8_u8(vtstq_u8(bytes, bytes)); /* -1 or 0 */
    int16x8_t low = vmovl_s8(vget_low_s8(all)), high = vmovl_high_s8(all);
    const int32x4_t bits[REGISTERS] = {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low),
                                       vmovl_s16(vget_low_s16(high)),
                                       vmovl_high_s16(high)};
#define MASK(i)                                                                          \
    vreinterpretq_f32_s32(vandq_s32(vreinterpretq_s32_f32(a.part[i]), bits[i]))
    return SIMD16(MASK);
#undef MASK
}

static inline uint32x4_t load_pairs(const struct bf16_pair *pairs)
{
    return vreinterpretq_u32_u16(vld1q_u16(&pairs->even));
}
static inline simd16 simd16_even(const struct bf16_pair *pairs)
{
#define EVEN(i)                                                                          \
    vreinterpretq_f32_u32(vshlq_n_u32(load_pairs(pairs + REGISTER_FLOATS * (i)), 16))
    return SIMD16(EVEN);
#undef EVEN
}
static inline simd16 simd16_odd(const struct bf16_pair *pairs)
{
#define ODD(i)                                                                           \
    vreinterpretq_f32_u32(                                                               \
        vandq_u32(load_pairs(pairs + REGISTER_FLOATS * (i)), vdupq_n_u32(0xffff0000)))
    return SIMD16(ODD);
#undef ODD
}

/* ---- flushing subnormals to zero (simd16.h), with FPCR ----
 *
 * Operands are flushed as simd16.h requires. A result is flushed if it is below 2^-126
 * before rounding, so one that would round up to 2^-126 is lost. Every flush of a result
 * sets the underflow bit of FPSR: microkernel_bf16.h then computes again, exactly. */

#define simd16_add_flushed simd16_add
#define simd16_fma_flushed simd16_fma

enum { FPCR_FLUSH_TO_ZERO = 1 << 24, FPSR_UNDERFLOW = 1 << 3 };

/* Returns the mode to restore. The barriers keep the compiler from moving code across the
 * change. */
static inline unsigned simd16_flush_begin(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, xzr"
                     :
                     : "r"(mode | FPCR_FLUSH_TO_ZERO)
                     : "memory");
    return (unsigned)mode;
}
static inline void simd16_flush_end(unsigned mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode) : "memory");
}

/* True if a result was flushed since simd16_flush_begin; all are in memory at `results`.
 */
static inline bool simd16_result_flushed(const float *results)
{
    uint64_t status;
    __asm__ volatile("mrs %0, fpsr" : "=r"(status) : "r"(results) : "memory");
    return status & FPSR_UNDERFLOW;
}
#define HAS_RESULT_FLUSHED

/* ---- the microkernel ---- */

/* sum[i][j] += x[i][at] panel[j]. The shorter side of the subtile is loaded first, and the
 * longer one element by element, which leaves enough registers for 24 sums. */
static inline __attribute__((always_inline)) void
multiply_step(int rows, int registers, const real *panel, const real *const *x, size_t at,
              float32x4_t sum[MR][NR / REGISTER_FLOATS])
{
    if (rows < registers) {
        float a[MR];
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
            a[i] = x[i][at];
#pragma GCC unroll 12
        for (int j = 0; j < registers; j++) {
            float32x4_t w = vld1q_f32(panel + REGISTER_FLOATS * j);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++)
                sum[i][j] = vfmaq_n_f32(sum[i][j], w, a[i]);
        }
        return;
    }
    float32x4_t w[NR / REGISTER_FLOATS];
#pragma GCC unroll 12
    for (int j = 0; j < registers; j++)
        w[j] = vld1q_f32(panel + REGISTER_FLOATS * j);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 12
        for (int j = 0; j < registers; j++)
            sum[i][j] = vfmaq_n_f32(sum[i][j], w[j], x[i][at]);
}

/* The columns of a microtile from `offset` on. Inlined with constant `rows` and
 * `registers`, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void
multiply_subtile(int rows, int registers, const struct microtile *t, int offset)
{
    float32x4_t sum[MR][NR / REGISTER_FLOATS];
    real *const *y = t->y;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 12
        for (int j = 0; j < registers; j++)
            sum[i][j] = t->overwrite ? vdupq_n_f32(0)
                                     : vld1q_f32(y[i] + offset + REGISTER_FLOATS * j);
    const real *panel = t->panel + offset;
    const char *prefetch = (const char *)t->prefetch;
    size_t at = 0, ldx = t->ldx, stride = offset ? 0 : t->prefetch_stride;
    for (int l = t->k; l > 0; l--, panel += NR, at += ldx, prefetch += stride) {
        __builtin_prefetch(prefetch, 0, 2); /* to the level-2 cache */
        multiply_step(rows, registers, panel, t->x, at, sum);
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 12
        for (int j = 0; j < registers; j++)
            vst1q_f32(y[i] + offset + REGISTER_FLOATS * j, sum[i][j]);
}

/* Divides the columns so that at most 24 of the 32 registers hold sums: a row of 12
 * registers into subtiles of 12, 6, 4 or 3, one of 8 or 4 registers into 1, 2 or 4. */
static inline __attribute__((always_inline)) void
multiply_microtile(int rows, int vectors, const struct microtile *t)
{
    const int registers = REGISTERS * vectors, sums = rows * registers;
    const int parts = sums <= 24                       ? 1
                      : sums <= 48                     ? 2
                      : sums <= 72 && vectors % 3 == 0 ? 3
                                                       : 4;
#pragma GCC unroll 4
    for (int part = 0; part < parts; part++)
        multiply_subtile(rows, registers / parts, t, VECTOR * vectors / parts * part);
}
#define HAS_MULTIPLY_MICROTILE

/* ---- transposing ---- */

/* y := x^T, for 4 x 4 elements of 4 bytes: pairs of rows exchange every other element,
 * then pairs of elements. */
static inline void transpose_4x4(const float *x, size_t ldx, float *y, size_t ldy)
{
    float32x4_t a = vld1q_f32(x), b = vld1q_f32(x + ldx), c = vld1q_f32(x + 2 * ldx),
                d = vld1q_f32(x + 3 * ldx);
    float64x2_t ab_even = vreinterpretq_f64_f32(vtrn1q_f32(a, b)),
                ab_odd = vreinterpretq_f64_f32(vtrn2q_f32(a, b)),
                cd_even = vreinterpretq_f64_f32(vtrn1q_f32(c, d)),
                cd_odd = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
    vst1q_f32(y, vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even)));
    vst1q_f32(y + ldy, vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)));
    vst1q_f32(y + 2 * ldy, vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even)));
    vst1q_f32(y + 3 * ldy, vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)));
}

static inline void transpose_16x16(const float *x, size_t ldx, float *y, size_t ldy)
{
    for (size_t i = 0; i < VECTOR; i += 4)
        for (size_t j = 0; j < VECTOR; j += 4)
            transpose_4x4(x + i * ldx + j, ldx, y + j * ldy + i, ldy);
}
#define HAS_TRANSPOSE_16X16

/* ---- fixed point ---- */

/* sums += x * scale (:= with `overwrite`), for two doubles. Multiplying by a power of two
 * is exact; the conversion rounds to nearest, ties to even. */
static inline void accumulate_int64x2(int64_t *sums, float64x2_t x, float64x2_t scale,
                                      bool overwrite)
{
    int64x2_t sum = vcvtnq_s64_f64(vmulq_f64(x, scale));
    vst1q_s64(sums, overwrite ? sum : vaddq_s64(sum, vld1q_s64(sums)));
}

/* The same for four floats; returns how many of them are rejected. */
static inline unsigned accumulate_int64x4(int64_t *sums, float32x4_t x, float64x2_t scale,
                                          float32x4_t bound, bool overwrite)
{
    uint32x4_t accepted = vcaleq_f32(x, bound); /* false for NaN */
    x = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), accepted));
    accumulate_int64x2(sums, vcvt_f64_f32(vget_low_f32(x)), scale, overwrite);
    accumulate_int64x2(sums + 2, vcvt_high_f64_f32(x), scale, overwrite);
    return REGISTER_FLOATS + vaddvq_u32(accepted); /* accepted: -1 */
}

static inline int fixed_point_add_row(int64_t *restrict sums,
                                      const float *restrict values, int n, bool overwrite,
                                      double scale, float bound)
{
    const float64x2_t scales = vdupq_n_f64(scale);
    const float32x4_t bounds = vdupq_n_f32(bound);
    unsigned rejected = 0;
    int i = 0;
    for (; i + REGISTER_FLOATS <= n; i += REGISTER_FLOATS)
        rejected += accumulate_int64x4(sums + i, vld1q_f32(values + i), scales, bounds,
                                       overwrite);
    if (i < n) {
        float padded[REGISTER_FLOATS] = {0};
        int64_t last[REGISTER_FLOATS];
        memcpy(padded, values + i, (size_t)(n - i) * sizeof *values);
        rejected += accumulate_int64x4(last, vld1q_f32(padded), scales, bounds, true);
        for (int j = 0; i < n; i++, j++)
            sums[i] = last[j] + (overwrite ? 0 : sums[i]);
    }
    return (int)rejected;
}
#define HAS_FIXED_POINT_ADD_ROW

#include "kernel_set.h"
#else
typedef int kernels_neon_not_built; /* ISO C requires a declaration */
#endif
