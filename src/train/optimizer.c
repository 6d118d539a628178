/* optimizer: Adam, AdamW and SGD with momentum.
 *
 * Element-wise single-precision arithmetic with correctly rounded operations only (no
 * reciprocal estimates, no fused contraction): the compiler may vectorise it as it likes
 * and the bits stay the same. Weight decay applies to every element, biases included.
 */
#include "optimizer.h"

#include <math.h>
#include <string.h>

/* ---- Adam and AdamW ---- */

/* base^n by squaring: multiplications only, so the bits are the same on every processor,
 * which pow() does not guarantee. */
static double power(double base, int64_t n)
{
    double result = 1;
    for (; n > 0; n >>= 1, base *= base)
        if (n & 1)
            result *= base;
    return result;
}

/* `decay` is AdamW's decoupled weight decay. */
static void begin_adam_with(struct optimizer *optimizer, double learning_rate,
                            double decay)
{
    double correction1 = 1 - power(optimizer->beta1, optimizer->updates);
    double correction2 = 1 - power(optimizer->beta2, optimizer->updates);
    optimizer->rate = (float)(learning_rate / correction1);
    optimizer->bias_correction = (float)(1 / sqrt(correction2));
    optimizer->decay_factor = (float)(1 - learning_rate * decay);
}

static void begin_adam(struct optimizer *optimizer, double learning_rate)
{
    begin_adam_with(optimizer, learning_rate, 0);
}

static void begin_adamw(struct optimizer *optimizer, double learning_rate)
{
    begin_adam_with(optimizer, learning_rate, optimizer->weight_decay);
}

/* Algorithm 1 of Kingma and Ba; `decay_factor` = 1 - learning_rate * weight_decay is
 * AdamW's decoupled decay (Algorithm 2 of Loshchilov and Hutter), 1 for Adam. */
static void adam(const struct optimizer *optimizer, float *restrict first,
                 float *restrict second, size_t count, const float *restrict gradient,
                 float *restrict weights)
{
    const float beta1 = (float)optimizer->beta1,
                one_minus_beta1 = (float)(1 - optimizer->beta1);
    const float beta2 = (float)optimizer->beta2,
                one_minus_beta2 = (float)(1 - optimizer->beta2);
    const float rate = optimizer->rate, bias_correction = optimizer->bias_correction;
    const float epsilon = (float)optimizer->epsilon,
                decay_factor = optimizer->decay_factor;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i];
        first[i] = beta1 * first[i] + one_minus_beta1 * g;
        second[i] = beta2 * second[i] + one_minus_beta2 * g * g;
        float deviation = sqrtf(second[i]) * bias_correction + epsilon;
        weights[i] = decay_factor * weights[i] - rate * first[i] / deviation;
    }
}

static void update_adam(const struct optimizer *optimizer, size_t first, size_t count,
                        const float *gradient, float *weights)
{
    adam(optimizer, optimizer->first + first, optimizer->second + first, count, gradient,
         weights);
}

/* ---- SGD with momentum ---- */

static void begin_sgd(struct optimizer *optimizer, double learning_rate)
{
    optimizer->rate = (float)learning_rate;
}

static void sgd(const struct optimizer *optimizer, float *restrict velocity, size_t count,
                const float *restrict gradient, float *restrict weights)
{
    const float momentum = (float)optimizer->momentum, rate = optimizer->rate;
    for (size_t i = 0; i < count; i++) {
        velocity[i] = momentum * velocity[i] + gradient[i];
        weights[i] -= rate * velocity[i];
    }
}

static void update_sgd(const struct optimizer *optimizer, size_t first, size_t count,
                       const float *gradient, float *weights)
{
    sgd(optimizer, optimizer->first + first, count, gradient, weights);
}

/* ---- the average of the weights ---- */

static float average_rate(const struct optimizer *optimizer)
{
    double t = (double)optimizer->updates;
    return (float)(1 - fmin(optimizer->average_decay, (1 + t) / (10 + t)));
}

static void update_average(float rate, size_t count, const float *restrict weights,
                           float *restrict average)
{
    for (size_t i = 0; i < count; i++)
        average[i] += rate * (weights[i] - average[i]);
}

void optimizer_start_average(struct optimizer *optimizer, const float *weights)
{
    if (optimizer->average)
        memcpy(optimizer->average, weights, optimizer->count * sizeof *weights);
}

/* ---- the table ---- */

#define CONSTANT(member)                                                                 \
    {                                                                                    \
#member, offsetof(struct optimizer, member)                                      \
    }

static const struct optimizer_method methods[] = {
    [OPTIMIZER_ADAM] =
        {.name = "adam",
         .first = "first",
         .second = "second",
         .second_is_squares = true,
         .constants = {CONSTANT(beta1), CONSTANT(beta2), CONSTANT(epsilon)},
         .formula = "t = updates; first = beta1 * first + (1 - beta1) * g; "
                    "second = beta2 * second + (1 - beta2) * g^2; "
                    "w = w - rate / (1 - beta1^t) * first / (sqrt(second) / sqrt(1 - "
                    "beta2^t) + epsilon)",
         .begin = begin_adam,
         .update = update_adam},
    [OPTIMIZER_ADAMW] =
        {.name = "adamw",
         .first = "first",
         .second = "second",
         .second_is_squares = true,
         .constants = {CONSTANT(beta1), CONSTANT(beta2), CONSTANT(epsilon),
                       CONSTANT(weight_decay)},
         .formula = "t = updates; first = beta1 * first + (1 - beta1) * g; "
                    "second = beta2 * second + (1 - beta2) * g^2; "
                    "w = (1 - rate * weight_decay) * w - rate / (1 - beta1^t) * first / "
                    "(sqrt(second) / sqrt(1 - beta2^t) + epsilon); every weight decays, "
                    "biases too",
         .begin = begin_adamw,
         .update = update_adam},
    [OPTIMIZER_SGD] = {.name = "sgd",
                       .first = "velocity",
                       .constants = {CONSTANT(momentum)},
                       .formula =
                           "velocity = momentum * velocity + g; w = w - rate * velocity",
                       .begin = begin_sgd,
                       .update = update_sgd},
};

_Static_assert(sizeof methods / sizeof *methods == OPTIMIZERS, "one row each");

/* ---- all methods ---- */

void optimizer_plan(struct optimizer *optimizer, struct arena *arena)
{
    size_t size = sizeof *optimizer->first;
    optimizer->first = arena_array(arena, optimizer->count, size);
    optimizer->second =
        optimizer->method->second ? arena_array(arena, optimizer->count, size) : NULL;
    optimizer->average =
        optimizer->averages ? arena_array(arena, optimizer->count, size) : NULL;
}

enum status optimizer_create(const struct options *options, size_t count,
                             struct optimizer *out)
{
    const struct optimizer_method *method = &methods[options->train.optimizer];
    *out = (struct optimizer){.method = method,
                              .count = count,
                              .beta1 = options->train.beta1,
                              .beta2 = options->train.beta2,
                              .epsilon = options->train.epsilon,
                              .momentum = options->train.momentum,
                              .weight_decay = options->train.weight_decay,
                              .averages = options->train.average == AVERAGE_EMA,
                              .average_decay = options->train.average_decay};
    optimizer_plan(out, &out->arena);
    if (!arena_allocate(&out->arena))
        return status_fail(STATUS_FAILED,
                           "out of memory for the optimizer of %zu weights", count);
    optimizer_plan(out, &out->arena);
    return STATUS_OK;
}

void optimizer_free(struct optimizer *optimizer)
{
    arena_free(&optimizer->arena);
    *optimizer = (struct optimizer){0};
}

void optimizer_begin(struct optimizer *optimizer, double learning_rate)
{
    optimizer->updates++;
    optimizer->average_rate = average_rate(optimizer);
    optimizer->method->begin(optimizer, learning_rate);
}

void optimizer_update(struct optimizer *optimizer, size_t first, size_t count,
                      const float *gradient, float *weights)
{
    optimizer->method->update(optimizer, first, count, gradient, weights);
    if (optimizer->average)
        update_average(optimizer->average_rate, count, weights,
                       optimizer->average + first);
}
