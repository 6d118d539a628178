/* matmul: selection, dispatch, and the parts that all backends share. */
#include "matmul_internal.h"

#include "base/team.h"

enum status matmul_backend_select(enum matmul_backend_kind kind,
                                  const struct matmul_backend **out)
{
    static const struct matmul_backend *const backends[] = {
        [BACKEND_FLOAT32] = &matmul_float32,
        [BACKEND_BFLOAT16] = &matmul_bfloat16,
        [BACKEND_OPENBLAS] = &matmul_openblas};
    *out = backends[kind];
    return kind == BACKEND_OPENBLAS ? openblas_load() : STATUS_OK;
}

/* ---- weights ---- */

void matmul_weights_plan(const struct matmul_backend *backend,
                         const struct matmul_layout *layout,
                         struct matmul_scratch *scratch, struct arena *arena,
                         struct matmul_weights *weights)
{
    *weights = (struct matmul_weights){
        .backend = backend, .layout = *layout, .scratch = scratch};
    backend->plan_weights(weights, arena);
}

void matmul_scratch_plan(struct matmul_scratch *scratch, int threads, struct arena *arena)
{
    scratch->memory = arena_array(arena, (size_t)threads, scratch->bytes);
}

void matmul_weights_pack(struct matmul_weights *weights, const real *w)
{
    if (!weights->backend)
        return;
    if (team_thread() == 0)
        weights->w = w;
    weights->backend->pack(weights, w);
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
                                               struct matmul_batch batch,
                                               struct matmul_extent extent, int threads,
                                               struct arena *arena)
{
    struct matmul_workspace planned = {
        .backend = backend, .batch = batch, .extent = extent, .threads = threads};
    struct matmul_workspace *workspace = arena_array(arena, 1, sizeof *workspace);
    backend->plan_workspace(&planned, arena);
    if (workspace)
        *workspace = planned;
    return workspace;
}

void matmul_gradient(struct matmul_workspace *workspace, int n, const real *dy,
                     const struct gradient_input *inputs, int count, size_t bias_offset,
                     const struct gradient_sink *sink)
{
    const struct matmul_gradient gradient = {workspace, workspace->batch, n,   dy, inputs,
                                             count,     bias_offset,      sink};
    workspace->backend->gradient(&gradient);
}
