/* model: logits, loss, gradients and carried states against the naive model; the results
 * of a microbatch are bitwise independent of the other microbatches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "model_cases.h"
#include "naive_model.h"

enum { WINDOWS = 3 };

static struct model *create_smoothed(const struct model_shape *shape, int microbatches,
                                     double smoothing)
{
    struct model *model = NULL;
    struct model_plan plan = plan_of(shape, microbatches);
    plan.label_smoothing = smoothing;
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    weights_fill(model, 1);
    return model;
}

static struct model *create_model(const struct model_shape *shape, int microbatches)
{
    return create_smoothed(shape, microbatches, 0);
}

static double *weights_in_double(struct model *model)
{
    size_t total = model_params(model)->total;
    double *block = calloc(total, sizeof *block);
    for (size_t i = 0; i < total; i++)
        block[i] = (double)model_weights(model)[i];
    return block;
}

/* ---- dropout, drawn a second time ---- */

/* The factor of an element at a rate, from its own random bits of block `first` + element /
 * 16. */
static double naive_factor(const struct dropout *dropout, double rate,
                           enum rng_purpose purpose, uint64_t b, uint64_t first,
                           int element)
{
    enum { UNITS = 16 }; /* of a block */
    double used = nearbyint(rate * 65536) / 65536;
    struct rng_block block = rng_block(dropout->seed, purpose, (uint64_t)dropout->step, b,
                                       first + (uint64_t)(element / UNITS));
    uint16_t draws[UNITS];
    memcpy(draws, block.word, sizeof draws); /* little-endian */
    return draws[element % UNITS] / 65536.0 < used ? 0 : 1 / (1 - used);
}

/* The factors of a row's units at a site. */
static void naive_site(const struct dropout *dropout, double rate, uint64_t site,
                       const int position[2], int width, double *factors)
{
    int row = position[0], t = dropout->mask == DROPOUT_MASK_TOKEN ? position[1] : 0;
    uint64_t site_and_row = site << 32 | (uint64_t)(dropout->first_row + row);
    for (int j = 0; j < width; j++)
        factors[j] = naive_factor(dropout, rate, RNG_DROPOUT, site_and_row,
                                  (uint64_t)(t * ((width + 15) / 16)), j);
}

/* Of a row and time step, position[2], with this input. */
static void fill_naive_dropout(const struct model_shape *shape,
                               const struct dropout *dropout, const int position[2],
                               token input, struct naive_dropout *naive)
{
    int e = shape->embedding, h = shape->hidden, last = shape->layers - 1;
    naive_site(dropout, dropout->input_rate, 1 << 16, position, e, naive->input);
    double factor = naive_factor(dropout, dropout->embedding_rate, RNG_DROPOUT_EMBEDDING,
                                 0, 0, input);
    for (int j = 0; j < e; j++)
        naive->input[j] *= factor;
    for (int site = 0; site <= last; site++)
        naive_site(dropout, dropout->rate, (uint64_t)site, position,
                   site == last && shape->dense ? shape->dense : h, naive->output[site]);
}

/* weight_hh of all layers := its product with the factors, in block[total]. */
static void drop_recurrent(const struct model_shape *shape, const struct params *params,
                           const struct dropout *dropout, double *block)
{
    for (int layer = 0; layer < shape->layers; layer++) {
        char name[PARAM_NAME];
        snprintf(name, sizeof name, "%s%d/weight_hh",
                 shape->cell == CELL_LSTM ? "lstm" : "gru", layer);
        const struct param *weight_hh = params_find(params, name);
        for (size_t i = 0; i < weight_hh->count; i++)
            block[weight_hh->offset + i] *=
                naive_factor(dropout, dropout->recurrent_rate, RNG_DROPOUT_RECURRENT,
                             (uint64_t)layer, 0, (int)i);
    }
}

/* ---- values ---- */

/* Loss of microbatch s in the last of `windows` windows, computed by the naive model
 * from zero states, without model->dropout but with `dropout` (may be NULL); `logits`
 * (may be NULL) receives the logits of the last window, [T][B][V]. */
static double naive_loss(struct naive_model model, const struct dropout *dropout, int s,
                         int windows, double *logits)
{
    static struct naive_state states[ROWS];
    static struct naive_dropout factors;
    double loss = 0, row[VOCABULARY];
    memset(states, 0, sizeof states);
    model.dropout = dropout ? &factors : NULL;
    for (int w = 0; w < windows; w++) {
        struct window window;
        window_fill(&window, (uint64_t)w);
        loss = 0;
        for (int i = 0; i < STEPS * ROWS; i++) {
            token input = window.inputs[s][i];
            int target = window.targets[s][i];
            const int position[] = {s * ROWS + i % ROWS, i / ROWS};
            if (dropout)
                fill_naive_dropout(model.shape, dropout, position, input, &factors);
            naive_step(&model, input, input == END_TOKEN, &states[i % ROWS], row);
            if (logits)
                memcpy(logits + i * VOCABULARY, row, sizeof row);
            if (target >= 0)
                loss += naive_smoothed_loss(VOCABULARY, row, target, model.smoothing);
        }
    }
    return loss;
}

static void forward_windows(struct model *model, const struct dropout *dropout,
                            int windows, struct microbatch_loss *losses)
{
    for (int w = 0; w < windows; w++) {
        struct window window;
        window_fill(&window, (uint64_t)w);
        model_forward(model, window.input_of, window.target_of, dropout, losses);
    }
}

static void losses_with_dropout_agree_with_the_naive_model(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct model *model = create_model(&cases[c], MICROBATCHES);
        for (int d = 0; d < DROPOUTS; d++) {
            struct microbatch_loss losses[MICROBATCHES];
            double *dropped = weights_in_double(model);
            const struct naive_model naive = {&cases[c], model_params(model), dropped,
                                              NULL, 0};
            drop_recurrent(&cases[c], naive.params, &dropouts[d], dropped);
            model_clear_states(model);
            forward_windows(model, &dropouts[d], WINDOWS, losses);
            for (int s = 0; s < MICROBATCHES; s++) {
                double expected = naive_loss(naive, &dropouts[d], s, WINDOWS, NULL);
                assert_true(fabs(losses[s].loss - expected) < 1e-5 * expected);
            }
            free(dropped);
        }
        model_free(model);
    }
}

static void logits_and_loss_agree_with_the_naive_model(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct model *model = create_model(&cases[c], MICROBATCHES);
        double *block = weights_in_double(model);
        const struct naive_model naive = {&cases[c], model_params(model), block, NULL, 0};
        struct microbatch_loss losses[MICROBATCHES];
        struct window window;
        forward_windows(model, NULL, WINDOWS - 1, losses);
        window_fill(&window, WINDOWS - 1);
        model_forward(model, window.input_of, NULL, NULL, NULL);
        for (int s = 0; s < MICROBATCHES; s++) {
            double logits[STEPS * ROWS * VOCABULARY];
            naive_loss(naive, NULL, s, WINDOWS, logits);
            for (int i = 0; i < STEPS * ROWS * VOCABULARY; i++)
                assert_true(fabs((double)model_logits(model, s)[i] - logits[i]) < 2e-5);
        }
        model_clear_states(model);
        forward_windows(model, NULL, WINDOWS, losses);
        for (int s = 0; s < MICROBATCHES; s++) {
            double expected = naive_loss(naive, NULL, s, WINDOWS, NULL);
            int64_t targets = 0;
            double sum = 0;
            window_fill(&window, WINDOWS - 1);
            for (int i = 0; i < STEPS * ROWS; i++) {
                targets += window.targets[s][i] >= 0;
                sum -= model_target_log_probability(model, s)[i];
            }
            assert_true(fabs(losses[s].loss - expected) < 1e-5 * expected);
            assert_true(fabs(losses[s].loss - sum) < 1e-9 * expected);
            assert_int_equal(losses[s].targets, targets);
            assert_in_range(losses[s].correct, 0, targets);
        }
        free(block);
        model_free(model);
    }
}

/* The float gradient against central differences of the naive loss in double. */
static void check_gradients(double smoothing)
{
    const double step = 1e-5;
    for (int c = 0; c < CASES; c++) {
        struct model *model = create_smoothed(&cases[c], MICROBATCHES, smoothing);
        size_t total = model_params(model)->total;
        double *block = weights_in_double(model), error = 0, size = 0;
        const struct naive_model naive = {&cases[c], model_params(model), block, NULL,
                                          smoothing};
        real *gradients = calloc(MICROBATCHES * total, sizeof *gradients);
        struct microbatch_loss losses[MICROBATCHES];
        struct window window;
        window_fill(&window, 0);
        model_forward(model, window.input_of, window.target_of, NULL, losses);
        backward_into(model, MICROBATCHES, gradients);
        for (int s = 0; s < MICROBATCHES; s++) {
            const real *gradient = gradients + (size_t)s * total;
            for (size_t i = 0; i < total; i++) {
                double weight = block[i];
                block[i] = weight + step;
                double above = naive_loss(naive, NULL, s, 1, NULL);
                block[i] = weight - step;
                double below = naive_loss(naive, NULL, s, 1, NULL);
                block[i] = weight;
                double expected = (above - below) / (2 * step);
                error += pow((double)gradient[i] - expected, 2);
                size += pow(expected, 2);
            }
        }
        print_message(
            "case %d, label smoothing %g: relative error of the gradient %.1e\n", c,
            smoothing, sqrt(error / size));
        assert_true(sqrt(error / size) < 4e-6);
        free(gradients);
        free(block);
        model_free(model);
    }
}

static void gradients_agree_with_the_naive_model(void **state)
{
    (void)state;
    check_gradients(0);
    check_gradients(0.15);
}

/* Losses are reported without label smoothing. */
static void label_smoothing_leaves_the_losses_as_they_are(void **state)
{
    (void)state;
    struct model *plain = create_model(&cases[0], MICROBATCHES);
    struct model *smoothed = create_smoothed(&cases[0], MICROBATCHES, 0.3);
    struct microbatch_loss expected[MICROBATCHES], found[MICROBATCHES];
    forward_windows(plain, NULL, WINDOWS, expected);
    forward_windows(smoothed, NULL, WINDOWS, found);
    assert_memory_equal(found, expected, sizeof expected);
    model_free(plain);
    model_free(smoothed);
}

static double loss_with(struct model *model, const struct dropout *dropout)
{
    struct microbatch_loss losses[MICROBATCHES];
    model_clear_states(model);
    forward_windows(model, dropout, 1, losses);
    return losses[0].loss;
}

/* Dropped weights have the bits of a model that was given them, on every backend, and are
 * whole again without dropout. */
static void compare_dropped_weights(const struct model_shape *shape,
                                    const struct matmul_backend *backend)
{
    const struct dropout dropout = {.recurrent_rate = 0.5, .seed = 5, .step = 2};
    struct model_plan plan = plan_of(shape, MICROBATCHES);
    struct model *model = NULL;
    plan.backend = backend;
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    weights_fill(model, 1);
    double whole = loss_with(model, NULL), dropped = loss_with(model, &dropout);
    assert_true(dropped != whole);
    assert_true(loss_with(model, NULL) == whole);
    assert_true(loss_with(model, &dropout) == dropped);
    double *block = weights_in_double(model);
    drop_recurrent(shape, model_params(model), &dropout, block); /* factors 0 and 2 */
    for (size_t i = 0; i < model_params(model)->total; i++)
        model_weights(model)[i] = (real)block[i];
    model_weights_changed(model);
    assert_true(loss_with(model, NULL) == dropped);
    free(block);
    model_free(model);
}

static void weights_are_dropped_and_restored(void **state)
{
    (void)state;
    const struct matmul_backend *openblas;
    assert_int_equal(matmul_backend_select(BACKEND_OPENBLAS, &openblas), STATUS_OK);
    for (int c = 0; c < CASES; c++) {
        compare_dropped_weights(&cases[c], &matmul_float32);
        compare_dropped_weights(&cases[c], &matmul_bfloat16);
        compare_dropped_weights(&cases[c], openblas);
    }
}

static void compare_microbatches(const struct model_shape *shape,
                                 const struct dropout *dropout)
{
    struct model *both = create_model(shape, MICROBATCHES), *one = create_model(shape, 1);
    size_t total = model_params(both)->total;
    real *first = calloc(MICROBATCHES * total, sizeof *first),
         *second = calloc(total, sizeof *second);
    struct microbatch_loss losses[MICROBATCHES], alone;
    struct dropout shifted = *dropout;
    shifted.first_row += ROWS;
    for (int w = 0; w < WINDOWS; w++) {
        struct window window;
        window_fill(&window, (uint64_t)w);
        model_forward(both, window.input_of, window.target_of, dropout, losses);
        model_forward(one, &window.input_of[1], &window.target_of[1], &shifted, &alone);
        backward_into(both, MICROBATCHES, first);
        backward_into(one, 1, second);
        assert_memory_equal(&losses[1], &alone, sizeof alone);
        assert_memory_equal(first + total, second, total * sizeof *first);
    }
    free(first);
    free(second);
    model_free(both);
    model_free(one);
}

/* Microbatch 1 gives equal bits in a model of two microbatches and alone in another
 * model. */
static void a_microbatch_is_independent_of_the_others(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++)
        for (int d = 0; d < DROPOUTS; d++)
            compare_microbatches(&cases[c], &dropouts[d]);
}

/* Losses and gradients of a window, with dropout. */
static real *results_of(const struct model_shape *shape, const struct dropout *dropout,
                        const struct matmul_backend *backend, int threads, size_t *count)
{
    struct window window;
    struct microbatch_loss losses[MICROBATCHES];
    struct model_plan plan = plan_of(shape, MICROBATCHES);
    struct model *model = NULL;
    plan.backend = backend;
    plan.threads = threads;
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    weights_fill(model, 1);
    size_t total = model_params(model)->total;
    real *results = calloc(MICROBATCHES * (total + 3), sizeof *results);
    forward_windows(model, NULL, WINDOWS, losses);
    window_fill(&window, WINDOWS);
    model_forward(model, window.input_of, window.target_of, dropout, losses);
    backward_into(model, MICROBATCHES, results);
    for (size_t s = 0; s < MICROBATCHES; s++) {
        real *at = results + MICROBATCHES * total + 3 * s;
        memcpy(at, &losses[s].loss, sizeof losses[s].loss);
        at[2] = (real)losses[s].correct;
    }
    *count = MICROBATCHES * (total + 3);
    model_free(model);
    return results;
}

static void compare_threads(const struct model_shape *shape,
                            const struct dropout *dropout,
                            const struct matmul_backend *backend)
{
    size_t count, again;
    real *expected = results_of(shape, dropout, backend, 1, &count);
    for (int threads = 2; threads <= 5; threads++) {
        real *found = results_of(shape, dropout, backend, threads, &again);
        assert_int_equal(again, count);
        assert_memory_equal(found, expected, count * sizeof *found);
        free(found);
    }
    free(expected);
}

/* Also of shapes with several vectors of units per thread. */
static void bits_are_independent_of_the_threads(void **state)
{
    (void)state;
    static const struct model_shape wide[] = {
        {CELL_LSTM, 2, 100, 40, 0, ACTIVATION_LINEAR, VOCABULARY, false},
        {CELL_GRU, 1, 70, 33, 50, ACTIVATION_TANH, VOCABULARY, false},
        {CELL_LSTM, 1, 100, 0, 0, ACTIVATION_LINEAR, VOCABULARY, false},
        {CELL_GRU, 1, 70, 0, 0, ACTIVATION_LINEAR, VOCABULARY, false}};
    const struct matmul_backend *openblas;
    assert_int_equal(matmul_backend_select(BACKEND_OPENBLAS, &openblas), STATUS_OK);
    for (int d = 0; d < DROPOUTS; d += DROPOUTS - 1) { /* the first and the last */
        for (int c = 0; c < CASES; c++)
            compare_threads(&cases[c], &dropouts[d], &matmul_float32);
        for (size_t c = 0; c < sizeof wide / sizeof *wide; c++) {
            compare_threads(&wide[c], &dropouts[d], &matmul_float32);
            compare_threads(&wide[c], &dropouts[d], &matmul_bfloat16);
            compare_threads(&wide[c], &dropouts[d], openblas);
        }
    }
}

/* ---- more rows than a matmul takes at a time ---- */

enum { MANY_ROWS = 300 };

/* [STEPS][MANY_ROWS] */
struct many_rows {
    token inputs[STEPS * MANY_ROWS];
    int32_t targets[STEPS * MANY_ROWS];
};

static void many_rows_fill(struct many_rows *rows)
{
    for (uint64_t i = 0; i < STEPS * MANY_ROWS; i++) {
        rows->inputs[i] = (token)rng_below(VOCABULARY, 4, RNG_TEST, 0, i, 0);
        rows->targets[i] = (int32_t)rng_below(VOCABULARY + 1, 4, RNG_TEST, 0, i, 1) - 1;
    }
}

static struct model *create_with_rows(const struct model_shape *shape,
                                      const struct matmul_backend *backend, int rows)
{
    struct model *model = NULL;
    struct model_plan plan = plan_of(shape, 1);
    plan.backend = backend;
    plan.rows = rows;
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    weights_fill(model, 1);
    return model;
}

/* One row alone: its logits must have the bits of row r of `logits`. Adds its gradient to
 * sums[] and returns its loss. */
static double one_of_many(struct model *model, const struct many_rows *rows, int r,
                          const real *logits, double *sums)
{
    token inputs[STEPS];
    int32_t targets[STEPS];
    const token *input = inputs;
    const int32_t *target = targets;
    struct microbatch_loss loss;
    size_t total = model_params(model)->total;
    real *gradient = calloc(total, sizeof *gradient);
    for (int t = 0; t < STEPS; t++) {
        inputs[t] = rows->inputs[t * MANY_ROWS + r];
        targets[t] = rows->targets[t * MANY_ROWS + r];
    }
    model_clear_states(model);
    model_forward(model, &input, NULL, NULL, NULL);
    for (int t = 0; t < STEPS; t++)
        assert_memory_equal(model_logits(model, 0) + t * VOCABULARY,
                            logits + (t * MANY_ROWS + r) * VOCABULARY,
                            VOCABULARY * sizeof *logits);
    model_clear_states(model);
    model_forward(model, &input, &target, NULL, &loss);
    backward_into(model, 1, gradient);
    for (size_t i = 0; i < total; i++)
        sums[i] += (double)gradient[i];
    free(gradient);
    return loss.loss;
}

static void compare_many_rows(const struct model_shape *shape,
                              const struct matmul_backend *backend)
{
    static struct many_rows rows;
    static real logits[STEPS * MANY_ROWS * VOCABULARY];
    const token *input = rows.inputs;
    const int32_t *target = rows.targets;
    struct microbatch_loss loss;
    struct model *many = create_with_rows(shape, backend, MANY_ROWS),
                 *one = create_with_rows(shape, backend, 1);
    size_t total = model_params(many)->total;
    real *gradient = calloc(total, sizeof *gradient);
    double *sums = calloc(total, sizeof *sums), losses = 0, error = 0, size = 0;
    many_rows_fill(&rows);
    model_forward(many, &input, NULL, NULL, NULL);
    memcpy(logits, model_logits(many, 0), sizeof logits);
    model_clear_states(many);
    model_forward(many, &input, &target, NULL, &loss);
    backward_into(many, 1, gradient);
    for (int r = 0; r < MANY_ROWS; r++)
        losses += one_of_many(one, &rows, r, logits, sums);
    for (size_t i = 0; i < total; i++) {
        error += pow((double)gradient[i] - sums[i], 2);
        size += pow(sums[i], 2);
    }
    assert_true(fabs(loss.loss - losses) < 1e-9 * losses);
    assert_true(sqrt(error / size) < 1e-6);
    free(gradient);
    free(sums);
    model_free(many);
    model_free(one);
}

/* A row's logits have the same bits among many rows and alone; loss and gradient are the
 * sums of those of all rows. */
static void many_rows_equal_single_rows(void **state)
{
    (void)state;
    static const struct model_shape wide[] = {
        {CELL_LSTM, 2, 40, 9, 0, ACTIVATION_LINEAR, VOCABULARY, false},
        {CELL_GRU, 1, 33, 17, 20, ACTIVATION_TANH, VOCABULARY, false},
        {CELL_LSTM, 1, 40, 0, 0, ACTIVATION_LINEAR, VOCABULARY, false}};
    for (size_t c = 0; c < sizeof wide / sizeof *wide; c++) {
        compare_many_rows(&wide[c], &matmul_float32);
        compare_many_rows(&wide[c], &matmul_bfloat16);
    }
}

static void states_can_be_saved_and_restored(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct model *model = create_model(&cases[c], MICROBATCHES);
        real *saved = calloc(model_state_size(model), sizeof *saved);
        struct microbatch_loss before[MICROBATCHES], after[MICROBATCHES],
            other[MICROBATCHES];
        struct window window;
        forward_windows(model, NULL, 1, before);
        model_get_state(model, 1, saved);
        window_fill(&window, 1);
        model_forward(model, window.input_of, window.target_of, NULL, before);
        model_clear_states(model);
        model_forward(model, window.input_of, window.target_of, NULL, other);
        model_clear_states(model);
        model_set_state(model, 1, saved);
        model_forward(model, window.input_of, window.target_of, NULL, after);
        assert_memory_equal(&before[1], &after[1], sizeof *before);
        assert_memory_not_equal(&before[1], &other[1], sizeof *before);
        free(saved);
        model_free(model);
    }
}

static void dropout_preserves_the_mean(void **state)
{
    (void)state;
    const struct model_shape shape = {CELL_LSTM, 1, 64, 4, 0, 0, VOCABULARY, false};
    struct model *model = create_model(&shape, MICROBATCHES);
    real *weights = model_weights(model);
    const struct params *params = model_params(model);
    /* the logits are sums of h: their mean over many masks is the value without
     * dropout */
    for (size_t i = params_find(params, "output/weight")->offset; i < params->total; i++)
        weights[i] = i < params_find(params, "output/bias")->offset ? 1 : 0;
    struct window window;
    window_fill(&window, 0);
    model_clear_states(model);
    model_forward(model, window.input_of, NULL, NULL, NULL);
    double plain = (double)model_logits(model, 0)[0], mean = 0, square = 0;
    enum { DRAWS = 2000 };
    for (int i = 0; i < DRAWS; i++) {
        struct dropout dropout = {.rate = 0.25, .seed = 1, .step = i, .first_row = 0};
        model_clear_states(model);
        model_forward(model, window.input_of, NULL, &dropout, NULL);
        double value = (double)model_logits(model, 0)[0];
        mean += value / DRAWS;
        square += value * value / DRAWS;
    }
    double deviation = sqrt(square - mean * mean);
    assert_true(deviation > 0);
    assert_true(fabs(mean - plain) < 5 * deviation / sqrt(DRAWS));
    model_free(model);
}

static double loss_of(const struct matmul_backend *backend, bool training)
{
    struct model_plan plan = plan_of(&cases[2], MICROBATCHES);
    struct model *model = NULL;
    struct microbatch_loss losses[MICROBATCHES];
    plan.backend = backend;
    plan.training = training;
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    weights_fill(model, 1);
    forward_windows(model, NULL, 1, losses);
    model_free(model);
    return losses[0].loss;
}

static void inference_ignores_bfloat16(void **state)
{
    (void)state;
    double exact = loss_of(&matmul_float32, false);
    double rounded = loss_of(&matmul_bfloat16, true);
    assert_true(loss_of(&matmul_float32, true) == exact);
    assert_true(loss_of(&matmul_bfloat16, false) == exact);
    assert_true(rounded != exact && fabs(rounded - exact) < 0.01 * exact);
}

static void initialisation_is_a_function_of_the_seed(void **state)
{
    (void)state;
    struct params params;
    assert_int_equal(params_layout(&cases[2], &params), STATUS_OK);
    real *a = calloc(params.total, sizeof *a), *b = calloc(params.total, sizeof *b);
    params_initialise(&cases[2], &params, INIT_GLOROT, 1, a);
    params_initialise(&cases[2], &params, INIT_GLOROT, 1, b);
    assert_true(params_hash(&params, a) == params_hash(&params, b));
    const struct param *bias = params_find(&params, "lstm1/bias");
    size_t h = (size_t)cases[2].hidden;
    assert_true(a[bias->offset + h - 1] == 0 && a[bias->offset + h] == 1 &&
                a[bias->offset + 2 * h - 1] == 1 && a[bias->offset + 2 * h] == 0);
    params_initialise(&cases[2], &params, INIT_GLOROT, 2, b);
    assert_true(params_hash(&params, a) != params_hash(&params, b));
    free(a);
    free(b);
}

/* ---- initial weights ---- */

static const real *drawn_tensor(const struct params *params, const real *block,
                                const char *name, size_t *count)
{
    const struct param *param = params_find(params, name);
    assert_non_null(param);
    *count = param->count;
    return block + param->offset;
}

/* Uniform in +-bound: extremes near it, and the variance bound^2 / 3. */
static void check_uniform(const struct params *params, const real *block,
                          const char *name, double bound)
{
    size_t count;
    const real *values = drawn_tensor(params, block, name, &count);
    double largest = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)values[i]));
        squares += pow((double)values[i], 2) / (double)count;
    }
    if (!(largest <= bound && largest > bound * (1 - 20.0 / (double)count) &&
          fabs(squares / (bound * bound / 3) - 1) < 5 / sqrt((double)count)))
        fail_msg("%s: up to %g, mean square %g, expected uniform in +-%g", name, largest,
                 squares, bound);
}

static void check_bias(const struct params *params, const real *block, const char *name,
                       int forget_gate, int hidden)
{
    size_t count;
    const real *values = drawn_tensor(params, block, name, &count);
    for (size_t i = 0; i < count; i++)
        assert_true(values[i] == ((int)i / hidden == forget_gate ? 1 : 0));
}

static void check_orthonormal_columns(const struct params *params, const real *block,
                                      const char *name)
{
    size_t count;
    const real *q = drawn_tensor(params, block, name, &count);
    size_t rows = params_find(params, name)->rows, columns = count / rows;
    for (size_t i = 0; i < columns; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t r = 0; r < rows; r++)
                sum += (double)q[r * columns + i] * (double)q[r * columns + j];
            assert_true(fabs(sum - (i == j)) < 1e-6);
        }
}

/* Mean 0, variance 1, and the fourth moment of a normal distribution, 3. */
static void check_standard_normal(const struct params *params, const real *block,
                                  const char *name)
{
    size_t count;
    const real *values = drawn_tensor(params, block, name, &count);
    double moments[5] = {0}, n = (double)count;
    for (size_t i = 0; i < count; i++)
        for (int m = 1; m <= 4; m++)
            moments[m] += pow((double)values[i], m) / n;
    assert_true(fabs(moments[1]) < 5 / sqrt(n));
    assert_true(fabs(moments[2] - 1) < 5 * sqrt(2 / n));
    assert_true(fabs(moments[4] - 3) < 5 * sqrt(96 / n));
}

static real *draw_weights(const struct model_shape *shape, int init,
                          struct params *params)
{
    assert_int_equal(params_layout(shape, params), STATUS_OK);
    real *block = calloc(params->total, sizeof *block);
    assert_int_equal(params_initialise(shape, params, init, 7, block), STATUS_OK);
    return block;
}

enum { INIT_V = 90, INIT_E = 40, INIT_H = 50, INIT_F = 30 };
static const struct model_shape init_lstm = {CELL_LSTM,         2,      INIT_H, 0, INIT_F,
                                             ACTIVATION_LINEAR, INIT_V, false},
                                init_gru = {CELL_GRU,          1,      INIT_H, INIT_E, 0,
                                            ACTIVATION_LINEAR, INIT_V, false};

static void keras_weights_have_the_distributions_of_keras(void **state)
{
    (void)state;
    struct params params;
    real *block = draw_weights(&init_lstm, INIT_KERAS, &params);
    check_uniform(&params, block, "lstm0/weight_ih", sqrt(6.0 / (INIT_V + 4 * INIT_H)));
    check_uniform(&params, block, "lstm1/weight_ih", sqrt(6.0 / (INIT_H + 4 * INIT_H)));
    check_orthonormal_columns(&params, block, "lstm0/weight_hh");
    check_orthonormal_columns(&params, block, "lstm1/weight_hh");
    check_bias(&params, block, "lstm0/bias", 1, INIT_H);
    check_uniform(&params, block, "dense/weight", sqrt(6.0 / (INIT_H + INIT_F)));
    check_bias(&params, block, "dense/bias", -1, 1);
    check_uniform(&params, block, "output/weight", sqrt(6.0 / (INIT_F + INIT_V)));
    check_bias(&params, block, "output/bias", -1, 1);
    free(block);
    block = draw_weights(&init_gru, INIT_KERAS, &params);
    check_uniform(&params, block, "embedding/weight", 0.05);
    check_uniform(&params, block, "gru0/weight_ih", sqrt(6.0 / (INIT_E + 3 * INIT_H)));
    check_orthonormal_columns(&params, block, "gru0/weight_hh");
    check_bias(&params, block, "gru0/bias_ih", -1, 1);
    check_bias(&params, block, "gru0/bias_hh", -1, 1);
    free(block);
}

static void pytorch_weights_have_the_distributions_of_pytorch(void **state)
{
    (void)state;
    struct params params;
    size_t count;
    const double bound = 1 / sqrt(INIT_H);
    real *block = draw_weights(&init_lstm, INIT_PYTORCH, &params);
    check_uniform(&params, block, "lstm0/weight_ih", bound);
    check_uniform(&params, block, "lstm1/weight_hh", bound);
    check_uniform(&params, block, "dense/weight", bound);
    check_uniform(&params, block, "dense/bias", bound);
    check_uniform(&params, block, "output/weight", 1 / sqrt(INIT_F));
    check_uniform(&params, block, "output/bias", 1 / sqrt(INIT_F));
    const real *bias = drawn_tensor(&params, block, "lstm0/bias", &count);
    double squares = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        squares += pow((double)bias[i], 2) / (double)count;
        largest = fmax(largest, fabs((double)bias[i]));
    }
    assert_true(largest > bound && largest < 2 * bound);
    assert_true(fabs(squares / (2 * bound * bound / 3) - 1) < 0.3);
    free(block);
    block = draw_weights(&init_gru, INIT_PYTORCH, &params);
    check_standard_normal(&params, block, "embedding/weight");
    check_uniform(&params, block, "gru0/weight_ih", bound);
    check_uniform(&params, block, "gru0/bias_ih", bound);
    check_uniform(&params, block, "gru0/bias_hh", bound);
    free(block);
}

/* Known hashes: the bits are the same on every processor and with every compiler. */
static void initial_weights_have_known_bits(void **state)
{
    (void)state;
    static const uint64_t known[2][2] = {{0x7359c7af83cd06c8, 0xc1f84d0e90e0bd1c},
                                         {0x72e3dcf33cbee302, 0x93039c364fa70ab6}};
    for (int init = INIT_KERAS; init <= INIT_PYTORCH; init++)
        for (int gru = 0; gru < 2; gru++) {
            struct params params;
            real *block = draw_weights(gru ? &init_gru : &init_lstm, init, &params);
            uint64_t hash = params_hash(&params, block);
            if (hash != known[init - INIT_KERAS][gru])
                fail_msg("init %d, gru %d: hash %016llx", init, gru,
                         (unsigned long long)hash);
            free(block);
        }
}

/* LSTM 256, LSTM 256, dense 128, softmax over 389 tokens, on one-hot tokens: as Keras
 * counts it, 4 * 256 * (389 + 256 + 1) + 4 * 256 * (256 + 256 + 1) + 128 * (256 + 1) + 389
 * * (128 + 1). */
static void the_model_of_the_tutorial_has_as_many_parameters_as_in_keras(void **state)
{
    (void)state;
    const struct model_shape shape = {CELL_LSTM,         2,   256,  0, 128,
                                      ACTIVATION_LINEAR, 389, false};
    struct params params;
    assert_int_equal(params_layout(&shape, &params), STATUS_OK);
    assert_int_equal(params.total, 1269893);
    assert_null(params_find(&params, "embedding/weight"));
    assert_int_equal(params_find(&params, "lstm0/weight_ih")->columns, 389);
}

static void out_of_range_shapes_are_refused(void **state)
{
    (void)state;
    struct params params;
    struct model_shape shape = cases[0];
    shape.hidden = 0;
    assert_int_equal(params_layout(&shape, &params), STATUS_MISUSE);
    shape = cases[0];
    shape.layers = 1000;
    assert_int_equal(params_layout(&shape, &params), STATUS_MISUSE);
    shape = cases[0];
    shape.tied = true; /* embedding 4, hidden 6 */
    assert_int_equal(params_layout(&shape, &params), STATUS_MISUSE);
    shape.embedding = 0;
    assert_int_equal(params_layout(&shape, &params), STATUS_MISUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_loss_agree_with_the_naive_model),
        cmocka_unit_test(losses_with_dropout_agree_with_the_naive_model),
        cmocka_unit_test(gradients_agree_with_the_naive_model),
        cmocka_unit_test(label_smoothing_leaves_the_losses_as_they_are),
        cmocka_unit_test(weights_are_dropped_and_restored),
        cmocka_unit_test(a_microbatch_is_independent_of_the_others),
        cmocka_unit_test(bits_are_independent_of_the_threads),
        cmocka_unit_test(many_rows_equal_single_rows),
        cmocka_unit_test(states_can_be_saved_and_restored),
        cmocka_unit_test(dropout_preserves_the_mean),
        cmocka_unit_test(inference_ignores_bfloat16),
        cmocka_unit_test(initialisation_is_a_function_of_the_seed),
        cmocka_unit_test(keras_weights_have_the_distributions_of_keras),
        cmocka_unit_test(pytorch_weights_have_the_distributions_of_pytorch),
        cmocka_unit_test(initial_weights_have_known_bits),
        cmocka_unit_test(the_model_of_the_tutorial_has_as_many_parameters_as_in_keras),
        cmocka_unit_test(out_of_range_shapes_are_refused),
    };
    /* The others need no team: one gives the bits of one thread. */
    const struct CMUnitTest on_teams[] = {
        cmocka_unit_test(logits_and_loss_agree_with_the_naive_model),
        cmocka_unit_test(losses_with_dropout_agree_with_the_naive_model),
        cmocka_unit_test(a_microbatch_is_independent_of_the_others),
        cmocka_unit_test(many_rows_equal_single_rows),
        cmocka_unit_test(states_can_be_saved_and_restored),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    for (case_threads = 2; case_threads <= 3; case_threads++)
        failures += cmocka_run_group_tests(on_teams, NULL, NULL);
    return failures;
}
