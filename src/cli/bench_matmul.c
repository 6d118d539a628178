/* bench_matmul: the matmuls of a training step, with the shapes of the model, on the
 * threads of a rank. */
#include "bench.h"
#include "base/team.h"
#include "comm/microbatches.h"
#include "nn/cell.h"

struct matrices {
    struct matmul_batch m; /* of the matmuls batched over time */
    int n, k, rows;        /* outputs, inputs; rows of one time step */
    int gates, threads;
    struct arena arena;
    float *w, *x, *y;         /* [n][k], [m.microbatches * m.rows][k], [..][n] */
    float **x_rows, **y_rows; /* [rows]: of one time step */
    struct matmul_weights packed, transposed;      /* batched over time */
    struct matmul_weights forward_hh, backward_hh; /* one time step */
    struct matmul_workspace *workspace;
    struct matmul_scratch scratch;
};

/* Of one call; every other one traverses the panels in reverse. */
enum { TIME_STEPS = 16 };

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
    a->x_rows = arena_array(arena, rows, sizeof *a->x_rows);
    a->y_rows = arena_array(arena, rows, sizeof *a->y_rows);
    int threads = a->threads;
    const struct matmul_layout packed = {a->n, a->k, false, threads, 0},
                               transposed = {a->k, a->n, true, threads, 0},
                               forward_hh = {a->n, a->k, false, threads, a->gates},
                               backward_hh = {a->k, a->n, true, threads, 1};
    struct matmul_scratch *scratch = &a->scratch;
    matmul_weights_plan(backend, &packed, scratch, arena, &a->packed);
    matmul_weights_plan(backend, &transposed, scratch, arena, &a->transposed);
    matmul_weights_plan(backend->recurrent, &forward_hh, scratch, arena, &a->forward_hh);
    matmul_weights_plan(backend->recurrent, &backward_hh, scratch, arena,
                        &a->backward_hh);
    matmul_scratch_plan(scratch, threads, arena);
    a->workspace = matmul_workspace_plan(backend, a->m, (struct matmul_extent){a->n, k},
                                         threads, arena);
}

static void pack(void *context)
{
    struct matrices *a = context;
    matmul_weights_pack(&a->packed, a->w);
    matmul_weights_pack(&a->transposed, a->w);
    matmul_weights_pack(&a->forward_hh, a->w);
    matmul_weights_pack(&a->backward_hh, a->w);
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
    for (size_t i = 0; i < (size_t)a->rows; i++) {
        a->x_rows[i] = a->x + i * k;
        a->y_rows[i] = a->y + i * n;
    }
    team_run(a->threads, pack, a);
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

static void recurrent_forward(void *context)
{
    struct matrices *a = context;
    for (int t = 0; t < TIME_STEPS; t++) {
        matmul(&a->forward_hh, a->rows, (const real *const *)a->x_rows, a->y_rows,
               MATMUL_ACCUMULATE, t % 2 == 1);
        team_barrier();
    }
}

static void recurrent_backward(void *context)
{
    struct matrices *a = context;
    for (int t = 0; t < TIME_STEPS; t++) {
        matmul(&a->backward_hh, a->rows, (const real *const *)a->y_rows, a->x_rows,
               MATMUL_OVERWRITE, t % 2 == 1);
        team_barrier();
    }
}

/* ---- on the team ---- */

struct team_work {
    struct matrices *a;
    bench_work *body;
};

static void run_on_team(void *context)
{
    const struct team_work *work = context;
    team_run(work->a->threads, work->body, work->a);
}

/* `rows`: in all matmuls of a call. */
static void add_matmul(struct bench *bench, struct matrices *a, bench_work *body,
                       double rows, const char *name)
{
    struct team_work work = {a, body};
    double flop = 2.0 * a->n * a->k * rows;
    double seconds = bench_time(bench, run_on_team, &work);
    double limit = a->threads * bench->flops / 1e9;
    bench_add(bench, "matmul", "GFLOP/s", flop / seconds / 1e9,
              (struct bench_limit){bench_peak, limit}, "%s", name);
}

static void add_batched(struct bench *bench, struct matrices *a, bench_work *body,
                        const char *name)
{
    int rows = (int)batched_rows(a);
    char text[BENCH_NAME_SIZE];
    snprintf(text, sizeof text, "batched over time, %s, %d rows", name, rows);
    add_matmul(bench, a, body, rows, text);
}

static void add_recurrent(struct bench *bench, struct matrices *a, bench_work *body,
                          const char *name)
{
    char text[BENCH_NAME_SIZE];
    snprintf(text, sizeof text, "recurrent, %s, %d rows", name, a->rows);
    add_matmul(bench, a, body, (double)TIME_STEPS * a->rows, text);
}

enum status bench_matmuls(struct bench *bench)
{
    const struct options *options = bench->options;
    struct microbatches local = microbatches_of_rank(
        (int)options->train.microbatches, comm_rank(bench->comm), comm_size(bench->comm));
    int rows = (int)(options->train.batch / options->train.microbatches);
    int gates = cell_of(options->model.cell)->gate_count;
    struct matrices a = {.m = {local.count, rows * (int)options->train.sequence_length},
                         .n = gates * (int)options->model.hidden,
                         .k = (int)options->model.hidden,
                         .rows = local.count * rows,
                         .gates = gates,
                         .threads = team_threads(options->train.threads)};
    enum status status = comm_agree(bench->comm, create_matrices(&a, bench->backend));
    if (status == STATUS_OK) {
        add_batched(bench, &a, forward, "forward");
        add_batched(bench, &a, backward, "backward");
        add_batched(bench, &a, gradient, "gradient");
        add_recurrent(bench, &a, recurrent_forward, "forward");
        add_recurrent(bench, &a, recurrent_backward, "backward");
    }
    arena_free(&a.arena);
    return status;
}
