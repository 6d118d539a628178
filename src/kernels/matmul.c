/* matmul: selection, dispatch, and the parts that all backends share. */
#include "matmul_internal.h"

#include <string.h>

enum status matmul_backend_select(enum matmul_backend_kind kind, int threads,
                                  const struct matmul_backend **out)
{
    static const struct matmul_backend *const backends[] = {
        [BACKEND_FLOAT32] = &matmul_float32,
        [BACKEND_BFLOAT16] = &matmul_bfloat16,
        [BACKEND_OPENBLAS] = &matmul_openblas};
    *out = backends[kind];
    return kind == BACKEND_OPENBLAS ? openblas_load(threads) : STATUS_OK;
}

/* ---- weights ---- */

void matmul_weights_plan(const struct matmul_backend *backend, int n, int k,
                         bool transposed, struct arena *arena,
                         struct matmul_weights *weights)
{
    *weights = (struct matmul_weights){
        .backend = backend, .n = n, .k = k, .transposed = transposed};
    backend->plan_weights(weights, arena);
}

void matmul_weights_pack(struct matmul_weights *weights, const real *w)
{
    if (!weights->backend)
        return;
    weights->w = w;
    weights->backend->pack(weights);
}

void matmul(const struct matmul_weights *w, int rows, const real *const *x,
            real *const *y, enum matmul_output output, bool reversed)
{
    w->backend->matmul(w, rows, x, y, output, reversed);
}

void matmul_batched(const struct matmul_weights *w, struct matmul_batch batch,
                    const real *x, real *y, enum matmul_output output)
{
    w->backend->matmul_batched(w, batch, x, y, output);
}

/* ---- gradients ---- */

struct matmul_workspace *matmul_workspace_plan(const struct matmul_backend *backend,
                                               struct matmul_batch batch, size_t inputs,
                                               size_t weights, struct arena *arena)
{
    struct matmul_workspace planned = {
        .backend = backend, .batch = batch, .inputs = inputs, .weights = weights};
    struct matmul_workspace *workspace = arena_array(arena, 1, sizeof *workspace);
    backend->plan_workspace(&planned, arena);
    if (workspace)
        *workspace = planned;
    return workspace;
}

/* sums[width] := the sums of columns of `rows` rows of values. */
static void sum_columns(const real *values, size_t ld, size_t rows, int width,
                        real *restrict sums)
{
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (size_t i = 0; i < rows; i++, values += ld)
        for (int j = 0; j < width; j++)
            sums[j] += values[j];
}

void gradient_write_bias(const struct matmul_gradient *g, int microbatch, int first,
                         int width, real *sums)
{
    const struct gradient_block block = {
        .first = g->bias + (size_t)first, .rows = 1, .width = width, .values = sums};
    size_t rows = (size_t)g->batch.rows, n = (size_t)g->n;
    if (g->bias == NO_BIAS)
        return;
    sum_columns(g->dy + (size_t)microbatch * rows * n + first, n, rows, width, sums);
    g->sink->write(g->sink->context, microbatch, &block);
}

void matmul_gradient(struct matmul_workspace *workspace, int n, const real *dy,
                     const struct gradient_input *inputs, int count, size_t bias,
                     const struct gradient_sink *sink)
{
    const struct matmul_gradient gradient = {
        workspace, workspace->batch, n, dy, inputs, count, bias, sink};
    workspace->backend->gradient(&gradient);
}
