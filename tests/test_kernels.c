/* kernels: every instruction set against the C library, against sequential fmaf chains,
 * and against the other sets, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/kernels.h"

/* NULL if this machine does not support the instruction set. */
static const struct kernels *kernels_of(int set)
{
    return kernels_find(kernels_name(set));
}

static void fill(float *values, size_t count, uint64_t id, double bound)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(bound * (2 * rng_uniform(7, RNG_TEST, id, i, 0) - 1));
}

/* Distance in units in the last place of the exact value. */
static double ulps(float got, double exact)
{
    int exponent;
    frexp(exact, &exponent);
    double ulp = ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
    return fabs((double)got - exact) / ulp;
}

static double absolute(float got, double exact)
{
    return fabs((double)got - exact);
}

typedef void elementwise(size_t n, const float *x, float *y);

static double worst_error(elementwise *function, double (*exact)(double),
                          double (*error)(float got, double exact), double low,
                          double high)
{
    enum { POINTS = 1 << 18, BATCH = 1024 };
    float x[BATCH], y[BATCH];
    double max_error = 0;
    for (int i = 0; i < POINTS; i += BATCH) {
        for (int j = 0; j < BATCH; j++)
            x[j] = (float)(low + (high - low) * (i + j) / POINTS);
        function(BATCH, x, y);
        for (int j = 0; j < BATCH; j++)
            max_error = fmax(max_error, error(y[j], exact((double)x[j])));
    }
    return max_error;
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void exp_tanh_sigmoid_are_accurate(void **state)
{
    (void)state;
    for (int i = 0; i < kernels_count; i++) {
        const struct kernels *k = kernels_of(i);
        if (!k)
            continue;
        double e = worst_error(k->exp, exp, ulps, -87, 88);
        double t = worst_error(k->tanh, tanh, ulps, -10, 10);
        double near = worst_error(k->tanh, tanh, ulps, -0.01, 0.01);
        double s = worst_error(k->sigmoid, exact_sigmoid, absolute, -80, 80);
        print_message("%s: exp %.2f, tanh %.2f (near 0: %.2f) ulp, sigmoid %.2g\n",
                      k->name, e, t, near, s);
        assert_true(e <= 1.5);
        assert_true(t <= 6 && near <= 3);
        assert_true(s <= 2.1e-7);
    }
}

/* Also of every value that rounding might carry past the bounds. */
static void tanh_and_sigmoid_stay_within_their_bounds(void **state)
{
    (void)state;
    enum { BATCH = 1024 };
    float x[BATCH], t[BATCH], s[BATCH];
    for (int i = 0; i < kernels_count; i++) {
        const struct kernels *k = kernels_of(i);
        if (!k)
            continue;
        for (float first = -24; first < 24; first += 0x1p-6f) {
            for (int j = 0; j < BATCH; j++)
                x[j] = first + (float)j * 0x1p-16f;
            k->tanh(BATCH, x, t);
            k->sigmoid(BATCH, x, s);
            for (int j = 0; j < BATCH; j++)
                assert_true(fabsf(t[j]) <= 1 && s[j] >= 0 && s[j] <= 1);
        }
        float far[4] = {-INFINITY, -3e38f, 3e38f, INFINITY}, y[4];
        k->tanh(4, far, y);
        assert_true(y[0] == -1 && y[1] == -1 && y[2] == 1 && y[3] == 1);
        k->sigmoid(4, far, y);
        assert_true(y[0] == 0 && y[1] == 0 && y[2] == 1 && y[3] == 1);
    }
}

static void exp_tanh_sigmoid_propagate_nan(void **state)
{
    (void)state;
    for (int i = 0; i < kernels_count; i++) {
        const struct kernels *k = kernels_of(i);
        if (!k)
            continue;
        elementwise *functions[] = {k->exp, k->tanh, k->sigmoid};
        for (int f = 0; f < 3; f++) {
            float x[3] = {NAN, INFINITY, -INFINITY}, y[3];
            functions[f](3, x, y);
            assert_true(isnan(y[0]));
            assert_true(!isnan(y[1]));
            assert_true(!isnan(y[2]));
        }
    }
}

/* Reference for the microkernel: one fmaf chain per element. */
static void fma_chains(int rows, int width, int k, const float *panel, const float *x,
                       size_t row, size_t ldx, bool overwrite, float *y)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < width; j++) {
            float sum = overwrite ? 0 : y[i * NR + j];
            for (int l = 0; l < k; l++)
                sum = fmaf(x[(size_t)i * row + (size_t)l * ldx], panel[l * NR + j], sum);
            y[i * NR + j] = sum;
        }
}

/* Every instruction set and shape, with consecutive rows (as in a forward pass) and
 * interleaved rows (as in gradients), bit for bit; nothing is written outside the
 * microtile. */
static void float32_microkernel_equals_fma_chains(void **state)
{
    (void)state;
    enum { K = 37, TILE = MR * NR };
    static _Alignas(64) float panel[K * NR];
    float x[MR * K], before[TILE], expected[TILE], got[TILE];
    fill(panel, K * NR, 1, 1);
    fill(x, MR * K, 2, 1);
    fill(before, TILE, 3, 1);
    for (int shape = 0; shape < kernels_count * MR * 3 * 4; shape++) {
        int set = shape % kernels_count, rows = shape / kernels_count % MR + 1;
        int vectors = shape / (kernels_count * MR) % 3 + 1;
        bool overwrite = shape / (kernels_count * MR * 3) % 2;
        bool interleaved = shape / (kernels_count * MR * 3 * 2);
        const struct kernels *kernel = kernels_of(set);
        size_t row = interleaved ? 1 : K, ldx = interleaved ? MR : 1;
        struct microtile tile = {.rows = rows,
                                 .vectors = vectors,
                                 .k = K,
                                 .overwrite = overwrite,
                                 .panel = panel,
                                 .ldx = ldx,
                                 .prefetch = panel,
                                 .prefetch_stride = 64};
        memcpy(expected, before, sizeof before);
        memcpy(got, before, sizeof before);
        for (int i = 0; i < rows; i++) {
            tile.x[i] = x + (size_t)i * row;
            tile.y[i] = got + i * NR;
        }
        fma_chains(rows, vectors * VECTOR, K, panel, x, row, ldx, overwrite, expected);
        if (!kernel)
            continue;
        kernel->microkernel(&tile);
        assert_memory_equal(expected, got, sizeof got);
    }
}

/* ---- bfloat16 ---- */

static float widen(bfloat16 half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void bf16_rounding_is_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        uint32_t from;
        bfloat16 to;
    } cases[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3f800000, 0x3f80},
        {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82},
        {0x3f817fff, 0x3f81}, {0xbf818000, 0xbf82}, {0x7f7fffff, 0x7f80},
        {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7fc00001, 0x7fc0},
        {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff}, {0x00800000, 0x0080},
        {0x007fffff, 0x0000}, {0x80000001, 0x8000}, {0x00ffffff, 0x0100},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    for (int set = 0; set < kernels_count; set++) {
        const struct kernels *kernel = kernels_of(set);
        float x[CASES];
        bfloat16 y[CASES];
        struct bf16_pair pairs[CASES];
        if (!kernel)
            continue;
        for (int i = 0; i < CASES; i++)
            memcpy(&x[i], &cases[i].from, sizeof x[i]);
        kernel->round_bf16(CASES, x, y);
        kernel->round_bf16_pairs(CASES - 1, x, x + 1, pairs);
        for (int i = 0; i < CASES; i++)
            assert_int_equal(y[i], cases[i].to);
        for (int i = 0; i + 1 < CASES; i++) {
            assert_int_equal(pairs[i].even, cases[i].to);
            assert_int_equal(pairs[i].odd, cases[i + 1].to);
        }
    }
}

/* 0 for a magnitude below 2^-126. */
static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

/* Reference for microkernel_bf16: two chains per element. */
static float even_odd_chains(float sum, int inputs, const bfloat16 *x,
                             const struct bf16_pair *panel)
{
    for (int block = 0; block < inputs; block += KB16) {
        float even = 0, odd = 0;
        for (int l = block; l < block + KB16; l += 2) {
            const struct bf16_pair *w = panel + (size_t)l / 2 * NR;
            even = flushed(fmaf(widen(x[l]), widen(w->even), even));
            odd = flushed(fmaf(widen(x[l + 1]), widen(w->odd), odd));
        }
        sum = flushed(flushed(sum) + flushed(even + odd));
    }
    return sum;
}

/* Every instruction set, rows and widths on both sides of every edge, ordinary values and
 * some near the smallest normal numbers; nothing is written outside the microtile unless
 * it is contiguous.
 */
static void bf16_microkernel_equals_even_odd_fma_chains(void **state)
{
    (void)state;
    enum { BLOCKS = 3, K = BLOCKS * KB16, TILE = MR16 * NR };
    static _Alignas(64) struct bf16_pair panel[K / 2 * NR];
    static _Alignas(64) bfloat16 x[MR16 * K];
    static float source[2][K * NR], before[TILE], expected[TILE], got[TILE];
    static const int rows_of[] = {1, 3, 8, 15, 16, 17, 31, 32},
                     widths[] = {1, 16, 33, 48};
    for (int shape = 0; shape < kernels_count * 8 * 4 * 3 * 2; shape++) {
        const struct kernels *kernel = kernels_of(shape % kernels_count);
        int rows = rows_of[shape / kernels_count % 8],
            width = widths[shape / kernels_count / 8 % 4];
        bool overwrite = shape / kernels_count / 32 % 3 > 0;
        bool contiguous = shape / kernels_count / 32 % 3 > 1;
        int near_subnormal = shape / kernels_count / 96;
        double bound = near_subnormal ? 0x1p-62 : 1;
        struct microtile_bf16 tile = {.rows = rows,
                                      .width = width,
                                      .blocks = BLOCKS,
                                      .overwrite = overwrite,
                                      .contiguous = contiguous,
                                      .panel = panel,
                                      .x = x,
                                      .ldx = K,
                                      .prefetch = panel,
                                      .prefetch_lines = 1};
        fill(source[0], K * NR, 20, bound);
        fill(source[1], MR16 * K, 21, bound / 4);
        fill(before, TILE, 22, bound * bound);
        kernels_bf16()->round_bf16_pairs(K / 2 * NR, source[0], source[0] + K / 2 * NR,
                                         panel);
        kernels()->round_bf16(MR16 * K, source[1], x);
        memcpy(expected, before, sizeof before);
        memcpy(got, before, sizeof before);
        for (int i = 0; i < rows; i++) {
            tile.y[i] = got + i * NR;
            for (int j = 0; j < width; j++)
                expected[i * NR + j] = even_odd_chains(overwrite ? 0 : before[i * NR + j],
                                                       K, x + i * K, panel + j);
        }
        if (!kernel)
            continue;
        kernel->bf16_begin();
        kernel->microkernel_bf16(&tile);
        kernel->bf16_end();
        for (int i = 0; i < rows; i++)
            assert_memory_equal(expected + i * NR, got + i * NR,
                                (size_t)width * sizeof *got);
        if (!contiguous)
            assert_memory_equal(expected, got, sizeof got);
    }
}

/* A result is flushed if it is below 2^-126 after rounding as if exponents were
 * unbounded: halfway between 2^-126 and the next smaller number, 2^-126 - 2^-150, it
 * rounds up and is kept. Each case adds a product to 2^-126 in row 1 of 3; the other rows
 * are not near. */
static void bf16_results_are_flushed_after_rounding(void **state)
{
    (void)state;
    static const struct {
        bfloat16 x, w; /* the product */
        float expected;
    } cases[] = {
        {0x9980, 0x1980, 0x1p-126f}, /* -2^-76 2^-76 = -2^-152: rounds up */
        {0x9a00, 0x1980, 0x1p-126f}, /* -2^-75 2^-76 = -2^-151: halfway, to even */
        {0x9a01, 0x1980, 0},         /* the next larger product: rounds down */
        {0x9a00, 0x1a00, 0},         /* -2^-75 2^-75 = -2^-150: exact */
        {0x1a00, 0x1a00, 0x1p-126f}, /* 2^-150: from above */
    };
    enum { CASES = sizeof cases / sizeof *cases, ROWS = 3 };
    static _Alignas(64) struct bf16_pair panel[KB16 / 2 * NR];
    static _Alignas(64) bfloat16 x[MR16 * KB16];
    float y[ROWS * NR];
    for (int i = 0; i < kernels_count * CASES; i++) {
        const struct kernels *kernel = kernels_of(i % kernels_count);
        int at = i / kernels_count;
        struct microtile_bf16 tile = {
            .rows = ROWS, .width = NR, .blocks = 1, .panel = panel, .x = x, .ldx = KB16};
        if (!kernel)
            continue;
        for (int j = 0; j < NR; j++) {
            panel[j].even = 0x2000; /* 2^-63 */
            panel[NR + j].even = cases[at].w;
        }
        for (int row = 0; row < ROWS; row++) {
            x[row * KB16] = row == 1 ? 0x2000 : 0x3f80;
            x[row * KB16 + 2] = cases[at].x;
            tile.y[row] = y + row * NR;
            for (int j = 0; j < NR; j++)
                y[row * NR + j] = row == 1 ? 0 : 1;
        }
        kernel->bf16_begin();
        kernel->microkernel_bf16(&tile);
        kernel->bf16_end();
        for (int j = 0; j < ROWS * NR; j++)
            assert_true(y[j] == (j / NR == 1 ? cases[at].expected : 1));
    }
}

static void bf16_rounding_is_equal_on_all_instruction_sets(void **state)
{
    (void)state;
    enum { COUNT = 1 << 12, ODD = COUNT - 3 };
    static float x[COUNT];
    static bfloat16 y[COUNT], expected[COUNT];
    static struct bf16_pair pairs[ODD];
    for (uint32_t chunk = 0; chunk < 256; chunk++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t bits = (chunk * COUNT + i) * 4093 + chunk; /* over the whole range */
            memcpy(&x[i], &bits, sizeof bits);
        }
        kernels_find("portable")->round_bf16(COUNT, x, expected);
        for (int set = 0; set < kernels_count; set++) {
            const struct kernels *kernel = kernels_of(set);
            if (!kernel)
                continue;
            for (int i = ODD; i < COUNT; i++)
                y[i] = 77;
            kernel->round_bf16(ODD, x, y);
            kernel->round_bf16_pairs(ODD, x, x + 3, pairs);
            assert_memory_equal(y, expected, ODD * sizeof *y);
            for (int i = ODD; i < COUNT; i++)
                assert_int_equal(y[i], 77);
            for (int i = 0; i < ODD; i++)
                assert_true(pairs[i].even == expected[i] &&
                            pairs[i].odd == expected[i + 3]);
        }
    }
}

/* Transposes `rows` x `columns` within wider matrices, of which nothing else may
 * change. */
static void check_transpose(const struct kernels *kernel, int rows, int columns)
{
    enum { FROM = 20, TO = 17 };
    float x[16 * FROM], y[16 * TO];
    struct bf16_pair pairs[16 * FROM], transposed_pairs[16 * TO];
    for (int i = 0; i < 16 * FROM; i++) {
        x[i] = (float)i;
        pairs[i] = (struct bf16_pair){(bfloat16)i, (bfloat16)(1000 + i)};
    }
    for (int i = 0; i < 16 * TO; i++)
        y[i] = -1;
    memset(transposed_pairs, 0xff, sizeof transposed_pairs);
    kernel->transpose(rows, columns, x, FROM, y, TO);
    kernel->transpose_pairs(rows, columns, pairs, FROM, transposed_pairs, TO);
    for (int j = 0; j < 16; j++)
        for (int i = 0; i < TO; i++) {
            int inside = i < rows && j < columns, from = i * FROM + j;
            assert_true(y[j * TO + i] == (inside ? (float)from : -1));
            assert_int_equal(transposed_pairs[j * TO + i].even, inside ? from : 0xffff);
            assert_int_equal(transposed_pairs[j * TO + i].odd,
                             inside ? 1000 + from : 0xffff);
        }
}

static void blocks_are_transposed(void **state)
{
    (void)state;
    for (int set = 0; set < kernels_count; set++) {
        const struct kernels *kernel = kernels_of(set);
        if (!kernel)
            continue;
        check_transpose(kernel, 16, 16);
        check_transpose(kernel, 5, 16);
        check_transpose(kernel, 16, 3);
        check_transpose(kernel, 1, 1);
    }
}

/* NaN and infinity propagate in the rows that contain them, and in no others. */
static void bf16_microkernel_propagates_nan(void **state)
{
    (void)state;
    static _Alignas(64) struct bf16_pair panel[KB16 / 2 * NR];
    static _Alignas(64) bfloat16 x[MR16 * KB16];
    static float y[MR16 * NR];
    for (int set = 0; set < kernels_count; set++) {
        const struct kernels *kernel = kernels_of(set);
        struct microtile_bf16 tile = {.rows = 20,
                                      .width = NR,
                                      .blocks = 1,
                                      .overwrite = true,
                                      .panel = panel,
                                      .x = x,
                                      .ldx = KB16,
                                      .prefetch = panel};
        if (!kernel)
            continue;
        for (int i = 0; i < KB16 / 2 * NR; i++)
            panel[i] = (struct bf16_pair){0x3f80, 0x3f80};
        for (int i = 0; i < MR16 * KB16; i++)
            x[i] = 0x3f80;
        x[3 * KB16 + 5] = 0x7fc0;  /* NaN */
        x[17 * KB16 + 8] = 0xff80; /* - infinity */
        for (int i = 0; i < 20; i++)
            tile.y[i] = y + i * NR;
        kernel->bf16_begin();
        kernel->microkernel_bf16(&tile);
        kernel->bf16_end();
        for (int i = 0; i < 20; i++)
            for (int j = 0; j < NR; j++) {
                float got = y[i * NR + j];
                assert_true(i == 3 ? isnan(got) : i == 17 ? got == -INFINITY : got == 32);
            }
    }
}

/* ---- fixed point ---- */

/* Independent reference: the exact product in long double, rounded there. */
static int64_t to_fixed(float x, double scale)
{
    return llrintl((long double)x * (long double)scale);
}

static void fixed_point_add_is_exact(void **state)
{
    (void)state;
    enum { ROWS = 3, LD_VALUES = 53, LD_SUMS = 61 };
    static const float special[] = {NAN,       INFINITY,      -INFINITY, 0.5f,
                                    4.0f,      -2.5f,         1e-42f,    -1e-45f,
                                    0x1p-126f, 0x1.fffffep+1f};
    static const int widths[] = {1, 8, 9, 16, 17, 31, 48}, scales[] = {0, 24, 51, 60};
    enum { WIDTHS = sizeof widths / sizeof *widths };
    float values[ROWS * LD_VALUES];
    fill(values, ROWS * LD_VALUES, 30, 4);
    memcpy(values, special, sizeof special);
    memcpy(values + LD_VALUES + 1, special, sizeof special);
    for (int shape = 0; shape < kernels_count * WIDTHS * 4 * 2; shape++) {
        const struct kernels *kernel = kernels_of(shape % kernels_count);
        int width = widths[shape / kernels_count % WIDTHS];
        bool overwrite = shape / kernels_count / WIDTHS / 4;
        double scale = ldexp(1, scales[shape / kernels_count / WIDTHS % 4]);
        float bound = scale == 0x1p60 ? 3.9f : 4;
        int64_t expected[ROWS * LD_SUMS], got[ROWS * LD_SUMS];
        int rejected = 0;
        if (!kernel)
            continue;
        for (int i = 0; i < ROWS * LD_SUMS; i++)
            expected[i] = got[i] = 1000 * i - 7;
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < width; j++) {
                float x = values[r * LD_VALUES + j];
                int accepted = fabsf(x) <= bound;
                int64_t *sum = &expected[r * LD_SUMS + j];
                rejected += !accepted;
                *sum = (overwrite ? 0 : *sum) + (accepted ? to_fixed(x, scale) : 0);
            }
        const struct fixed_point_block block = {.sums = got,
                                                .ld_sums = LD_SUMS,
                                                .values = values,
                                                .ld_values = LD_VALUES,
                                                .rows = ROWS,
                                                .width = width,
                                                .overwrite = overwrite,
                                                .scale = scale,
                                                .bound = bound};
        assert_int_equal(kernel->fixed_point_add(&block), rejected);
        assert_memory_equal(expected, got, sizeof got);
    }
}

/* Independent reference: C's conversion; squares are summed in eight lanes. */
static void fixed_point_is_converted_to_float_and_squared(void **state)
{
    (void)state;
    enum { N = 1003 };
    static int64_t sums[N];
    static float expected[N], got[N];
    const double unit = 0x1p-40, factor = 1.0 / 3;
    for (uint64_t i = 0; i < N; i++) {
        struct rng_block block = rng_block(5, RNG_TEST, i, 0, 0);
        sums[i] = (int64_t)block.word[0] >> block.word[1] % 63;
    }
    sums[0] = INT64_MIN;
    sums[1] = INT64_MAX;
    for (size_t n = 0; n < N; n += n < 40 ? 1 : 321) {
        double squares[FIXED_POINT_LANES] = {0};
        for (size_t i = 0; i < n; i++) {
            double value = (double)sums[i] * unit * factor;
            expected[i] = (float)value;
            squares[i % FIXED_POINT_LANES] += value * value;
        }
        for (int set = 0; set < kernels_count; set++) {
            const struct kernels *kernel = kernels_of(set);
            double lanes[FIXED_POINT_LANES] = {0};
            if (!kernel)
                continue;
            kernel->fixed_point_add_squares(sums, n, unit, factor, lanes);
            assert_memory_equal(squares, lanes, sizeof lanes);
            got[n] = 77;
            kernel->fixed_point_to_float(sums, n, unit, factor, got);
            assert_memory_equal(expected, got, n * sizeof *got);
            assert_true(got[n] == 77);
        }
    }
}

/* ---- cells ---- */

enum { H = 37, V = 53 };

static void assert_dropout_applied(const float *h, const float *h_next,
                                   const struct dropout_mask *dropout)
{
    for (int j = 0; j < H; j++) {
        float expected =
            dropout->mask ? dropout->mask[j] ? h_next[j] * dropout->scale : 0 : h_next[j];
        assert_memory_equal(&h[j], &expected, sizeof expected);
    }
}

/* Runs every element-wise kernel on the same inputs; `out` receives all their outputs. */
static void run_cells(const struct kernels *k, float out[8 * H * 4 + V])
{
    float gates[4 * H], bias[4 * H], c_prev[H], c_next[H], tanh_c[H], h[H], h_next[H],
        dh[H], dh_next[H], dc[H], u[3 * H];
    uint8_t mask[H];
    const struct dropout_mask dropout = {mask, 1.5f}, none = {NULL, 1.5f};
    float *at = out;
    for (int j = 0; j < H; j++)
        mask[j] = j % 3 != 0;
    fill(gates, 4 * H, 10, 3);
    fill(bias, 4 * H, 11, 1);
    fill(c_prev, H, 12, 2);
    fill(dh, H, 13, 1);
    fill(dc, H, 14, 1);
    fill(dh_next, H, 19, 1);
    struct cell_step lstm = {.hidden = H,
                             .units = H,
                             .gates = gates,
                             .bias = bias,
                             .c_prev = c_prev,
                             .tanh_c = tanh_c,
                             .dropout = dropout,
                             .h = h,
                             .h_next = h_next,
                             .c_next = c_next,
                             .dh = dh,
                             .dh_next = dh_next,
                             .dc = dc};
    k->lstm_forward(&lstm);
    assert_dropout_applied(h, h_next, &dropout);
    memcpy(at, h_next, sizeof h), at += H;
    memcpy(at, c_next, sizeof h), at += H;
    k->lstm_backward(&lstm);
    memcpy(at, gates, sizeof gates), at += 4 * H;
    memcpy(at, dc, sizeof dc), at += H;
    fill(gates, 3 * H, 15, 3);
    fill(u, 3 * H, 16, 3);
    struct cell_step gru = {.hidden = H,
                            .units = H,
                            .gates = gates,
                            .gates_hh = u,
                            .bias = bias,
                            .h_prev = c_prev,
                            .dropout = none,
                            .h = h,
                            .h_next = h_next,
                            .dh = dh,
                            .dh_next = dh_next};
    k->gru_forward(&gru);
    assert_dropout_applied(h, h_next, &none);
    memcpy(at, h, sizeof h), at += H;
    gru.dropout = dropout;
    k->gru_backward(&gru);
    memcpy(at, gates, 3 * sizeof h), at += 3 * H;
    memcpy(at, u, 3 * sizeof h), at += 3 * H;
    memcpy(at, dh_next, sizeof h), at += H;
    float logits[V];
    int argmax;
    fill(logits, V, 17, 8);
    double before = k->softmax_cross_entropy(V, logits, 5, false, 0, &argmax);
    double with_gradient = k->softmax_cross_entropy(V, logits, 5, true, 0.1, &argmax);
    assert_true(fabs(before - with_gradient) < 1e-6);
    memcpy(at, logits, sizeof logits);
}

static void cells_and_softmax_are_equal_on_all_instruction_sets(void **state)
{
    (void)state;
    static float first[8 * H * 4 + V], other[8 * H * 4 + V];
    run_cells(kernels_find("portable"), first);
    for (int set = 0; set < kernels_count; set++) {
        memset(other, 0, sizeof other);
        if (!kernels_of(set)) {
            print_message("%s: not on this processor\n", kernels_name(set));
            continue;
        }
        run_cells(kernels_of(set), other);
        assert_memory_equal(first, other, sizeof first);
    }
}

/* p - q for the target 3 of V. */
static void check_softmax_gradient(double smoothing)
{
    float logits[V], copy[V];
    double sum = 0, total = 0;
    int argmax;
    fill(logits, V, 18, 6);
    logits[7] = logits[9] = 7;
    memcpy(copy, logits, sizeof copy);
    double log_p =
        kernels()->softmax_cross_entropy(V, logits, 3, true, smoothing, &argmax);
    for (int i = 0; i < V; i++)
        total += exp((double)copy[i]);
    assert_int_equal(argmax, 7);
    assert_true(fabs(log_p - ((double)copy[3] - log(total))) < 1e-6);
    for (int i = 0; i < V; i++) {
        double p = exp((double)copy[i]) / total;
        double q = i == 3 ? 1 - smoothing + smoothing / V : smoothing / V;
        assert_true(fabs((double)logits[i] - (p - q)) < 1e-6);
        sum += (double)logits[i];
    }
    assert_true(fabs(sum) < 1e-5);
}

static void softmax_gradient_is_p_minus_targets(void **state)
{
    (void)state;
    check_softmax_gradient(0);
    check_softmax_gradient(0.1);
    check_softmax_gradient(0.9);
}

/* The first of equal maxima, at any index; NaN is ignored. */
static void argmax_is_the_first_largest_logit(void **state)
{
    (void)state;
    enum { N_MAX = 70, TRIALS = 8 };
    for (int i = 0; i < kernels_count * N_MAX * TRIALS; i++) {
        const struct kernels *kernel = kernels_of(i % kernels_count);
        int n = 1 + i / kernels_count % N_MAX, argmax = -1, expected = 0;
        float logits[N_MAX];
        fill(logits, N_MAX, (uint64_t)i, 3);
        for (int j = 0; j < n; j++) {
            logits[j] = i / kernels_count % 3 ? roundf(logits[j])
                                              : logits[j]; /* with many ties */
            if (logits[j] > logits[expected])
                expected = j;
        }
        if (!kernel)
            continue;
        kernel->softmax_cross_entropy(n, logits, 0, false, 0, &argmax);
        assert_int_equal(argmax, expected);
        logits[expected ? 0 : n - 1] = NAN;
        assert_true(
            isnan(kernel->softmax_cross_entropy(n, logits, n / 2, false, 0, &argmax)));
        assert_true(n == 1 || argmax == expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_tanh_sigmoid_are_accurate),
        cmocka_unit_test(tanh_and_sigmoid_stay_within_their_bounds),
        cmocka_unit_test(exp_tanh_sigmoid_propagate_nan),
        cmocka_unit_test(float32_microkernel_equals_fma_chains),
        cmocka_unit_test(bf16_rounding_is_to_nearest_even),
        cmocka_unit_test(bf16_microkernel_equals_even_odd_fma_chains),
        cmocka_unit_test(bf16_results_are_flushed_after_rounding),
        cmocka_unit_test(bf16_microkernel_propagates_nan),
        cmocka_unit_test(bf16_rounding_is_equal_on_all_instruction_sets),
        cmocka_unit_test(blocks_are_transposed),
        cmocka_unit_test(fixed_point_add_is_exact),
        cmocka_unit_test(fixed_point_is_converted_to_float_and_squared),
        cmocka_unit_test(cells_and_softmax_are_equal_on_all_instruction_sets),
        cmocka_unit_test(softmax_gradient_is_p_minus_targets),
        cmocka_unit_test(argmax_is_the_first_largest_logit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
