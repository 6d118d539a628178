/* body: the kernels, written once over `simd16`; included by the file of each instruction
 * set, which defines KERNELS_NAME (the name of the table) and KERNELS_LABEL.
 */
#include "simd16.h"
#include "kernels.h"

/* The first `n` of 16 lanes, zeros behind; n may exceed 16. */
static inline simd16 load_part(const real *p, int n)
{
    if (n >= VECTOR)
        return simd16_load(p);
    real padded[VECTOR] = {0};
    memcpy(padded, p, (size_t)n * sizeof *p);
    return simd16_load(padded);
}

static inline void store_part(real *p, simd16 a, int n)
{
    if (n >= VECTOR) {
        simd16_store(p, a);
        return;
    }
    real padded[VECTOR];
    simd16_store(padded, a);
    memcpy(p, padded, (size_t)n * sizeof *p);
}

/* Behind dropout. */
static inline simd16 drop_part(simd16 a, const struct dropout_mask *dropout, int first,
                               int n)
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

/* ---- exp, tanh, sigmoid
 * ------------------------------------------------------------------ */

#ifdef TUTTI_DOUBLE
/* The double build is the tests' reference: the C library's functions. */
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
/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) by the polynomial of
 * Cephes' expf (S. Moshier). Inputs are held to [-87.3, 88]: the result is never 0,
 * subnormal or infinite. NaN stays NaN. */
static inline simd16 simd16_exp(simd16 x)
{
    x = simd16_min(simd16_set(88.0f), x); /* the order keeps a NaN */
    x = simd16_max(simd16_set(-87.3f), x);
    const simd16 to_integer = simd16_set(0x1.8p23f); /* added, it rounds to an integer */
    simd16 n = simd16_fma(x, simd16_set(1.44269504f), to_integer);
    n = simd16_subtract(n, to_integer);
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

/* Below 0.625 the odd polynomial of Cephes' tanhf, above 1 - 2 / (exp(2|x|) + 1). */
static inline simd16 simd16_tanh(simd16 x)
{
    simd16 size = simd16_absolute(x);
    simd16 square = simd16_multiply(x, x);
    simd16 p = simd16_set(-5.70498872745e-3f);
    p = simd16_fma(p, square, simd16_set(2.06390887954e-2f));
    p = simd16_fma(p, square, simd16_set(-5.37397155531e-2f));
    p = simd16_fma(p, square, simd16_set(1.33314422036e-1f));
    p = simd16_fma(p, square, simd16_set(-3.33332819422e-1f));
    simd16 small = simd16_fma(simd16_multiply(p, square), x, x);
    simd16 e = simd16_exp(simd16_add(size, size));
    simd16 rest = simd16_divide(simd16_set(2.0f), simd16_add(e, simd16_set(1.0f)));
    simd16 large = simd16_copy_sign(simd16_subtract(simd16_set(1.0f), rest), x);
    return simd16_if_less(size, simd16_set(0.625f), small, large);
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
            int left = n - i < VECTOR ? (int)(n - i) : VECTOR;                           \
            store_part(y + i, function(load_part(x + i, left)), left);                   \
        }                                                                                \
    }
KERNEL_MAP(map_exp, simd16_exp)
KERNEL_MAP(map_tanh, simd16_tanh)
KERNEL_MAP(map_sigmoid, simd16_sigmoid)
#undef KERNEL_MAP

/* ---- tiles of products
 * -------------------------------------------------------------------- */

/* Written once for constant `rows` and `vectors`, so that where it is inlined the sums
 * stay in registers. */
#if defined(SIMD_AVX512)
enum { AHEAD = 16 * NR }; /* the panel is fetched so far before it is needed */
static inline __attribute__((always_inline)) void microtile(int rows, int vectors,
                                                            const struct microtile *t)
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
            _mm_prefetch((const char *)(panel + AHEAD + VECTOR * j), _MM_HINT_T0);
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
#elif defined(SIMD_AVX2)
/* Up to four rows and three registers of eight at a time: there are sixteen. */
enum { PART_ROWS = 4, PART = 3, REGISTER = 8 };
static inline __attribute__((always_inline)) void
part_of(int rows, int registers, const struct microtile *t, int row, int offset)
{
    __m256 sum[PART_ROWS][PART], w[PART];
    const real *const *x = t->x + row;
    real *const *y = t->y + row;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < registers; j++)
            sum[i][j] = t->overwrite ? _mm256_setzero_ps()
                                     : _mm256_loadu_ps(y[i] + offset + REGISTER * j);
    const real *panel = t->panel + offset;
    const char *prefetch = (const char *)t->prefetch;
    size_t at = 0, ldx = t->ldx, stride = row || offset ? 0 : t->prefetch_stride;
    for (int l = t->k; l > 0; l--, panel += NR, at += ldx, prefetch += stride) {
        _mm_prefetch(prefetch, _MM_HINT_T1);
#pragma GCC unroll 3
        for (int j = 0; j < registers; j++)
            w[j] = _mm256_load_ps(panel + REGISTER * j);
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
            _mm256_storeu_ps(y[i] + offset + REGISTER * j, sum[i][j]);
}

static inline __attribute__((always_inline)) void microtile(int rows, int vectors,
                                                            const struct microtile *t)
{
    const int registers = 2 * vectors, part = registers % PART ? 2 : PART;
#pragma GCC unroll 2
    for (int first = 0; first < rows; first += PART_ROWS)
#pragma GCC unroll 2
        for (int j = 0; j < registers; j += part)
            part_of(rows - first < PART_ROWS ? rows - first : PART_ROWS, part, t, first,
                    REGISTER * j);
}
#else
static inline void microtile(int rows, int vectors, const struct microtile *t)
{
    int width = vectors * VECTOR;
    for (int i = 0; i < rows; i++) {
        real sum[NR];
        for (int j = 0; j < width; j++)
            sum[j] = t->overwrite ? 0 : t->y[i][j];
        for (size_t l = 0; l < (size_t)t->k; l++)
            for (int j = 0; j < width; j++)
                sum[j] =
                    SIMD_FMA(t->x[i][l * t->ldx], t->panel[l * NR + (size_t)j], sum[j]);
        memcpy(t->y[i], sum, (size_t)width * sizeof *sum);
    }
}
#endif

#define MICROKERNELS(V)                                                                  \
    static void microkernel_##V(const struct microtile *t)                               \
    {                                                                                    \
        switch (t->rows) {                                                               \
        case 8:                                                                          \
            microtile(8, V, t);                                                          \
            break;                                                                       \
        case 7:                                                                          \
            microtile(7, V, t);                                                          \
            break;                                                                       \
        case 6:                                                                          \
            microtile(6, V, t);                                                          \
            break;                                                                       \
        case 5:                                                                          \
            microtile(5, V, t);                                                          \
            break;                                                                       \
        case 4:                                                                          \
            microtile(4, V, t);                                                          \
            break;                                                                       \
        case 3:                                                                          \
            microtile(3, V, t);                                                          \
            break;                                                                       \
        case 2:                                                                          \
            microtile(2, V, t);                                                          \
            break;                                                                       \
        default:                                                                         \
            microtile(1, V, t);                                                          \
        }                                                                                \
    }
MICROKERNELS(1)
MICROKERNELS(2)
MICROKERNELS(3)
#undef MICROKERNELS

static void microkernel(const struct microtile *t)
{
    if (t->vectors == 3)
        microkernel_3(t);
    else if (t->vectors == 2)
        microkernel_2(t);
    else
        microkernel_1(t);
}

/* ---- products of bfloat16
 * --------------------------------------------------------------------------- */

#if defined(SIMD_AVX512)
enum { ROWS16 = 4, VECTORS16 = 3 }; /* of two sums each, as many as there are registers */
#elif defined(SIMD_AVX2)
enum { ROWS16 = 2, VECTORS16 = 1 };
#else
enum { ROWS16 = 1, VECTORS16 = 1 };
#endif

/* x[i][l] of a block's inputs, as floats: the even ones, then the odd ones. */
static inline void widen(int rows, const bfloat16 *x, size_t ldx, real wide[ROWS16][KB16])
{
    for (int i = 0; i < rows; i++, x += ldx) {
        const struct bf16_pair *pairs = (const struct bf16_pair *)x;
        simd16_store(wide[i], simd16_even(pairs));
        simd16_store(wide[i] + VECTOR, simd16_odd(pairs));
    }
}

/* Adds one block to `vectors` vectors of each row, from column `first` on. */
static inline __attribute__((always_inline)) void add_block(int rows, int vectors,
                                                            const struct bf16_pair *panel,
                                                            real wide[ROWS16][KB16],
                                                            real *const *y, int first)
{
    panel += first;
    simd16 sum[ROWS16][VECTORS16][2];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            sum[i][j][0] = sum[i][j][1] = simd16_set(0);
    for (int p = 0; p < KB16 / 2; p++, panel += NR) {
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            simd16 even = simd16_even(panel + VECTOR * j),
                   odd = simd16_odd(panel + VECTOR * j);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                sum[i][j][0] =
                    simd16_fma_flushed(simd16_set(wide[i][p]), even, sum[i][j][0]);
                sum[i][j][1] = simd16_fma_flushed(simd16_set(wide[i][VECTOR + p]), odd,
                                                  sum[i][j][1]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            real *to = y[i] + first + VECTOR * j;
            simd16 both = simd16_add_flushed(sum[i][j][0], sum[i][j][1]);
            simd16_store(to, simd16_add_flushed(simd16_load(to), both));
        }
}

/* Rows of all blocks; `sums` are NR wide. */
static void add_blocks(const struct microtile_bf16 *t, int first, int rows,
                       real *const *sums)
{
    real wide[ROWS16][KB16];
    int vectors = (t->width + VECTOR - 1) / VECTOR;
    const struct bf16_pair *panel = t->panel;
    const bfloat16 *x = t->x + (size_t)first * t->ldx;
    for (int b = 0; b < t->blocks; b++, x += KB16, panel += KB16 / 2 * NR) {
        int j = 0;
        widen(rows, x, t->ldx, wide);
        for (; rows == ROWS16 && j + VECTORS16 <= vectors; j += VECTORS16)
            add_block(ROWS16, VECTORS16, panel, wide, sums, VECTOR * j);
        for (; j < vectors; j++)
            for (int i = 0; i < rows; i++)
                add_block(1, 1, panel, &wide[i], &sums[i], VECTOR * j);
    }
}

static void microkernel_bf16(const struct microtile_bf16 *t)
{
    unsigned mode = simd16_flush_begin();
    for (int first = 0; first < t->rows; first += ROWS16) {
        int rows = t->rows - first < ROWS16 ? t->rows - first : ROWS16;
        _Alignas(64) real sums[ROWS16][NR] = {{0}};
        real *at[ROWS16];
        size_t bytes = (size_t)t->width * sizeof(real);
        for (int i = 0; i < rows; i++) {
            at[i] = sums[i];
            if (!t->overwrite)
                memcpy(sums[i], t->y[first + i], bytes);
        }
        add_blocks(t, first, rows, at);
        for (int i = 0; i < rows; i++)
            memcpy(t->y[first + i], sums[i], bytes);
    }
    simd16_flush_end(mode);
}

#if defined(SIMD_AVX512)
/* The bfloat16 next to each number, in the upper half of its bits. */
static inline __m512i upper_halves(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i last = _mm512_and_epi32(_mm512_srli_epi32(bits, 16), one);
    __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
    __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __mmask16 is_tiny = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
    rounded = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_mask_and_epi32(rounded, is_tiny, bits,
                                 _mm512_set1_epi32((int)0x80000000u));
}

static void round_bf16(size_t n, const real *x, bfloat16 *y)
{
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = first_lanes(n - i);
        __m512i halves = upper_halves(_mm512_maskz_loadu_ps(mask, x + i));
        _mm512_mask_cvtepi32_storeu_epi16(y + i, mask, _mm512_srli_epi32(halves, 16));
    }
}

static void round_bf16_pairs(size_t n, const real *even, const real *odd,
                             struct bf16_pair *y)
{
    const __m512i upper = _mm512_set1_epi32(-65536);
    for (size_t i = 0; i < n; i += VECTOR) {
        __mmask16 mask = first_lanes(n - i);
        __m512i first = upper_halves(_mm512_maskz_loadu_ps(mask, even + i));
        __m512i second = upper_halves(_mm512_maskz_loadu_ps(mask, odd + i));
        __m512i pairs = _mm512_or_epi32(_mm512_srli_epi32(first, 16),
                                        _mm512_and_epi32(second, upper));
        _mm512_mask_storeu_epi32(y + i, mask, pairs);
    }
}
#else
static inline uint32_t bits_of_bfloat16(real x)
{
    float narrow = (float)x;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    uint32_t size = bits & 0x7fffffff;
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t quiet = bits >> 16 | 0x40; /* of a NaN */
    uint32_t zero = bits >> 16 & 0x8000;
    rounded = size > 0x7f800000 ? quiet : rounded;
    return size < 0x00800000 ? zero : rounded;
}

static void round_bf16(size_t n, const real *restrict x, bfloat16 *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (bfloat16)bits_of_bfloat16(x[i]);
}

static void round_bf16_pairs(size_t n, const real *restrict even,
                             const real *restrict odd, struct bf16_pair *restrict y)
{
    for (size_t i = 0; i < n; i++) {
        y[i].even = (bfloat16)bits_of_bfloat16(even[i]);
        y[i].odd = (bfloat16)bits_of_bfloat16(odd[i]);
    }
}
#endif

/* ---- transposing
 * -------------------------------------------------------------------------- */

#define TRANSPOSE_ELEMENTS(rows, columns, x, ldx, y, ldy)                                \
    for (size_t i = 0; i < (size_t)(rows); i++)                                          \
        for (size_t j = 0; j < (size_t)(columns); j++)                                   \
    (y)[j * (ldy) + i] = (x)[i * (ldx) + j]

#if defined(SIMD_AVX512)
/* y := the transpose of 16 x 16 elements of 4 bytes. In four rounds: pairs of rows
 * exchange every other element, then pairs of elements, then quarters of a register,
 * twice. */
static inline void transpose_square(const float *x, size_t ldx, float *y, size_t ldy)
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
#define TRANSPOSE(rows, columns, x, ldx, y, ldy)                                         \
    do {                                                                                 \
        if ((rows) == VECTOR && (columns) == VECTOR)                                     \
            transpose_square((const float *)(x), ldx, (float *)(y), ldy);                \
        else                                                                             \
            TRANSPOSE_ELEMENTS(rows, columns, x, ldx, y, ldy);                           \
    } while (0)
#else
#define TRANSPOSE TRANSPOSE_ELEMENTS
#endif

static void transpose(int rows, int columns, const real *restrict x, size_t ldx,
                      real *restrict y, size_t ldy)
{
    TRANSPOSE(rows, columns, x, ldx, y, ldy);
}

static void transpose_pairs(int rows, int columns, const struct bf16_pair *restrict x,
                            size_t ldx, struct bf16_pair *restrict y, size_t ldy)
{
    TRANSPOSE(rows, columns, x, ldx, y, ldy);
}

/* Only amx has state to set up. */
static void no_state(void)
{
}

/* ---- LSTM
 * -------------------------------------------------------------------------------- */

static void lstm_forward(int hidden, real *gates, const real *bias, const real *c_prev,
                         real *c_next, real *tanh_c, real *h_next, real *h,
                         struct dropout_mask dropout)
{
    enum { CELL = 2 };
    for (int q = 0; q < 4; q++)
        for (int j = 0; j < hidden; j += VECTOR) {
            int at = q * hidden + j, n = hidden - j;
            simd16 a = simd16_add(load_part(gates + at, n), load_part(bias + at, n));
            store_part(gates + at, q == CELL ? simd16_tanh(a) : simd16_sigmoid(a), n);
        }
    const real *at_i = gates, *at_f = at_i + hidden, *at_g = at_f + hidden,
               *at_o = at_g + hidden;
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j;
        simd16 new = simd16_multiply(load_part(at_i + j, n), load_part(at_g + j, n));
        simd16 c = simd16_fma(load_part(at_f + j, n), load_part(c_prev + j, n), new);
        simd16 t = simd16_tanh(c);
        simd16 out = simd16_multiply(load_part(at_o + j, n), t);
        store_part(c_next + j, c, n);
        store_part(tanh_c + j, t, n);
        store_part(h_next + j, out, n);
        store_part(h + j, drop_part(out, &dropout, j, n), n);
    }
}

/* x (1 - x) y and (1 - x^2) y: gradients through sigmoid and tanh, from their outputs */
static inline simd16 through_sigmoid(simd16 x, simd16 y)
{
    return simd16_multiply(y, simd16_multiply(x, simd16_subtract(simd16_set(1), x)));
}

static inline simd16 through_tanh(simd16 x, simd16 y)
{
    return simd16_multiply(y, simd16_subtract(simd16_set(1), simd16_multiply(x, x)));
}

static void lstm_backward(int hidden, real *gates, const real *c_prev, const real *tanh_c,
                          const real *dh, struct dropout_mask dropout,
                          const real *dh_next, real *dc)
{
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j;
        real *at_i = gates + j, *at_f = at_i + hidden, *at_g = at_f + hidden,
             *at_o = at_g + hidden;
        simd16 i = load_part(at_i, n), f = load_part(at_f, n), g = load_part(at_g, n),
               o = load_part(at_o, n), t = load_part(tanh_c + j, n);
        simd16 dout = drop_part(load_part(dh + j, n), &dropout, j, n);
        dout = simd16_add(dout, load_part(dh_next + j, n));
        simd16 dcell =
            simd16_add(load_part(dc + j, n), through_tanh(t, simd16_multiply(dout, o)));
        store_part(at_o, through_sigmoid(o, simd16_multiply(dout, t)), n);
        store_part(at_i, through_sigmoid(i, simd16_multiply(dcell, g)), n);
        store_part(at_g, through_tanh(g, simd16_multiply(dcell, i)), n);
        simd16 before = load_part(c_prev + j, n);
        store_part(at_f, through_sigmoid(f, simd16_multiply(dcell, before)), n);
        store_part(dc + j, simd16_multiply(dcell, f), n);
    }
}

/* ---- GRU
 * --------------------------------------------------------------------------------- */

static void gru_forward(int hidden, real *x, const real *bias_ih, const real *u,
                        const real *h_prev, real *h_next, real *h,
                        struct dropout_mask dropout)
{
    for (int j = 0; j < 2 * hidden; j += VECTOR) {
        int n = 2 * hidden - j;
        simd16 a = simd16_add(load_part(x + j, n), load_part(bias_ih + j, n));
        store_part(x + j, simd16_sigmoid(simd16_add(a, load_part(u + j, n))), n);
    }
    const real *at_r = x, *at_z = at_r + hidden;
    real *at_n = x + 2 * hidden;
    bias_ih += 2 * hidden;
    u += 2 * hidden;
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j;
        simd16 c = simd16_add(load_part(at_n + j, n), load_part(bias_ih + j, n));
        c = simd16_tanh(simd16_fma(load_part(at_r + j, n), load_part(u + j, n), c));
        simd16 change = simd16_subtract(load_part(h_prev + j, n), c);
        simd16 out = simd16_fma(load_part(at_z + j, n), change, c);
        store_part(at_n + j, c, n);
        store_part(h_next + j, out, n);
        store_part(h + j, drop_part(out, &dropout, j, n), n);
    }
}

static void gru_backward(int hidden, real *x, real *u, const real *h_prev, const real *dh,
                         struct dropout_mask dropout, real *dh_next)
{
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j, at_z = hidden + j, at_n = 2 * hidden + j;
        simd16 r = load_part(x + j, n), z = load_part(x + at_z, n),
               c = load_part(x + at_n, n);
        simd16 dout = drop_part(load_part(dh + j, n), &dropout, j, n);
        dout = simd16_add(dout, load_part(dh_next + j, n));
        simd16 before = load_part(h_prev + j, n);
        simd16 dz = through_sigmoid(z, simd16_multiply(dout, simd16_subtract(before, c)));
        simd16 dn =
            through_tanh(c, simd16_multiply(dout, simd16_subtract(simd16_set(1), z)));
        simd16 dr = through_sigmoid(r, simd16_multiply(dn, load_part(u + at_n, n)));
        store_part(x + j, dr, n);
        store_part(x + at_z, dz, n);
        store_part(x + at_n, dn, n);
        store_part(u + j, dr, n);
        store_part(u + at_z, dz, n);
        store_part(u + at_n, simd16_multiply(dn, r), n);
        store_part(dh_next + j, simd16_multiply(dout, z), n);
    }
}

/* ---- softmax
 * ----------------------------------------------------------------------------- */

/* The lowest index of equals; what is not a number is passed over. In each lane the
 * largest so far and its index, which a real holds exactly. */
static int index_of_largest(int n, const real *values)
{
    real counting[VECTOR], size[VECTOR], index[VECTOR];
    for (int i = 0; i < VECTOR; i++)
        counting[i] = (real)i;
    simd16 largest = simd16_set(-(real)INFINITY), best = simd16_set(0);
    simd16 at = simd16_load(counting);
    int whole = n - n % VECTOR;
    for (int i = 0; i < whole; i += VECTOR) {
        simd16 value = simd16_load(values + i);
        best = simd16_if_less(largest, value, at, best);
        largest = simd16_if_less(largest, value, value, largest);
        at = simd16_add(at, simd16_set(VECTOR));
    }
    simd16_store(size, largest);
    simd16_store(index, best);
    int first = 0;
    for (int i = 1; i < VECTOR; i++)
        if (size[i] > size[first] || (size[i] == size[first] && index[i] < index[first]))
            first = i;
    int found = (int)index[first];
    for (int i = whole; i < n; i++)
        if (values[i] > size[first]) {
            size[first] = values[i];
            found = i;
        }
    return found;
}

/* exp(x - largest) over a row into `out`; returns the sum, taken in 16 partial sums. */
static double exponentials(int n, const real *x, real largest, real *out)
{
    real partial[VECTOR];
    simd16 sum = simd16_set(0);
    for (int j = 0; j < n; j += VECTOR) {
        int left = n - j;
        simd16 e =
            simd16_exp(simd16_subtract(load_part(x + j, left), simd16_set(largest)));
        store_part(out + j, e, left);
        sum = simd16_add(sum, load_part(out + j, left)); /* zeros behind the end */
    }
    simd16_store(partial, sum);
    double total = 0;
    for (int i = 0; i < VECTOR; i++)
        total += (double)partial[i];
    return total;
}

static double softmax_cross_entropy(int n, real *logits, int target, bool gradient,
                                    int *best)
{
    *best = index_of_largest(n, logits);
    real largest = logits[*best], wanted = logits[target];
    if (!gradient) {
        real scratch[VECTOR];
        double total = 0;
        for (int j = 0; j < n; j += VECTOR)
            total += exponentials(n - j < VECTOR ? n - j : VECTOR, logits + j, largest,
                                  scratch);
        return (double)(wanted - largest) - log(total);
    }
    double total = exponentials(n, logits, largest, logits);
    simd16 inverse = simd16_set((real)(1 / total));
    for (int j = 0; j < n; j += VECTOR)
        store_part(logits + j, simd16_multiply(load_part(logits + j, n - j), inverse),
                   n - j);
    logits[target] -= 1;
    return (double)(wanted - largest) - log(total);
}

/* ---- the exact sum
 * --------------------------------------------------------------------------- */

#if defined(SIMD_AVX512)
/* Adds, or puts, eight integers of which `mask` says which are there. */
static inline void add_eight(int64_t *sums, __m256 products, __mmask8 mask,
                             bool overwrite)
{
    __m512i sum = _mm512_cvtps_epi64(products); /* to the nearest */
    if (!overwrite)
        sum = _mm512_add_epi64(sum, _mm512_maskz_loadu_epi64(mask, sums));
    _mm512_mask_storeu_epi64(sums, mask, sum);
}

/* The product with a power of two is exact. */
static inline int add_row(int64_t *sums, const float *values, int n, bool overwrite,
                          __m512 scale, __m512 bound)
{
    int bad = 0;
    for (int i = 0; i < n; i += VECTOR) {
        __mmask16 mask = first_lanes((size_t)(n - i));
        __m512 x = _mm512_maskz_loadu_ps(mask, values + i);
        __mmask16 good = _mm512_cmp_ps_mask(_mm512_abs_ps(x), bound, _CMP_LE_OQ);
        __m512 products = _mm512_maskz_mul_ps(good, x, scale);
        add_eight(sums + i, _mm512_castps512_ps256(products), (__mmask8)mask, overwrite);
        if (n - i > VECTOR / 2)
            add_eight(sums + i + VECTOR / 2, _mm512_extractf32x8_ps(products, 1),
                      (__mmask8)(mask >> VECTOR / 2), overwrite);
        if (good != 0xffff)
            bad += VECTOR - __builtin_popcount(good);
    }
    return bad;
}
#else
static inline int64_t bits_of(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* A double in [2^52, 2^53) counts in ones: adding ONES to a number below 2^51 in
 * magnitude rounds it to an integer (ties to even), which is then the difference of the
 * bits; so no conversion instruction is needed that only new processors have.
 *
 * The product is exact but may have 63 bits, so it is cut at bit 32: high * 2^32 + low
 * with |low| <= 2^31. A float has 24 bits, so low is exact; and rounding it rounds the
 * product. */
static inline int add_row(int64_t *restrict sums, const float *restrict values, int n,
                          bool overwrite, double scale, float bound)
{
    const double ones = 0x1.8p52;
    int64_t keep = overwrite ? 0 : -1; /* all bits */
    int bad = 0;
    for (int i = 0; i < n; i++) {
        float x = values[i];
        int good = fabsf(x) <= bound; /* not so for a NaN */
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
#endif

static int add_fixed_point(const struct fixed_point *block)
{
    int bad = 0;
#if defined(SIMD_AVX512)
    const __m512 scale = _mm512_set1_ps((float)block->scale),
                 bound = _mm512_set1_ps(block->bound);
#else
    const double scale = block->scale;
    const float bound = block->bound;
#endif
    for (size_t r = 0; r < (size_t)block->rows; r++)
        bad += add_row(block->sums + r * block->ld_sums,
                       block->values + r * block->ld_values, block->width,
                       block->overwrite, scale, bound);
    return bad;
}

/* ---- the limit
 * ------------------------------------------------------------------------------ */

#if defined(SIMD_AVX512)
enum { AT_ONCE = 24 };
#else
enum { AT_ONCE = 6 }; /* two registers each, or more */
#endif

static double peak(size_t times)
{
    simd16 sums[AT_ONCE], half = simd16_set((real)0.5), one = simd16_set(1);
    real ends[VECTOR];
    volatile real kept; /* so that they are computed */
    for (int i = 0; i < AT_ONCE; i++)
        sums[i] = simd16_set((real)i);
    for (size_t n = 0; n < times; n++)
#pragma GCC unroll 24
        for (int i = 0; i < AT_ONCE; i++)
            sums[i] = simd16_fma(sums[i], half, one);
    for (int i = 1; i < AT_ONCE; i++)
        sums[0] = simd16_add(sums[0], sums[i]);
    simd16_store(ends, sums[0]);
    kept = ends[0];
    (void)kept;
    return 2.0 * VECTOR * AT_ONCE * (double)times;
}

const struct kernels KERNELS_NAME = {
    .name = KERNELS_LABEL,
    .microkernel = microkernel,
    .bf16_begin = no_state,
    .bf16_end = no_state,
    .microkernel_bf16 = microkernel_bf16,
    .round_bf16 = round_bf16,
    .round_bf16_pairs = round_bf16_pairs,
    .transpose = transpose,
    .transpose_pairs = transpose_pairs,
    .lstm_forward = lstm_forward,
    .lstm_backward = lstm_backward,
    .gru_forward = gru_forward,
    .gru_backward = gru_backward,
    .softmax_cross_entropy = softmax_cross_entropy,
    .add_fixed_point = add_fixed_point,
    .peak = peak,
    .exp = map_exp,
    .tanh = map_tanh,
    .sigmoid = map_sigmoid,
};
