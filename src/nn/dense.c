/* dense: the affine layer (used for the dense and the output layer) and the activations.
 */
#include <string.h>

#include "layers.h"
#include "base/options.h"
#include "base/team.h"
#include "kernels/kernels.h"

void affine_init(const struct params *params, const char *weight_name,
                 const char *bias_name, struct affine *affine)
{
    const struct param *weight = params_find(params, weight_name);
    const struct param *bias = params_find(params, bias_name);
    *affine = (struct affine){.in = (int)weight->columns,
                              .out = (int)weight->rows,
                              .weight_offset = weight->offset,
                              .bias_offset = bias->offset};
}

int forward_segments(const struct model_plan *plan, int segments)
{
    return plan->steps > 1 ? 0 : segments;
}

void affine_plan(struct affine *affine, const struct model_plan *plan,
                 struct matmul_scratch *scratch, struct arena *arena)
{
    int in = affine->in, out = affine->out;
    const struct matmul_layout forward = {out, in, false, plan->threads,
                                          forward_segments(plan, 1)},
                               backward = {in, out, true, plan->threads, 0};
    matmul_weights_plan(plan->backend, &forward, scratch, arena, &affine->forward);
    if (plan->training)
        matmul_weights_plan(plan->backend, &backward, scratch, arena, &affine->backward);
}

void affine_pack(struct affine *affine, const real *weights)
{
    const real *weight = weights + affine->weight_offset;
    if (team_thread() == 0)
        affine->bias = weights + affine->bias_offset;
    matmul_weights_pack(&affine->forward, weight);
    matmul_weights_pack(&affine->backward, weight);
}

void affine_forward(const struct affine *affine, struct matmul_batch batch, const real *x,
                    real *y)
{
    size_t out = (size_t)affine->out;
    struct team_share rows =
        team_share((size_t)batch.microbatches * (size_t)batch.rows, 1);
    for (size_t i = rows.first; i < rows.end; i++)
        memcpy(y + i * out, affine->bias, out * sizeof *y);
    team_barrier(); /* the matmul shares out rows in its own way */
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
    struct team_share share = team_share(count, VECTOR);
    if (kind == ACTIVATION_RELU)
        for (size_t i = share.first; i < share.end; i++)
            y[i] = y[i] < 0 ? 0 : y[i]; /* not fmax: NaN stays NaN */
    else if (kind == ACTIVATION_TANH)
        kernels()->tanh(share.end - share.first, y + share.first, y + share.first);
}

void activation_backward(int kind, const real *y, real *dy, size_t count)
{
    struct team_share share = team_share(count, VECTOR);
    if (kind == ACTIVATION_RELU)
        for (size_t i = share.first; i < share.end; i++)
            dy[i] = y[i] > 0 ? dy[i] : 0;
    else if (kind == ACTIVATION_TANH)
        for (size_t i = share.first; i < share.end; i++)
            dy[i] *= 1 - y[i] * y[i];
}
