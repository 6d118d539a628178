/* dense: the affine layer (also the output's) and the activations. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers.h"
#include "base/options.h"

enum status affine_create(const struct params *params, const real *block,
                          const char *name, int in, int out, int training,
                          const struct matmul_backend *backend,
                          struct matmul_workspace *room, struct affine *affine)
{
    char weight[PARAM_NAME], bias[PARAM_NAME];
    snprintf(weight, sizeof weight, "%s/weight", name);
    snprintf(bias, sizeof bias, "%s/bias", name);
    *affine = (struct affine){.in = in,
                              .out = out,
                              .at_weight = params_find(params, weight)->offset,
                              .at_bias = params_find(params, bias)->offset,
                              .room = room};
    affine->weight = block + affine->at_weight;
    affine->bias = block + affine->at_bias;
    enum status status =
        matmul_weights_create(backend, affine->weight, out, in, false, &affine->forward);
    if (status == STATUS_OK && training)
        status = matmul_weights_create(backend, affine->weight, in, out, true,
                                       &affine->backward);
    return status;
}

void affine_free(struct affine *affine)
{
    matmul_weights_free(&affine->forward);
    matmul_weights_free(&affine->backward);
}

size_t affine_bytes(const struct affine *affine)
{
    return matmul_weights_bytes(&affine->forward) +
           matmul_weights_bytes(&affine->backward);
}

void affine_pack(struct affine *affine)
{
    matmul_weights_pack(&affine->forward);
    matmul_weights_pack(&affine->backward);
}

void affine_forward(const struct affine *affine, struct matmul_batch m, const real *x,
                    real *y)
{
    size_t rows = (size_t)m.microbatches * (size_t)m.rows, width = (size_t)affine->out;
    for (size_t i = 0; i < rows; i++)
        memcpy(y + i * width, affine->bias, width * sizeof *y);
    matmul_batched(&affine->forward, m, x, y, MATMUL_ACCUMULATE);
}

void affine_backward(const struct affine *affine, struct matmul_batch m, const real *dy,
                     real *dx)
{
    matmul_batched(&affine->backward, m, dy, dx, MATMUL_OVERWRITE);
}

void affine_gradient(const struct affine *affine, const real *x, const real *dy,
                     const struct gradient_sink *sink)
{
    const struct gradient_input input = {x, affine->in, affine->at_weight};
    matmul_gradient(affine->room, affine->out, dy, &input, 1, affine->at_bias, sink);
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
