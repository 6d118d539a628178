/* body: the kernels, written once over `lanes`; included by the file of each instruction
 * set, which defines KERNELS_NAME (the name of the table) and KERNELS_LABEL.
 */
#include "lanes.h"
#include "kernels.h"

/* The first `n` of 16 lanes, zeros behind; n may exceed 16. */
static inline lanes load_part(const real *p, int n)
{
    if (n >= LANES)
        return lanes_load(p);
    real padded[LANES] = {0};
    memcpy(padded, p, (size_t)n * sizeof *p);
    return lanes_load(padded);
}

static inline void store_part(real *p, lanes a, int n)
{
    if (n >= LANES) {
        lanes_store(p, a);
        return;
    }
    real padded[LANES];
    lanes_store(padded, a);
    memcpy(p, padded, (size_t)n * sizeof *p);
}

/* Behind dropout. */
static inline lanes keep_part(lanes a, const struct keep *keep, int first, int n)
{
    uint8_t padded[LANES] = {0};
    if (!keep->kept)
        return a;
    a = lanes_multiply(a, lanes_set(keep->factor));
    if (n >= LANES)
        return lanes_if_kept(keep->kept + first, a);
    memcpy(padded, keep->kept + first, (size_t)n);
    return lanes_if_kept(padded, a);
}

/* ---- exp, tanh, sigmoid
 * ------------------------------------------------------------------ */

#ifdef TUTTI_DOUBLE
/* The double build is the tests' reference: the C library's functions. */
static inline lanes lanes_exp(lanes x)
{
    for (int i = 0; i < LANES; i++)
        x.lane[i] = exp(x.lane[i]);
    return x;
}

static inline lanes lanes_tanh(lanes x)
{
    for (int i = 0; i < LANES; i++)
        x.lane[i] = tanh(x.lane[i]);
    return x;
}
#else
/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) by the polynomial of
 * Cephes' expf (S. Moshier). Inputs are held to [-87.3, 88]: the result is never 0,
 * subnormal or infinite. NaN stays NaN. */
static inline lanes lanes_exp(lanes x)
{
    x = lanes_min(lanes_set(88.0f), x); /* the order keeps a NaN */
    x = lanes_max(lanes_set(-87.3f), x);
    const lanes to_integer = lanes_set(0x1.8p23f); /* added, it rounds to an integer */
    lanes n = lanes_fma(x, lanes_set(1.44269504f), to_integer);
    n = lanes_subtract(n, to_integer);
    lanes r = lanes_fma(n, lanes_set(-0.693359375f), x);
    r = lanes_fma(n, lanes_set(2.12194440e-4f), r);
    lanes p = lanes_set(1.9875691500e-4f);
    p = lanes_fma(p, r, lanes_set(1.3981999507e-3f));
    p = lanes_fma(p, r, lanes_set(8.3334519073e-3f));
    p = lanes_fma(p, r, lanes_set(4.1665795894e-2f));
    p = lanes_fma(p, r, lanes_set(1.6666665459e-1f));
    p = lanes_fma(p, r, lanes_set(5.0000001201e-1f));
    p = lanes_fma(p, lanes_multiply(r, r), r);
    p = lanes_add(p, lanes_set(1.0f));
    return lanes_scale(p, n);
}

/* Below 0.625 the odd polynomial of Cephes' tanhf, above 1 - 2 / (exp(2|x|) + 1). */
static inline lanes lanes_tanh(lanes x)
{
    lanes size = lanes_absolute(x);
    lanes square = lanes_multiply(x, x);
    lanes p = lanes_set(-5.70498872745e-3f);
    p = lanes_fma(p, square, lanes_set(2.06390887954e-2f));
    p = lanes_fma(p, square, lanes_set(-5.37397155531e-2f));
    p = lanes_fma(p, square, lanes_set(1.33314422036e-1f));
    p = lanes_fma(p, square, lanes_set(-3.33332819422e-1f));
    lanes small = lanes_fma(lanes_multiply(p, square), x, x);
    lanes e = lanes_exp(lanes_add(size, size));
    lanes rest = lanes_divide(lanes_set(2.0f), lanes_add(e, lanes_set(1.0f)));
    lanes large = lanes_copy_sign(lanes_subtract(lanes_set(1.0f), rest), x);
    return lanes_if_less(size, lanes_set(0.625f), small, large);
}
#endif

static inline lanes lanes_sigmoid(lanes x)
{
    lanes e = lanes_exp(lanes_subtract(lanes_set(0), x));
    return lanes_divide(lanes_set(1), lanes_add(lanes_set(1), e));
}

#define KERNEL_MAP(name, function)                                                       \
    static void name(size_t n, const real *x, real *y)                                   \
    {                                                                                    \
        for (size_t i = 0; i < n; i += LANES) {                                          \
            int left = n - i < LANES ? (int)(n - i) : LANES;                             \
            store_part(y + i, function(load_part(x + i, left)), left);                   \
        }                                                                                \
    }
KERNEL_MAP(exponential, lanes_exp)
KERNEL_MAP(hyperbolic_tangent, lanes_tanh)
KERNEL_MAP(sigmoid, lanes_sigmoid)
#undef KERNEL_MAP

/* ---- tiles of products
 * -------------------------------------------------------------------- */

/* Written once for constant `rows` and `vectors`, so that where it is inlined the sums
 * stay in registers. */
#if defined(LANES_AVX512)
enum { AHEAD = 16 * PANEL }; /* the panel is fetched so far before it is needed */
static inline __attribute__((always_inline)) void tile_of(int rows, int vectors,
                                                          const struct tile *t)
{
    __m512 sum[TILE_ROWS][PANEL / VECTOR], w[PANEL / VECTOR];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            sum[i][j] =
                t->fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(t->y[i] + VECTOR * j);
    const real *panel = t->panel, *const *x = t->x;
    const char *soon = (const char *)t->soon;
    size_t at = 0, step = t->step, pace = t->pace;
    for (int l = t->k; l > 0; l--, panel += PANEL, at += step, soon += pace) {
        _mm_prefetch(soon, _MM_HINT_T1);
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
            if (t->stream)
                _mm512_stream_ps(t->y[i] + VECTOR * j, sum[i][j]);
            else
                _mm512_storeu_ps(t->y[i] + VECTOR * j, sum[i][j]);
}
#elif defined(LANES_AVX2)
/* Up to four rows and three registers of eight at a time: there are sixteen. */
enum { PART_ROWS = 4, PART = 3, REGISTER = 8 };
static inline __attribute__((always_inline)) void
part_of(int rows, int registers, const struct tile *t, int row, int offset)
{
    __m256 sum[PART_ROWS][PART], w[PART];
    const real *const *x = t->x + row;
    real *const *y = t->y + row;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < registers; j++)
            sum[i][j] = t->fresh ? _mm256_setzero_ps()
                                 : _mm256_loadu_ps(y[i] + offset + REGISTER * j);
    const real *panel = t->panel + offset;
    const char *soon = (const char *)t->soon;
    size_t at = 0, step = t->step, pace = row || offset ? 0 : t->pace;
    for (int l = t->k; l > 0; l--, panel += PANEL, at += step, soon += pace) {
        _mm_prefetch(soon, _MM_HINT_T1);
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

static inline __attribute__((always_inline)) void tile_of(int rows, int vectors,
                                                          const struct tile *t)
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
static inline void tile_of(int rows, int vectors, const struct tile *t)
{
    int width = vectors * VECTOR;
    for (int i = 0; i < rows; i++) {
        real sum[PANEL];
        for (int j = 0; j < width; j++)
            sum[j] = t->fresh ? 0 : t->y[i][j];
        for (size_t l = 0; l < (size_t)t->k; l++)
            for (int j = 0; j < width; j++)
                sum[j] = LANES_FMA(t->x[i][l * t->step], t->panel[l * PANEL + (size_t)j],
                                   sum[j]);
        memcpy(t->y[i], sum, (size_t)width * sizeof *sum);
    }
}
#endif

#define TILES(V)                                                                         \
    static void tile_##V(const struct tile *t)                                           \
    {                                                                                    \
        switch (t->rows) {                                                               \
        case 8:                                                                          \
            tile_of(8, V, t);                                                            \
            break;                                                                       \
        case 7:                                                                          \
            tile_of(7, V, t);                                                            \
            break;                                                                       \
        case 6:                                                                          \
            tile_of(6, V, t);                                                            \
            break;                                                                       \
        case 5:                                                                          \
            tile_of(5, V, t);                                                            \
            break;                                                                       \
        case 4:                                                                          \
            tile_of(4, V, t);                                                            \
            break;                                                                       \
        case 3:                                                                          \
            tile_of(3, V, t);                                                            \
            break;                                                                       \
        case 2:                                                                          \
            tile_of(2, V, t);                                                            \
            break;                                                                       \
        default:                                                                         \
            tile_of(1, V, t);                                                            \
        }                                                                                \
    }
TILES(1)
TILES(2)
TILES(3)
#undef TILES

static void tile(const struct tile *t)
{
    if (t->vectors == 3)
        tile_3(t);
    else if (t->vectors == 2)
        tile_2(t);
    else
        tile_1(t);
}

/* ---- products of bfloat16
 * --------------------------------------------------------------------------- */

#if defined(LANES_AVX512)
enum { ROWS16 = 4, VECTORS16 = 3 }; /* of two sums each, as many as there are registers */
#elif defined(LANES_AVX2)
enum { ROWS16 = 2, VECTORS16 = 1 };
#else
enum { ROWS16 = 1, VECTORS16 = 1 };
#endif

/* x[i][l] of a block's inputs, as floats: the even ones, then the odd ones. */
static inline void widen(int rows, const bfloat16 *x, size_t pitch,
                         real wide[ROWS16][BLOCK16])
{
    for (int i = 0; i < rows; i++, x += pitch) {
        const struct pair16 *pairs = (const struct pair16 *)x;
        lanes_store(wide[i], lanes_even(pairs));
        lanes_store(wide[i] + LANES, lanes_odd(pairs));
    }
}

/* Adds one block to `vectors` vectors of each row, from column `first` on. */
static inline __attribute__((always_inline)) void add_block(int rows, int vectors,
                                                            const struct pair16 *panel,
                                                            real wide[ROWS16][BLOCK16],
                                                            real *const *y, int first)
{
    panel += first;
    lanes sum[ROWS16][VECTORS16][2];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++)
            sum[i][j][0] = sum[i][j][1] = lanes_set(0);
    for (int p = 0; p < BLOCK16 / 2; p++, panel += PANEL) {
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            lanes even = lanes_even(panel + VECTOR * j),
                  odd = lanes_odd(panel + VECTOR * j);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                sum[i][j][0] =
                    lanes_fma_flushed(lanes_set(wide[i][p]), even, sum[i][j][0]);
                sum[i][j][1] =
                    lanes_fma_flushed(lanes_set(wide[i][LANES + p]), odd, sum[i][j][1]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) {
            real *to = y[i] + first + VECTOR * j;
            lanes both = lanes_add_flushed(sum[i][j][0], sum[i][j][1]);
            lanes_store(to, lanes_add_flushed(lanes_load(to), both));
        }
}

/* Rows of all blocks; `sums` are PANEL wide. */
static void add_blocks(const struct tile16 *t, int first, int rows, real *const *sums)
{
    real wide[ROWS16][BLOCK16];
    int vectors = (t->width + VECTOR - 1) / VECTOR;
    const struct pair16 *panel = t->panel;
    const bfloat16 *x = t->x + (size_t)first * t->pitch;
    for (int b = 0; b < t->blocks; b++, x += BLOCK16, panel += BLOCK16 / 2 * PANEL) {
        int j = 0;
        widen(rows, x, t->pitch, wide);
        for (; rows == ROWS16 && j + VECTORS16 <= vectors; j += VECTORS16)
            add_block(ROWS16, VECTORS16, panel, wide, sums, VECTOR * j);
        for (; j < vectors; j++)
            for (int i = 0; i < rows; i++)
                add_block(1, 1, panel, &wide[i], &sums[i], VECTOR * j);
    }
}

static void tile16(const struct tile16 *t)
{
    unsigned mode = lanes_flush_begin();
    for (int first = 0; first < t->rows; first += ROWS16) {
        int rows = t->rows - first < ROWS16 ? t->rows - first : ROWS16;
        _Alignas(64) real sums[ROWS16][PANEL] = {{0}};
        real *at[ROWS16];
        size_t bytes = (size_t)t->width * sizeof(real);
        for (int i = 0; i < rows; i++) {
            at[i] = sums[i];
            if (!t->fresh)
                memcpy(sums[i], t->y[first + i], bytes);
        }
        add_blocks(t, first, rows, at);
        for (int i = 0; i < rows; i++)
            memcpy(t->y[first + i], sums[i], bytes);
    }
    lanes_flush_end(mode);
}

#if defined(LANES_AVX512)
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

static void round16(size_t n, const real *x, bfloat16 *y)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 mask = first_lanes(n - i);
        __m512i halves = upper_halves(_mm512_maskz_loadu_ps(mask, x + i));
        _mm512_mask_cvtepi32_storeu_epi16(y + i, mask, _mm512_srli_epi32(halves, 16));
    }
}

static void round_pairs16(size_t n, const real *even, const real *odd, struct pair16 *y)
{
    const __m512i upper = _mm512_set1_epi32(-65536);
    for (size_t i = 0; i < n; i += LANES) {
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

static void round16(size_t n, const real *restrict x, bfloat16 *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (bfloat16)bits_of_bfloat16(x[i]);
}

static void round_pairs16(size_t n, const real *restrict even, const real *restrict odd,
                          struct pair16 *restrict y)
{
    for (size_t i = 0; i < n; i++) {
        y[i].even = (bfloat16)bits_of_bfloat16(even[i]);
        y[i].odd = (bfloat16)bits_of_bfloat16(odd[i]);
    }
}
#endif

/* ---- transposing
 * -------------------------------------------------------------------------- */

#define TRANSPOSE_ELEMENTS(rows, columns, x, x_pitch, y, y_pitch)                        \
    for (size_t i = 0; i < (size_t)(rows); i++)                                          \
        for (size_t j = 0; j < (size_t)(columns); j++)                                   \
    (y)[j * (y_pitch) + i] = (x)[i * (x_pitch) + j]

#if defined(LANES_AVX512)
/* y := the transpose of 16 x 16 elements of 4 bytes. In four rounds: pairs of rows
 * exchange every other element, then pairs of elements, then quarters of a register,
 * twice. */
static inline void transpose_square(const float *x, size_t x_pitch, float *y,
                                    size_t y_pitch)
{
    __m512 a[LANES], b[LANES];
#pragma GCC unroll 16
    for (size_t i = 0; i < LANES; i++)
        a[i] = _mm512_loadu_ps(x + i * x_pitch);
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4)
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
    for (size_t i = 0; i < LANES; i++)
        _mm512_storeu_ps(y + i * y_pitch, b[i]);
}
#define TRANSPOSE(rows, columns, x, x_pitch, y, y_pitch)                                 \
    do {                                                                                 \
        if ((rows) == LANES && (columns) == LANES)                                       \
            transpose_square((const float *)(x), x_pitch, (float *)(y), y_pitch);        \
        else                                                                             \
            TRANSPOSE_ELEMENTS(rows, columns, x, x_pitch, y, y_pitch);                   \
    } while (0)
#else
#define TRANSPOSE TRANSPOSE_ELEMENTS
#endif

static void transpose(int rows, int columns, const real *restrict x, size_t x_pitch,
                      real *restrict y, size_t y_pitch)
{
    TRANSPOSE(rows, columns, x, x_pitch, y, y_pitch);
}

static void transpose16(int rows, int columns, const struct pair16 *restrict x,
                        size_t x_pitch, struct pair16 *restrict y, size_t y_pitch)
{
    TRANSPOSE(rows, columns, x, x_pitch, y, y_pitch);
}

/* Only amx has something to get ready. */
static void ready16(int yes)
{
    (void)yes;
}

/* ---- LSTM
 * -------------------------------------------------------------------------------- */

static void lstm_forward(int hidden, real *gates, const real *bias, const real *c_prev,
                         real *c_next, real *tanh_c, real *h_next, real *h,
                         struct keep keep)
{
    enum { CELL = 2 };
    for (int q = 0; q < 4; q++)
        for (int j = 0; j < hidden; j += LANES) {
            int at = q * hidden + j, n = hidden - j;
            lanes a = lanes_add(load_part(gates + at, n), load_part(bias + at, n));
            store_part(gates + at, q == CELL ? lanes_tanh(a) : lanes_sigmoid(a), n);
        }
    const real *at_i = gates, *at_f = at_i + hidden, *at_g = at_f + hidden,
               *at_o = at_g + hidden;
    for (int j = 0; j < hidden; j += LANES) {
        int n = hidden - j;
        lanes new = lanes_multiply(load_part(at_i + j, n), load_part(at_g + j, n));
        lanes c = lanes_fma(load_part(at_f + j, n), load_part(c_prev + j, n), new);
        lanes t = lanes_tanh(c);
        lanes out = lanes_multiply(load_part(at_o + j, n), t);
        store_part(c_next + j, c, n);
        store_part(tanh_c + j, t, n);
        store_part(h_next + j, out, n);
        store_part(h + j, keep_part(out, &keep, j, n), n);
    }
}

/* x (1 - x) y and (1 - x^2) y: gradients through sigmoid and tanh, from their outputs */
static inline lanes through_sigmoid(lanes x, lanes y)
{
    return lanes_multiply(y, lanes_multiply(x, lanes_subtract(lanes_set(1), x)));
}

static inline lanes through_tanh(lanes x, lanes y)
{
    return lanes_multiply(y, lanes_subtract(lanes_set(1), lanes_multiply(x, x)));
}

static void lstm_backward(int hidden, real *gates, const real *c_prev, const real *tanh_c,
                          const real *dh, struct keep keep, const real *dh_next, real *dc)
{
    for (int j = 0; j < hidden; j += LANES) {
        int n = hidden - j;
        real *at_i = gates + j, *at_f = at_i + hidden, *at_g = at_f + hidden,
             *at_o = at_g + hidden;
        lanes i = load_part(at_i, n), f = load_part(at_f, n), g = load_part(at_g, n),
              o = load_part(at_o, n), t = load_part(tanh_c + j, n);
        lanes dout = keep_part(load_part(dh + j, n), &keep, j, n);
        dout = lanes_add(dout, load_part(dh_next + j, n));
        lanes dcell =
            lanes_add(load_part(dc + j, n), through_tanh(t, lanes_multiply(dout, o)));
        store_part(at_o, through_sigmoid(o, lanes_multiply(dout, t)), n);
        store_part(at_i, through_sigmoid(i, lanes_multiply(dcell, g)), n);
        store_part(at_g, through_tanh(g, lanes_multiply(dcell, i)), n);
        lanes before = load_part(c_prev + j, n);
        store_part(at_f, through_sigmoid(f, lanes_multiply(dcell, before)), n);
        store_part(dc + j, lanes_multiply(dcell, f), n);
    }
}

/* ---- GRU
 * --------------------------------------------------------------------------------- */

static void gru_forward(int hidden, real *x, const real *bias_ih, const real *u,
                        const real *h_prev, real *h_next, real *h, struct keep keep)
{
    for (int j = 0; j < 2 * hidden; j += LANES) {
        int n = 2 * hidden - j;
        lanes a = lanes_add(load_part(x + j, n), load_part(bias_ih + j, n));
        store_part(x + j, lanes_sigmoid(lanes_add(a, load_part(u + j, n))), n);
    }
    const real *at_r = x, *at_z = at_r + hidden;
    real *at_n = x + 2 * hidden;
    bias_ih += 2 * hidden;
    u += 2 * hidden;
    for (int j = 0; j < hidden; j += LANES) {
        int n = hidden - j;
        lanes c = lanes_add(load_part(at_n + j, n), load_part(bias_ih + j, n));
        c = lanes_tanh(lanes_fma(load_part(at_r + j, n), load_part(u + j, n), c));
        lanes change = lanes_subtract(load_part(h_prev + j, n), c);
        lanes out = lanes_fma(load_part(at_z + j, n), change, c);
        store_part(at_n + j, c, n);
        store_part(h_next + j, out, n);
        store_part(h + j, keep_part(out, &keep, j, n), n);
    }
}

static void gru_backward(int hidden, real *x, real *u, const real *h_prev, const real *dh,
                         struct keep keep, real *dh_next)
{
    for (int j = 0; j < hidden; j += LANES) {
        int n = hidden - j, at_z = hidden + j, at_n = 2 * hidden + j;
        lanes r = load_part(x + j, n), z = load_part(x + at_z, n),
              c = load_part(x + at_n, n);
        lanes dout = keep_part(load_part(dh + j, n), &keep, j, n);
        dout = lanes_add(dout, load_part(dh_next + j, n));
        lanes before = load_part(h_prev + j, n);
        lanes dz = through_sigmoid(z, lanes_multiply(dout, lanes_subtract(before, c)));
        lanes dn = through_tanh(c, lanes_multiply(dout, lanes_subtract(lanes_set(1), z)));
        lanes dr = through_sigmoid(r, lanes_multiply(dn, load_part(u + at_n, n)));
        store_part(x + j, dr, n);
        store_part(x + at_z, dz, n);
        store_part(x + at_n, dn, n);
        store_part(u + j, dr, n);
        store_part(u + at_z, dz, n);
        store_part(u + at_n, lanes_multiply(dn, r), n);
        store_part(dh_next + j, lanes_multiply(dout, z), n);
    }
}

/* ---- softmax
 * ----------------------------------------------------------------------------- */

/* The lowest index of equals; what is not a number is passed over. In each lane the
 * largest so far and its index, which a real holds exactly. */
static int index_of_largest(int n, const real *values)
{
    real counting[LANES], size[LANES], index[LANES];
    for (int i = 0; i < LANES; i++)
        counting[i] = (real)i;
    lanes largest = lanes_set(-(real)INFINITY), best = lanes_set(0);
    lanes at = lanes_load(counting);
    int whole = n - n % LANES;
    for (int i = 0; i < whole; i += LANES) {
        lanes value = lanes_load(values + i);
        best = lanes_if_less(largest, value, at, best);
        largest = lanes_if_less(largest, value, value, largest);
        at = lanes_add(at, lanes_set(LANES));
    }
    lanes_store(size, largest);
    lanes_store(index, best);
    int first = 0;
    for (int i = 1; i < LANES; i++)
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
    real partial[LANES];
    lanes sum = lanes_set(0);
    for (int j = 0; j < n; j += LANES) {
        int left = n - j;
        lanes e = lanes_exp(lanes_subtract(load_part(x + j, left), lanes_set(largest)));
        store_part(out + j, e, left);
        sum = lanes_add(sum, load_part(out + j, left)); /* zeros behind the end */
    }
    lanes_store(partial, sum);
    double total = 0;
    for (int i = 0; i < LANES; i++)
        total += (double)partial[i];
    return total;
}

static double softmax(int n, real *logits, int target, int gradient, int *best)
{
    *best = index_of_largest(n, logits);
    real largest = logits[*best], wanted = logits[target];
    if (!gradient) {
        real scratch[LANES];
        double total = 0;
        for (int j = 0; j < n; j += LANES)
            total +=
                exponentials(n - j < LANES ? n - j : LANES, logits + j, largest, scratch);
        return (double)(wanted - largest) - log(total);
    }
    double total = exponentials(n, logits, largest, logits);
    lanes inverse = lanes_set((real)(1 / total));
    for (int j = 0; j < n; j += LANES)
        store_part(logits + j, lanes_multiply(load_part(logits + j, n - j), inverse),
                   n - j);
    logits[target] -= 1;
    return (double)(wanted - largest) - log(total);
}

/* ---- the exact sum
 * --------------------------------------------------------------------------- */

#if defined(LANES_AVX512)
/* Adds, or puts, eight integers of which `mask` says which are there. */
static inline void add_eight(int64_t *sums, __m256 products, __mmask8 mask, int put)
{
    __m512i sum = _mm512_cvtps_epi64(products); /* to the nearest */
    if (!put)
        sum = _mm512_add_epi64(sum, _mm512_maskz_loadu_epi64(mask, sums));
    _mm512_mask_storeu_epi64(sums, mask, sum);
}

/* The product with a power of two is exact. */
static inline int add_row(int64_t *sums, const float *values, int n, int put,
                          __m512 scale, __m512 bound)
{
    int bad = 0;
    for (int i = 0; i < n; i += LANES) {
        __mmask16 mask = first_lanes((size_t)(n - i));
        __m512 x = _mm512_maskz_loadu_ps(mask, values + i);
        __mmask16 good = _mm512_cmp_ps_mask(_mm512_abs_ps(x), bound, _CMP_LE_OQ);
        __m512 products = _mm512_maskz_mul_ps(good, x, scale);
        add_eight(sums + i, _mm512_castps512_ps256(products), (__mmask8)mask, put);
        if (n - i > LANES / 2)
            add_eight(sums + i + LANES / 2, _mm512_extractf32x8_ps(products, 1),
                      (__mmask8)(mask >> LANES / 2), put);
        if (good != 0xffff)
            bad += LANES - __builtin_popcount(good);
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
                          int put, double scale, float bound)
{
    const double ones = 0x1.8p52;
    int64_t keep = put ? 0 : -1; /* all bits */
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
#if defined(LANES_AVX512)
    const __m512 scale = _mm512_set1_ps((float)block->scale),
                 bound = _mm512_set1_ps(block->bound);
#else
    const double scale = block->scale;
    const float bound = block->bound;
#endif
    for (size_t r = 0; r < (size_t)block->rows; r++)
        bad += add_row(block->sums + r * block->pitch, block->values + r * block->stride,
                       block->width, block->put, scale, bound);
    return bad;
}

/* ---- the limit
 * ------------------------------------------------------------------------------ */

#if defined(LANES_AVX512)
enum { AT_ONCE = 24 };
#else
enum { AT_ONCE = 6 }; /* two registers each, or more */
#endif

static double multiply_adds(size_t times)
{
    lanes sums[AT_ONCE], half = lanes_set((real)0.5), one = lanes_set(1);
    real ends[LANES];
    volatile real kept; /* so that they are computed */
    for (int i = 0; i < AT_ONCE; i++)
        sums[i] = lanes_set((real)i);
    for (size_t n = 0; n < times; n++)
#pragma GCC unroll 24
        for (int i = 0; i < AT_ONCE; i++)
            sums[i] = lanes_fma(sums[i], half, one);
    for (int i = 1; i < AT_ONCE; i++)
        sums[0] = lanes_add(sums[0], sums[i]);
    lanes_store(ends, sums[0]);
    kept = ends[0];
    (void)kept;
    return 2.0 * LANES * AT_ONCE * (double)times;
}

const struct kernels KERNELS_NAME = {
    .name = KERNELS_LABEL,
    .tile = tile,
    .ready16 = ready16,
    .tile16 = tile16,
    .round16 = round16,
    .round_pairs16 = round_pairs16,
    .transpose = transpose,
    .transpose16 = transpose16,
    .lstm_forward = lstm_forward,
    .lstm_backward = lstm_backward,
    .gru_forward = gru_forward,
    .gru_backward = gru_backward,
    .softmax = softmax,
    .add_fixed_point = add_fixed_point,
    .multiply_adds = multiply_adds,
    .exponential = exponential,
    .hyperbolic_tangent = hyperbolic_tangent,
    .sigmoid = sigmoid,
};
