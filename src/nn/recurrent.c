/* recurrent: the time loop, forward and backward.
 *
 * The hidden-to-hidden matmul is the only one inside the time loop; it processes the rows
 * of all microbatches at one time step. A row whose token is END is reset: the state that
 * it reads is zeroed, and no gradient flows back across it.
 *
 * Each thread of the team owns a range of hidden units: the rows of W_hh of their gates
 * in forward, their columns in backward, the same at every time step, so that they stay
 * in its cache (persistent RNNs; Diamos et al., 2016). The threads wait for each other
 * once per time step: in forward before the next one reads h, in backward before W_hh
 * reads the gradient of the gates.
 *
 * Back-propagation is truncated at the window: states are carried forward into the next
 * window, gradients are not carried back (Williams and Peng, 1990).
 */
#include "recurrent.h"

#include <stdio.h>
#include <string.h>

#include "base/phase.h"
#include "base/team.h"

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
        .input = recurrent_input_width(shape, index),
        .takes_tokens = index == 0 && shape->embedding == 0,
        .hidden = shape->hidden,
        .gates_width = cell->gate_count * shape->hidden,
        .offset = {.weight_ih = offset_of(params, cell, index, "weight_ih"),
                   .weight_hh = offset_of(params, cell, index, "weight_hh"),
                   .bias_ih = offset_of(params, cell, index, bias_ih),
                   .bias_hh = offset_of(params, cell, index, "bias_hh")},
    };
    layer->one_hot = (struct one_hot){.outputs = layer->gates_width,
                                      .vocabulary = shape->vocabulary,
                                      .weight_offset = layer->offset.weight_ih};
}

static void plan_ih(struct recurrent *layer, const struct model_plan *plan,
                    struct matmul_scratch *scratch, struct arena *arena)
{
    int g = layer->gates_width, d = layer->input, gates = layer->cell->gate_count;
    const struct matmul_layout forward = {g, d, false, plan->threads,
                                          forward_segments(plan, gates)},
                               backward = {d, g, true, plan->threads, 0};
    if (layer->takes_tokens) {
        one_hot_plan(&layer->one_hot, plan->training ? plan->threads : 0, arena);
        return;
    }
    matmul_weights_plan(plan->backend, &forward, scratch, arena, &layer->forward_ih);
    if (plan->training)
        matmul_weights_plan(plan->backend, &backward, scratch, arena,
                            &layer->backward_ih);
}

static void plan_hh(struct recurrent *layer, const struct model_plan *plan,
                    struct matmul_scratch *scratch, struct arena *arena)
{
    const struct matmul_backend *backend = plan->backend->recurrent;
    int g = layer->gates_width, h = layer->hidden;
    const struct matmul_layout forward = {g, h, false, plan->threads,
                                          layer->cell->gate_count},
                               backward = {h, g, true, plan->threads, 1};
    matmul_weights_plan(backend, &forward, scratch, arena, &layer->forward_hh);
    if (plan->training)
        matmul_weights_plan(backend, &backward, scratch, arena, &layer->backward_hh);
}

void recurrent_plan(struct recurrent *layer, const struct model_plan *plan,
                    struct matmul_scratch *scratch, struct arena *arena)
{
    const struct cell *cell = layer->cell;
    size_t rows = batch_rows(layer->batch), states = state_rows(layer->batch);
    size_t g = (size_t)layer->gates_width, h = (size_t)layer->hidden;
    size_t c = cell->state_count == 2 ? h : 0;
    size_t droppable = plan->training && plan->dropout_recurrent ? g * h : 0;
    plan_ih(layer, plan, scratch, arena);
    plan_hh(layer, plan, scratch, arena);
    layer->weight_mask = arena_array(arena, droppable, 1);
    layer->dropped_hh = arena_array(arena, droppable, sizeof(real));
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
    size_t pointers = (size_t)plan->threads * states;
    layer->x_rows = arena_array(arena, pointers, sizeof *layer->x_rows);
    layer->y_rows = arena_array(arena, pointers, sizeof *layer->y_rows);
}

static void pack_ih(struct recurrent *layer, const real *weights)
{
    const real *weight_ih = weights + layer->offset.weight_ih;
    if (layer->takes_tokens) {
        one_hot_pack(&layer->one_hot, weights);
        return;
    }
    matmul_weights_pack(&layer->forward_ih, weight_ih);
    matmul_weights_pack(&layer->backward_ih, weight_ih);
}

static void pack_hh(struct recurrent *layer, const real *weight_hh)
{
    matmul_weights_pack(&layer->forward_hh, weight_hh);
    matmul_weights_pack(&layer->backward_hh, weight_hh);
}

void recurrent_pack(struct recurrent *layer, const real *weights)
{
    if (team_thread() == 0) {
        layer->weights = weights;
        layer->weight_dropout.rate = 0;
        layer->hh_is_packed = !layer->weight_mask;
        layer->bias_ih = weights + layer->offset.bias_ih;
        layer->bias_hh =
            layer->cell->has_gates_hh ? weights + layer->offset.bias_hh : NULL;
    }
    pack_ih(layer, weights);
    if (!layer->weight_mask) /* else in the next forward, which knows the dropout */
        pack_hh(layer, weights + layer->offset.weight_hh);
}

/* ---- dropout of weight_hh ---- */

void recurrent_set_weight_dropout(struct recurrent *layer, const struct dropout *dropout)
{
    layer->repack_hh =
        !layer->hh_is_packed || dropout->rate > 0 || layer->weight_dropout.rate > 0;
    layer->hh_is_packed = true;
    layer->weight_dropout = *dropout;
}

static size_t hh_count(const struct recurrent *layer)
{
    return (size_t)layer->gates_width * (size_t)layer->hidden;
}

/* y[count] := x after the dropout of elements first, first + 1, ... of weight_hh. */
static void drop_elements(const struct recurrent *layer, size_t first, size_t count,
                          const real *x, real *y)
{
    const uint8_t *mask = layer->weight_mask + first;
    real scale = dropout_scale(&layer->weight_dropout);
    for (size_t i = 0; i < count; i++)
        y[i] = mask[i] ? x[i] * scale : 0;
}

/* Packs weight_hh after dropout. Waits twice. */
static void pack_dropped(struct recurrent *layer, const real *weight_hh)
{
    struct team_share share = team_share(hh_count(layer), VECTOR);
    dropout_draw_elements(&layer->weight_dropout, RNG_DROPOUT_RECURRENT, layer->index,
                          hh_count(layer), layer->weight_mask);
    team_barrier(); /* the mask is complete */
    drop_elements(layer, share.first, share.end - share.first, weight_hh + share.first,
                  layer->dropped_hh + share.first);
    team_barrier(); /* dropped_hh is complete */
    pack_hh(layer, layer->dropped_hh);
}

static void repack_hh(struct recurrent *layer)
{
    const real *weight_hh = layer->weights + layer->offset.weight_hh;
    if (!layer->repack_hh)
        return;
    if (layer->weight_dropout.rate > 0)
        pack_dropped(layer, weight_hh);
    else
        pack_hh(layer, weight_hh);
}

/* A sink that applies the dropout to the gradient of weight_hh. */
struct dropped_sink {
    const struct recurrent *layer;
    const struct gradient_sink *sink;
};

static void write_dropped(void *context, int microbatch,
                          const struct gradient_block *block)
{
    const struct dropped_sink *dropped = context;
    size_t start = dropped->layer->offset.weight_hh;
    size_t end = start + hh_count(dropped->layer);
    bool is_hh = block->first >= start && block->first < end;
    for (size_t r = 0; is_hh && r < (size_t)block->rows; r++) {
        real *row = block->values + r * block->ld_values;
        drop_elements(dropped->layer, block->first - start + r * block->ld,
                      (size_t)block->width, row, row);
    }
    dropped->sink->write(dropped->sink->context, microbatch, block);
}

/* ---- one row of one time step ---- */

/* The hidden units that the calling thread computes. */
static struct team_share own_units(const struct recurrent *layer)
{
    return team_share((size_t)layer->hidden, VECTOR);
}

static void zero(real *values, size_t count)
{
    memset(values, 0, count * sizeof *values);
}

/* A row of a [rows][width] buffer, from unit `first` on. NULL without a buffer. */
static real *units_of(real *buffer, size_t row, size_t width, size_t first)
{
    return buffer ? buffer + row * width + first : NULL;
}

static struct dropout_mask dropout_of(const struct recurrent *layer, size_t row,
                                      size_t first)
{
    if (!layer->dropout)
        return (struct dropout_mask){NULL, 1};
    return (struct dropout_mask){layer->mask + row * (size_t)layer->hidden + first,
                                 dropout_scale(layer->dropout)};
}

/* The members of a cell_step that both directions use. */
static struct cell_step step_of(const struct recurrent *layer, size_t row,
                                struct team_share units)
{
    size_t h = (size_t)layer->hidden, g = (size_t)layer->gates_width, u = units.first;
    return (struct cell_step){
        .hidden = layer->hidden,
        .units = (int)(units.end - units.first),
        .gates = units_of(layer->gates_ih, row, g, u),
        .gates_hh = units_of(layer->gates_hh, row, g, u),
        .bias = layer->bias_ih + u,
        .h_prev = units_of(layer->h_prev, row, h, u),
        .c_prev = units_of(layer->c_prev, row, h, u),
        .tanh_c = units_of(layer->tanh_c, row, h, u),
        .dropout = dropout_of(layer, row, u),
        .h = units_of(layer->h, row, h, u),
    };
}

/* A row of the batch at a time step, and its token. */
struct step_row {
    int s, t, b;
    const token *tokens; /* of the microbatch, [T][B] */
    token end;
};

/* Its state is stored in h_prev and c_prev of step t + 1, or after the last step in the
 * carried state; it is zeroed if the token of step t + 1 is `end`. */
static void row_forward(struct recurrent *layer, struct step_row row,
                        struct team_share units)
{
    struct batch_shape batch = layer->batch;
    size_t h = (size_t)layer->hidden, count = units.end - units.first;
    bool last = row.t + 1 == batch.steps;
    size_t next = last ? (size_t)(row.s * batch.rows + row.b)
                       : row_index(batch, row.s, row.t + 1, row.b);
    struct cell_step step = step_of(layer, row_index(batch, row.s, row.t, row.b), units);
    step.h_next = units_of(last ? layer->h_state : layer->h_prev, next, h, units.first);
    step.c_next = units_of(last ? layer->c_state : layer->c_prev, next, h, units.first);
    layer->cell->forward(&step);
    if (last || row.tokens[(row.t + 1) * batch.rows + row.b] != row.end)
        return;
    zero(step.h_next, count);
    if (step.c_next)
        zero(step.c_next, count);
}

/* False after END: no gradient flows through W_hh. */
static bool row_backward(struct recurrent *layer, struct step_row row,
                         struct team_share units, const real *dh)
{
    struct batch_shape batch = layer->batch;
    size_t h = (size_t)layer->hidden, count = units.end - units.first;
    size_t at = row_index(batch, row.s, row.t, row.b);
    size_t state = (size_t)(row.s * batch.rows + row.b);
    struct cell_step step = step_of(layer, at, units);
    step.dh = dh + at * h + units.first;
    step.dh_next = units_of(layer->dh, state, h, units.first);
    step.dc = units_of(layer->dc, state, h, units.first);
    layer->cell->backward(&step);
    if (row.tokens[row.t * batch.rows + row.b] != row.end)
        return true;
    zero(step.dh_next, count);
    if (step.dc)
        zero(step.dc, count);
    return false;
}

/* ---- all rows of one time step ---- */

/* The gates that W_hh's matmul writes in forward, and whose gradient it reads in
 * backward. */
static real *hh_gates(const struct recurrent *layer)
{
    return layer->cell->has_gates_hh ? layer->gates_hh : layer->gates_ih;
}

/* The calling thread's row pointers of one hidden-to-hidden matmul. */
struct hh_rows {
    const real **x;
    real **y;
    int count;
};

static struct hh_rows hh_rows_of(const struct recurrent *layer)
{
    size_t first = (size_t)team_thread() * state_rows(layer->batch);
    return (struct hh_rows){layer->x_rows + first, layer->y_rows + first, 0};
}

/* y := bias_hh, for the gates of these units. */
static void copy_bias_hh(const struct recurrent *layer, struct team_share units, real *y)
{
    size_t h = (size_t)layer->hidden, bytes = (units.end - units.first) * sizeof *y;
    for (size_t q = 0; q < (size_t)layer->cell->gate_count; q++)
        memcpy(y + q * h + units.first, layer->bias_hh + q * h + units.first, bytes);
}

/* The gates of step t += W_hh h_prev, or := W_hh h_prev + bias_hh where they are
 * split. */
static void matmul_hh(struct recurrent *layer, int t, struct team_share units)
{
    size_t h = (size_t)layer->hidden, g = (size_t)layer->gates_width;
    struct hh_rows rows = hh_rows_of(layer);
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < layer->batch.rows; b++, rows.count++) {
            size_t row = row_index(layer->batch, s, t, b);
            rows.x[rows.count] = layer->h_prev + row * h;
            rows.y[rows.count] = hh_gates(layer) + row * g;
            if (layer->cell->has_gates_hh)
                copy_bias_hh(layer, units, rows.y[rows.count]);
        }
    matmul(&layer->forward_hh, rows.count, rows.x, rows.y, MATMUL_ACCUMULATE, t % 2 == 1);
}

static void step_forward(struct recurrent *layer, int t, const token *const *tokens,
                         token end, struct team_share units)
{
    matmul_hh(layer, t, units);
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < layer->batch.rows; b++)
            row_forward(layer, (struct step_row){s, t, b, tokens[s], end}, units);
}

/* Back-propagates through the cell, then through W_hh to step t - 1. */
static void step_backward(struct recurrent *layer, int t, const token *const *tokens,
                          token end, const real *dh)
{
    size_t g = (size_t)layer->gates_width, h = (size_t)layer->hidden;
    struct team_share units = own_units(layer);
    struct hh_rows rows = hh_rows_of(layer);
    size_t state = 0;
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < layer->batch.rows; b++, state++) {
            if (!row_backward(layer, (struct step_row){s, t, b, tokens[s], end}, units,
                              dh))
                continue;
            rows.x[rows.count] = hh_gates(layer) + row_index(layer->batch, s, t, b) * g;
            rows.y[rows.count++] = layer->dh + state * h;
        }
    team_barrier(); /* the gradient of all gates is known */
    if (t > 0)      /* truncated: no gradient flows into the previous window */
        matmul(&layer->backward_hh, rows.count, rows.x, rows.y,
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
    struct team_share units = own_units(layer);
    size_t count = units.end - units.first;
    int rows = layer->batch.rows;
    for (int s = 0; s < layer->batch.microbatches; s++)
        for (int b = 0; b < rows; b++) {
            size_t y = row_index(layer->batch, s, 0, b) * h + units.first;
            size_t x = (size_t)(s * rows + b) * h + units.first;
            bool reset = tokens[s][b] == end;
            copy_or_zero(layer->h_prev + y, layer->h_state + x, reset, count);
            if (layer->c_prev)
                copy_or_zero(layer->c_prev + y, layer->c_state + x, reset, count);
        }
}

void recurrent_set_input(struct recurrent *layer, const real *x,
                         const struct dropout *dropout, uint8_t *mask)
{
    layer->x = x;
    layer->dropout = dropout && dropout->rate > 0 ? dropout : NULL;
    layer->mask = mask;
}

void recurrent_forward(struct recurrent *layer, const token *const *tokens, token end)
{
    struct team_share units = own_units(layer);
    repack_hh(layer); /* complete before the first time step */
    if (layer->takes_tokens)
        one_hot_forward(&layer->one_hot, layer->batch, tokens, layer->gates_ih);
    else
        matmul_batched(&layer->forward_ih, flatten_time(layer->batch), layer->x,
                       layer->gates_ih, MATMUL_OVERWRITE);
    load_states(layer, tokens, end);
    if (layer->dropout)
        dropout_draw(layer->dropout, layer->index, layer->batch, layer->hidden,
                     layer->mask);
    for (int t = 0; t < layer->batch.steps; t++) {
        team_barrier(); /* h_prev of step t is complete */
        if (team_thread() == 0)
            phase_progress(); /* a window of a large model can take a minute */
        step_forward(layer, t, tokens, end, units);
    }
    team_barrier();
}

/* Zeroes the gradients of the states after the last step, for the own units. */
static void zero_state_gradients(struct recurrent *layer)
{
    struct team_share units = own_units(layer);
    size_t h = (size_t)layer->hidden, count = units.end - units.first;
    for (size_t state = 0; state < state_rows(layer->batch); state++) {
        zero(units_of(layer->dh, state, h, units.first), count);
        if (layer->dc)
            zero(units_of(layer->dc, state, h, units.first), count);
    }
}

void recurrent_backward(struct recurrent *layer, const real *dh,
                        const token *const *tokens, token end,
                        void (*progress)(void *context), void *context)
{
    zero_state_gradients(layer);
    team_barrier(); /* dh is complete */
    for (int t = layer->batch.steps - 1; t >= 0; t--) {
        step_backward(layer, t, tokens, end, dh);
        if (progress && team_thread() == 0)
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
                                const token *const *tokens,
                                const struct gradient_sink *sink)
{
    const struct gradient_input inputs[] = {
        {layer->x, layer->input, layer->offset.weight_ih},
        {layer->h_prev, layer->hidden, layer->offset.weight_hh}};
    int ih = layer->takes_tokens ? 0 : 1; /* inputs of the matmul with gates_ih */
    struct dropped_sink context = {layer, sink};
    const struct gradient_sink dropped = {write_dropped, &context};
    if (layer->weight_dropout.rate > 0)
        sink = &dropped;
    if (layer->takes_tokens)
        one_hot_backward(&layer->one_hot, layer->batch, layer->gates_ih, tokens, sink);
    if (!layer->cell->has_gates_hh) {
        matmul_gradient(workspace, layer->gates_width, layer->gates_ih, inputs + 1 - ih,
                        1 + ih, layer->offset.bias_ih, sink);
        return;
    }
    matmul_gradient(workspace, layer->gates_width, layer->gates_ih, inputs, ih,
                    layer->offset.bias_ih, sink);
    matmul_gradient(workspace, layer->gates_width, layer->gates_hh, inputs + 1, 1,
                    layer->offset.bias_hh, sink);
}
