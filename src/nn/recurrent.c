/* recurrent: the time loop, forward and backward.
 *
 * The recurrent product is the only one inside the time loop; it reads the rows of all
 * microbatches at one time step. A row whose input is END starts anew: what it consumes
 * is zeroed, and no gradient leaves it backwards.
 */
#include "recurrent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/phase.h"

static size_t state_elements(const struct recurrent *layer)
{
    return (size_t)layer->extent.microbatches * (size_t)layer->extent.rows *
           (size_t)layer->hidden;
}

static real *room_for(int *complete, size_t elements)
{
    real *memory = memory_zeroed(elements * sizeof(real));
    *complete &= memory != NULL;
    return memory;
}

static enum status allocate(struct recurrent *layer)
{
    size_t rows = extent_rows(layer->extent), h = (size_t)layer->hidden;
    size_t states = state_elements(layer), lists = states / h;
    int complete = 1;
    layer->gate = room_for(&complete, rows * (size_t)layer->gates);
    layer->h_prev = room_for(&complete, rows * h);
    layer->h = room_for(&complete, rows * h);
    layer->h_state = room_for(&complete, states);
    layer->dh = room_for(&complete, states);
    layer->from = calloc(lists, sizeof *layer->from);
    layer->to = calloc(lists, sizeof *layer->to);
    if (layer->cell->states == 2) {
        layer->c_prev = room_for(&complete, rows * h);
        layer->c_state = room_for(&complete, states);
        layer->dc = room_for(&complete, states);
    }
    if (layer->cell->saves)
        layer->saved = room_for(&complete, rows * h);
    if (layer->cell->split_product)
        layer->product = room_for(&complete, rows * (size_t)layer->gates);
    if (complete && layer->from && layer->to)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "no memory for a layer of %d units, %zu rows",
                       layer->hidden, rows);
}

static enum status create_packed(struct recurrent *layer, int training,
                                 const struct matmul_backend *backend)
{
    int g = layer->gates, h = layer->hidden, d = layer->input;
    const struct matmul_backend *recurrent = backend->recurrent;
    enum status status =
        matmul_weights_create(backend, layer->weight_ih, g, d, false, &layer->forward_ih);
    if (status == STATUS_OK)
        status = matmul_weights_create(recurrent, layer->weight_hh, g, h, false,
                                       &layer->forward_hh);
    if (status == STATUS_OK && training)
        status = matmul_weights_create(backend, layer->weight_ih, d, g, true,
                                       &layer->backward_ih);
    if (status == STATUS_OK && training)
        status = matmul_weights_create(recurrent, layer->weight_hh, h, g, true,
                                       &layer->backward_hh);
    return status;
}

static size_t offset_of(const struct params *params, const struct cell *cell, int layer,
                        const char *tensor)
{
    char name[PARAM_NAME];
    snprintf(name, sizeof name, "%s%d/%s", cell->name, layer, tensor);
    return params_find(params, name)->offset;
}

enum status recurrent_create(const struct model_shape *shape, const struct params *params,
                             const real *block, int layer, struct extent extent,
                             int training, const struct matmul_backend *backend,
                             struct matmul_workspace *room, struct recurrent *out)
{
    const struct cell *cell = cell_of(shape->cell);
    *out = (struct recurrent){
        .extent = extent,
        .number = layer,
        .room = room,
        .cell = cell,
        .input = layer == 0 ? shape->embedding : shape->hidden,
        .hidden = shape->hidden,
        .gates = cell->gates * shape->hidden,
        .at_weight_ih = offset_of(params, cell, layer, "weight_ih"),
        .at_weight_hh = offset_of(params, cell, layer, "weight_hh"),
        .at_bias_ih =
            offset_of(params, cell, layer, cell->split_product ? "bias_ih" : "bias"),
    };
    if (cell->split_product) {
        out->at_bias_hh = offset_of(params, cell, layer, "bias_hh");
        out->bias_hh = block + out->at_bias_hh;
    }
    out->first = out->at_weight_ih;
    out->weight_ih = block + out->at_weight_ih;
    out->weight_hh = block + out->at_weight_hh;
    out->bias_ih = block + out->at_bias_ih;
    enum status status = create_packed(out, training, backend);
    if (status == STATUS_OK)
        status = allocate(out);
    if (status != STATUS_OK)
        recurrent_free(out);
    return status;
}

void recurrent_free(struct recurrent *layer)
{
    matmul_weights_free(&layer->forward_ih);
    matmul_weights_free(&layer->forward_hh);
    matmul_weights_free(&layer->backward_ih);
    matmul_weights_free(&layer->backward_hh);
    real *buffers[] = {layer->gate,  layer->product, layer->h_prev,  layer->c_prev,
                       layer->saved, layer->h,       layer->h_state, layer->c_state,
                       layer->dh,    layer->dc};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        memory_free(buffers[i]);
    free((void *)layer->from);
    free((void *)layer->to);
    *layer = (struct recurrent){0};
}

size_t recurrent_bytes(const struct recurrent *layer)
{
    size_t rows = extent_rows(layer->extent), h = (size_t)layer->hidden;
    size_t g = (size_t)layer->gates, states = state_elements(layer);
    size_t pairs = layer->cell->states == 2, saved = layer->cell->saves;
    size_t products = layer->cell->split_product;
    const struct matmul_weights *packed[] = {&layer->forward_ih, &layer->forward_hh,
                                             &layer->backward_ih, &layer->backward_hh};
    size_t elements =
        rows * ((1 + products) * g + (2 + pairs + saved) * h) + states * (2 + 2 * pairs);
    size_t bytes = elements * sizeof(real) + 2 * (states / h) * sizeof(void *);
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        bytes += matmul_weights_bytes(packed[i]);
    return bytes;
}

void recurrent_pack(struct recurrent *layer)
{
    matmul_weights_pack(&layer->forward_ih);
    matmul_weights_pack(&layer->forward_hh);
    matmul_weights_pack(&layer->backward_ih);
    matmul_weights_pack(&layer->backward_hh);
}

static void clear_or_copy(real *to, const real *from, int clear, int width)
{
    if (clear)
        memset(to, 0, (size_t)width * sizeof *to);
    else
        memcpy(to, from, (size_t)width * sizeof *to);
}

/* Sets what the first step consumes from the states that the last window left. */
static void begin_window(struct recurrent *layer, const token *const *inputs, token end)
{
    int h = layer->hidden, rows = layer->extent.rows;
    for (int s = 0; s < layer->extent.microbatches; s++)
        for (int b = 0; b < rows; b++) {
            size_t to = row_at(layer->extent, s, 0, b) * (size_t)h;
            size_t from = (size_t)(s * rows + b) * (size_t)h;
            int clear = inputs[s][b] == end;
            clear_or_copy(layer->h_prev + to, layer->h_state + from, clear, h);
            if (layer->cell->states == 2)
                clear_or_copy(layer->c_prev + to, layer->c_state + from, clear, h);
        }
}

/* The product of one time step, for all microbatches: W_hh h_prev is added to the gates. */
static void multiply_step(struct recurrent *layer, int t)
{
    size_t h = (size_t)layer->hidden, g = (size_t)layer->gates;
    real *target = layer->cell->split_product ? layer->product : layer->gate;
    int count = 0;
    for (int s = 0; s < layer->extent.microbatches; s++)
        for (int b = 0; b < layer->extent.rows; b++, count++) {
            size_t at = row_at(layer->extent, s, t, b);
            layer->from[count] = layer->h_prev + at * h;
            layer->to[count] = target + at * g;
            if (layer->cell->split_product)
                memcpy(layer->to[count], layer->bias_hh, g * sizeof(real));
        }
    matmul(&layer->forward_hh, count, layer->from, layer->to, MATMUL_ACCUMULATE,
           t % 2 == 1);
}

/* Dropout of row `at`. */
static struct dropout_mask keep_of(const struct recurrent *layer, size_t at)
{
    if (!layer->dropout)
        return (struct dropout_mask){NULL, 1};
    return (struct dropout_mask){layer->kept + at * (size_t)layer->hidden,
                                 dropout_factor(layer->dropout)};
}

static void draw_dropout(struct recurrent *layer, int s, int t, int b)
{
    const struct dropout *dropout = layer->dropout;
    int rows = layer->extent.rows;
    if (dropout)
        dropout_row(dropout, layer->number, dropout->first_row + s * rows + b, t,
                    layer->hidden,
                    layer->kept + row_at(layer->extent, s, t, b) * (size_t)layer->hidden);
}

static real *row_of(real *buffer, size_t at, size_t width)
{
    return buffer ? buffer + at * width : NULL;
}

/* What both directions read and write of row `at`. */
static struct cell_step step_at(const struct recurrent *layer, size_t at)
{
    size_t h = (size_t)layer->hidden, g = (size_t)layer->gates;
    return (struct cell_step){
        .hidden = layer->hidden,
        .gates = row_of(layer->gate, at, g),
        .product = row_of(layer->product, at, g),
        .bias = layer->bias_ih,
        .h_prev = row_of(layer->h_prev, at, h),
        .c_prev = row_of(layer->c_prev, at, h),
        .saved = row_of(layer->saved, at, h),
        .keep = keep_of(layer, at),
        .h = row_of(layer->h, at, h),
    };
}

/* Row b of microbatch s at step t; leaves its state where the next step, or window, finds
 * it.
 */
static void step_row(struct recurrent *layer, int s, int t, int b, const token *inputs,
                     token end)
{
    size_t h = (size_t)layer->hidden, at = row_at(layer->extent, s, t, b);
    int rows = layer->extent.rows, last = t + 1 == layer->extent.steps;
    size_t next =
        last ? (size_t)(s * rows + b) * h : row_at(layer->extent, s, t + 1, b) * h;
    int clear = !last && inputs[(t + 1) * rows + b] == end;
    draw_dropout(layer, s, t, b);
    struct cell_step step = step_at(layer, at);
    step.h_next = (last ? layer->h_state : layer->h_prev) + next;
    if (layer->cell->states == 2)
        step.c_next = (last ? layer->c_state : layer->c_prev) + next;
    layer->cell->forward(&step);
    if (clear)
        memset(step.h_next, 0, h * sizeof(real));
    if (clear && step.c_next)
        memset(step.c_next, 0, h * sizeof(real));
}

void recurrent_forward(struct recurrent *layer, const real *x, const token *const *inputs,
                       token end, const struct dropout *dropout, uint8_t *kept)
{
    struct extent extent = layer->extent;
    layer->x = x;
    layer->dropout = dropout && dropout->rate > 0 ? dropout : NULL;
    layer->kept = kept;
    matmul_batched(&layer->forward_ih, over_time(extent), x, layer->gate,
                   MATMUL_OVERWRITE);
    begin_window(layer, inputs, end);
    for (int t = 0; t < extent.steps; t++) {
        phase_move(); /* a window of a large model may take a minute */
        multiply_step(layer, t);
        for (int s = 0; s < extent.microbatches; s++)
            for (int b = 0; b < extent.rows; b++)
                step_row(layer, s, t, b, inputs[s], end);
    }
}

/* All rows of step t: through the cell, then through W_hh to step t - 1. */
static void step_back(struct recurrent *layer, int t, const real *dh,
                      const token *const *inputs, token end)
{
    struct extent extent = layer->extent;
    const struct cell *cell = layer->cell;
    size_t h = (size_t)layer->hidden, g = (size_t)layer->gates;
    int count = 0;
    for (int s = 0; s < extent.microbatches; s++)
        for (int b = 0; b < extent.rows; b++) {
            size_t at = row_at(extent, s, t, b);
            size_t state = (size_t)(s * extent.rows + b);
            struct cell_step step = step_at(layer, at);
            step.dh = dh + at * h;
            step.dh_next = row_of(layer->dh, state, h);
            step.dc = row_of(layer->dc, state, h);
            cell->backward(&step);
            if (inputs[s][t * extent.rows + b] == end) {
                memset(step.dh_next, 0, h * sizeof(real));
                if (step.dc)
                    memset(step.dc, 0, h * sizeof(real));
                continue;
            }
            layer->from[count] =
                (cell->split_product ? layer->product : layer->gate) + at * g;
            layer->to[count++] = step.dh_next;
        }
    if (t > 0) /* truncated: the gradient ends at step 0 */
        matmul(&layer->backward_hh, count, layer->from, layer->to,
               cell->direct_path ? MATMUL_ACCUMULATE : MATMUL_OVERWRITE, t % 2 == 1);
}

void recurrent_backward(struct recurrent *layer, const real *dh,
                        const token *const *inputs, token end,
                        void (*meanwhile)(void *context), void *context)
{
    memset(layer->dh, 0, state_elements(layer) * sizeof(real));
    if (layer->dc)
        memset(layer->dc, 0, state_elements(layer) * sizeof(real));
    for (int t = layer->extent.steps - 1; t >= 0; t--) {
        step_back(layer, t, dh, inputs, end);
        if (meanwhile)
            meanwhile(context);
    }
}

void recurrent_backward_input(struct recurrent *layer, real *dx)
{
    matmul_batched(&layer->backward_ih, over_time(layer->extent), layer->gate, dx,
                   MATMUL_OVERWRITE);
}

void recurrent_gradient(const struct recurrent *layer, const struct gradient_sink *sink)
{
    const struct gradient_input inputs[] = {
        {layer->x, layer->input, layer->at_weight_ih},
        {layer->h_prev, layer->hidden, layer->at_weight_hh}};
    if (!layer->cell->split_product) {
        matmul_gradient(layer->room, layer->gates, layer->gate, inputs, 2,
                        layer->at_bias_ih, sink);
        return;
    }
    matmul_gradient(layer->room, layer->gates, layer->gate, inputs, 1, layer->at_bias_ih,
                    sink);
    matmul_gradient(layer->room, layer->gates, layer->product, inputs + 1, 1,
                    layer->at_bias_hh, sink);
}
