/* dense: the affine layer (also the output's) and the activations. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers.h"
#include "base/options.h"

enum status affine_create(const struct params *params, const real *block,
                          const char *name, int in, int out, int training,
                          struct product_room *room, struct affine *affine)
{
    char weight[PARAM_NAME], bias[PARAM_NAME];
    snprintf(weight, sizeof weight, "%s/weight", name);
    snprintf(bias, sizeof bias, "%s/bias", name);
    *affine = (struct affine){.in = in,
                              .out = out,
                              .at_weight = params_find(params, weight)->offset,
                              .at_bias = params_find(params, bias)->offset,
                              .room = room};
    enum product_engine engine = product_engine_for(training);
    affine->weight = block + affine->at_weight;
    affine->bias = block + affine->at_bias;
    enum status status =
        packed_create(engine, affine->weight, out, in, 0, &affine->forward);
    if (status == STATUS_OK && training)
        status = packed_create(engine, affine->weight, in, out, 1, &affine->backward);
    return status;
}

void affine_free(struct affine *affine)
{
    packed_free(&affine->forward);
    packed_free(&affine->backward);
}

size_t affine_bytes(const struct affine *affine)
{
    return packed_bytes(&affine->forward) + packed_bytes(&affine->backward);
}

void affine_pack(struct affine *affine)
{
    packed_refresh(&affine->forward);
    packed_refresh(&affine->backward);
}

void affine_forward(const struct affine *affine, struct product_rows m, const real *x,
                    real *y)
{
    size_t rows = (size_t)m.microbatches * (size_t)m.rows, width = (size_t)affine->out;
    for (size_t i = 0; i < rows; i++)
        memcpy(y + i * width, affine->bias, width * sizeof *y);
    product_over_time(&affine->forward, m, x, 1, y);
}

void affine_backward(const struct affine *affine, struct product_rows m, const real *dy,
                     real *dx)
{
    product_over_time(&affine->backward, m, dy, 0, dx);
}

void affine_gradient(const struct affine *affine, const real *x, const real *dy,
                     const struct gradient_sink *sink)
{
    const struct gradient_input input = {x, affine->in, affine->at_weight};
    product_gradient(affine->room, affine->out, dy, &input, 1, affine->at_bias, sink);
}

void activation_forward(int kind, real *y, size_t count)
{
    if (kind == ACTIVATION_RELU)
        for (size_t i = 0; i < count; i++)
            y[i] = y[i] < 0 ? 0 : y[i]; /* NaN stays NaN */
    else if (kind == ACTIVATION_TANH)
        for (size_t i = 0; i < count; i++)
            y[i] = (real)tanh((double)y[i]);
}

void activation_backward(int kind, const real *y, real *dy, size_t count)
{
    if (kind == ACTIVATION_RELU)
        for (size_t i = 0; i < count; i++)
            dy[i] = y[i] > 0 ? dy[i] : 0;
    else if (kind == ACTIVATION_TANH)
        for (size_t i = 0; i < count; i++)
            dy[i] *= 1 - y[i] * y[i];
}
