/* model: the forward and the backward pass, layer by layer. Each matmul processes the
 * rows of all microbatches in one call, which does not change the bits of its results
 * (matmul.h). All threads of the team run both passes, each on its share; a comment names
 * what a barrier waits for.
 */
#include <string.h>

#include "model_internal.h"
#include "base/team.h"

/* Index of the first element of microbatch s in a [S][T][B][width] buffer. */
static size_t microbatch_start(const struct model *model, int s, int width)
{
    return row_index(model->batch, s, 0, 0) * (size_t)width;
}

/* The dropout of this forward with another rate; 0 if the model is not for training. */
static struct dropout at_rate(const struct model *model, double rate)
{
    struct dropout dropout = model->dropout;
    dropout.rate = model->plan.training ? rate : 0;
    return dropout;
}

/* ---- reporting gradients ---- */

/* After a barrier: all threads have written their elements. */
static void report_ready(const struct backward_callbacks *callbacks, size_t first)
{
    if (callbacks->ready && team_thread() == 0)
        callbacks->ready(callbacks->context, first);
}

static void report_progress(const struct backward_callbacks *callbacks)
{
    if (callbacks->progress && team_thread() == 0)
        callbacks->progress(callbacks->context);
}

/* A layer's gradient sink; its context is the caller's backward_callbacks. */
static void report_block(void *context, int microbatch,
                         const struct gradient_block *block)
{
    const struct backward_callbacks *callbacks = context;
    if (callbacks->block)
        callbacks->block(callbacks->context, microbatch, block);
    if (microbatch == 0)
        report_progress(callbacks);
}

/* ---- embedding ---- */

/* Of the embedded tokens in forward, of their gradient in backward. */
static void drop_input(struct model *model)
{
    int e = model->shape.embedding;
    dropout_apply(&model->input_dropout, model->batch, e, model->input_mask,
                  model->embedded);
}

static struct token_dropout token_dropout(const struct model *model)
{
    if (model->token_dropout.rate <= 0)
        return (struct token_dropout){NULL, 1};
    return (struct token_dropout){model->token_mask,
                                  dropout_scale(&model->token_dropout)};
}

static void forward_embedding(struct model *model)
{
    int e = model->shape.embedding, rows = microbatch_rows(model->batch);
    const real *weight =
        model->weights + params_find(&model->params, "embedding/weight")->offset;
    const struct token_dropout dropout = token_dropout(model);
    if (dropout.mask) {
        dropout_draw_elements(&model->token_dropout, RNG_DROPOUT_EMBEDDING, 0,
                              (size_t)model->shape.vocabulary, model->token_mask);
        team_barrier(); /* the mask is complete */
    }
    for (int s = 0; s < model->batch.microbatches; s++)
        embedding_forward(weight, model->inputs[s], rows, e, dropout,
                          model->embedded + microbatch_start(model, s, e));
    if (model->input_dropout.rate > 0) {
        team_barrier(); /* rows are shared out differently here */
        dropout_draw(&model->input_dropout, DROPOUT_SITE_INPUT, model->batch, e,
                     model->input_mask);
        drop_input(model);
    }
}

static void backward_embedding(struct model *model, const struct gradient_sink *sink)
{
    int e = model->shape.embedding, v = model->shape.vocabulary;
    int rows = microbatch_rows(model->batch);
    struct team_share columns = team_share((size_t)e, VECTOR);
    const struct gradient_block block = {.first = columns.first,
                                         .ld = (size_t)e,
                                         .rows = v,
                                         .width = (int)(columns.end - columns.first),
                                         .values =
                                             model->d_embedding_weight + columns.first,
                                         .ld_values = (size_t)e,
                                         .accumulate = model->shape.tied};
    team_barrier(); /* the gradient is complete */
    if (model->input_dropout.rate > 0) {
        drop_input(model);
        team_barrier();
    }
    for (int s = 0; s < model->batch.microbatches; s++) {
        embedding_backward(model->embedded + microbatch_start(model, s, e),
                           model->inputs[s], rows, e, v, model->d_embedding_weight);
        embedding_drop_gradient(token_dropout(model), e, v, model->d_embedding_weight);
        if (block.width > 0)
            sink->write(sink->context, s, &block);
    }
}

/* ---- recurrent layers ---- */

static real *last_hidden(const struct model *model)
{
    return model->recurrent[model->shape.layers - 1].h;
}

static void set_recurrent_inputs(struct model *model)
{
    int last = model->shape.layers - 1;
    const real *x = model->embedded;
    const struct dropout of_weights = at_rate(model, model->dropout.recurrent_rate);
    for (int layer = 0; layer <= last; layer++) {
        bool has_dropout = model->plan.training && (layer < last || !model->shape.dense);
        recurrent_set_input(&model->recurrent[layer], x,
                            has_dropout ? &model->dropout : NULL, model->mask[layer]);
        recurrent_set_weight_dropout(&model->recurrent[layer], &of_weights);
        x = model->recurrent[layer].h;
    }
}

static void forward_recurrent(struct model *model)
{
    for (int layer = 0; layer < model->shape.layers; layer++)
        recurrent_forward(&model->recurrent[layer], model->inputs, model->plan.end);
}

/* Back-propagates from the gradient of the last layer's output to that of the embedded
 * tokens. */
static void backward_recurrent(struct model *model, const struct gradient_sink *sink,
                               const struct backward_callbacks *callbacks)
{
    for (int layer = model->shape.layers - 1; layer >= 0; layer--) {
        struct recurrent *recurrent = &model->recurrent[layer];
        real *dx = layer > 0 ? recurrent[-1].h : model->embedded;
        recurrent_backward(recurrent, recurrent->h, model->inputs, model->plan.end,
                           callbacks->progress, callbacks->context);
        recurrent_backward_weights(recurrent, model->workspace, model->inputs, sink);
        if (recurrent->takes_tokens)
            continue; /* the bottom of the model */
        report_ready(callbacks, recurrent->offset.weight_ih);
        recurrent_backward_input(recurrent, dx);
        report_progress(callbacks);
    }
}

/* ---- dense layer: affine, activation, dropout ---- */

/* y := x, of the rows of dropout_draw and dropout_apply. */
static void copy_rows(const struct model *model, const real *x, int width, real *y)
{
    struct team_share rows = team_share(batch_rows(model->batch), 1);
    size_t first = rows.first * (size_t)width;
    memcpy(y + first, x + first, (rows.end - rows.first) * (size_t)width * sizeof *y);
}

static void forward_dense(struct model *model)
{
    int f = model->shape.dense;
    size_t count = batch_rows(model->batch) * (size_t)f;
    affine_forward(&model->dense, flatten_time(model->batch), last_hidden(model),
                   model->dense_output);
    team_barrier(); /* dense_output is complete */
    activation_forward(model->shape.activation, model->dense_output, count);
    team_barrier(); /* and activated: rows are shared out differently here */
    copy_rows(model, model->dense_output, f, model->dense_dropped);
    if (model->plan.training && model->dropout.rate > 0) {
        int site = model->shape.layers - 1;
        dropout_draw(&model->dropout, site, model->batch, f, model->mask[site]);
        dropout_apply(&model->dropout, model->batch, f, model->mask[site],
                      model->dense_dropped);
    }
    /* affine_forward waits before it reads them */
}

static void backward_dense(struct model *model, const struct gradient_sink *sink,
                           const struct backward_callbacks *callbacks)
{
    int f = model->shape.dense, site = model->shape.layers - 1;
    real *dy = model->dense_dropped;
    team_barrier(); /* dy is complete */
    dropout_apply(&model->dropout, model->batch, f, model->mask[site], dy);
    team_barrier();
    activation_backward(model->shape.activation, model->dense_output, dy,
                        batch_rows(model->batch) * (size_t)f);
    team_barrier();
    affine_backward_weights(&model->dense, model->workspace, last_hidden(model), dy,
                            sink);
    report_ready(callbacks, model->dense.weight_offset);
    affine_backward_input(&model->dense, flatten_time(model->batch), dy,
                          last_hidden(model));
}

/* ---- output layer ---- */

static real *output_input(const struct model *model)
{
    return model->shape.dense ? model->dense_dropped : last_hidden(model);
}

static void forward_output(struct model *model)
{
    affine_forward(&model->output, flatten_time(model->batch), output_input(model),
                   model->logits);
}

static void backward_output(struct model *model, const struct gradient_sink *sink,
                            const struct backward_callbacks *callbacks)
{
    affine_backward_weights(&model->output, model->workspace, output_input(model),
                            model->logits, sink);
    report_ready(callbacks, model->shape.tied ? model->output.bias_offset
                                              : model->output.weight_offset);
    affine_backward_input(&model->output, flatten_time(model->batch), model->logits,
                          output_input(model));
}

/* ---- loss ---- */

/* Softmax and cross-entropy of the calling thread's rows of microbatch s; in training
 * their logits are overwritten with the gradient of the loss with smoothed labels, 0
 * where a target is not counted. */
static void softmax_rows(struct model *model, int s, const int32_t *targets)
{
    int v = model->shape.vocabulary;
    size_t first = microbatch_start(model, s, 1);
    struct team_share rows = team_share((size_t)microbatch_rows(model->batch), 1);
    for (size_t i = rows.first; i < rows.end; i++) {
        real *logits = model->logits + (first + i) * (size_t)v;
        int argmax = -1;
        if (targets[i] < 0)
            memset(logits, 0, (size_t)v * sizeof *logits);
        model->log_probability[first + i] =
            targets[i] < 0
                ? 0
                : kernels()->softmax_cross_entropy(v, logits, targets[i],
                                                   model->plan.training,
                                                   model->plan.label_smoothing, &argmax);
        model->correct[first + i] = argmax == targets[i];
    }
}

/* In the order of the rows. */
static struct microbatch_loss loss_of_microbatch(const struct model *model, int s,
                                                 const int32_t *targets)
{
    size_t first = microbatch_start(model, s, 1);
    struct microbatch_loss sum = {0};
    for (int i = 0; i < microbatch_rows(model->batch); i++) {
        if (targets[i] < 0)
            continue;
        sum.loss -= model->log_probability[first + (size_t)i];
        sum.targets++;
        sum.correct += model->correct[first + (size_t)i];
    }
    return sum;
}

const real *model_logits(const struct model *model, int microbatch)
{
    return model->logits + microbatch_start(model, microbatch, model->shape.vocabulary);
}

const double *model_target_log_probability(const struct model *model, int microbatch)
{
    return model->log_probability + microbatch_start(model, microbatch, 1);
}

const bool *model_target_correct(const struct model *model, int microbatch)
{
    return model->correct + microbatch_start(model, microbatch, 1);
}

/* ---- the model ---- */

struct forward_pass {
    struct model *model;
    const int32_t *const *targets; /* NULL: logits only */
};

static void forward_on_team(void *context)
{
    const struct forward_pass *pass = context;
    struct model *model = pass->model;
    if (model->shape.embedding > 0) {
        forward_embedding(model);
        team_barrier();
    }
    forward_recurrent(model);
    if (model->shape.dense)
        forward_dense(model);
    forward_output(model);
    team_barrier();
    for (int s = 0; pass->targets && s < model->batch.microbatches; s++)
        softmax_rows(model, s, pass->targets[s]);
}

void model_forward(struct model *model, const token *const *inputs,
                   const int32_t *const *targets, const struct dropout *dropout,
                   struct microbatch_loss *losses)
{
    struct forward_pass pass = {model, targets};
    model->inputs = inputs;
    model->dropout = dropout ? *dropout : (struct dropout){0};
    model->input_dropout = at_rate(model, model->dropout.input_rate);
    model->token_dropout = at_rate(model, model->dropout.embedding_rate);
    set_recurrent_inputs(model);
    team_run(model->plan.threads, forward_on_team, &pass);
    for (int s = 0; targets && s < model->batch.microbatches; s++)
        losses[s] = loss_of_microbatch(model, s, targets[s]);
}

static void set_microbatches(struct model *model, int microbatches)
{
    model->batch.microbatches = microbatches;
    for (int layer = 0; layer < model->shape.layers; layer++)
        model->recurrent[layer].batch.microbatches = microbatches;
}

void model_forward_first(struct model *model, int microbatches,
                         const token *const *inputs, const int32_t *const *targets,
                         struct microbatch_loss *losses)
{
    set_microbatches(model, microbatches);
    model_forward(model, inputs, targets, NULL, losses);
    set_microbatches(model, model->plan.microbatches);
}

struct backward_pass {
    struct model *model;
    const struct backward_callbacks *callbacks;
};

static void backward_on_team(void *context)
{
    const struct backward_pass *pass = context;
    struct model *model = pass->model;
    struct backward_callbacks callbacks = *pass->callbacks;
    const struct gradient_sink sink = {.write = report_block, .context = &callbacks};
    backward_output(model, &sink, &callbacks);
    if (model->shape.dense)
        backward_dense(model, &sink, &callbacks);
    backward_recurrent(model, &sink, &callbacks);
    if (model->shape.embedding > 0)
        backward_embedding(model, &sink);
}

void model_backward(struct model *model, const struct backward_callbacks *callbacks)
{
    struct backward_pass pass = {model, callbacks};
    team_run(model->plan.threads, backward_on_team, &pass);
    report_ready(callbacks, 0);
}
