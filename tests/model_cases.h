/* model_cases: small models and random windows, shared by the tests of the model. */
#ifndef TUTTI_MODEL_CASES_H
#define TUTTI_MODEL_CASES_H

#include <stdlib.h>
#include <string.h>

#include <math.h>

#include "base/rng.h"
#include "nn/model.h"

enum { MICROBATCHES = 2, ROWS = 3, STEPS = 5, VOCABULARY = 11, END_TOKEN = 10 };

static const struct model_shape cases[] = {
    {CELL_LSTM, 1, 6, 4, 0, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
    {CELL_LSTM, 2, 7, 5, 0, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
    {CELL_LSTM, 3, 8, 5, 6, ACTIVATION_TANH, VOCABULARY, false, false, false},
    {CELL_LSTM, 1, 17, 5, 0, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
    {CELL_LSTM, 2, 5, 5, 7, ACTIVATION_RELU, VOCABULARY, false, false, false},
    {CELL_GRU, 1, 6, 4, 0, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
    {CELL_GRU, 1, 18, 5, 0, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
    {CELL_GRU, 2, 5, 5, 7, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
    {CELL_LSTM, 2, 6, 6, 0, ACTIVATION_LINEAR, VOCABULARY, true, false, false},
    {CELL_GRU, 1, 7, 18, 18, ACTIVATION_TANH, VOCABULARY, true, false, false},
    {CELL_GRU, 3, 5, 5, 7, ACTIVATION_TANH, VOCABULARY, false, true, false},
    {CELL_GRU, 1, 18, 5, 6, ACTIVATION_TANH, VOCABULARY, false, false, true},
    {CELL_LSTM, 3, 6, 5, 0, ACTIVATION_LINEAR, VOCABULARY, false, true, true},
    {CELL_GRU, 2, 5, 5, 0, ACTIVATION_LINEAR, VOCABULARY, true, true, true},
    /* one-hot input */
    {CELL_LSTM, 2, 6, 0, 5, ACTIVATION_LINEAR, VOCABULARY, false, true, true},
    {CELL_GRU, 2, 7, 0, 0, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
    {CELL_LSTM, 1, 17, 0, 0, ACTIVATION_LINEAR, VOCABULARY, false, false, false},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Every kind of dropout. */
static const struct dropout dropouts[] = {
    {.rate = 0.4, .seed = 5, .step = 17, .first_row = 100},
    {.rate = 0.4, .mask = DROPOUT_MASK_SEQUENCE, .seed = 5, .step = 17, .first_row = 100},
    {.input_rate = 0.3, .seed = 5, .step = 17, .first_row = 100},
    {.embedding_rate = 0.3, .seed = 5, .step = 17, .first_row = 100},
    {.recurrent_rate = 0.3, .seed = 5, .step = 17, .first_row = 100},
    {.rate = 0.4,
     .input_rate = 0.3,
     .embedding_rate = 0.2,
     .recurrent_rate = 0.1,
     .mask = DROPOUT_MASK_SEQUENCE,
     .seed = 5},
};
enum { DROPOUTS = sizeof dropouts / sizeof *dropouts };

static int case_threads = 1; /* of the models that are created */

/* Plan of a training model for one of the cases. */
static inline struct model_plan plan_of(const struct model_shape *shape, int microbatches)
{
    return (struct model_plan){.shape = shape,
                               .end = END_TOKEN,
                               .microbatches = microbatches,
                               .rows = ROWS,
                               .steps = STEPS,
                               .training = true,
                               .backend = &matmul_float32,
                               .dropout_input = true,
                               .dropout_recurrent = true,
                               .threads = case_threads};
}

/* Random tokens, including END, and random targets, some of them masked. */
struct window {
    token inputs[MICROBATCHES][STEPS * ROWS];
    int32_t targets[MICROBATCHES][STEPS * ROWS];
    const token *input_of[MICROBATCHES];
    const int32_t *target_of[MICROBATCHES];
};

static inline void window_fill(struct window *window, uint64_t index)
{
    for (int s = 0; s < MICROBATCHES; s++) {
        for (int i = 0; i < STEPS * ROWS; i++) {
            uint64_t at = (uint64_t)(s * STEPS * ROWS + i);
            uint64_t draw = rng_below(VOCABULARY, 3, RNG_TEST, index, at, 0);
            window->inputs[s][i] = (token)draw;
            draw = rng_below(VOCABULARY + 1, 3, RNG_TEST, index, at, 1);
            window->targets[s][i] = (int32_t)draw - 1;
        }
        window->input_of[s] = window->inputs[s];
        window->target_of[s] = window->targets[s];
    }
}

/* Random weights and biases, large enough to leave the linear range of every gate. */
static inline void weights_fill(struct model *model, uint64_t seed)
{
    real *weights = model_weights(model);
    for (size_t i = 0; i < model_params(model)->total; i++)
        weights[i] = (real)(0.8 * rng_normal(seed, RNG_TEST, 99, i, 0));
    model_weights_changed(model);
}

/* The gradients of a backward pass, [microbatches][total], recorded while checking the
 * order of the callbacks: tensors arrive from the end of the block to its beginning,
 * every element once for each microbatch, microbatch 0 first. Those of a tied embedding
 * accumulate a second time, and are counted then. */
struct gradients {
    real *values;
    size_t total;
    size_t ready;    /* elements from here on are ready */
    size_t received; /* elements received below `ready`, over all microbatches */
    size_t tied;     /* elements of a tied embedding; 0: none */
    int microbatches;
    int progress; /* number of progress calls */
};

static inline void gradients_block(void *context, int microbatch,
                                   const struct gradient_block *block)
{
    struct gradients *gradients = context;
    for (size_t r = 0; r < (size_t)block->rows; r++) {
        size_t first = block->first + r * block->ld;
        real *values = gradients->values + first;
        assert_true(first + (size_t)block->width <=
                    __atomic_load_n(&gradients->ready, __ATOMIC_RELAXED));
        for (size_t j = 0; j < (size_t)block->width; j++) {
            real *value = &values[(size_t)microbatch * gradients->total + j];
            assert_true(isnan(*value) == !block->accumulate);
            assert_true(microbatch == 0 || !isnan(values[j]));
            *value = block->values[r * block->ld_values + j] +
                     (block->accumulate ? *value : 0);
        }
        bool counted = !gradients->tied || first >= gradients->tied || block->accumulate;
        if (counted)
            __atomic_fetch_add(&gradients->received, (size_t)block->width,
                               __ATOMIC_RELAXED);
    }
}

static inline void gradients_ready(void *context, size_t first)
{
    struct gradients *gradients = context;
    size_t expected = (gradients->ready - first) * (size_t)gradients->microbatches;
    assert_true(first < gradients->ready);
    /* other threads may be in the next layer already */
    assert_true(__atomic_load_n(&gradients->received, __ATOMIC_RELAXED) >= expected);
    __atomic_fetch_sub(&gradients->received, expected, __ATOMIC_RELAXED);
    __atomic_store_n(&gradients->ready, first, __ATOMIC_RELAXED);
}

static inline void gradients_progress(void *context)
{
    ((struct gradients *)context)->progress++;
}

/* Back-propagates; the gradient of microbatch s goes to values[s * total]. */
static inline void backward_into(struct model *model, int microbatches, real *values)
{
    const struct params *params = model_params(model);
    size_t total = params->total;
    bool tied = !params_find(params, "output/weight");
    struct gradients gradients = {.values = values,
                                  .total = total,
                                  .ready = total,
                                  .tied = tied ? params->list[0].count : 0,
                                  .microbatches = microbatches};
    const struct backward_callbacks callbacks = {gradients_block, gradients_ready,
                                                 gradients_progress, &gradients};
    for (size_t i = 0; i < (size_t)microbatches * total; i++)
        values[i] = (real)NAN;
    model_backward(model, &callbacks);
    assert_int_equal(gradients.ready, 0);
    assert_int_equal(gradients.received, 0);
    assert_true(gradients.progress > STEPS);
}

#endif
