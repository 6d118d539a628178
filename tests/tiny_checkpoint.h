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
static inline void tiny_derive_state(struct checkpoint *checkpoint)
{
    schedule_init(&checkpoint->state.schedule);
    for (size_t i = 0; i < checkpoint->state.history_count; i++)
        if (!isnan(checkpoint->state.history[i].valid_loss))
            schedule_epoch(&checkpoint->state.schedule, &checkpoint->options,
                           checkpoint->state.history[i].epoch,
                           checkpoint->state.history[i].valid_loss);
    if (checkpoint->state.history_count > 0)
        checkpoint->state.history[checkpoint->state.history_count - 1].weights_hash =
            params_hash(&checkpoint->params, checkpoint->weights);
}

static inline enum status tiny_state(struct checkpoint *checkpoint)
{
    checkpoint->streams.row_count = (size_t)checkpoint->options.train.batch;
    checkpoint->streams.microbatches = (size_t)checkpoint->options.train.microbatches;
    checkpoint->streams.hidden_size =
        checkpoint_hidden_size(&checkpoint->shape, checkpoint->streams.row_count /
                                                       checkpoint->streams.microbatches);
    checkpoint->streams.rows =
        calloc(checkpoint->streams.row_count, sizeof *checkpoint->streams.rows);
    checkpoint->streams.cursors =
        calloc(checkpoint->streams.microbatches, sizeof *checkpoint->streams.cursors);
    checkpoint->streams.hidden =
        calloc(checkpoint->streams.microbatches * checkpoint->streams.hidden_size,
               sizeof *checkpoint->streams.hidden);
    checkpoint->state.history_count = TINY_EPOCHS;
    checkpoint->state.history = calloc(TINY_EPOCHS, sizeof *checkpoint->state.history);
    if (!checkpoint->streams.rows || !checkpoint->streams.cursors ||
        !checkpoint->streams.hidden || !checkpoint->state.history)
        return status_fail(STATUS_FAILED, "no memory");
    for (size_t i = 0; i < checkpoint->streams.microbatches; i++)
        checkpoint->streams.cursors[i].next = 1;
    for (int i = 0; i < TINY_EPOCHS; i++)
        checkpoint->state.history[i] = (struct history_row){.epoch = i + 1,
                                                            .step = 10 * (i + 1),
                                                            .train_loss = 3.5 - i,
                                                            .valid_loss = 4.5 - i};
    tiny_derive_state(checkpoint);
    enum status status = optimizer_create(&checkpoint->options, checkpoint->params.total,
                                          &checkpoint->state.optimizer);
    checkpoint->state.optimizer.updates = checkpoint->state.step;
    return status;
}

/* Fills *checkpoint, which checkpoint_free frees. */
static inline enum status tiny_checkpoint(struct checkpoint *checkpoint, int encoding,
                                          uint64_t seed)
{
    *checkpoint = (struct checkpoint){.state = {.epoch = TINY_EPOCHS, .step = 20},
                                      .provenance = {.ranks = 1}};
    tiny_options(&checkpoint->options, encoding, seed);
    enum status status =
        encoding_from_options(&checkpoint->options, &checkpoint->encoding);
    if (status != STATUS_OK)
        return status;
    checkpoint->shape =
        model_shape_of(&checkpoint->options, checkpoint->encoding->vocabulary);
    checkpoint->vocabulary_hash = encoding_hash(checkpoint->encoding);
    status = params_layout(&checkpoint->shape, &checkpoint->params);
    if (status != STATUS_OK)
        return status;
    checkpoint->weights = malloc(checkpoint->params.total * sizeof *checkpoint->weights);
    if (!checkpoint->weights)
        return status_fail(STATUS_FAILED, "no memory");
    params_initialise(&checkpoint->shape, &checkpoint->params, INIT_GLOROT, seed,
                      checkpoint->weights);
    snprintf(checkpoint->provenance.host, sizeof checkpoint->provenance.host, "here");
    snprintf(checkpoint->provenance.numerics, sizeof checkpoint->provenance.numerics,
             "any");
    return tiny_state(checkpoint);
}

#endif
