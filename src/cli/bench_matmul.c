/* bench_matmul: the matmuls of a training step, with the shapes of the model. */
#include "bench.h"
#include "comm/microbatches.h"
#include "nn/cell.h"

struct matrices {
    struct matmul_batch m; /* of the matmuls batched over time */
    int n, k, rows;        /* outputs, inputs; rows of one time step */
    struct arena arena;
    float *w, *x, *y;   /* [n][k], [m.microbatches * m.rows][k], [..][n] */
    const float **from; /* [rows] */
    float **to;         /* [rows] */
    struct matmul_weights packed, transposed;      /* batched over time */
    struct matmul_weights forward_hh, backward_hh; /* one time step */
    struct matmul_workspace *workspace;
    struct matmul_scratch scratch;
    int calls; /* every other call traverses the panels in reverse */
};

static size_t batched_rows(const struct matrices *a)
{
    return (size_t)a->m.microbatches * (size_t)a->m.rows;
}

static void plan(struct matrices *a, const struct matmul_backend *backend)
{
    struct arena *arena = &a->arena;
    size_t n = (size_t)a->n, k = (size_t)a->k, rows = (size_t)a->rows;
    a->w = arena_array(arena, n * k, sizeof *a->w);
    a->x = arena_array(arena, batched_rows(a) * k, sizeof *a->x);
    a->y = arena_array(arena, batched_rows(a) * n, sizeof *a->y);
    a->from = arena_array(arena, rows, sizeof *a->from);
    a->to = arena_array(arena, rows, sizeof *a->to);
    const struct matmul_layout packed = {a->n, a->k, false, 1, 0},
                               transposed = {a->k, a->n, true, 1, 0},
                               forward_hh = {a->n, a->k, false, 1, 1},
                               backward_hh = {a->k, a->n, true, 1, 1};
    struct matmul_scratch *scratch = &a->scratch;
    matmul_weights_plan(backend, &packed, scratch, arena, &a->packed);
    matmul_weights_plan(backend, &transposed, scratch, arena, &a->transposed);
    matmul_weights_plan(backend->recurrent, &forward_hh, scratch, arena, &a->forward_hh);
    matmul_weights_plan(backend->recurrent, &backward_hh, scratch, arena,
                        &a->backward_hh);
    matmul_scratch_plan(scratch, 1, arena);
    a->workspace =
        matmul_workspace_plan(backend, a->m, (struct matmul_extent){a->n, k}, 1, arena);
}

static enum status create_matrices(struct matrices *a,
                                   const struct matmul_backend *backend)
{
    size_t n = (size_t)a->n, k = (size_t)a->k, rows = batched_rows(a);
    plan(a, backend);
    if (!arena_allocate(&a->arena))
        return status_fail(STATUS_FAILED, "no memory for matmuls of %zu rows", rows);
    plan(a, backend);
    bench_fill(a->w, n * k);
    bench_fill(a->x, rows * k);
    bench_fill(a->y, rows * n);
    matmul_weights_pack(&a->packed, a->w);
    matmul_weights_pack(&a->transposed, a->w);
    matmul_weights_pack(&a->forward_hh, a->w);
    matmul_weights_pack(&a->backward_hh, a->w);
    return STATUS_OK;
}

static void forward(void *context)
{
    struct matrices *a = context;
    matmul_batched(&a->packed, a->m, a->x, a->y, MATMUL_OVERWRITE);
}

static void backward(void *context)
{
    struct matrices *a = context;
    matmul_batched(&a->transposed, a->m, a->y, a->x, MATMUL_OVERWRITE);
}

static void discard_gradient(void *context, int microbatch,
                             const struct gradient_block *block)
{
    (void)context;
    (void)microbatch;
    (void)block;
}

static void gradient(void *context)
{
    struct matrices *a = context;
    const struct gradient_sink sink = {.write = discard_gradient};
    const struct gradient_input input = {a->x, a->k, 0};
    matmul_gradient(a->workspace, a->n, a->y, &input, 1, NO_BIAS, &sink);
}

/* The recurrent matmul of one time step. */
static void recurrent_forward(void *context)
{
    struct matrices *a = context;
    for (int i = 0; i < a->rows; i++) {
        a->from[i] = a->x + (size_t)i * (size_t)a->k;
        a->to[i] = a->y + (size_t)i * (size_t)a->n;
    }
    matmul(&a->forward_hh, a->rows, a->from, a->to, MATMUL_ACCUMULATE,
           a->calls++ % 2 == 1);
}

static void recurrent_backward(void *context)
{
    struct matrices *a = context;
    for (int i = 0; i < a->rows; i++) {
        a->from[i] = a->y + (size_t)i * (size_t)a->n;
        a->to[i] = a->x + (size_t)i * (size_t)a->k;
    }
    matmul(&a->backward_hh, a->rows, a->from, a->to, MATMUL_OVERWRITE,
           a->calls++ % 2 == 1);
}

static void add_matmul(struct bench *bench, struct matrices *a, bench_work *work,
                       double rows, const char *name)
{
    double flop = 2.0 * a->n * a->k * rows, seconds = bench_time(bench, work, a);
    bench_add(bench, "matmul", "GFLOP/s", flop / seconds / 1e9,
              (struct bench_limit){bench_peak, bench->flops / 1e9}, "%s, %d rows", name,
              (int)rows);
}

enum status bench_matmuls(struct bench *bench)
{
    const struct options *options = bench->options;
    int gates = cell_of(options->model.cell)->gate_count;
    struct microbatches local = microbatches_of_rank(
        (int)options->train.microbatches, comm_rank(bench->comm), comm_size(bench->comm));
    int rows = (int)(options->train.batch / options->train.microbatches);
    struct matrices a = {.m = {local.count, rows * (int)options->train.sequence_length},
                         .n = gates * (int)options->model.hidden,
                         .k = (int)options->model.hidden,
                         .rows = local.count * rows};
    double batched = (double)a.m.microbatches * a.m.rows;
    enum status status = comm_agree(bench->comm, create_matrices(&a, bench->backend));
    if (status == STATUS_OK) {
        add_matmul(bench, &a, forward, batched, "batched over time, forward");
        add_matmul(bench, &a, backward, batched, "batched over time, backward");
        add_matmul(bench, &a, gradient, batched, "batched over time, gradient");
        add_matmul(bench, &a, recurrent_forward, a.rows, "recurrent, forward");
        add_matmul(bench, &a, recurrent_backward, a.rows, "recurrent, backward");
    }
    arena_free(&a.arena);
    return status;
}
