/* dense: the affine layer (used for the dense and the output layer) and the activations.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers.h"
#include "base/options.h"

static const struct param *find_tensor(const struct params *params, const char *layer,
                                       const char *tensor)
{
    char name[PARAM_NAME];
    snprintf(name, sizeof name, "%s/%s", layer, tensor);
    return params_find(params, name);
}

void affine_init(const struct params *params, const char *name, struct affine *affine)
{
    const struct param *weight = find_tensor(params, name, "weight");
    const struct param *bias = find_tensor(params, name, "bias");
    *affine = (struct affine){.in = (int)weight->columns,
                              .out = (int)weight->rows,
                              .weight_offset = weight->offset,
                              .bias_offset = bias->offset};
}

void affine_plan(struct affine *affine, const struct matmul_backend *backend,
                 bool training, struct arena *arena)
{
    int in = affine->in, out = affine->out;
    matmul_weights_plan(backend, out, in, false, arena, &affine->forward);
    if (training)
        matmul_weights_plan(backend, in, out, true, arena, &affine->backward);
}

void affine_pack(struct affine *affine, const real *weights)
{
    const real *weight = weights + affine->weight_offset;
    affine->bias = weights + affine->bias_offset;
    matmul_weights_pack(&affine->forward, weight);
    matmul_weights_pack(&affine->backward, weight);
}

void affine_forward(const struct affine *affine, struct matmul_batch batch, const real *x,
                    real *y)
{
    size_t rows = (size_t)batch.microbatches * (size_t)batch.rows,
           out = (size_t)affine->out;
    for (size_t i = 0; i < rows; i++)
        memcpy(y + i * out, affine->bias, out * sizeof *y);
    matmul_batched(&affine->forward, batch, x, y, MATMUL_ACCUMULATE);
}

void affine_backward_input(const struct affine *affine, struct matmul_batch batch,
                           const real *dy, real *dx)
{
    matmul_batched(&affine->backward, batch, dy, dx, MATMUL_OVERWRITE);
}

void affine_backward_weights(const struct affine *affine,
                             struct matmul_workspace *workspace, const real *x,
                             const real *dy, const struct gradient_sink *sink)
{
    const struct gradient_input input = {x, affine->in, affine->weight_offset};
    matmul_gradient(workspace, affine->out, dy, &input, 1, affine->bias_offset, sink);
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
