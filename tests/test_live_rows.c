/* live_rows: losses and log-probabilities of packed rows have the bits of a model that
 * computes all rows in place, while rows finish one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "train/live_rows.h"

enum { S = 3, B = 2, T = 5, WINDOWS = 6, VOCABULARY = 13, END = VOCABULARY - 1 };

/* Tokens of each row; no rows are left in the last window. */
static const int lengths[S * B] = {3, 23, 11, 0, 17, 8};

static int live_rows_of_window(int w)
{
    int count = 0;
    for (int row = 0; row < S * B; row++)
        count += lengths[row] > w * T;
    return count;
}

/* Random tokens, with some END among them. */
static void fill(int w, struct window *window)
{
    for (int s = 0; s < S; s++)
        for (int i = 0; i < T * B; i++) {
            uint64_t position = (uint64_t)(w * T + i / B),
                     row = (uint64_t)(s * B + i % B);
            bool counted = (int)position < lengths[row];
            window_inputs(window, s)[i] =
                counted ? (token)rng_below(VOCABULARY, 1, RNG_TEST, position, row, 0)
                        : (token)END;
            window_targets(window, s)[i] =
                counted ? (int32_t)rng_below(VOCABULARY, 2, RNG_TEST, position, row, 0)
                        : -1;
        }
}

static struct model *make_model(int cell, const struct matmul_backend *backend)
{
    const struct model_shape shape = {.cell = cell,
                                      .layers = 2,
                                      .hidden = 10,
                                      .embedding = 6,
                                      .dense = 7,
                                      .vocabulary = VOCABULARY,
                                      .residual = true,
                                      .layer_norm = true};
    const struct model_plan plan = {.shape = &shape,
                                    .end = END,
                                    .microbatches = S,
                                    .rows = B,
                                    .steps = T,
                                    .backend = backend};
    struct model *model = NULL;
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    for (size_t i = 0; i < model_params(model)->total; i++)
        model_weights(model)[i] = (float)(0.4 * rng_normal(3, RNG_TEST, i, 0, 0));
    model_weights_changed(model);
    return model;
}

struct fixture {
    struct model *all, *packed; /* compute all rows in place; only live rows */
    struct ensemble ensemble;   /* of the latter */
    struct live_rows live;
    struct window window;
    struct arena arena; /* of the live rows */
};

static void set_up(struct fixture *fixture, int cell,
                   const struct matmul_backend *backend)
{
    *fixture = (struct fixture){.all = make_model(cell, backend),
                                .packed = make_model(cell, backend)};
    fixture->ensemble = (struct ensemble){.models = &fixture->packed, .count = 1};
    assert_int_equal(window_create(S, B, T, &fixture->window), STATUS_OK);
    live_rows_plan(&fixture->live, &fixture->window, &fixture->arena);
    assert_true(arena_allocate(&fixture->arena));
    live_rows_plan(&fixture->live, &fixture->window, &fixture->arena);
    live_rows_begin(&fixture->live, &fixture->ensemble);
}

static void tear_down(struct fixture *fixture)
{
    arena_free(&fixture->arena);
    window_free(&fixture->window);
    model_free(fixture->all);
    model_free(fixture->packed);
}

static void check_log_probabilities(const struct fixture *fixture, int s)
{
    const double *expected = model_target_log_probability(fixture->all, s);
    const double *found = live_rows_log_probability(&fixture->live, s);
    for (int i = 0; i < T * B; i++)
        if (fixture->window.target_of[s][i] >= 0)
            assert_memory_equal(&found[i], &expected[i], sizeof *found);
}

static void check_window(struct fixture *fixture, int w)
{
    struct window *window = &fixture->window;
    struct microbatch_loss expected[S];
    fill(w, window);
    model_forward(fixture->all, window->input_of, window->target_of, NULL, expected);
    live_rows_forward(&fixture->live, &fixture->ensemble, window, END);
    for (int s = 0; s < S; s++) {
        assert_memory_equal(&window->losses[s], &expected[s], sizeof *expected);
        check_log_probabilities(fixture, s);
    }
}

static void check_cell(int cell)
{
    struct fixture fixture;
    set_up(&fixture, cell, &matmul_float32);
    assert_true(fixture.live.packs);
    for (int w = 0; w < WINDOWS; w++) {
        check_window(&fixture, w);
        assert_int_equal(fixture.live.count, live_rows_of_window(w));
    }
    assert_int_equal(fixture.live.count, 0);
    tear_down(&fixture);
}

static void packed_rows_have_the_same_bits(void **state)
{
    (void)state;
    check_cell(CELL_LSTM);
    check_cell(CELL_GRU);
}

static void with_openblas_rows_stay_in_place(void **state)
{
    (void)state;
    struct fixture fixture;
    const struct matmul_backend *openblas;
    assert_int_equal(matmul_backend_select(BACKEND_OPENBLAS, &openblas), STATUS_OK);
    set_up(&fixture, CELL_LSTM, openblas);
    assert_false(fixture.live.packs);
    for (int w = 0; w < WINDOWS; w++) {
        check_window(&fixture, w);
        assert_int_equal(fixture.live.count, S * B);
    }
    for (int i = 0; i < S * B; i++)
        assert_int_equal(fixture.live.row_of[i], i);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_rows_have_the_same_bits),
        cmocka_unit_test(with_openblas_rows_stay_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
