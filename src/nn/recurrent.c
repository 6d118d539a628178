/* recurrent: the time loop, forward and backward.
 *
 * The hidden-to-hidden matmul is the only one inside the time loop; it processes the rows
 * of all microbatches at one time step. A row whose token is END is reset: the state that
 * it reads is zeroed, and no gradient flows back across it.
 *
 * Back-propagation is truncated at the window: states are carried forward into the next
 * window, gradients are not carried back (Williams and Peng, 1990).
 */
#include "recurrent.h"

#include <stdio.h>
#include <string.h>

#include "base/phase.h"

/* ---- set-up ---- */

static size_t offset_of(const struct params *params, const struct cell *cell, int layer,
                        const char *tensor)
{
    char name[PARAM_NAME];
    snprintf(name, sizeof name, "%s%d/%s", cell->name, layer, tensor);
    const struct param *param = params_find(params, name);
    return param ? param->offset : 0; /* 0: the cell has no such tensor */
}

void recurrent_init(const struct model_shape *shape, const struct params *params,
                    int index, struct batch_shape batch, struct recurrent *layer)
{
    const struct cell *cell = cell_of(shape->cell);
    const char *bias_ih = cell->has_gates_hh ? "bias_ih" : "bias";
    *layer = (struct recurrent){
        .cell = cell,
        .batch = batch,
        .index = index,
        .input = index == 0 ? shape->embedding : shape->hidden,
        .hidden = shape->hidden,
        .gates_width = cell->gate_count * shape->hidden,
        .offset = {.weight_ih = offset_of(params, cell, index, "weight_ih"),
                   .weight_hh = offset_of(params, cell, index, "weight_hh"),
                   .bias_ih = offset_of(params, cell, index, bias_ih),
                   .bias_hh = offset_of(params, cell, index, "bias_hh")},
    };
}

static void plan_weights(struct recurrent *layer, const struct matmul_backend *backend,
                         bool training, struct arena *arena)
{
    const struct matmul_backend *step_backend = backend->recurrent;
    int g = layer->gates_width, h = layer->hidden, d = layer->input;
    matmul_weights_plan(backend, g, d, false, arena, &layer->forward_ih);
    matmul_weights_plan(step_backend, g, h, false, arena, &layer->forward_hh);
    if (!training)
        return;
    matmul_weights_plan(backend, d, g, true, arena, &layer->backward_ih);
    matmul_weights_plan(step_backend, h, g, true, arena, &layer->backward_hh);
}

void recurrent_plan(struct recurrent *layer, const struct matmul_backend *backend,
                    bool training, struct arena *arena)
{
    const struct cell *cell = layer->cell;
    size_t rows = batch_rows(layer->batch), states = state_rows(layer->batch);
    size_t g = (size_t)layer->gates_width, h = (size_t)layer->hidden;
    size_t c = cell->state_count == 2 ? h : 0;
    plan_weights(layer, backend, training, arena);
    layer->gates_ih = arena_array(arena, rows * g, sizeof(real));
    layer->gates_hh = arena_array(arena, cell->has_gates_hh ? rows * g : 0, sizeof(real));
    layer->h_prev = arena_array(arena, rows * h, sizeof(real));
    layer->c_prev = arena_array(arena, rows * c, sizeof(real));
    layer->tanh_c = arena_array(arena, cell->has_tanh_c ? rows * h : 0, sizeof(real));
    layer->h = arena_array(arena, rows * h, sizeof(real));
    layer->h_state = arena_array(arena, states * h, sizeof(real));
    layer->c_state = arena_array(arena, states * c, sizeof(real));
    layer->dh = arena_array(arena, states * h, sizeof(real));
    layer->dc = arena_array(arena, states * c, sizeof(real));
    layer->x_rows = arena_array(arena, states, sizeof *layer->x_rows);
    layer->y_rows = arena_array(arena, states, sizeof *layer->y_rows);
}

void recurrent_pack(struct recurrent *layer, const real *weights)
{
    const real *weight_ih = weights + layer->offset.weight_ih;
    const real *weight_hh = weights + layer->offset.weight_hh;
    layer->bias_ih = weights + layer->offset.bias_ih;
    layer->bias_hh = layer->cell->has_gates_hh ? weights + layer->offset.bias_hh : NULL;
    matmul_weights_pack(&layer->forward_ih, weight_ih);
    matmul_weights_pack(&layer->forward_hh, weight_hh);
    matmul_weights_pack(&layer->backward_ih, weight_ih);
    matmul_weights_pack(&layer->backward_hh, weight_hh);
}

/* ---- one row of one time step ---- */

static void zero(real *values, size_t count)
{
    memset(values, 0, count * sizeof *values);
}

static real *row_of(real *buffer, size_t row, size_t width)
{
    return buffer ? buffer + row * width : NULL;
}

static struct dropout_mask dropout_of(const struct recurrent *layer, size_t row)
{
    if (!layer->dropout)
        return (struct dropout_mask){NULL, 1};
    return (struct dropout_mask){layer->mask + row * (size_t)layer->hidden,
                                 dropout_scale(layer->dropout)};
}

/* The members of a cell_step that both directions use. */
static struct cell_step step_of(const struct recurrent *layer, size_t row)
{
    size_t h = (size_t)layer->hidden, g = (size_t)layer->gates_width;
    return (struct cell_step){
        .hidden = layer->hidden,
        .gates = row_of(layer->gates_ih, row, g),
        .gates_hh = row_of(layer->gates_hh, row, g),
        .bias = layer->bias_ih,
        .h_prev = row_of(layer->h_prev, row, h),
        .c_prev = row_of(layer->c_prev, row, h),
        .tanh_c = row_of(layer->tanh_c, row, h),
        .dropout = dropout_of(layer, row),
        .h = row_of(layer->h, row, h),
    };
}

static void draw_mask(struct recurrent *layer, int s, int t, int b)
{
    const struct dropout *dropout = layer->dropout;
    size_t row = row_index(layer->batch, s, t, b);
    if (dropout)
        dropout_draw_row(dropout, layer->index,
                         dropout->first_row + s * layer->batch.rows + b, t, layer->hidden,
                         layer->mask + row * (size_t)layer->hidden);
}

/* Row (s, t, b). Its state is stored in h_prev and c_prev of step t + 1, or after the
 * last step in the carried state; it is zeroed if the token of step t + 1 is `end`. */
static void row_forward(struct recurrent *layer, int s, int t, int b, const token *tokens,
                        token end)
{
    struct batch_shape batch = layer->batch;
    size_t h = (size_t)layer->hidden;
    bool last = t + 1 == batch.steps;
    size_t next = last ? (size_t)(s * batch.rows + b) : row_index(batch, s, t + 1, b);
    draw_mask(layer, s, t, b);
    struct cell_step step = step_of(layer, row_index(batch, s, t, b));
    step.h_next = row_of(last ? layer->h_state : layer->h_prev, next, h);
    step.c_next = row_of(last ? layer->c_state : layer->c_prev, next, h);
    layer->cell->forward(&step);
    if (last || tokens[(t + 1) * batch.rows + b] != end)
        return;
    zero(step.h_next, h);
    if (step.c_next)
        zero(step.c_next, h);
}

/* Row (s, t, b). Returns the row of layer->dh to which the gradient through W_hh must be
 * added, or NULL after END. */
static real *row_backward(struct recurrent *layer, int s, int t, int b,
                          const token *tokens, token end, const real *dh)
{
    struct batch_shape batch = layer->batch;
    size_t h = (size_t)layer->hidden, row = row_index(batch, s, t, b);
    size_t state = (size_t)(s * batch.rows + b);
    struct cell_step step = step_of(layer, row);
    step.dh = dh + row * h;
    step.dh_next = row_of(layer->dh, state, h);
    step.dc = row_of(layer->dc, state, h);
    layer->cell->backward(&step);
    if (tokens[t * batch.rows + b] != end)
        return step.dh_next;
    zero(step.dh_next, h);
    if (step.dc)
        zero(step.dc, h);
    return NULL;
}

/* ---- all rows of one time step ---- */

/* The gates that W_hh's matmul writes in forward, and whose gradient it reads in
 * backward. */
static real *hh_gates(const struct recurrent *layer)
{
    return layer->cell->has_gates_hh ? layer->gates_hh : layer->gates_ih;
}

/* The gates of step t += W_hh h_prev, or := W_hh h_prev + bias_hh where they are
 * split. */
static void matmul_hh(struct recurrent *layer, int t)
{
    size_t h = (size_t)layer->hidden, g = (size_t)layer->gates_width;
    int count = 0;
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < layer->batch.rows; b++, count++) {
            size_t row = row_index(layer->batch, s, t, b);
            layer->x_rows[count] = layer->h_prev + row * h;
            layer->y_rows[count] = hh_gates(layer) + row * g;
            if (layer->cell->has_gates_hh)
                memcpy(layer->y_rows[count], layer->bias_hh, g * sizeof(real));
        }
    matmul(&layer->forward_hh, count, layer->x_rows, layer->y_rows, MATMUL_ACCUMULATE,
           t % 2 == 1);
}

static void step_forward(struct recurrent *layer, int t, const token *const *tokens,
                         token end)
{
    matmul_hh(layer, t);
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < layer->batch.rows; b++)
            row_forward(layer, s, t, b, tokens[s], end);
}

/* Back-propagates through the cell, then through W_hh to step t - 1. */
static void step_backward(struct recurrent *layer, int t, const token *const *tokens,
                          token end, const real *dh)
{
    size_t g = (size_t)layer->gates_width;
    int count = 0;
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < layer->batch.rows; b++) {
            real *dh_prev = row_backward(layer, s, t, b, tokens[s], end, dh);
            if (!dh_prev)
                continue;
            size_t row = row_index(layer->batch, s, t, b);
            layer->x_rows[count] = hh_gates(layer) + row * g;
            layer->y_rows[count++] = dh_prev;
        }
    if (t > 0) /* truncated: no gradient flows into the previous window */
        matmul(&layer->backward_hh, count, layer->x_rows, layer->y_rows,
               layer->cell->has_direct_path ? MATMUL_ACCUMULATE : MATMUL_OVERWRITE,
               t % 2 == 1);
}

/* ---- the window ---- */

static void copy_or_zero(real *y, const real *x, bool reset, size_t count)
{
    if (reset)
        zero(y, count);
    else
        memcpy(y, x, count * sizeof *y);
}

/* Step 0 reads the states that the previous window carried over. */
static void load_states(struct recurrent *layer, const token *const *tokens, token end)
{
    size_t h = (size_t)layer->hidden;
    int rows = layer->batch.rows;
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < rows; b++) {
            size_t y = row_index(layer->batch, s, 0, b) * h;
            size_t x = (size_t)(s * rows + b) * h;
            bool reset = tokens[s][b] == end;
            copy_or_zero(layer->h_prev + y, layer->h_state + x, reset, h);
            if (layer->c_prev)
                copy_or_zero(layer->c_prev + y, layer->c_state + x, reset, h);
        }
}

void recurrent_forward(struct recurrent *layer, const real *x, const token *const *tokens,
                       token end, const struct dropout *dropout, uint8_t *mask)
{
    layer->x = x;
    layer->dropout = dropout && dropout->rate > 0 ? dropout : NULL;
    layer->mask = mask;
    matmul_batched(&layer->forward_ih, flatten_time(layer->batch), x, layer->gates_ih,
                   MATMUL_OVERWRITE);
    load_states(layer, tokens, end);
    for (int t = 0; t < layer->batch.steps; t++) {
        phase_progress(); /* a window of a large model can take a minute */
        step_forward(layer, t, tokens, end);
    }
}

void recurrent_backward(struct recurrent *layer, const real *dh,
                        const token *const *tokens, token end,
                        void (*progress)(void *context), void *context)
{
    size_t count = state_rows(layer->batch) * (size_t)layer->hidden;
    zero(layer->dh, count);
    if (layer->dc)
        zero(layer->dc, count);
    for (int t = layer->batch.steps - 1; t >= 0; t--) {
        step_backward(layer, t, tokens, end, dh);
        if (progress)
            progress(context);
    }
}

void recurrent_backward_input(struct recurrent *layer, real *dx)
{
    matmul_batched(&layer->backward_ih, flatten_time(layer->batch), layer->gates_ih, dx,
                   MATMUL_OVERWRITE);
}

void recurrent_backward_weights(const struct recurrent *layer,
                                struct matmul_workspace *workspace,
                                const struct gradient_sink *sink)
{
    const struct gradient_input inputs[] = {
        {layer->x, layer->input, layer->offset.weight_ih},
        {layer->h_prev, layer->hidden, layer->offset.weight_hh}};
    if (!layer->cell->has_gates_hh) {
        matmul_gradient(workspace, layer->gates_width, layer->gates_ih, inputs, 2,
                        layer->offset.bias_ih, sink);
        return;
    }
    matmul_gradient(workspace, layer->gates_width, layer->gates_ih, inputs, 1,
                    layer->offset.bias_ih, sink);
    matmul_gradient(workspace, layer->gates_width, layer->gates_hh, inputs + 1, 1,
                    layer->offset.bias_hh, sink);
}
