/* matmul: float32 against sequential fmaf chains and bfloat16 against pairs of chains,
 * bit for bit; OpenBLAS within rounding error of them; shapes on both sides of every
 * block edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/team.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"

struct shape {
    int microbatches, rows, n, k;
};

static const struct shape shapes[] = {
    {1, 1, 1, 1},    {1, 8, 48, 16},    {2, 5, 50, 33},   {3, 7, 130, 49},
    {2, 9, 389, 70}, {1, 530, 17, 20},  {2, 520, 40, 97}, {1, 3, 65, 600},
    {2, 3, 1030, 5}, {1, 40, 17, 8200}, {5, 900, 17, 20}, {3, 1700, 17, 20}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct matrices { /* random matrices of one shape */
    struct shape shape;
    size_t rows;
    float *w, *x, *y, *expected, *got;
    struct arena arena; /* owns: */
    struct matmul_weights forward, backward;
    struct matmul_workspace *workspace;
    struct matmul_scratch *scratch; /* owned; the weights borrow it */
};

/* 64-byte aligned. */
static float *random_elements(size_t count, uint64_t id)
{
    float *values = aligned_alloc(64, (count * sizeof *values + 63) / 64 * 64);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2 * rng_uniform(11, RNG_TEST, id, i, 0) - 1);
    return values;
}

static void fill(float *values, size_t count, float value)
{
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct matmul_batch rows_of(const struct matrices *m)
{
    return (struct matmul_batch){m->shape.microbatches, m->shape.rows};
}

static int threads = 1; /* of the team */

static void plan(struct matrices *m, const struct matmul_backend *backend)
{
    int n = m->shape.n, k = m->shape.k;
    const struct matmul_extent extent = {n, (size_t)n + (size_t)k};
    const struct matmul_layout forward = {n, k, false, threads, 0},
                               backward = {k, n, true, threads, 0};
    matmul_weights_plan(backend, &forward, m->scratch, &m->arena, &m->forward);
    matmul_weights_plan(backend, &backward, m->scratch, &m->arena, &m->backward);
    matmul_scratch_plan(m->scratch, threads, &m->arena);
    m->workspace = matmul_workspace_plan(backend, rows_of(m), extent, threads, &m->arena);
}

static void pack_on_team(void *context)
{
    struct matrices *m = context;
    matmul_weights_pack(&m->forward, m->w);
    matmul_weights_pack(&m->backward, m->w);
}

static struct matrices matrices_create(struct shape shape,
                                       const struct matmul_backend *backend)
{
    size_t n = (size_t)shape.n, k = (size_t)shape.k;
    size_t rows = (size_t)shape.microbatches * (size_t)shape.rows;
    size_t capacity =
        largest(rows * largest(n, k), (size_t)shape.microbatches * n * (k + n + 1));
    struct matrices m = {.shape = shape,
                         .rows = rows,
                         .w = random_elements(n * k, 1),
                         .x = random_elements(rows * k, 2),
                         .y = random_elements(rows * n, 3),
                         .expected = random_elements(capacity, 4),
                         .got = random_elements(capacity, 4),
                         .scratch = calloc(1, sizeof *m.scratch)};
    assert_non_null(m.scratch);
    plan(&m, backend);
    assert_true(arena_allocate(&m.arena));
    plan(&m, backend);
    assert_int_equal(m.arena.used, m.arena.size);
    team_run(threads, pack_on_team, &m);
    return m;
}

static void matrices_free(struct matrices *m)
{
    float *values[] = {m->w, m->x, m->y, m->expected, m->got};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        free(values[i]);
    arena_free(&m->arena);
    free(m->scratch);
}

/* Elements of magnitude 1. OpenBLAS sums in a different order, so its results differ by
 * rounding. */
static void assert_results(const struct matrices *m, const struct matmul_backend *backend,
                           size_t count, size_t terms)
{
    if (backend->format) {
        assert_memory_equal(m->expected, m->got, count * sizeof *m->got);
        return;
    }
    for (size_t i = 0; i < count; i++)
        assert_true(fabs((double)m->expected[i] - (double)m->got[i]) <=
                    2e-7 * (double)(terms + 1));
}

/* The bfloat16 nearest to x, ties to even; x is a normal float. */
static float round_to_bf16(float x)
{
    uint32_t bits;
    float below, above;
    memcpy(&bits, &x, sizeof bits);
    uint32_t low = bits & 0xffff0000, high = low + 0x10000;
    memcpy(&below, &low, sizeof below);
    memcpy(&above, &high, sizeof above);
    double to_below = fabs((double)x - (double)below);
    double to_above = fabs((double)above - (double)x);
    if (to_below == to_above)
        return low & 0x10000 ? above : below;
    return to_below < to_above ? below : above;
}

/* sum += sum over l of a[l] b[l], in the backend's order. */
static void chain(const struct matmul_backend *backend, float *sum, const float *a,
                  size_t a_stride, const float *b, size_t b_stride, int terms)
{
    if (backend != &matmul_bfloat16) {
        for (int l = 0; l < terms; l++)
            *sum = fmaf(a[(size_t)l * a_stride], b[(size_t)l * b_stride], *sum);
        return;
    }
    for (int block = 0; block < terms; block += 32) {
        float chains[2] = {0, 0};
        for (int l = block; l < terms && l < block + 32; l++)
            chains[l % 2] = fmaf(round_to_bf16(a[(size_t)l * a_stride]),
                                 round_to_bf16(b[(size_t)l * b_stride]), chains[l % 2]);
        *sum += chains[0] + chains[1];
    }
}

/* ---- the functions of matmul.h on the team ---- */

struct batched_call {
    const struct matmul_weights *w;
    struct matmul_batch batch;
    const float *x;
    float *y;
    enum matmul_output output;
};

static void batched_on_team(void *context)
{
    const struct batched_call *call = context;
    matmul_batched(call->w, call->batch, call->x, call->y, call->output);
}

static void team_batched(const struct matmul_weights *w, struct matmul_batch batch,
                         const float *x, float *y, enum matmul_output output)
{
    struct batched_call call = {w, batch, x, y, output};
    team_run(threads, batched_on_team, &call);
}

struct gradient_call {
    const struct matrices *m;
    const struct gradient_input *inputs;
    int count;
    size_t bias_offset;
    const struct gradient_sink *sink;
};

static void gradient_on_team(void *context)
{
    const struct gradient_call *call = context;
    matmul_gradient(call->m->workspace, call->m->shape.n, call->m->y, call->inputs,
                    call->count, call->bias_offset, call->sink);
}

static void team_gradient(const struct matrices *m, const struct gradient_input *inputs,
                          int count, size_t bias_offset, const struct gradient_sink *sink)
{
    struct gradient_call call = {m, inputs, count, bias_offset, sink};
    team_run(threads, gradient_on_team, &call);
}

/* ---- comparison with chains ---- */

/* Bias gradients are summed in float32 at any precision. */
static void add_column(float *sum, const float *a, size_t stride, int terms)
{
    for (int l = 0; l < terms; l++)
        *sum += a[(size_t)l * stride];
}

static void check_forward(struct matrices *m, const struct matmul_backend *backend,
                          enum matmul_output output)
{
    size_t n = (size_t)m->shape.n, k = (size_t)m->shape.k;
    memcpy(m->got, m->y, m->rows * n * sizeof *m->got);
    for (size_t i = 0; i < m->rows; i++)
        for (size_t j = 0; j < n; j++) {
            float *sum = &m->expected[i * n + j];
            *sum = output == MATMUL_ACCUMULATE ? m->y[i * n + j] : 0;
            chain(backend, sum, m->x + i * k, 1, m->w + j * k, 1, m->shape.k);
        }
    team_batched(&m->forward, rows_of(m), m->x, m->got, output);
    assert_results(m, backend, m->rows * n, k);
}

static void check_backward(struct matrices *m, const struct matmul_backend *backend)
{
    size_t n = (size_t)m->shape.n, k = (size_t)m->shape.k;
    for (size_t i = 0; i < m->rows; i++)
        for (size_t j = 0; j < k; j++) {
            m->expected[i * k + j] = 0;
            chain(backend, &m->expected[i * k + j], m->y + i * n, 1, m->w + j, k,
                  m->shape.n);
        }
    team_batched(&m->backward, rows_of(m), m->y, m->got, MATMUL_OVERWRITE);
    assert_results(m, backend, m->rows * k, n);
}

/* Stores a gradient [microbatches][n * k + n]. Every element must come once, microbatch 0
 * first. */
struct stored {
    float *values;
    size_t total, received;
};

static void store(void *context, int microbatch, const struct gradient_block *block)
{
    struct stored *stored = context;
    for (size_t r = 0; r < (size_t)block->rows; r++)
        for (size_t j = 0; j < (size_t)block->width; j++) {
            size_t at = block->first + r * block->ld + j;
            float *value = &stored->values[(size_t)microbatch * stored->total + at];
            assert_true(at < stored->total && isnan(*value));
            assert_true(microbatch == 0 || !isnan(stored->values[at]));
            *value = block->values[r * block->ld_values + j];
            __atomic_fetch_add(&stored->received, 1, __ATOMIC_RELAXED);
        }
}

static void check_gradient(struct matrices *m, const struct matmul_backend *backend)
{
    size_t n = (size_t)m->shape.n, k = (size_t)m->shape.k, total = n * k + n;
    size_t microbatches = (size_t)m->shape.microbatches, rows = (size_t)m->shape.rows;
    struct stored stored = {m->got, total, 0};
    for (size_t s = 0; s < microbatches; s++) {
        float *sum = m->expected + s * total;
        const float *y = m->y + s * rows * n, *x = m->x + s * rows * k;
        memset(sum, 0, total * sizeof *sum);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < k; j++)
                chain(backend, &sum[i * k + j], y + i, n, x + j, k, m->shape.rows);
        for (size_t i = 0; i < n; i++)
            add_column(&sum[n * k + i], y + i, n, m->shape.rows);
    }
    for (size_t i = 0; i < microbatches * total; i++)
        m->got[i] = NAN;
    const struct gradient_sink sink = {store, &stored};
    const struct gradient_input input = {m->x, m->shape.k, 0};
    team_gradient(m, &input, 1, n * k, &sink);
    assert_int_equal(stored.received, microbatches * total);
    assert_results(m, backend, microbatches * total, rows);
    stored.received = 0;
    for (size_t i = 0; i < microbatches * total; i++)
        m->got[i] = NAN;
    team_gradient(m, &input, 1, NO_BIAS, &sink);
    assert_int_equal(stored.received, microbatches * n * k);
}

/* Two matrices in one call give the same results as each alone. */
static void check_two_inputs(struct matrices *m)
{
    size_t n = (size_t)m->shape.n, k = (size_t)m->shape.k, total = n * (k + n);
    size_t microbatches = (size_t)m->shape.microbatches;
    const struct gradient_input inputs[] = {{m->x, m->shape.k, 0},
                                            {m->y, m->shape.n, n * k}};
    struct stored alone = {m->expected, total, 0}, both = {m->got, total, 0};
    for (size_t i = 0; i < microbatches * total; i++)
        m->expected[i] = m->got[i] = NAN;
    for (int i = 0; i < 2; i++)
        team_gradient(m, &inputs[i], 1, NO_BIAS, &(struct gradient_sink){store, &alone});
    team_gradient(m, inputs, 2, NO_BIAS, &(struct gradient_sink){store, &both});
    assert_int_equal(both.received, microbatches * total);
    assert_memory_equal(m->expected, m->got, microbatches * total * sizeof *m->got);
}

/* TUTTI_TEST_MATMUL=few: one or two threads and small shapes, for sanitizers and emulated
 * processors. The large ones are on both sides of the edges of blocks, which are the same
 * on all processors. */
static bool only_few(void)
{
    const char *value = getenv("TUTTI_TEST_MATMUL");
    return value && strcmp(value, "few") == 0;
}

static bool is_omitted(struct shape shape)
{
    enum { SMALL = 1 << 20 };
    int64_t elements = (int64_t)shape.microbatches * shape.rows * shape.n;
    return only_few() && elements * shape.k > SMALL;
}

static void check_shapes(const struct matmul_backend *backend)
{
    for (int q = 0; q < SHAPES; q++) {
        if (is_omitted(shapes[q]))
            continue;
        struct matrices m = matrices_create(shapes[q], backend);
        check_forward(&m, backend, MATMUL_OVERWRITE);
        check_forward(&m, backend, MATMUL_ACCUMULATE);
        check_backward(&m, backend);
        check_gradient(&m, backend);
        check_two_inputs(&m);
        matrices_free(&m);
    }
}

static void check(const struct matmul_backend *backend)
{
    for (threads = 1; threads <= (only_few() ? 2 : 4); threads++)
        check_shapes(backend);
    threads = 1;
}

static void float32_equals_fma_chains(void **state)
{
    (void)state;
    check(&matmul_float32);
}

static void bfloat16_equals_even_odd_fma_chains(void **state)
{
    (void)state;
    check(&matmul_bfloat16);
}

static void openblas_agrees_within_rounding(void **state)
{
    (void)state;
    const struct matmul_backend *openblas;
    assert_int_equal(matmul_backend_select(BACKEND_OPENBLAS, &openblas), STATUS_OK);
    check(openblas);
}

/* A matmul whose outputs are shared out in segments. */
enum segments_function { MATMUL_FORWARD, MATMUL_REVERSED, MATMUL_BATCHED, FUNCTIONS };
struct segments_call {
    struct matmul_weights *weights;
    const struct matrices *m;
    const float **from;
    float **to;
    enum segments_function function;
};

static void segments_on_team(void *context)
{
    const struct segments_call *call = context;
    matmul_weights_pack(call->weights, call->m->w);
    if (call->function == MATMUL_BATCHED)
        matmul_batched(call->weights, rows_of(call->m), call->m->x, call->m->got,
                       MATMUL_ACCUMULATE);
    else
        matmul(call->weights, call->m->shape.rows, call->from, call->to,
               MATMUL_ACCUMULATE, call->function == MATMUL_REVERSED);
}

/* Plans and allocates weights and their scratch, for `threads` threads. */
static void plan_weights(const struct matmul_backend *backend,
                         const struct matmul_layout *layout,
                         struct matmul_scratch *scratch, struct arena *arena,
                         struct matmul_weights *weights)
{
    for (int pass = 0; pass < 2; pass++) {
        matmul_weights_plan(backend, layout, scratch, arena, weights);
        matmul_scratch_plan(scratch, layout->threads, arena);
        if (pass == 0)
            assert_true(arena_allocate(arena));
    }
    assert_int_equal(arena->used, arena->size);
}

/* y += x W^T with that many segments and threads: the bits of a batched matmul. */
static void check_segments(const struct matmul_backend *backend, const struct matrices *m,
                           int segments)
{
    enum { ROWS_MAX = 64 };
    const float *from[ROWS_MAX];
    float *to[ROWS_MAX];
    const struct matmul_layout layout = {m->shape.n, m->shape.k, false, threads,
                                         segments};
    struct matmul_weights weights;
    struct matmul_scratch scratch = {0};
    struct arena arena = {0};
    plan_weights(backend, &layout, &scratch, &arena, &weights);
    size_t n = (size_t)m->shape.n, k = (size_t)m->shape.k;
    for (size_t i = 0; i < m->rows; i++) {
        from[i] = m->x + i * k;
        to[i] = m->got + i * n;
    }
    for (int function = 0; function < FUNCTIONS; function++) {
        struct segments_call call = {&weights, m, from, to,
                                     (enum segments_function)function};
        memcpy(m->got, m->y, m->rows * n * sizeof *m->got);
        team_run(threads, segments_on_team, &call);
        assert_memory_equal(m->got, m->expected, m->rows * n * sizeof *m->got);
    }
    arena_free(&arena);
}

static void segments_are_shared_out(void **state)
{
    (void)state;
    static const int widths[] = {1, 15, 16, 17, 50, 130};
    for (size_t q = 0; q < 4 * sizeof widths / sizeof *widths; q++) {
        const struct matmul_backend *backend = q % 2 ? &matmul_bfloat16 : &matmul_float32;
        int segments = q / 2 % 2 ? 4 : 1;
        struct shape shape = {1, 19, segments * widths[q / 4], 37};
        struct matrices m = matrices_create(shape, backend);
        memcpy(m.expected, m.y, m.rows * (size_t)shape.n * sizeof *m.y);
        matmul_batched(&m.forward, rows_of(&m), m.x, m.expected, MATMUL_ACCUMULATE);
        for (threads = 1; threads <= 5; threads++)
            check_segments(backend, &m, segments);
        threads = 1;
        matrices_free(&m);
    }
}

static void overwrite_on_team(void *context)
{
    const struct segments_call *call = context;
    matmul_weights_pack(call->weights, call->m->w);
    matmul_batched(call->weights, rows_of(call->m), call->m->x, call->to[0],
                   MATMUL_OVERWRITE);
}

/* The segments of a result that is too large for a cache need not be aligned. */
static void segments_of_a_large_result(void **state)
{
    (void)state;
    const struct shape shape = {1, 4096, 4 * 260, 2};
    struct matrices m = matrices_create(shape, &matmul_float32);
    const struct matmul_layout layout = {shape.n, shape.k, false, 2, 4};
    struct matmul_weights weights;
    struct arena arena = {0};
    matmul_weights_plan(&matmul_float32, &layout, NULL, &arena, &weights);
    assert_true(arena_allocate(&arena));
    matmul_weights_plan(&matmul_float32, &layout, NULL, &arena, &weights);
    matmul_batched(&m.forward, rows_of(&m), m.x, m.expected, MATMUL_OVERWRITE);
    size_t bytes = m.rows * (size_t)shape.n * sizeof *m.got;
    float *y = aligned_alloc(64, bytes);
    assert_non_null(y);
    struct segments_call call = {&weights, &m, NULL, &y, MATMUL_BATCHED};
    team_run(2, overwrite_on_team, &call);
    assert_memory_equal(y, m.expected, bytes);
    free(y);
    arena_free(&arena);
    matrices_free(&m);
}

/* Transposed weights, as of W_hh's matmul in backward: y := x W and y += x W in one
 * segment, with any number of threads, as of one thread. */
struct transposed_call {
    struct matmul_weights *weights;
    const struct matrices *m;
    const float **from;
    float **to;
    enum matmul_output output;
    bool reversed;
};

static void transposed_on_team(void *context)
{
    const struct transposed_call *call = context;
    matmul_weights_pack(call->weights, call->m->w);
    matmul(call->weights, call->m->shape.rows, call->from, call->to, call->output,
           call->reversed);
}

static void check_transposed_segment(const struct matrices *m,
                                     const struct matmul_backend *backend,
                                     enum matmul_output output)
{
    enum { ROWS_MAX = 64 };
    const float *from[ROWS_MAX];
    float *to[ROWS_MAX];
    size_t n = (size_t)m->shape.n, k = (size_t)m->shape.k,
           bytes = m->rows * k * sizeof *m->x;
    const struct matmul_layout layout = {m->shape.k, m->shape.n, true, threads, 1};
    struct matmul_weights weights;
    struct matmul_scratch scratch = {0};
    struct arena arena = {0};
    plan_weights(backend, &layout, &scratch, &arena, &weights);
    for (size_t i = 0; i < m->rows; i++) {
        from[i] = m->y + i * n;
        to[i] = m->got + i * k;
    }
    for (int reversed = 0; reversed < 2; reversed++) {
        struct transposed_call call = {&weights, m, from, to, output, reversed};
        memcpy(m->got, m->x, bytes);
        team_run(threads, transposed_on_team, &call);
        assert_memory_equal(m->got, m->expected, bytes);
    }
    arena_free(&arena);
}

static void transposed_segments_are_shared_out(void **state)
{
    (void)state;
    static const enum matmul_output outputs[] = {MATMUL_OVERWRITE, MATMUL_ACCUMULATE,
                                                 MATMUL_NONTEMPORAL};
    static const int widths[] = {1, 16, 17, 48, 130};
    for (size_t q = 0; q < 6 * sizeof widths / sizeof *widths; q++) {
        const struct matmul_backend *backend = q % 2 ? &matmul_bfloat16 : &matmul_float32;
        enum matmul_output output = outputs[q / 2 % 3];
        struct matrices m =
            matrices_create((struct shape){1, 19, 37, widths[q / 6]}, backend);
        if (m.shape.k % VECTOR != 0 && output == MATMUL_NONTEMPORAL)
            output = MATMUL_OVERWRITE; /* nontemporal rows are aligned */
        memcpy(m.expected, m.x, m.rows * (size_t)m.shape.k * sizeof *m.x);
        matmul_batched(&m.backward, rows_of(&m), m.y, m.expected,
                       output == MATMUL_ACCUMULATE ? output : MATMUL_OVERWRITE);
        for (threads = 1; threads <= 5; threads++)
            check_transposed_segment(&m, backend, output);
        threads = 1;
        matrices_free(&m);
    }
}

/* All results of a shape: y := x W^T, dx := y W, and the gradient [microbatches][n * k + n].
 * The same bits as those of one thread, also where chains can't tell them. */
static float *all_results(struct shape shape, const struct matmul_backend *backend,
                          size_t *count)
{
    struct matrices m = matrices_create(shape, backend);
    size_t n = (size_t)shape.n, k = (size_t)shape.k, total = n * k + n;
    size_t gradients = (size_t)shape.microbatches * total;
    *count = m.rows * (n + k) + gradients;
    float *results = aligned_alloc(64, (*count * sizeof *results + 63) / 64 * 64);
    assert_non_null(results);
    fill(results, *count, NAN);
    struct stored stored = {results + m.rows * (n + k), total, 0};
    const struct gradient_input input = {m.x, shape.k, 0};
    team_batched(&m.forward, rows_of(&m), m.x, results, MATMUL_OVERWRITE);
    team_batched(&m.backward, rows_of(&m), m.y, results + m.rows * n, MATMUL_OVERWRITE);
    team_gradient(&m, &input, 1, n * k, &(struct gradient_sink){store, &stored});
    assert_int_equal(stored.received, gradients);
    matrices_free(&m);
    return results;
}

static void compare_with_one_thread(struct shape shape,
                                    const struct matmul_backend *backend)
{
    size_t count, again;
    float *expected = all_results(shape, backend, &count);
    for (threads = 2; threads <= 4; threads++) {
        float *results = all_results(shape, backend, &again);
        assert_int_equal(again, count);
        assert_memory_equal(results, expected, count * sizeof *results);
        free(results);
    }
    threads = 1;
    free(expected);
}

static void openblas_gives_the_same_bits_on_a_team(void **state)
{
    (void)state;
    const struct matmul_backend *openblas;
    assert_int_equal(matmul_backend_select(BACKEND_OPENBLAS, &openblas), STATUS_OK);
    for (int q = 0; q < SHAPES; q++)
        compare_with_one_thread(shapes[q], openblas);
}

/* With results of more than 16 MiB. */
static void nontemporal_stores_give_the_same_bits_on_a_team(void **state)
{
    (void)state;
    static const struct shape large = {1, 4200, 1024, 3};
    if (is_omitted(large))
        return;
    compare_with_one_thread(large, &matmul_float32);
    compare_with_one_thread(large, &matmul_bfloat16);
}

/* Row by row, all at once, in reverse and batched: the same bits. */
static void bits_are_independent_of_the_call(void **state)
{
    (void)state;
    enum { ROWS = 19 };
    for (int q = 0; q < 2 * SHAPES; q++) {
        int n = shapes[q / 2].n, k = shapes[q / 2].k;
        struct matrices m = matrices_create((struct shape){1, ROWS, n, k},
                                            q % 2 ? &matmul_bfloat16 : &matmul_float32);
        const float *from[ROWS];
        float *to[ROWS];
        size_t bytes = m.rows * (size_t)n * sizeof *m.got;
        matmul_batched(&m.forward, rows_of(&m), m.x, memcpy(m.expected, m.y, bytes),
                       MATMUL_ACCUMULATE);
        for (int variant = 0; variant < 3; variant++) {
            memcpy(m.got, m.y, bytes);
            for (int i = 0; i < ROWS; i++) {
                from[i] = m.x + (size_t)i * (size_t)k;
                to[i] = m.got + (size_t)i * (size_t)n;
                if (variant == 2)
                    matmul(&m.forward, 1, &from[i], &to[i], MATMUL_ACCUMULATE, false);
            }
            if (variant < 2)
                matmul(&m.forward, ROWS, from, to, MATMUL_ACCUMULATE, variant == 1);
            assert_memory_equal(m.expected, m.got, bytes);
        }
        matrices_free(&m);
    }
}

/* Ordinary and nontemporal stores give the same bits, also in a batched matmul with
 * results larger than the caches. */
static void nontemporal_stores_give_the_same_bits(void **state)
{
    (void)state;
    static const struct shape large[] = {
        {1, 1, 16, 7}, {1, 200, 64, 40}, {1, 70, 112, 2100}, {1, 4200, 1024, 3}};
    for (size_t q = 0; q < 2 * sizeof large / sizeof *large; q++) {
        if (is_omitted(large[q / 2]))
            continue;
        struct matrices m =
            matrices_create(large[q / 2], q % 2 ? &matmul_bfloat16 : &matmul_float32);
        size_t n = (size_t)m.shape.n, k = (size_t)m.shape.k, count = m.rows * n;
        float *ordinary = aligned_alloc(64, count * sizeof *ordinary);
        float *nontemporal = aligned_alloc(64, count * sizeof *nontemporal);
        const float **from = calloc(m.rows, sizeof *from);
        float **to[] = {calloc(m.rows, sizeof *to), calloc(m.rows, sizeof *to)};
        for (size_t i = 0; i < m.rows; i++) {
            from[i] = m.x + i * k;
            to[0][i] = ordinary + i * n;
            to[1][i] = nontemporal + i * n;
        }
        fill(ordinary, count, 1);
        fill(nontemporal, count, 2);
        matmul(&m.forward, m.shape.rows, from, to[0], MATMUL_OVERWRITE, false);
        matmul(&m.forward, m.shape.rows, from, to[1], MATMUL_NONTEMPORAL, true);
        assert_memory_equal(ordinary, nontemporal, count * sizeof *ordinary);
        fill(nontemporal, count, 3);
        matmul_batched(&m.forward, rows_of(&m), m.x, nontemporal, MATMUL_OVERWRITE);
        assert_memory_equal(ordinary, nontemporal, count * sizeof *ordinary);
        free(to[0]);
        free(to[1]);
        free((void *)from);
        free(nontemporal);
        free(ordinary);
        matrices_free(&m);
    }
}

static void transposed_weights_are_packed_to_the_same_panels(void **state)
{
    (void)state;
    enum { N = 70, K = 40 };
    float *w = random_elements(N * K, 4), w_transposed[K * N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < K; j++)
            w_transposed[j * N + i] = w[i * K + j];
    struct matmul_weights plain, transposed;
    struct arena arena = {0};
    for (int pass = 0; pass < 2; pass++) {
        const struct matmul_layout layout = {N, K, false, 1, 0},
                                   flipped = {N, K, true, 1, 0};
        matmul_weights_plan(&matmul_float32, &layout, NULL, &arena, &plain);
        matmul_weights_plan(&matmul_float32, &flipped, NULL, &arena, &transposed);
        if (pass == 0)
            assert_true(arena_allocate(&arena));
    }
    matmul_weights_pack(&plain, w);
    matmul_weights_pack(&transposed, w_transposed);
    assert_int_equal(plain.panel_count, (N + NR - 1) / NR);
    assert_memory_equal(plain.panels, transposed.panels,
                        (size_t)plain.panel_count * K * NR * sizeof(float));
    arena_free(&arena);
    free(w);
}

/* Rounded rows of a wide matrix, with infinite elements, must not reach a narrow one that
 * uses the same memory. */
static void weights_share_their_scratch_memory(void **state)
{
    (void)state;
    struct matrices m =
        matrices_create((struct shape){1, 20, 70, KB16 + 1}, &matmul_bfloat16);
    size_t outputs = m.rows * (size_t)m.shape.n;
    matmul_batched(&m.forward, rows_of(&m), m.x, m.expected, MATMUL_OVERWRITE);
    float *infinite = random_elements(outputs, 5);
    for (size_t i = 0; i < outputs; i++)
        infinite[i] = INFINITY;
    matmul_batched(&m.backward, rows_of(&m), infinite, m.got, MATMUL_OVERWRITE);
    team_run(threads, pack_on_team, &m);
    matmul_batched(&m.backward, rows_of(&m), infinite, m.got, MATMUL_OVERWRITE);
    matmul_batched(&m.forward, rows_of(&m), m.x, m.got, MATMUL_OVERWRITE);
    assert_memory_equal(m.got, m.expected, outputs * sizeof *m.got);
    free(infinite);
    matrices_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_equals_fma_chains),
        cmocka_unit_test(bfloat16_equals_even_odd_fma_chains),
        cmocka_unit_test(segments_are_shared_out),
        cmocka_unit_test(segments_of_a_large_result),
        cmocka_unit_test(transposed_segments_are_shared_out),
        cmocka_unit_test(openblas_agrees_within_rounding),
        cmocka_unit_test(openblas_gives_the_same_bits_on_a_team),
        cmocka_unit_test(bits_are_independent_of_the_call),
        cmocka_unit_test(nontemporal_stores_give_the_same_bits),
        cmocka_unit_test(nontemporal_stores_give_the_same_bits_on_a_team),
        cmocka_unit_test(transposed_weights_are_packed_to_the_same_panels),
        cmocka_unit_test(weights_share_their_scratch_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
