/* model: the layers in a row, forward and backward. Products take the rows of all
 * microbatches in one call, which changes no bit of them (product.h).
 */
#include "model.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"
#include "recurrent.h"
#include "base/memory.h"

struct model {
    struct model_shape shape;
    struct params params;
    struct extent extent;
    token end;
    int training;
    int top;        /* width of the output layer's input: F or H */
    real *weights;  /* params.total */
    real *embedded; /* [S][T][B][E] */
    struct recurrent *layers;
    struct affine hidden_to_dense, to_output; /* the first if there is a dense layer */
    struct matmul_workspace *room;
    real *dense;   /* [S][T][B][F]: activated; NULL without a dense layer */
    real *dropped; /* [S][T][B][F]: the same after dropout */
    real *logits;  /* [S][T][B][V]; after a forward with targets: their gradient */
    double *log_probability; /* [S][T][B] */
    /* training only */
    uint8_t **kept;    /* one mask for each place of dropout: below, [S][T][B][width] */
    real *d_top;       /* [S][T][B][top]: gradient of the output layer's input */
    real *d_hidden[2]; /* [S][T][B][H]: of the layers' outputs, in turn */
    real *d_embedded;  /* [S][T][B][E] */
    real *d_table;     /* [V][E]: gradient of the embedding, one microbatch's */
    const token *const *inputs; /* of the last forward: borrowed until model_backward */
    struct dropout dropout;
};

/* Dropout stands behind each recurrent layer but the last, and before the output layer
 * (behind the dense layer where there is one): place l follows layer l, the last place is
 * the one before the output. */
static int dropout_width(const struct model *model, int place)
{
    return place + 1 < model->shape.layers ? model->shape.hidden : model->top;
}

static void *room(int *complete, size_t count, size_t size)
{
    void *memory = memory_zeroed(count * size);
    *complete &= memory != NULL;
    return memory;
}

static enum status allocate(struct model *model)
{
    size_t rows = extent_rows(model->extent);
    size_t e = (size_t)model->shape.embedding, h = (size_t)model->shape.hidden;
    size_t f = (size_t)model->shape.dense, v = (size_t)model->shape.vocabulary;
    int complete = 1;
    model->weights = room(&complete, model->params.total, sizeof(real));
    model->embedded = room(&complete, rows * e, sizeof(real));
    model->layers = room(&complete, (size_t)model->shape.layers, sizeof *model->layers);
    model->logits = room(&complete, rows * v, sizeof(real));
    model->log_probability = room(&complete, rows, sizeof(double));
    if (f) {
        model->dense = room(&complete, rows * f, sizeof(real));
        model->dropped = room(&complete, rows * f, sizeof(real));
    }
    model->kept = room(&complete, (size_t)model->shape.layers, sizeof *model->kept);
    if (model->training) {
        model->d_top = room(&complete, rows * (size_t)model->top, sizeof(real));
        model->d_hidden[0] = room(&complete, rows * h, sizeof(real));
        model->d_hidden[1] = room(&complete, rows * h, sizeof(real));
        model->d_embedded = room(&complete, rows * e, sizeof(real));
        model->d_table = room(&complete, v * e, sizeof(real));
        for (int place = 0; model->kept && place < model->shape.layers; place++)
            model->kept[place] =
                room(&complete, rows * (size_t)dropout_width(model, place), 1);
    }
    if (!complete)
        return status_fail(
            STATUS_FAILED,
            "no memory for a model of %zu weights with %zu rows and steps: "
            "make the model, train.batch or train.time smaller, or use "
            "more ranks",
            model->params.total, rows);
    return STATUS_OK;
}

/* Elements of the largest tensor. */
static size_t largest(const struct params *params)
{
    size_t most = 0;
    for (size_t i = 0; i < params->count; i++)
        most = params->list[i].count > most ? params->list[i].count : most;
    return most;
}

static enum status create_room(struct model *model, const struct matmul_backend *backend)
{
    int below = model->shape.hidden;
    if (model->shape.embedding > below)
        below = model->shape.embedding;
    int widest = model->shape.hidden + below; /* a layer's two inputs */
    if (model->shape.dense > widest)
        widest = model->shape.dense;
    return matmul_workspace_create(backend, over_time(model->extent), (size_t)widest,
                                   largest(&model->params), &model->room);
}

enum status model_matmul_backend(const struct options *options,
                                 const struct matmul_backend **out)
{
    bool openblas = options->train.products == MATMUL_OPENBLAS;
    bool rounded = options->train.precision == PRECISION_BFLOAT16;
    enum matmul_backend_kind kind = openblas  ? BACKEND_OPENBLAS
                                    : rounded ? BACKEND_BFLOAT16
                                              : BACKEND_FLOAT32;
    return matmul_backend_select(kind, (int)options->train.threads, out);
}

enum status model_create(const struct model_plan *plan, struct model **out)
{
    const struct model_shape *shape = plan->shape;
    bool training = plan->training;
    const struct matmul_backend *backend =
        training ? plan->backend : plan->backend->inference;
    struct model *model = calloc(1, sizeof *model);
    if (!model)
        return status_fail(STATUS_FAILED, "no memory for a model");
    *model = (struct model){.shape = *shape,
                            .extent = {plan->microbatches, plan->rows, plan->steps},
                            .end = plan->end,
                            .training = training,
                            .top = shape->dense ? shape->dense : shape->hidden};
    enum status status = params_layout(shape, &model->params);
    if (status == STATUS_OK)
        status = allocate(model);
    if (status == STATUS_OK && training)
        status = create_room(model, backend);
    for (int layer = 0; status == STATUS_OK && layer < shape->layers; layer++)
        status =
            recurrent_create(shape, &model->params, model->weights, layer, model->extent,
                             training, backend, model->room, &model->layers[layer]);
    if (status == STATUS_OK && shape->dense)
        status = affine_create(&model->params, model->weights, "dense", shape->hidden,
                               shape->dense, training, backend, model->room,
                               &model->hidden_to_dense);
    if (status == STATUS_OK)
        status = affine_create(&model->params, model->weights, "output", model->top,
                               shape->vocabulary, training, backend, model->room,
                               &model->to_output);
    if (status != STATUS_OK) {
        model_free(model);
        return status;
    }
    model_weights_changed(model);
    *out = model;
    return STATUS_OK;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    for (int layer = 0; layer < model->shape.layers; layer++) {
        if (model->layers)
            recurrent_free(&model->layers[layer]);
        if (model->kept)
            memory_free(model->kept[layer]);
    }
    affine_free(&model->hidden_to_dense);
    affine_free(&model->to_output);
    matmul_workspace_free(model->room);
    void *buffers[] = {model->weights,         model->embedded,    model->layers,
                       model->dense,           model->dropped,     model->logits,
                       model->log_probability, model->kept,        model->d_top,
                       model->d_hidden[0],     model->d_hidden[1], model->d_embedded,
                       model->d_table};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        memory_free(buffers[i]);
    free(model);
}

const struct params *model_params(const struct model *model)
{
    return &model->params;
}

real *model_weights(struct model *model)
{
    return model->weights;
}

void model_weights_changed(struct model *model)
{
    for (int layer = 0; layer < model->shape.layers; layer++)
        recurrent_pack(&model->layers[layer]);
    affine_pack(&model->hidden_to_dense);
    affine_pack(&model->to_output);
}

static const real *tensor(const struct model *model, const char *name)
{
    return model->weights + params_find(&model->params, name)->offset;
}

static size_t offset_of(const struct model *model, const char *name)
{
    return params_find(&model->params, name)->offset;
}

/* Rows of a microbatch. */
static int rows_of(const struct model *model)
{
    return model->extent.steps * model->extent.rows;
}

/* Where microbatch s begins in a [S][T][B][width] buffer. */
static size_t at(const struct model *model, int s, int width)
{
    return row_at(model->extent, s, 0, 0) * (size_t)width;
}

/* ---- forward
 * ----------------------------------------------------------------------------- */

/* Dropout behind the dense layer. */
static void drop_dense(struct model *model)
{
    int place = model->shape.layers - 1, width = model->shape.dense;
    memcpy(model->dropped, model->dense,
           extent_rows(model->extent) * (size_t)width * sizeof(real));
    for (int s = 0; model->training && s < model->extent.microbatches; s++) {
        int64_t first_row = model->dropout.first_row + (int64_t)s * model->extent.rows;
        dropout_forward(&model->dropout, place, first_row, model->extent.steps,
                        model->extent.rows, width, model->dropped + at(model, s, width),
                        model->kept[place] + at(model, s, width));
    }
}

static void forward_recurrent(struct model *model, const token *const *inputs)
{
    int e = model->shape.embedding, last = model->shape.layers - 1;
    for (int s = 0; s < model->extent.microbatches; s++)
        embedding_forward(tensor(model, "embedding/weight"), e, inputs[s], rows_of(model),
                          model->embedded + at(model, s, e));
    const real *x = model->embedded;
    for (int layer = 0; layer <= last; layer++) {
        bool drops = model->training && (layer < last || !model->shape.dense);
        recurrent_forward(&model->layers[layer], x, inputs, model->end,
                          drops ? &model->dropout : NULL, model->kept[layer]);
        x = model->layers[layer].h;
    }
}

/* The top of the network up to the input of the output layer, with dropout. */
static const real *forward_top(struct model *model)
{
    int f = model->shape.dense, last = model->shape.layers - 1;
    real *hidden = model->layers[last].h;
    if (!f)
        return hidden;
    affine_forward(&model->hidden_to_dense, over_time(model->extent), hidden,
                   model->dense);
    activation_forward(model->shape.activation, model->dense,
                       extent_rows(model->extent) * (size_t)f);
    drop_dense(model);
    return model->dropped;
}

static struct microbatch_loss loss_of_microbatch(struct model *model, int s,
                                                 const int32_t *targets)
{
    int v = model->shape.vocabulary;
    real *logits = model->logits + at(model, s, v);
    double *log_probability = model->log_probability + at(model, s, 1);
    struct microbatch_loss sum = {0};
    for (int i = 0; i < rows_of(model); i++, logits += v) {
        log_probability[i] = 0;
        if (targets[i] < 0) {
            memset(logits, 0, (size_t)v * sizeof *logits);
            continue;
        }
        int best;
        log_probability[i] = kernels()->softmax_cross_entropy(v, logits, targets[i],
                                                              model->training, &best);
        sum.loss -= log_probability[i];
        sum.targets++;
        sum.correct += best == targets[i];
    }
    return sum;
}

void model_forward(struct model *model, const token *const *inputs,
                   const int32_t *const *targets, const struct dropout *dropout,
                   struct microbatch_loss *losses)
{
    model->inputs = inputs;
    model->dropout = dropout ? *dropout : (struct dropout){0};
    forward_recurrent(model, inputs);
    const real *top = forward_top(model);
    affine_forward(&model->to_output, over_time(model->extent), top, model->logits);
    for (int s = 0; targets && s < model->extent.microbatches; s++)
        losses[s] = loss_of_microbatch(model, s, targets[s]);
}

/* ---- backward
 * ---------------------------------------------------------------------------- */

static void meanwhile(const struct model_gradients *to)
{
    if (to->meanwhile)
        to->meanwhile(to->context);
}

static void complete(const struct model_gradients *to, size_t first)
{
    if (to->complete)
        to->complete(to->context, first);
}

/* The sink of a layer's gradient. */
static void take(void *context, int microbatch, const struct gradient_block *block)
{
    const struct model_gradients *to = context;
    if (to->microbatch)
        to->microbatch(to->context, microbatch, block);
    if (microbatch == 0)
        meanwhile(to);
}

/* The input of the output layer. */
static const real *top_of(const struct model *model)
{
    return model->shape.dense ? model->dropped : model->layers[model->shape.layers - 1].h;
}

static void give_embedding(struct model *model, const struct gradient_sink *sink)
{
    int e = model->shape.embedding, v = model->shape.vocabulary;
    const struct gradient_block block = {.first = 0,
                                         .ld = (size_t)e,
                                         .rows = v,
                                         .width = e,
                                         .values = model->d_table,
                                         .ld_values = (size_t)e};
    for (int s = 0; s < model->extent.microbatches; s++) {
        embedding_gradient(model->d_embedded + at(model, s, e), v, e, model->inputs[s],
                           rows_of(model), model->d_table);
        sink->write(sink->context, s, &block);
    }
}

/* From the logits to the gradient of the last recurrent layer's output, in d_hidden[0].
 */
static void backward_top(struct model *model, const struct model_gradients *to,
                         const struct gradient_sink *sink)
{
    const struct affine *output = &model->to_output, *dense = &model->hidden_to_dense;
    struct matmul_batch m = over_time(model->extent);
    int last = model->shape.layers - 1;
    real *d_top = model->shape.dense ? model->d_top : model->d_hidden[0];
    affine_gradient(output, top_of(model), model->logits, sink);
    complete(to, output->at_weight);
    affine_backward(output, m, model->logits, d_top);
    if (!model->shape.dense)
        return;
    size_t tops = extent_rows(model->extent) * (size_t)model->top;
    dropout_backward(&model->dropout, model->kept[last], tops, d_top);
    activation_backward(model->shape.activation, model->dense, d_top, tops);
    affine_gradient(dense, model->layers[last].h, d_top, sink);
    complete(to, dense->at_weight);
    affine_backward(dense, m, d_top, model->d_hidden[0]);
}

void model_backward(struct model *model, const struct model_gradients *to)
{
    struct model_gradients context = *to;
    const struct gradient_sink sink = {.write = take, .context = &context};
    backward_top(model, to, &sink);
    int in = 0;
    for (int layer = model->shape.layers - 1; layer >= 0; layer--, in = !in) {
        struct recurrent *recurrent = &model->layers[layer];
        real *below = layer ? model->d_hidden[!in] : model->d_embedded;
        recurrent_backward(recurrent, model->d_hidden[in], model->inputs, model->end,
                           to->meanwhile, to->context);
        recurrent_gradient(recurrent, &sink);
        complete(to, recurrent->first);
        recurrent_backward_input(recurrent, below);
        meanwhile(to);
    }
    give_embedding(model, &sink);
    complete(to, 0);
}

/* ---- results and states
 * ------------------------------------------------------------------ */

const real *model_logits(const struct model *model, int microbatch)
{
    return model->logits + at(model, microbatch, model->shape.vocabulary);
}

const double *model_target_log_probability(const struct model *model, int microbatch)
{
    return model->log_probability + at(model, microbatch, 1);
}

static size_t layer_state(const struct model *model)
{
    return (size_t)model->extent.rows * (size_t)model->shape.hidden;
}

size_t model_state_size(const struct model *model)
{
    size_t states = (size_t)cell_of(model->shape.cell)->states;
    return (size_t)model->shape.layers * states * layer_state(model);
}

/* Visits the carried states of a microbatch in their order: copies out of or into the
 * model.
 */
static void copy_state(const struct model *model, int microbatch, real *out,
                       const real *in)
{
    size_t count = layer_state(model), from = (size_t)microbatch * count, to = 0;
    for (int layer = 0; layer < model->shape.layers; layer++) {
        real *states[] = {model->layers[layer].h_state, model->layers[layer].c_state};
        for (int kind = 0; kind < 2 && states[kind]; kind++, to += count) {
            if (out)
                memcpy(out + to, states[kind] + from, count * sizeof(real));
            else if (in)
                memcpy(states[kind] + from, in + to, count * sizeof(real));
            else
                memset(states[kind] + from, 0, count * sizeof(real));
        }
    }
}

void model_get_state(const struct model *model, int microbatch, real *state)
{
    copy_state(model, microbatch, state, NULL);
}

void model_set_state(struct model *model, int microbatch, const real *state)
{
    copy_state(model, microbatch, NULL, state);
}

void model_clear_states(struct model *model)
{
    for (int s = 0; s < model->extent.microbatches; s++)
        copy_state(model, s, NULL, NULL);
}

uint64_t model_products_per_token(const struct model *model)
{
    uint64_t products = 0;
    for (size_t i = 0; i < model->params.count; i++) {
        const struct param *param = &model->params.list[i];
        if (!param->is_vector && param->offset != offset_of(model, "embedding/weight"))
            products += param->count;
    }
    return products;
}

size_t model_bytes(const struct model *model)
{
    size_t rows = extent_rows(model->extent), h = (size_t)model->shape.hidden;
    size_t e = (size_t)model->shape.embedding, f = (size_t)model->shape.dense;
    size_t v = (size_t)model->shape.vocabulary, top = (size_t)model->top;
    size_t elements = model->params.total + rows * (e + v + 2 * f);
    size_t bytes = rows * sizeof(double);
    if (model->training) {
        elements += v * e + rows * (top + 2 * h + e);
        for (int place = 0; place < model->shape.layers; place++)
            bytes += rows * (size_t)dropout_width(model, place);
    }
    for (int layer = 0; layer < model->shape.layers; layer++)
        bytes += recurrent_bytes(&model->layers[layer]);
    bytes += affine_bytes(&model->hidden_to_dense) + affine_bytes(&model->to_output);
    return bytes + elements * sizeof(real) + matmul_workspace_bytes(model->room);
}
