/* kernels: every instruction set against the C library, single chains of fmaf, and each
 * other, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tutti/kernels.h"
#include "tutti/rng.h"

static const char *const names[] = {"portable", "avx2", "avx512"};
enum { SETS = 3 };

static void fill(float *values, size_t count, uint64_t what, double bound)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(bound * (2 * rng_uniform(7, RNG_TEST, what, i, 0) - 1));
}

/* Distance in units in the last place of the exact value. */
static double ulps(float got, double exact)
{
    int exponent;
    frexp(exact, &exponent);
    double ulp = ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
    return fabs((double)got - exact) / ulp;
}

typedef void map(size_t n, const float *x, float *y);

static double worst_error(map *function, double (*exact)(double), double low, double high)
{
    enum { POINTS = 1 << 18, BATCH = 1024 };
    float x[BATCH], y[BATCH];
    double worst = 0;
    for (int i = 0; i < POINTS; i += BATCH) {
        for (int j = 0; j < BATCH; j++)
            x[j] = (float)(low + (high - low) * (i + j) / POINTS);
        function(BATCH, x, y);
        for (int j = 0; j < BATCH; j++)
            worst = fmax(worst, ulps(y[j], exact((double)x[j])));
    }
    return worst;
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void functions_are_accurate(void **state)
{
    (void)state;
    for (int i = 0; i < SETS; i++) {
        const struct kernels *k = kernels_named(names[i]);
        if (!k)
            continue;
        double e = worst_error(k->exponential, exp, -87, 88);
        double t = worst_error(k->hyperbolic_tangent, tanh, -10, 10);
        double near = worst_error(k->hyperbolic_tangent, tanh, -0.01, 0.01);
        double s = worst_error(k->sigmoid, exact_sigmoid, -80, 80);
        print_message("%s: exp %.2f, tanh %.2f (near 0: %.2f), sigmoid %.2f ulp\n",
                      k->name, e, t, near, s);
        assert_true(e <= 1.5);
        assert_true(t <= 2.5 && near <= 2.5);
        assert_true(s <= 3.0);
    }
}

static void functions_pass_nan_on(void **state)
{
    (void)state;
    for (int i = 0; i < SETS; i++) {
        const struct kernels *k = kernels_named(names[i]);
        if (!k)
            continue;
        map *functions[] = {k->exponential, k->hyperbolic_tangent, k->sigmoid};
        for (int f = 0; f < 3; f++) {
            float x[3] = {NAN, INFINITY, -INFINITY}, y[3];
            functions[f](3, x, y);
            assert_true(isnan(y[0]));
            assert_true(!isnan(y[1]));
            assert_true(!isnan(y[2]));
        }
    }
}

/* What a tile promises, one chain at a time. */
static void chains(int rows, int width, int k, const float *panel, const float *x,
                   size_t row, size_t step, int fresh, float *y)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < width; j++) {
            float sum = fresh ? 0 : y[i * PANEL + j];
            for (int l = 0; l < k; l++)
                sum = fmaf(x[(size_t)i * row + (size_t)l * step], panel[l * PANEL + j],
                           sum);
            y[i * PANEL + j] = sum;
        }
}

/* Every set, every shape, rows side by side (as forward) and interleaved (as gradients
 * have them), to the bit; nothing is written beside the tile. */
static void tiles_are_chains(void **state)
{
    (void)state;
    enum { K = 37, ROOM = TILE_ROWS * PANEL };
    static _Alignas(64) float panel[K * PANEL];
    float x[TILE_ROWS * K], before[ROOM], expected[ROOM], got[ROOM];
    fill(panel, K * PANEL, 1, 1);
    fill(x, TILE_ROWS * K, 2, 1);
    fill(before, ROOM, 3, 1);
    for (int shape = 0; shape < SETS * TILE_ROWS * 3 * 4; shape++) {
        int set = shape % SETS, rows = shape / SETS % TILE_ROWS + 1;
        int vectors = shape / (SETS * TILE_ROWS) % 3 + 1;
        int fresh = shape / (SETS * TILE_ROWS * 3) % 2;
        int beside = shape / (SETS * TILE_ROWS * 3 * 2);
        const struct kernels *kernel = kernels_named(names[set]);
        size_t row = beside ? 1 : K, step = beside ? TILE_ROWS : 1;
        struct tile tile = {.rows = rows,
                            .vectors = vectors,
                            .k = K,
                            .fresh = fresh,
                            .panel = panel,
                            .step = step,
                            .soon = panel,
                            .pace = 64};
        memcpy(expected, before, sizeof before);
        memcpy(got, before, sizeof before);
        for (int i = 0; i < rows; i++) {
            tile.x[i] = x + (size_t)i * row;
            tile.y[i] = got + i * PANEL;
        }
        chains(rows, vectors * VECTOR, K, panel, x, row, step, fresh, expected);
        if (!kernel)
            continue;
        kernel->tile(&tile);
        assert_memory_equal(expected, got, sizeof got);
    }
}

enum { H = 37, V = 53 };

static void expect_dropped(const float *h, const float *h_next, const struct keep *keep)
{
    for (int j = 0; j < H; j++) {
        float wanted = keep->kept ? keep->kept[j] ? h_next[j] * keep->factor : 0 : h_next[j];
        assert_memory_equal(&h[j], &wanted, sizeof wanted);
    }
}

/* Runs every element-wise kernel on the same numbers; all that they write, in `out`. */
static void run_cells(const struct kernels *k, float out[8 * H * 4 + V])
{
    float gates[4 * H], bias[4 * H], c_prev[H], c_next[H], tanh_c[H], h[H], h_next[H],
        dh[H], dh_next[H], dc[H], u[3 * H];
    uint8_t kept[H];
    const struct keep keep = {kept, 1.5f}, none = {NULL, 1.5f};
    float *at = out;
    for (int j = 0; j < H; j++)
        kept[j] = j % 3 != 0;
    fill(gates, 4 * H, 10, 3);
    fill(bias, 4 * H, 11, 1);
    fill(c_prev, H, 12, 2);
    fill(dh, H, 13, 1);
    fill(dc, H, 14, 1);
    fill(dh_next, H, 19, 1);
    k->lstm_forward(H, gates, bias, c_prev, c_next, tanh_c, h_next, h, keep);
    expect_dropped(h, h_next, &keep);
    memcpy(at, h_next, sizeof h), at += H;
    memcpy(at, c_next, sizeof h), at += H;
    k->lstm_backward(H, gates, c_prev, tanh_c, dh, keep, dh_next, dc);
    memcpy(at, gates, sizeof gates), at += 4 * H;
    memcpy(at, dc, sizeof dc), at += H;
    fill(gates, 3 * H, 15, 3);
    fill(u, 3 * H, 16, 3);
    k->gru_forward(H, gates, bias, u, c_prev, h_next, h, none);
    expect_dropped(h, h_next, &none);
    memcpy(at, h, sizeof h), at += H;
    k->gru_backward(H, gates, u, c_prev, dh, keep, dh_next);
    memcpy(at, gates, 3 * sizeof h), at += 3 * H;
    memcpy(at, u, 3 * sizeof h), at += 3 * H;
    memcpy(at, dh_next, sizeof h), at += H;
    float logits[V];
    int best;
    fill(logits, V, 17, 8);
    double before = k->softmax(V, logits, 5, 0, &best);
    double with_gradient = k->softmax(V, logits, 5, 1, &best);
    assert_true(fabs(before - with_gradient) < 1e-6);
    memcpy(at, logits, sizeof logits);
}

static void instruction_sets_give_the_same_bits(void **state)
{
    (void)state;
    static float first[8 * H * 4 + V], other[8 * H * 4 + V];
    run_cells(kernels_named("portable"), first);
    for (int set = 1; set < SETS; set++) {
        memset(other, 0, sizeof other);
        if (!kernels_named(names[set])) {
            print_message("%s: not on this processor\n", names[set]);
            continue;
        }
        run_cells(kernels_named(names[set]), other);
        assert_memory_equal(first, other, sizeof first);
    }
}

static void softmax_is_a_distribution(void **state)
{
    (void)state;
    float logits[V], copy[V];
    double sum = 0, total = 0;
    int best;
    fill(logits, V, 18, 6);
    logits[7] = logits[9] = 7;
    memcpy(copy, logits, sizeof copy);
    double log_p = kernels()->softmax(V, logits, 3, 1, &best);
    for (int i = 0; i < V; i++)
        total += exp((double)copy[i]);
    assert_int_equal(best, 7);
    assert_true(fabs(log_p - ((double)copy[3] - log(total))) < 1e-6);
    for (int i = 0; i < V; i++) {
        double p = exp((double)copy[i]) / total;
        assert_true(fabs((double)logits[i] - (p - (i == 3))) < 1e-6);
        sum += (double)logits[i];
    }
    assert_true(fabs(sum) < 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_accurate),
        cmocka_unit_test(functions_pass_nan_on),
        cmocka_unit_test(tiles_are_chains),
        cmocka_unit_test(instruction_sets_give_the_same_bits),
        cmocka_unit_test(softmax_is_a_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
