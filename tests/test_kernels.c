/* kernels: every instruction set against the C library and a naive loop in double, and
 * against each other, bit for bit. */
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

/* Naive in double: y + W x, and how far a float chain may be from it. */
static void products_agree_with_a_naive_loop(void **state)
{
    (void)state;
    const int shapes[][3] = {
        {1, 1, 1}, {64, 16, 6}, {100, 33, 7}, {256, 64, 13}, {389, 70, 5}};
    for (size_t q = 0; q < sizeof shapes / sizeof *shapes; q++) {
        int n = shapes[q][0], k = shapes[q][1], rows = shapes[q][2];
        float *w = calloc((size_t)(n * k), sizeof *w);
        float *x = calloc((size_t)(rows * k), sizeof *x);
        float *y = calloc((size_t)(SETS * rows * n), sizeof *y);
        float *before = calloc((size_t)(rows * n), sizeof *before);
        fill(w, (size_t)(n * k), 1, 1);
        fill(x, (size_t)(rows * k), 2, 1);
        fill(before, (size_t)(rows * n), 3, 1);
        struct packed packed;
        assert_int_equal(packed_create(n, k, &packed), STATUS_OK);
        packed_set(&packed, w, (size_t)k, 0);
        for (int set = 0; set < SETS; set++) {
            const struct kernels *kernel = kernels_named(names[set]);
            float *mine = y + (size_t)(set * rows * n);
            const float *from[16];
            float *to[16];
            memcpy(mine, before, (size_t)(rows * n) * sizeof *y);
            for (int i = 0; i < rows; i++) {
                from[i] = x + i * k;
                to[i] = mine + i * n;
            }
            if (kernel)
                kernel->multiply(&packed, rows, from, to);
            for (int i = 0; kernel && i < rows; i++)
                for (int j = 0; j < n; j++) {
                    double sum = (double)before[i * n + j], size = fabs(sum);
                    for (int l = 0; l < k; l++) {
                        sum += (double)w[j * k + l] * (double)x[i * k + l];
                        size += fabs((double)w[j * k + l] * (double)x[i * k + l]);
                    }
                    assert_true(fabs((double)mine[i * n + j] - sum) <=
                                (k + 1) * 6e-8 * size);
                }
            if (kernel)
                assert_memory_equal(mine, y, (size_t)(rows * n) * sizeof *y);
        }
        packed_free(&packed);
        free(w);
        free(x);
        free(y);
        free(before);
    }
}

static void packing_transposes(void **state)
{
    (void)state;
    enum { N = 70, K = 40 };
    float w[N * K], turned[K * N];
    fill(w, N * K, 4, 1);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < K; j++)
            turned[j * N + i] = w[i * K + j];
    struct packed a, b;
    assert_int_equal(packed_create(N, K, &a), STATUS_OK);
    assert_int_equal(packed_create(N, K, &b), STATUS_OK);
    packed_set(&a, w, K, 0);
    packed_set(&b, turned, N, 1);
    assert_memory_equal(a.panels, b.panels, 2 * PANEL * K * sizeof(float));
    packed_free(&a);
    packed_free(&b);
}

static void a_row_does_not_see_the_others(void **state)
{
    (void)state;
    enum { N = 128, K = 50, ROWS = 17 };
    static float w[N * K], x[ROWS * K], together[ROWS * N], alone[ROWS * N];
    fill(w, N * K, 5, 1);
    fill(x, ROWS * K, 6, 1);
    struct packed packed;
    assert_int_equal(packed_create(N, K, &packed), STATUS_OK);
    packed_set(&packed, w, K, 0);
    for (int set = 0; set < SETS; set++) {
        const struct kernels *kernel = kernels_named(names[set]);
        const float *from[ROWS];
        float *to[ROWS];
        memset(together, 0, sizeof together);
        memset(alone, 0, sizeof alone);
        for (int i = 0; i < ROWS; i++) {
            from[i] = x + i * K;
            to[i] = together + i * N;
        }
        if (!kernel)
            continue;
        kernel->multiply(&packed, ROWS, from, to);
        for (int i = 0; i < ROWS; i++) {
            float *mine = alone + i * N;
            kernel->multiply(&packed, 1, &from[i], &mine);
        }
        assert_memory_equal(together, alone, sizeof alone);
    }
    packed_free(&packed);
}

enum { H = 37, V = 53 };

/* Runs every element-wise kernel on the same numbers; all that they write, in `out`. */
static void run_cells(const struct kernels *k, float out[8 * H * 4 + V])
{
    float gates[4 * H], bias[4 * H], c_prev[H], c_next[H], tanh_c[H], h[H], h_next[H],
        dh[H], dc[H], u[3 * H];
    float *at = out;
    fill(gates, 4 * H, 10, 3);
    fill(bias, 4 * H, 11, 1);
    fill(c_prev, H, 12, 2);
    fill(dh, H, 13, 1);
    fill(dc, H, 14, 1);
    k->lstm_forward(H, gates, bias, c_prev, c_next, tanh_c, h, h_next);
    assert_memory_equal(h, h_next, sizeof h);
    memcpy(at, h, sizeof h), at += H;
    memcpy(at, c_next, sizeof h), at += H;
    k->lstm_backward(H, gates, c_prev, tanh_c, dh, dc);
    memcpy(at, gates, sizeof gates), at += 4 * H;
    memcpy(at, dc, sizeof dc), at += H;
    fill(gates, 3 * H, 15, 3);
    fill(u, 3 * H, 16, 3);
    k->gru_forward(H, gates, bias, u, c_prev, h, h_next);
    memcpy(at, h, sizeof h), at += H;
    k->gru_backward(H, gates, u, c_prev, dh);
    memcpy(at, gates, 3 * sizeof h), at += 3 * H;
    memcpy(at, u, 3 * sizeof h), at += 3 * H;
    memcpy(at, dh, sizeof h), at += H;
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
        cmocka_unit_test(products_agree_with_a_naive_loop),
        cmocka_unit_test(packing_transposes),
        cmocka_unit_test(a_row_does_not_see_the_others),
        cmocka_unit_test(instruction_sets_give_the_same_bits),
        cmocka_unit_test(softmax_is_a_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
