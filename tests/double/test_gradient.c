/* gradient: backward pass of the model built in double, checked against central
 * differences of its own loss, with dropout, END, carried states and smoothed labels; one
 * tolerance for every tensor of every case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../model_cases.h"

/* The second of two windows, starting from the states after the first. */
struct second_window {
    const struct window *window;
    const real *states;
    const struct dropout *dropout;
    double smoothing; /* of the labels */
};

static double plain_loss(struct model *model, const struct second_window *second,
                         const struct window *window, int s)
{
    struct microbatch_loss losses[MICROBATCHES];
    for (int i = 0; i < MICROBATCHES; i++)
        model_set_state(model, i, second->states + (size_t)i * model_state_size(model));
    model_weights_changed(model);
    model_forward(model, window->input_of, window->target_of, second->dropout, losses);
    return losses[s].loss;
}

/* Loss of microbatch s with smoothed labels, from losses without: (1 - smoothing) of the
 * target's and smoothing / V of that of every token as the target. */
static double loss_of(struct model *model, const struct second_window *second, int s)
{
    const struct window *window = second->window;
    double loss = (1 - second->smoothing) * plain_loss(model, second, window, s);
    struct window other = *window;
    for (int i = 0; i < MICROBATCHES; i++)
        other.target_of[i] = other.targets[i];
    for (int v = 0; second->smoothing > 0 && v < VOCABULARY; v++) {
        for (int i = 0; i < STEPS * ROWS; i++)
            other.targets[s][i] = window->targets[s][i] < 0 ? -1 : v;
        loss += second->smoothing / VOCABULARY * plain_loss(model, second, &other, s);
    }
    return loss;
}

static void check_tensor(struct model *model, const struct param *param,
                         const real *gradient, const struct second_window *second, int s)
{
    const double step = 3e-6;
    double error = 0, size = 0;
    real *weights = model_weights(model);
    for (size_t i = param->offset; i < param->offset + param->count; i++) {
        real weight = weights[i];
        weights[i] = weight + step;
        double above = loss_of(model, second, s);
        weights[i] = weight - step;
        double below = loss_of(model, second, s);
        weights[i] = weight;
        double expected = (above - below) / (2 * step);
        error += pow(gradient[i] - expected, 2);
        size += pow(expected, 2);
    }
    if (!(sqrt(error) < 1e-7 * sqrt(size) + 1e-9))
        fail_msg("%s: relative error %.2e", param->name, sqrt(error / size));
}

static void check_gradient(const struct model_shape *shape, const struct dropout *dropout,
                           double smoothing)
{
    struct model *model = NULL;
    struct model_plan plan = plan_of(shape, MICROBATCHES);
    plan.label_smoothing = smoothing;
    assert_int_equal(model_create(&plan, &model), STATUS_OK);
    weights_fill(model, 1);
    const struct params *params = model_params(model);
    real *gradients = calloc(MICROBATCHES * params->total, sizeof *gradients);
    real *states = calloc(MICROBATCHES * model_state_size(model), sizeof *states);
    struct window window;
    const struct second_window second = {&window, states, dropout, smoothing};
    struct microbatch_loss losses[MICROBATCHES];
    window_fill(&window, 0);
    model_forward(model, window.input_of, window.target_of, dropout, losses);
    for (int s = 0; s < MICROBATCHES; s++)
        model_get_state(model, s, states + (size_t)s * model_state_size(model));
    window_fill(&window, 1);
    for (int s = 0; s < MICROBATCHES; s++) {
        plain_loss(model, &second, &window, s);
        backward_into(model, MICROBATCHES, gradients);
        const real *gradient = gradients + (size_t)s * params->total;
        for (size_t i = 0; i < params->count; i++)
            check_tensor(model, &params->list[i], gradient, &second, s);
    }
    free(states);
    free(gradients);
    model_free(model);
}

static void every_tensor_agrees_with_finite_differences(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++)
        for (int d = 0; d < DROPOUTS; d++)
            check_gradient(&cases[c], &dropouts[d], 0);
}

static void smoothed_labels_agree_with_finite_differences(void **state)
{
    (void)state;
    check_gradient(&cases[0], &dropouts[0], 0.1);
    check_gradient(&cases[7], &dropouts[1], 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_agrees_with_finite_differences),
        cmocka_unit_test(smoothed_labels_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
