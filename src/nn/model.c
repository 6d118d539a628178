/* model: set-up, weights and carried states. The forward and the backward pass are in
 * model_pass.c.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "model_internal.h"
#include "base/team.h"

/* ---- set-up ---- */

/* Dropout site l follows recurrent layer l; the last one is before the output layer,
 * after the dense layer if there is one. */
static int dropout_width(const struct model_shape *shape, int site)
{
    return site + 1 < shape->layers ? shape->hidden : output_input_width(shape);
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

/* Sized for the largest weight gradient: the widest inputs are either x and h_prev of a
 * recurrent layer together, or the input of the output layer. */
static void plan_workspace(struct model *model, struct arena *arena)
{
    const struct model_shape *shape = &model->shape;
    int gates = cell_of(shape->cell)->gate_count * shape->hidden;
    int inputs = shape->hidden + larger(shape->hidden, shape->embedding);
    const struct matmul_extent extent = {
        .outputs = larger(gates, larger(shape->dense, shape->vocabulary)),
        .inputs = (size_t)larger(inputs, shape->dense)};
    model->workspace =
        matmul_workspace_plan(model->plan.backend, flatten_time(model->batch), extent,
                              model->plan.threads, arena);
}

static void plan_training(struct model *model, struct arena *arena)
{
    const struct model_shape *shape = &model->shape;
    size_t rows = batch_rows(model->batch), v = (size_t)shape->vocabulary;
    size_t e = (size_t)shape->embedding;
    for (int site = 0; site < shape->layers; site++)
        model->mask[site] =
            arena_array(arena, rows * (size_t)dropout_width(shape, site), 1);
    model->token_mask = arena_array(arena, v, 1);
    model->input_mask = arena_array(arena, model->plan.dropout_input ? rows * e : 0, 1);
    model->d_embedding_weight = arena_array(arena, v * e, sizeof(real));
    plan_workspace(model, arena);
}

/* Plans all memory of the model; called twice (base/arena.h). */
static void plan_memory(struct model *model, struct arena *arena)
{
    const struct model_shape *shape = &model->shape;
    size_t rows = batch_rows(model->batch), f = (size_t)shape->dense;
    size_t e = (size_t)shape->embedding, v = (size_t)shape->vocabulary;
    model->weights = arena_array(arena, model->params.total, sizeof(real));
    model->embedded = arena_array(arena, rows * e, sizeof(real));
    for (int layer = 0; layer < shape->layers; layer++)
        recurrent_plan(&model->recurrent[layer], &model->plan, &model->scratch, arena);
    if (shape->dense)
        affine_plan(&model->dense, &model->plan, &model->scratch, arena);
    model->dense_output = arena_array(arena, rows * f, sizeof(real));
    model->dense_dropped = arena_array(arena, rows * f, sizeof(real));
    affine_plan(&model->output, &model->plan, &model->scratch, arena);
    matmul_scratch_plan(&model->scratch, model->plan.threads, arena);
    model->logits = arena_array(arena, rows * v, sizeof(real));
    model->log_probability = arena_array(arena, rows, sizeof(double));
    model->correct = arena_array(arena, rows, sizeof *model->correct);
    if (model->plan.training)
        plan_training(model, arena);
}

static void init_layers(struct model *model)
{
    const struct params *params = &model->params;
    for (int layer = 0; layer < model->shape.layers; layer++)
        recurrent_init(&model->shape, params, layer, model->batch,
                       &model->recurrent[layer]);
    if (model->shape.dense)
        affine_init(params, "dense/weight", "dense/bias", &model->dense);
    affine_init(params, output_weight_name(&model->shape), "output/bias", &model->output);
}

static enum status allocate(struct model *model)
{
    init_layers(model);
    plan_memory(model, &model->arena);
    if (!arena_allocate(&model->arena))
        return status_fail(
            STATUS_FAILED,
            "no memory for a model of %zu weights with %zu rows and steps: "
            "make the model, train.batch or train.sequence_length smaller, or use "
            "more ranks",
            model->params.total, batch_rows(model->batch));
    plan_memory(model, &model->arena);
    return STATUS_OK;
}

enum status model_matmul_backend(const struct options *options,
                                 const struct matmul_backend **out)
{
    bool openblas = options->train.matmul == MATMUL_OPENBLAS;
    bool bf16 = options->train.precision == PRECISION_BFLOAT16;
    enum matmul_backend_kind kind = openblas ? BACKEND_OPENBLAS
                                    : bf16   ? BACKEND_BFLOAT16
                                             : BACKEND_FLOAT32;
    return matmul_backend_select(kind, out);
}

enum status model_create(const struct model_plan *plan, struct model **out)
{
    struct model *model = calloc(1, sizeof *model);
    if (!model)
        return status_fail(STATUS_FAILED, "no memory for a model");
    model->shape = *plan->shape;
    model->batch = (struct batch_shape){plan->microbatches, plan->rows, plan->steps};
    model->plan = *plan;
    model->plan.shape = &model->shape;
    model->plan.backend = plan->training ? plan->backend : plan->backend->inference;
    model->plan.threads = plan->threads ? plan->threads : 1;
    enum status status = params_layout(&model->shape, &model->params);
    if (status == STATUS_OK)
        status = team_check(model->plan.threads);
    if (status == STATUS_OK)
        status = allocate(model);
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
    if (model)
        arena_free(&model->arena);
    free(model);
}

bool model_rows_are_independent(const struct model *model)
{
    return model->plan.backend->format != NULL;
}

size_t model_bytes(const struct model *model)
{
    return model->arena.size;
}

/* ---- weights ---- */

const struct params *model_params(const struct model *model)
{
    return &model->params;
}

real *model_weights(struct model *model)
{
    return model->weights;
}

static void pack_weights(void *context)
{
    struct model *model = context;
    for (int layer = 0; layer < model->shape.layers; layer++)
        recurrent_pack(&model->recurrent[layer], model->weights);
    if (model->shape.dense)
        affine_pack(&model->dense, model->weights);
    affine_pack(&model->output, model->weights);
}

void model_weights_changed(struct model *model)
{
    team_run(model->plan.threads, pack_weights, model);
}

uint64_t model_macs_per_token(const struct model *model)
{
    const struct params *params = &model->params;
    uint64_t macs = 0;
    for (size_t i = 0; i < params->count; i++)
        if (!params->list[i].is_vector &&
            !param_is_looked_up(&model->shape, &params->list[i]))
            macs += params->list[i].count;
    return macs;
}

/* ---- carried states ---- */

/* Number of elements in one state of a microbatch, [B][H]. */
static size_t state_elements(const struct model *model)
{
    return (size_t)model->batch.rows * (size_t)model->shape.hidden;
}

static int carried_state_count(const struct model *model)
{
    return model->shape.layers * cell_of(model->shape.cell)->state_count;
}

/* State i of a microbatch, in the order of model_get_state. */
static real *state_at(const struct model *model, int microbatch, int i)
{
    int per_layer = cell_of(model->shape.cell)->state_count;
    const struct recurrent *layer = &model->recurrent[i / per_layer];
    real *state = i % per_layer == 0 ? layer->h_state : layer->c_state;
    return state + (size_t)microbatch * state_elements(model);
}

size_t model_state_size(const struct model *model)
{
    return (size_t)carried_state_count(model) * state_elements(model);
}

void model_get_state(const struct model *model, int microbatch, real *state)
{
    size_t count = state_elements(model);
    for (int i = 0; i < carried_state_count(model); i++, state += count)
        memcpy(state, state_at(model, microbatch, i), count * sizeof *state);
}

void model_set_state(struct model *model, int microbatch, const real *state)
{
    size_t count = state_elements(model);
    for (int i = 0; i < carried_state_count(model); i++, state += count)
        memcpy(state_at(model, microbatch, i), state, count * sizeof *state);
}

void model_clear_states(struct model *model)
{
    size_t count = state_elements(model);
    for (int s = 0; s < model->batch.microbatches; s++)
        for (int i = 0; i < carried_state_count(model); i++)
            memset(state_at(model, s, i), 0, count * sizeof(real));
}

void model_copy_state(struct model *model, int from, int to)
{
    size_t h = (size_t)model->shape.hidden;
    for (int i = 0; i < carried_state_count(model); i++) {
        real *state = state_at(model, 0, i);
        memmove(state + (size_t)to * h, state + (size_t)from * h, h * sizeof *state);
    }
}
