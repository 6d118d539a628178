/* optimizer: Adam, AdamW and SGD with momentum, one element after the other.
 *
 * Element-wise single-precision arithmetic with correctly rounded operations only (no
 * reciprocal estimates, no fused contraction): the compiler may vectorise it as it likes
 * and the bits stay the same. Weight decay touches every element, biases included.
 */
#include "optimizer.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum status optimizer_create(const struct options *options, size_t count,
                             struct optimizer *out)
{
    bool adaptive = options->train.optimizer != OPTIMIZER_SGD;
    *out = (struct optimizer){.kind = options->train.optimizer,
                              .count = count,
                              .beta1 = options->train.beta1,
                              .beta2 = options->train.beta2,
                              .epsilon = options->train.epsilon,
                              .momentum = options->train.momentum,
                              .weight_decay = options->train.weight_decay};
    out->first = memory_zeroed(count * sizeof *out->first);
    out->second = adaptive ? memory_zeroed(count * sizeof *out->second) : NULL;
    if (out->first && (out->second || !adaptive))
        return STATUS_OK;
    optimizer_free(out);
    return status_fail(STATUS_FAILED, "out of memory for the optimizer of %zu weights",
                       count);
}

void optimizer_free(struct optimizer *optimizer)
{
    memory_free(optimizer->first);
    memory_free(optimizer->second);
    memset(optimizer, 0, sizeof *optimizer);
}

/* base^n by squaring: multiplications only, so every processor gives the same bits, which
 * pow() does not promise. */
static double power(double base, int64_t n)
{
    double result = 1;
    for (; n > 0; n >>= 1, base *= base)
        if (n & 1)
            result *= base;
    return result;
}

void optimizer_begin(struct optimizer *optimizer, double learning_rate)
{
    optimizer->updates++;
    optimizer->rate = (float)learning_rate;
    if (optimizer->kind == OPTIMIZER_SGD)
        return;
    double correction1 = 1 - power(optimizer->beta1, optimizer->updates);
    double correction2 = 1 - power(optimizer->beta2, optimizer->updates);
    double decay = optimizer->kind == OPTIMIZER_ADAMW ? optimizer->weight_decay : 0;
    optimizer->rate = (float)(learning_rate / correction1);
    optimizer->unbias = (float)(1 / sqrt(correction2));
    optimizer->keep = (float)(1 - learning_rate * decay);
}

/* Algorithm 1 of Kingma and Ba; `keep` = 1 - learning_rate * weight_decay is AdamW's
 * decoupled decay (Algorithm 2 of Loshchilov and Hutter), 1 for Adam. */
static void adam(const struct optimizer *optimizer, float *restrict first,
                 float *restrict second, size_t count, const float *restrict gradient,
                 float *restrict weights)
{
    const float beta1 = (float)optimizer->beta1, rest1 = (float)(1 - optimizer->beta1);
    const float beta2 = (float)optimizer->beta2, rest2 = (float)(1 - optimizer->beta2);
    const float rate = optimizer->rate, unbias = optimizer->unbias;
    const float epsilon = (float)optimizer->epsilon, keep = optimizer->keep;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i];
        first[i] = beta1 * first[i] + rest1 * g;
        second[i] = beta2 * second[i] + rest2 * g * g;
        float deviation = sqrtf(second[i]) * unbias + epsilon;
        weights[i] = keep * weights[i] - rate * first[i] / deviation;
    }
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

void optimizer_update(struct optimizer *optimizer, size_t first, size_t count,
                      const float *gradient, float *weights)
{
    if (optimizer->kind == OPTIMIZER_SGD)
        sgd(optimizer, optimizer->first + first, count, gradient, weights);
    else
        adam(optimizer, optimizer->first + first, optimizer->second + first, count,
             gradient, weights);
}
