/* model_cases: small models and random windows that the tests of the model share. */
#ifndef TUTTI_MODEL_CASES_H
#define TUTTI_MODEL_CASES_H

#include <stdlib.h>
#include <string.h>

#include <math.h>

#include "base/rng.h"
#include "nn/model.h"

enum { MICROBATCHES = 2, ROWS = 3, STEPS = 5, VOCABULARY = 11, END_TOKEN = 10 };

static const struct model_shape cases[] = {
    {CELL_LSTM, 1, 6, 4, 0, ACTIVATION_LINEAR, VOCABULARY},
    {CELL_LSTM, 2, 7, 5, 0, ACTIVATION_LINEAR, VOCABULARY},
    {CELL_LSTM, 3, 8, 5, 6, ACTIVATION_TANH, VOCABULARY},
    {CELL_LSTM, 1, 17, 5, 0, ACTIVATION_LINEAR, VOCABULARY},
    {CELL_LSTM, 2, 5, 5, 7, ACTIVATION_RELU, VOCABULARY},
    {CELL_GRU, 1, 6, 4, 0, ACTIVATION_LINEAR, VOCABULARY},
    {CELL_GRU, 1, 18, 5, 0, ACTIVATION_LINEAR, VOCABULARY},
    {CELL_GRU, 2, 5, 5, 7, ACTIVATION_LINEAR, VOCABULARY},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Of a model of one of the cases, in training. */
static inline struct model_plan plan_of(const struct model_shape *shape, int microbatches)
{
    return (struct model_plan){.shape = shape,
                               .end = END_TOKEN,
                               .microbatches = microbatches,
                               .rows = ROWS,
                               .steps = STEPS,
                               .training = true,
                               .backend = &matmul_float32};
}

/* Tokens with an END here and there, targets with some that are not counted. */
struct window {
    token inputs[MICROBATCHES][STEPS * ROWS];
    int32_t targets[MICROBATCHES][STEPS * ROWS];
    const token *input_of[MICROBATCHES];
    const int32_t *target_of[MICROBATCHES];
};

static inline void window_fill(struct window *window, uint64_t number)
{
    for (int s = 0; s < MICROBATCHES; s++) {
        for (int i = 0; i < STEPS * ROWS; i++) {
            uint64_t at = (uint64_t)(s * STEPS * ROWS + i);
            uint64_t draw = rng_below(VOCABULARY, 3, RNG_TEST, number, at, 0);
            window->inputs[s][i] = (token)draw;
            draw = rng_below(VOCABULARY + 1, 3, RNG_TEST, number, at, 1);
            window->targets[s][i] = (int32_t)draw - 1;
        }
        window->input_of[s] = window->inputs[s];
        window->target_of[s] = window->targets[s];
    }
}

/* Weights of a size that makes every gate move; also biases. */
static inline void weights_fill(struct model *model, uint64_t seed)
{
    real *weights = model_weights(model);
    for (size_t i = 0; i < model_params(model)->total; i++)
        weights[i] = (real)(0.8 * rng_normal(seed, RNG_TEST, 99, i, 0));
    model_weights_changed(model);
}

/* Keeps what a backward pass gives: [microbatches][total]. Layers must come from the end
 * of the block to its beginning, each for all microbatches, every element once and
 * microbatch 0's first. */
struct gradients {
    real *values;
    size_t total, complete;
    size_t given; /* elements, of all microbatches */
    int microbatches;
    int meanwhile;
};

static inline void gradients_take(void *context, int microbatch,
                                  const struct gradient_block *block)
{
    struct gradients *to = context;
    for (size_t r = 0; r < (size_t)block->rows; r++) {
        size_t first = block->first + r * block->ld;
        real *values = to->values + first;
        assert_true(first + (size_t)block->width <= to->complete);
        for (size_t j = 0; j < (size_t)block->width; j++) {
            assert_true(isnan(values[(size_t)microbatch * to->total + j]));
            assert_true(microbatch == 0 || !isnan(values[j]));
            values[(size_t)microbatch * to->total + j] =
                block->values[r * block->ld_values + j];
        }
        to->given += (size_t)block->width;
    }
}

static inline void gradients_complete(void *context, size_t first)
{
    struct gradients *to = context;
    assert_true(first < to->complete);
    assert_int_equal(to->given, (to->complete - first) * (size_t)to->microbatches);
    to->complete = first;
    to->given = 0;
}

static inline void gradients_meanwhile(void *context)
{
    ((struct gradients *)context)->meanwhile++;
}

/* Back-propagates; the gradient of each microbatch goes to values[microbatch * total]. */
static inline void backward_into(struct model *model, int microbatches, real *values)
{
    struct gradients to = {.values = values,
                           .total = model_params(model)->total,
                           .complete = model_params(model)->total,
                           .microbatches = microbatches};
    for (size_t i = 0; i < (size_t)microbatches * to.total; i++)
        values[i] = (real)NAN;
    model_backward(model, &(struct model_gradients){gradients_take, gradients_complete,
                                                    gradients_meanwhile, &to});
    assert_int_equal(to.complete, 0);
    assert_true(to.meanwhile > STEPS);
}

#endif
