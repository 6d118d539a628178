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
static inline void tiny_schedule(struct checkpoint *out)
{
    schedule_start(&out->state.schedule);
    for (size_t i = 0; i < out->state.history_count; i++)
        if (!isnan(out->state.history[i].valid_loss))
            schedule_epoch(&out->state.schedule, &out->options,
                           out->state.history[i].epoch, out->state.history[i].valid_loss);
    if (out->state.history_count > 0)
        out->state.history[out->state.history_count - 1].weights_hash =
            params_hash(&out->params, out->weights);
}

static inline enum status tiny_state(struct checkpoint *out)
{
    out->streams.row_count = (size_t)out->options.train.batch;
    out->streams.microbatches = (size_t)out->options.train.microbatches;
    out->streams.hidden_size = checkpoint_hidden_size(
        &out->shape, out->streams.row_count / out->streams.microbatches);
    out->streams.rows = calloc(out->streams.row_count, sizeof *out->streams.rows);
    out->streams.cursors =
        calloc(out->streams.microbatches, sizeof *out->streams.cursors);
    out->streams.hidden = calloc(out->streams.microbatches * out->streams.hidden_size,
                                 sizeof *out->streams.hidden);
    out->state.history_count = TINY_EPOCHS;
    out->state.history = calloc(TINY_EPOCHS, sizeof *out->state.history);
    if (!out->streams.rows || !out->streams.cursors || !out->streams.hidden ||
        !out->state.history)
        return status_fail(STATUS_FAILED, "no memory");
    for (size_t i = 0; i < out->streams.microbatches; i++)
        out->streams.cursors[i].next = 1;
    for (int i = 0; i < TINY_EPOCHS; i++)
        out->state.history[i] = (struct history_row){.epoch = i + 1,
                                                     .step = 10 * (i + 1),
                                                     .train_loss = 3.5 - i,
                                                     .valid_loss = 4.5 - i};
    tiny_schedule(out);
    enum status status =
        optimizer_create(&out->options, out->params.total, &out->state.optimizer);
    out->state.optimizer.updates = out->state.step;
    return status;
}

/* Fills *out, which checkpoint_free frees. */
static inline enum status tiny_checkpoint(struct checkpoint *out, int encoding,
                                          uint64_t seed)
{
    *out = (struct checkpoint){.state = {.epoch = TINY_EPOCHS, .step = 20},
                               .provenance = {.ranks = 1}};
    tiny_options(&out->options, encoding, seed);
    enum status status = encoding_of_options(&out->options, &out->encoding);
    if (status != STATUS_OK)
        return status;
    out->shape = model_shape_of(&out->options, out->encoding->vocabulary);
    out->vocabulary_hash = encoding_hash(out->encoding);
    status = params_layout(&out->shape, &out->params);
    if (status != STATUS_OK)
        return status;
    out->weights = malloc(out->params.total * sizeof *out->weights);
    if (!out->weights)
        return status_fail(STATUS_FAILED, "no memory");
    params_initialise(&out->shape, &out->params, seed, out->weights);
    snprintf(out->provenance.host, sizeof out->provenance.host, "here");
    snprintf(out->provenance.numerics, sizeof out->provenance.numerics, "any");
    return tiny_state(out);
}

#endif
