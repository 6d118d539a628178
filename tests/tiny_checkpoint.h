/* A checkpoint of a small model with initial weights, for testing readers of checkpoints
 * without training. */
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
    options->train.microbatches = 2;
    options->train.seed = seed;
    options->run.sample_seconds = 4;
    options->run.samples = 2;
}

/* Derives the schedule's state and the last row's hash from history and weights. */
static inline void tiny_outcome(struct checkpoint *made)
{
    schedule_start(&made->state.schedule);
    for (size_t i = 0; i < made->state.history_count; i++)
        if (!isnan(made->state.history[i].valid_loss))
            schedule_epoch(&made->state.schedule, &made->options,
                           made->state.history[i].epoch,
                           made->state.history[i].valid_loss);
    if (made->state.history_count > 0)
        made->state.history[made->state.history_count - 1].weights_hash =
            params_hash(&made->params, made->weights);
}

static inline enum status tiny_state(struct checkpoint *made)
{
    made->streams.row_count = (size_t)made->options.train.batch;
    made->streams.microbatches = (size_t)made->options.train.microbatches;
    made->streams.hidden_size = checkpoint_hidden_size(
        &made->shape, made->streams.row_count / made->streams.microbatches);
    made->streams.rows = calloc(made->streams.row_count, sizeof *made->streams.rows);
    made->streams.cursors =
        calloc(made->streams.microbatches, sizeof *made->streams.cursors);
    made->streams.hidden = calloc(made->streams.microbatches * made->streams.hidden_size,
                                  sizeof *made->streams.hidden);
    made->state.history_count = TINY_EPOCHS;
    made->state.history = calloc(TINY_EPOCHS, sizeof *made->state.history);
    if (!made->streams.rows || !made->streams.cursors || !made->streams.hidden ||
        !made->state.history)
        return status_fail(STATUS_FAILED, "no memory");
    for (size_t i = 0; i < made->streams.microbatches; i++)
        made->streams.cursors[i].next = 1;
    for (int i = 0; i < TINY_EPOCHS; i++)
        made->state.history[i] = (struct history_row){.epoch = i + 1,
                                                      .step = 10 * (i + 1),
                                                      .train_loss = 3.5 - i,
                                                      .valid_loss = 4.5 - i};
    tiny_outcome(made);
    enum status status =
        optimizer_create(&made->options, made->params.total, &made->state.optimizer);
    made->state.optimizer.updates = made->state.step;
    return status;
}

/* Fills *made, which checkpoint_free frees. */
static inline enum status tiny_checkpoint(struct checkpoint *made, int encoding,
                                          uint64_t seed)
{
    *made = (struct checkpoint){.state = {.epoch = TINY_EPOCHS, .step = 20},
                                .provenance = {.ranks = 1}};
    tiny_options(&made->options, encoding, seed);
    enum status status = encoding_from_options(&made->options, &made->encoding);
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
    snprintf(made->provenance.host, sizeof made->provenance.host, "here");
    snprintf(made->provenance.numerics, sizeof made->provenance.numerics, "any");
    return tiny_state(made);
}

#endif
