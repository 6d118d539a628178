/* optimizer, schedule: against the papers' formulas, computed in double, one weight at a
 * time.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "train/optimizer.h"
#include "train/schedule.h"

/* Older versions of cmocka lack assert_double_equal. */
static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

enum { WEIGHTS = 37, UPDATES = 60 };

static double random_normal(uint64_t a, uint64_t b)
{
    return rng_normal(5, RNG_TEST, a, b, 0);
}

/* Gradients of very different magnitudes, some of them 0. */
static float gradient_of(int update, int i)
{
    if ((update + i) % 11 == 0)
        return 0;
    return (float)(random_normal((uint64_t)update, (uint64_t)i) * pow(10, i % 7 - 4));
}

static double rate_of(int update)
{
    return 0.01 / update;
}

/* Kingma and Ba, Algorithm 1, and Loshchilov and Hutter, Algorithm 2 with alpha = rate:
 * theta := theta - rate (m^ / (sqrt(v^) + eps) + lambda theta). */
static double naive_adam(double weight, int i, const struct options *options)
{
    double m = 0, v = 0;
    bool decays = options->train.optimizer == OPTIMIZER_ADAMW;
    for (int t = 1; t <= UPDATES; t++) {
        double g = (double)gradient_of(t, i);
        m = options->train.beta1 * m + (1 - options->train.beta1) * g;
        v = options->train.beta2 * v + (1 - options->train.beta2) * g * g;
        double mean = m / (1 - pow(options->train.beta1, t));
        double square = v / (1 - pow(options->train.beta2, t));
        double decay = decays ? options->train.weight_decay * weight : 0;
        weight -= rate_of(t) * (mean / (sqrt(square) + options->train.epsilon) + decay);
    }
    return weight;
}

static double naive_sgd(double weight, int i, const struct options *options)
{
    double velocity = 0;
    for (int t = 1; t <= UPDATES; t++) {
        velocity = options->train.momentum * velocity + (double)gradient_of(t, i);
        weight -= rate_of(t) * velocity;
    }
    return weight;
}

static void check_optimizer(int kind)
{
    struct options options;
    options_defaults(&options);
    options.train.optimizer = kind;
    options.train.weight_decay = 0.1;
    struct optimizer optimizer;
    assert_int_equal(optimizer_create(&options, WEIGHTS, &optimizer), STATUS_OK);
    float weights[WEIGHTS], first[WEIGHTS], gradient[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++)
        first[i] = weights[i] = (float)random_normal(1000, (uint64_t)i);
    for (int t = 1; t <= UPDATES; t++) {
        for (int i = 0; i < WEIGHTS; i++)
            gradient[i] = gradient_of(t, i);
        optimizer_begin(&optimizer, rate_of(t));
        size_t half = optimizer.count / 2; /* in two parts, the second first */
        optimizer_update(&optimizer, half, optimizer.count - half, gradient + half,
                         weights + half);
        optimizer_update(&optimizer, 0, half, gradient, weights);
    }
    assert_int_equal(optimizer.updates, UPDATES);
    double max_change = 0;
    for (int i = 0; i < WEIGHTS; i++) {
        double start = (double)first[i];
        double expected = kind == OPTIMIZER_SGD ? naive_sgd(start, i, &options)
                                                : naive_adam(start, i, &options);
        double error = fabs((double)weights[i] - expected);
        double moved = fabs(expected - start);
        max_change = fmax(max_change, moved);
        assert_true(error <= 2e-5 * moved + 1e-6 * fabs(expected));
    }
    assert_true(max_change > 0.02); /* far above the tolerance */
    optimizer_free(&optimizer);
}

static void adam_matches_algorithm_1(void **state)
{
    (void)state;
    check_optimizer(OPTIMIZER_ADAM);
}

static void adamw_matches_algorithm_2(void **state)
{
    (void)state;
    check_optimizer(OPTIMIZER_ADAMW);
}

static void sgd_matches_momentum_formula(void **state)
{
    (void)state;
    check_optimizer(OPTIMIZER_SGD);
}

/* With t = 1, 2, ...: d is 2/11, 3/12, 4/13 until it reaches the decay, here 0.3. */
static void average_follows_the_weights(void **state)
{
    (void)state;
    static const double decay[] = {2.0 / 11, 3.0 / 12, 0.3, 0.3, 0.3, 0.3};
    enum { STEPS = sizeof decay / sizeof *decay };
    struct options options;
    options_defaults(&options);
    options.train.average = AVERAGE_EMA;
    options.train.average_decay = 0.3;
    struct optimizer optimizer;
    assert_int_equal(optimizer_create(&options, WEIGHTS, &optimizer), STATUS_OK);
    float weights[WEIGHTS], gradient[WEIGHTS];
    double expected[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++)
        expected[i] = (double)(weights[i] = (float)random_normal(1000, (uint64_t)i));
    optimizer_start_average(&optimizer, weights);
    for (int t = 1; t <= STEPS; t++) {
        for (int i = 0; i < WEIGHTS; i++)
            gradient[i] = gradient_of(t, i);
        size_t half = optimizer.count / 2;
        optimizer_begin(&optimizer, 0.5);
        optimizer_update(&optimizer, half, optimizer.count - half, gradient + half,
                         weights + half);
        optimizer_update(&optimizer, 0, half, gradient, weights);
        for (int i = 0; i < WEIGHTS; i++) {
            expected[i] =
                decay[t - 1] * expected[i] + (1 - decay[t - 1]) * (double)weights[i];
            assert_near((double)optimizer.average[i], expected[i], 2e-6);
        }
    }
    optimizer_free(&optimizer);
}

static struct options schedule_options(int kind)
{
    struct options options;
    options_defaults(&options);
    options.train.schedule = kind;
    options.train.learning_rate = 0.5;
    options.train.warmup_steps = 10;
    options.train.final_lr_ratio = 0.1;
    options.train.plateau_factor = 0.25;
    options.train.plateau_patience = 2;
    return options;
}

static void warms_up_linearly(void **unused)
{
    (void)unused;
    struct schedule_state state;
    schedule_init(&state);
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_PLATEAU; kind++) {
        struct options options = schedule_options(kind);
        for (int64_t step = 1; step <= 10; step++)
            assert_near(schedule_learning_rate(&state, &options, step, 100),
                        0.05 * (double)step, 1e-15);
    }
    struct options options = schedule_options(SCHEDULE_CONSTANT);
    assert_near(schedule_learning_rate(&state, &options, 99, 100), 0.5, 0);
    options.train.warmup_steps = 0;
    assert_near(schedule_learning_rate(&state, &options, 1, 100), 0.5, 0);
}

static void cosine_decays_over_half_a_period(void **unused)
{
    (void)unused;
    struct schedule_state state;
    schedule_init(&state);
    struct options options = schedule_options(SCHEDULE_COSINE);
    /* after a warm-up of 10 steps half a period takes 90; cos is 1, 1/2, 0, -1/2, -1 at
     */
    static const struct {
        int64_t step;
        double cosine;
    } known[] = {{10, 1}, {40, 0.5}, {55, 0}, {70, -0.5}, {100, -1}, {120, -1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_near(schedule_learning_rate(&state, &options, known[i].step, 100),
                    0.5 * (0.1 + 0.9 * (1 + known[i].cosine) / 2), 1e-12);
    options.train.warmup_steps = 200; /* longer than the run */
    assert_near(schedule_learning_rate(&state, &options, 100, 100), 0.25, 1e-15);
}

/* 30 steps: 9 rise (positions 0 to 8), 21 fall (8 to 29). */
static void one_cycle_rises_and_falls(void **unused)
{
    (void)unused;
    struct schedule_state state;
    schedule_init(&state);
    struct options options = schedule_options(SCHEDULE_ONE_CYCLE);
    static const struct {
        int64_t step;
        double low, cosine; /* the end of its half cosine that is not the peak */
    } known[] = {{1, 0.04, -1},   {5, 0.04, 0},  {9, 0.04, 1}, {16, 0.1, 0.5},
                 {23, 0.1, -0.5}, {30, 0.1, -1}, {31, 0.1, -1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double low = known[i].low;
        assert_near(schedule_learning_rate(&state, &options, known[i].step, 30),
                    0.5 * (low + (1 - low) * (1 + known[i].cosine) / 2), 1e-12);
    }
}

/* torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=N) in PyTorch
 * 2.15, the rates of the steps 1 to N. */
static void one_cycle_is_that_of_pytorch(void **unused)
{
    (void)unused;
    struct schedule_state state;
    schedule_init(&state);
    struct options options = schedule_options(SCHEDULE_ONE_CYCLE);
    options.train.final_lr_ratio = 4e-6;
    static const double rates[] = {0.02,
                                   0.211170556867368,
                                   0.480130712361309,
                                   0.489873283910651,
                                   0.442237862384315,
                                   0.363043524648764,
                                   0.2652913540438,
                                   0.165029014493647,
                                   0.0787162563997539,
                                   0.0205227716031454,
                                   2e-06};
    for (int64_t step = 1; step <= 11; step++)
        assert_near(schedule_learning_rate(&state, &options, step, 11), rates[step - 1],
                    1e-12);
    for (int64_t total = 1; total <= 4; total++) /* the shortest runs */
        assert_near(schedule_learning_rate(&state, &options, total, total), 2e-6, 1e-15);
}

static void plateau_reduces_after_patience(void **unused)
{
    (void)unused;
    struct schedule_state state;
    schedule_init(&state);
    struct options options = schedule_options(SCHEDULE_PLATEAU);
    static const struct {
        double loss, rate; /* validation loss of an epoch; learning rate after it */
        int best, bad;
    } epochs[] = {
        {3.0, 0.5, 1, 0},     {2.0, 0.5, 1, 0},      {2.0, 0.5, 0, 1},
        {2.5, 0.125, 0, 2},   {2.4, 0.125, 0, 3},    {2.3, 0.03125, 0, 4},
        {1.9, 0.03125, 1, 0}, {1.95, 0.03125, 0, 1},
    };
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        int best = schedule_epoch(&state, &options, (int64_t)i + 1, epochs[i].loss);
        assert_int_equal(best, epochs[i].best);
        assert_int_equal(state.bad_epochs, epochs[i].bad);
        assert_near(schedule_learning_rate(&state, &options, 50, 100), epochs[i].rate,
                    1e-15);
    }
    assert_int_equal(state.best_epoch, 7);
    assert_near(state.best_valid, 1.9, 0);
}

static void constant_rate_is_never_reduced(void **unused)
{
    (void)unused;
    struct schedule_state state;
    schedule_init(&state);
    struct options options = schedule_options(SCHEDULE_CONSTANT);
    for (int epoch = 1; epoch < 9; epoch++)
        schedule_epoch(&state, &options, epoch, 2);
    assert_int_equal(state.bad_epochs, 7);
    assert_near(schedule_learning_rate(&state, &options, 50, 100), 0.5, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_matches_algorithm_1),
        cmocka_unit_test(adamw_matches_algorithm_2),
        cmocka_unit_test(sgd_matches_momentum_formula),
        cmocka_unit_test(average_follows_the_weights),
        cmocka_unit_test(warms_up_linearly),
        cmocka_unit_test(cosine_decays_over_half_a_period),
        cmocka_unit_test(one_cycle_rises_and_falls),
        cmocka_unit_test(one_cycle_is_that_of_pytorch),
        cmocka_unit_test(plateau_reduces_after_patience),
        cmocka_unit_test(constant_rate_is_never_reduced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
