/* dense: the affine layer, of the dense and the output layer, and the activations. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers.h"
#include "base/options.h"

static const struct param *tensor_of(const struct params *params, const char *layer,
                                     const char *tensor)
{
    char name[PARAM_NAME];
    snprintf(name, sizeof name, "%s/%s", layer, tensor);
    return params_find(params, name);
}

enum status affine_create(const struct params *params, const real *weights,
                          const char *name, bool training,
                          const struct matmul_backend *backend,
                          struct matmul_workspace *workspace, struct affine *affine)
{
    const struct param *weight = tensor_of(params, name, "weight");
    const struct param *bias = tensor_of(params, name, "bias");
    int in = (int)weight->columns, out = (int)weight->rows;
    *affine = (struct affine){.in = in,
                              .out = out,
                              .weight = weights + weight->offset,
                              .bias = weights + bias->offset,
                              .weight_offset = weight->offset,
                              .bias_offset = bias->offset,
                              .workspace = workspace};
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
    size_t rows = (size_t)m.microbatches * (size_t)m.rows, out = (size_t)affine->out;
    for (size_t i = 0; i < rows; i++)
        memcpy(y + i * out, affine->bias, out * sizeof *y);
    matmul_batched(&affine->forward, m, x, y, MATMUL_ACCUMULATE);
}

void affine_backward_input(const struct affine *affine, struct matmul_batch m,
                           const real *dy, real *dx)
{
    matmul_batched(&affine->backward, m, dy, dx, MATMUL_OVERWRITE);
}

void affine_backward_weights(const struct affine *affine, const real *x, const real *dy,
                             const struct gradient_sink *sink)
{
    const struct gradient_input input = {x, affine->in, affine->weight_offset};
    matmul_gradient(affine->workspace, affine->out, dy, &input, 1, affine->bias_offset,
                    sink);
}

void activation_forward(int kind, real *y, size_t count)
{
    if (kind == ACTIVATION_RELU)
        for (size_t i = 0; i < count; i++)
            y[i] = y[i] < 0 ? 0 : y[i]; /* not fmax: NaN stays NaN */
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
