/* model: the forward and the backward pass, layer by layer. Each matmul processes the
 * rows of all microbatches in one call, which does not change the bits of its results
 * (matmul.h).
 */
#include <string.h>

#include "model_internal.h"

/* Index of the first element of microbatch s in a [S][T][B][width] buffer. */
static size_t microbatch_start(const struct model *model, int s, int width)
{
    return row_index(model->batch, s, 0, 0) * (size_t)width;
}

/* ---- reporting gradients ---- */

static void report_ready(const struct backward_callbacks *callbacks, size_t first)
{
    if (callbacks->ready)
        callbacks->ready(callbacks->context, first);
}

static void report_progress(const struct backward_callbacks *callbacks)
{
    if (callbacks->progress)
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

static void forward_embedding(struct model *model)
{
    int e = model->shape.embedding, rows = microbatch_rows(model->batch);
    const real *weight =
        model->weights + params_find(&model->params, "embedding/weight")->offset;
    for (int s = 0; s < model->batch.microbatches; s++)
        embedding_forward(weight, model->inputs[s], rows, e,
                          model->embedded + microbatch_start(model, s, e));
}

static void backward_embedding(struct model *model, const struct gradient_sink *sink)
{
    int e = model->shape.embedding, v = model->shape.vocabulary;
    int rows = microbatch_rows(model->batch);
    const struct gradient_block block = {.first = 0,
                                         .ld = (size_t)e,
                                         .rows = v,
                                         .width = e,
                                         .values = model->d_embedding_weight,
                                         .ld_values = (size_t)e};
    for (int s = 0; s < model->batch.microbatches; s++) {
        embedding_backward(model->d_embedded + microbatch_start(model, s, e),
                           model->inputs[s], rows, e, v, model->d_embedding_weight);
        sink->write(sink->context, s, &block);
    }
}

/* ---- recurrent layers ---- */

static const real *last_hidden(const struct model *model)
{
    return model->recurrent[model->shape.layers - 1].h;
}

static void forward_recurrent(struct model *model)
{
    int last = model->shape.layers - 1;
    const real *x = model->embedded;
    for (int layer = 0; layer <= last; layer++) {
        bool has_dropout = model->training && (layer < last || !model->shape.dense);
        recurrent_forward(&model->recurrent[layer], x, model->inputs, model->end,
                          has_dropout ? &model->dropout : NULL, model->mask[layer]);
        x = model->recurrent[layer].h;
    }
}

/* Back-propagates from d_hidden[0], the gradient of the last layer's output, to
 * d_embedded. */
static void backward_recurrent(struct model *model, const struct gradient_sink *sink,
                               const struct backward_callbacks *callbacks)
{
    int i = 0; /* d_hidden[i] is the layer's dh here, d_hidden[!i] its dx */
    for (int layer = model->shape.layers - 1; layer >= 0; layer--, i = !i) {
        struct recurrent *recurrent = &model->recurrent[layer];
        real *dx = layer > 0 ? model->d_hidden[!i] : model->d_embedded;
        recurrent_backward(recurrent, model->d_hidden[i], model->inputs, model->end,
                           callbacks->progress, callbacks->context);
        recurrent_backward_weights(recurrent, model->workspace, sink);
        report_ready(callbacks, recurrent->offset.weight_ih);
        recurrent_backward_input(recurrent, dx);
        report_progress(callbacks);
    }
}

/* ---- dense layer: affine, activation, dropout ---- */

static void forward_dense(struct model *model)
{
    int f = model->shape.dense;
    size_t count = batch_rows(model->batch) * (size_t)f;
    affine_forward(&model->dense, flatten_time(model->batch), last_hidden(model),
                   model->dense_output);
    activation_forward(model->shape.activation, model->dense_output, count);
    memcpy(model->dense_dropped, model->dense_output, count * sizeof(real));
    if (model->training) {
        int site = model->shape.layers - 1;
        dropout_forward(&model->dropout, site, model->batch, f, model->mask[site],
                        model->dense_dropped);
    }
}

static void backward_dense(struct model *model, const struct gradient_sink *sink,
                           const struct backward_callbacks *callbacks)
{
    int f = model->shape.dense, site = model->shape.layers - 1;
    real *dy = model->d_dense;
    dropout_backward(&model->dropout, model->batch, f, model->mask[site], dy);
    activation_backward(model->shape.activation, model->dense_output, dy,
                        batch_rows(model->batch) * (size_t)f);
    affine_backward_weights(&model->dense, model->workspace, last_hidden(model), dy,
                            sink);
    report_ready(callbacks, model->dense.weight_offset);
    affine_backward_input(&model->dense, flatten_time(model->batch), dy,
                          model->d_hidden[0]);
}

/* ---- output layer ---- */

static const real *output_input(const struct model *model)
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
    real *dx = model->shape.dense ? model->d_dense : model->d_hidden[0];
    affine_backward_weights(&model->output, model->workspace, output_input(model),
                            model->logits, sink);
    report_ready(callbacks, model->output.weight_offset);
    affine_backward_input(&model->output, flatten_time(model->batch), model->logits, dx);
}

/* ---- loss ---- */

/* Softmax and cross-entropy of microbatch s; in training its logits are overwritten with
 * the gradient of the loss, 0 where a target is not counted. */
static struct microbatch_loss loss_of_microbatch(struct model *model, int s,
                                                 const int32_t *targets)
{
    int v = model->shape.vocabulary;
    real *logits = model->logits + microbatch_start(model, s, v);
    double *log_probability = model->log_probability + microbatch_start(model, s, 1);
    struct microbatch_loss sum = {0};
    for (int i = 0; i < microbatch_rows(model->batch); i++, logits += v) {
        log_probability[i] = 0;
        if (targets[i] < 0) {
            memset(logits, 0, (size_t)v * sizeof *logits);
            continue;
        }
        int argmax;
        log_probability[i] = kernels()->softmax_cross_entropy(v, logits, targets[i],
                                                              model->training, &argmax);
        sum.loss -= log_probability[i];
        sum.targets++;
        sum.correct += argmax == targets[i];
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

/* ---- the model ---- */

void model_forward(struct model *model, const token *const *inputs,
                   const int32_t *const *targets, const struct dropout *dropout,
                   struct microbatch_loss *losses)
{
    model->inputs = inputs;
    model->dropout = dropout ? *dropout : (struct dropout){0};
    forward_embedding(model);
    forward_recurrent(model);
    if (model->shape.dense)
        forward_dense(model);
    forward_output(model);
    for (int s = 0; targets && s < model->batch.microbatches; s++)
        losses[s] = loss_of_microbatch(model, s, targets[s]);
}

void model_backward(struct model *model, const struct backward_callbacks *callbacks)
{
    struct backward_callbacks context = *callbacks;
    const struct gradient_sink sink = {.write = report_block, .context = &context};
    backward_output(model, &sink, callbacks);
    if (model->shape.dense)
        backward_dense(model, &sink, callbacks);
    backward_recurrent(model, &sink, callbacks);
    backward_embedding(model, &sink);
    report_ready(callbacks, 0);
}
