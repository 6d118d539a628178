/* A checkpoint of a small model whose weights are as at the start of a run, written to a
 * file: what reads checkpoints can be tested without training one. */
#ifndef TUTTI_TINY_CHECKPOINT_H
#define TUTTI_TINY_CHECKPOINT_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/params.h"
#include "train/checkpoint.h"

enum { TINY_EPOCHS = 2 };

static inline void tiny_options(struct options *options, int encoding, uint64_t seed)
{
    options_defaults(options);
    options->data.encoding = encoding;
    options->model.hidden = 8;
    options->model.layers = 2;
    options->model.embedding = 6;
    options->model.dense = 0;
    options->train.batch = 4;
    options->train.slices = 2;
    options->train.seed = seed;
    options->run.sample_seconds = 4;
    options->run.samples = 2;
}

/* What follows from history and weights: the schedule's state, the last row's hash. */
static inline void tiny_outcome(struct checkpoint *made)
{
    schedule_start(&made->schedule);
    for (size_t i = 0; i < made->history_count; i++)
        if (!isnan(made->history[i].valid_loss))
            schedule_epoch(&made->schedule, &made->options, made->history[i].epoch,
                           made->history[i].valid_loss);
    if (made->history_count > 0)
        made->history[made->history_count - 1].weights_hash =
            params_hash(&made->params, made->weights);
}

static inline enum status tiny_state(struct checkpoint *made)
{
    made->rows = (size_t)made->options.train.batch;
    made->microbatches = (size_t)made->options.train.slices;
    made->state_size =
        checkpoint_state_size(&made->shape, made->rows / made->microbatches);
    made->stream_rows = calloc(made->rows, sizeof *made->stream_rows);
    made->cursors = calloc(made->microbatches, sizeof *made->cursors);
    made->states = calloc(made->microbatches * made->state_size, sizeof *made->states);
    made->history_count = TINY_EPOCHS;
    made->history = calloc(TINY_EPOCHS, sizeof *made->history);
    if (!made->stream_rows || !made->cursors || !made->states || !made->history)
        return status_fail(STATUS_FAILED, "no memory");
    for (size_t i = 0; i < made->microbatches; i++)
        made->cursors[i].next = 1;
    for (int i = 0; i < TINY_EPOCHS; i++)
        made->history[i] = (struct history_row){.epoch = i + 1,
                                                .step = 10 * (i + 1),
                                                .train_loss = 3.5 - i,
                                                .valid_loss = 4.5 - i};
    tiny_outcome(made);
    enum status status =
        optimizer_create(&made->options, made->params.total, &made->optimizer);
    made->optimizer.updates = made->step;
    return status;
}

/* Fills *made, which checkpoint_free frees. */
static inline enum status tiny_checkpoint(struct checkpoint *made, int encoding,
                                          uint64_t seed)
{
    *made = (struct checkpoint){.epoch = TINY_EPOCHS, .step = 20, .ranks = 1};
    tiny_options(&made->options, encoding, seed);
    enum status status = encoding_of_options(&made->options, &made->encoding);
    if (status != STATUS_OK)
        return status;
    made->shape = model_shape_of(&made->options, made->encoding->vocabulary);
    made->vocabulary_hash = encoding_hash(made->encoding);
    status = params_layout(&made->shape, &made->params);
    if (status != STATUS_OK)
        return status;
    made->weights = malloc(made->params.total * sizeof *made->weights);
    if (!made->weights)
        return status_fail(STATUS_FAILED, "no memory");
    params_initialise(&made->shape, &made->params, seed, made->weights);
    snprintf(made->host, sizeof made->host, "here");
    snprintf(made->core, sizeof made->core, "any");
    return tiny_state(made);
}

#endif
