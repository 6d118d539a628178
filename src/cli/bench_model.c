/* bench_model: the products, cells and sums that a training step is made of, with the
 * shapes of the model that is asked for; whole steps; and generation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "base/memory.h"
#include "base/rng.h"
#include "comm/exact_sum.h"
#include "comm/microbatches.h"
#include "kernels/kernels.h"
#include "nn/cell.h"
#include "nn/model.h"
#include "train/synthetic_run.h"

static const char *const fma_limit = "multiply-adds";

static void fill(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(rng_uniform(1, RNG_TEST, 0, i % 65536, 0) - 0.5);
}

static float *numbers(size_t count)
{
    float *values = memory_zeroed(count * sizeof *values);
    if (values)
        fill(values, count);
    return values;
}

/* ---- products ---- */

struct matrices { /* w [n][k], x [rows][k], y [rows][n] */
    struct matmul_batch m;
    int n, k, rows; /* of one time step */
    struct arena arena;
    float *w, *x, *y;
    const float **from; /* [rows] */
    float **to;
    struct matmul_weights packed, transposed;      /* for matmuls over time */
    struct matmul_weights forward_hh, backward_hh; /* for those of a step */
    struct matmul_workspace *workspace;
    int turn;
};

static void plan(struct matrices *a, const struct matmul_backend *backend)
{
    struct arena *arena = &a->arena;
    size_t n = (size_t)a->n, k = (size_t)a->k, rows = (size_t)a->rows;
    size_t all = (size_t)a->m.microbatches * (size_t)a->m.rows;
    a->w = arena_array(arena, n * k, sizeof *a->w);
    a->x = arena_array(arena, all * k, sizeof *a->x);
    a->y = arena_array(arena, all * n, sizeof *a->y);
    a->from = arena_array(arena, rows, sizeof *a->from);
    a->to = arena_array(arena, rows, sizeof *a->to);
    matmul_weights_plan(backend, a->n, a->k, false, arena, &a->packed);
    matmul_weights_plan(backend, a->k, a->n, true, arena, &a->transposed);
    matmul_weights_plan(backend->recurrent, a->n, a->k, false, arena, &a->forward_hh);
    matmul_weights_plan(backend->recurrent, a->k, a->n, true, arena, &a->backward_hh);
    a->workspace = matmul_workspace_plan(backend, a->m, k, n * k, arena);
}

static enum status matrices_make(struct matrices *a, const struct matmul_backend *backend)
{
    size_t n = (size_t)a->n, k = (size_t)a->k;
    size_t all = (size_t)a->m.microbatches * (size_t)a->m.rows;
    plan(a, backend);
    if (!arena_allocate(&a->arena))
        return status_fail(STATUS_FAILED, "no memory for matmuls of %zu rows", all);
    plan(a, backend);
    fill(a->w, n * k);
    fill(a->x, all * k);
    fill(a->y, all * n);
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

static void ignore(void *context, int microbatch, const struct gradient_block *block)
{
    (void)context;
    (void)microbatch;
    (void)block;
}

static void gradient(void *context)
{
    struct matrices *a = context;
    const struct gradient_sink sink = {.write = ignore};
    const struct gradient_input input = {a->x, a->k, 0};
    matmul_gradient(a->workspace, a->n, a->y, &input, 1, NO_BIAS, &sink);
}

/* One time step, as in the loop over time. */
static void recurrent_forward(void *context)
{
    struct matrices *a = context;
    for (int i = 0; i < a->rows; i++) {
        a->from[i] = a->x + (size_t)i * (size_t)a->k;
        a->to[i] = a->y + (size_t)i * (size_t)a->n;
    }
    matmul(&a->forward_hh, a->rows, a->from, a->to, MATMUL_ACCUMULATE,
           a->turn++ % 2 == 1);
}

static void recurrent_backward(void *context)
{
    struct matrices *a = context;
    for (int i = 0; i < a->rows; i++) {
        a->from[i] = a->y + (size_t)i * (size_t)a->n;
        a->to[i] = a->x + (size_t)i * (size_t)a->k;
    }
    matmul(&a->backward_hh, a->rows, a->from, a->to, MATMUL_OVERWRITE,
           a->turn++ % 2 == 1);
}

static void add_product(struct bench *bench, struct matrices *a, bench_work *work,
                        double rows, const char *name)
{
    double flop = 2.0 * a->n * a->k * rows, seconds = bench_time(bench, work, a);
    bench_add(bench, "product", "GFLOP/s", flop / seconds / 1e9, fma_limit,
              bench->flops / 1e9, "%s, %d rows", name, (int)rows);
}

enum status bench_products(struct bench *bench)
{
    const struct options *options = bench->options;
    int gates = cell_of(options->model.cell)->gates;
    struct microbatches own = microbatches_of_rank(
        (int)options->train.slices, comm_rank(bench->comm), comm_size(bench->comm));
    int rows = (int)(options->train.batch / options->train.slices);
    struct matrices a = {.m = {own.count, rows * (int)options->train.time},
                         .n = gates * (int)options->model.hidden,
                         .k = (int)options->model.hidden,
                         .rows = own.count * rows};
    double all = (double)a.m.microbatches * a.m.rows;
    enum status status = comm_agree(bench->comm, matrices_make(&a, bench->backend));
    if (status == STATUS_OK) {
        add_product(bench, &a, forward, all, "over time, forward");
        add_product(bench, &a, backward, all, "over time, backward");
        add_product(bench, &a, gradient, all, "over time, gradient");
        add_product(bench, &a, recurrent_forward, a.rows, "recurrent, forward");
        add_product(bench, &a, recurrent_backward, a.rows, "recurrent, backward");
    }
    arena_free(&a.arena);
    return status;
}

/* ---- cells ---- */

/* One row of the model's cell, in the first-level cache. */
struct cell_bench {
    const struct cell *cell;
    struct cell_step step;
    float *memory,
        *first;         /* all of the step's vectors; what a pass overwrites, before it */
    size_t overwritten; /* floats, the first ones of `memory` */
    float *logits;
    int vocabulary;
};

static void cell_forward(void *context)
{
    struct cell_bench *bench = context;
    bench->cell->forward(&bench->step);
}

/* A pass backwards overwrites gates, and gradients that it reads: each begins with what
 * the first one found. The copies are a small part of its time. */
static void cell_backward(void *context)
{
    struct cell_bench *bench = context;
    memcpy(bench->memory, bench->first, bench->overwritten * sizeof *bench->memory);
    bench->cell->backward(&bench->step);
}

static void softmax(void *context)
{
    struct cell_bench *bench = context;
    int best;
    kernels()->softmax_cross_entropy(bench->vocabulary, bench->logits, 0, true, &best);
}

/* The vectors of a step, one after the other. */
static void place_vectors(struct cell_bench *bench)
{
    struct cell_step *step = &bench->step;
    size_t h = (size_t)step->hidden, g = h * (size_t)bench->cell->gates;
    float *at = bench->memory;
    step->gates = at;
    step->gates_hh = step->gates + g;
    step->dh_next = step->gates_hh + g;
    step->dc = step->dh_next + h;
    bench->overwritten = 2 * g + 2 * h;
    at += bench->overwritten;
    step->bias = at;
    at += g;
    const float **const read[] = {&step->h_prev, &step->c_prev, &step->dh};
    float **const written[] = {&step->saved, &step->h, &step->h_next, &step->c_next};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++, at += h)
        *read[i] = at;
    for (size_t i = 0; i < sizeof written / sizeof *written; i++, at += h)
        *written[i] = at;
}

static void add_cell(struct bench *bench, struct cell_bench *cell, bench_work *work,
                     int width, const char *name, const char *direction)
{
    double seconds = bench_time(bench, work, cell);
    bench_add(bench, "cell", "ns a unit", 1e9 * seconds / width, NULL, 0, "%s%s", name,
              direction);
}

enum status bench_cells(struct bench *bench)
{
    struct cell_bench cell = {.cell = cell_of(bench->options->model.cell),
                              .step.hidden = (int)bench->options->model.hidden,
                              .vocabulary = (int)bench->encoding->vocabulary};
    size_t h = (size_t)cell.step.hidden, size = (3 * (size_t)cell.cell->gates + 9) * h;
    cell.memory = numbers(size);
    cell.first = numbers(size);
    cell.logits = numbers((size_t)cell.vocabulary);
    uint8_t *kept = calloc(h, 1);
    for (size_t j = 0; kept && j < h; j++)
        kept[j] = j % 4 != 0;
    cell.step.dropout =
        (struct dropout_mask){bench->options->model.dropout > 0 ? kept : NULL, 1};
    enum status status =
        comm_agree(bench->comm, cell.memory && cell.first && cell.logits && kept
                                    ? STATUS_OK
                                    : status_fail(STATUS_FAILED, "no memory for a cell"));
    if (status == STATUS_OK) {
        place_vectors(&cell);
        add_cell(bench, &cell, cell_forward, (int)h, cell.cell->title, ", forward");
        add_cell(bench, &cell, cell_backward, (int)h, cell.cell->title, ", backward");
        add_cell(bench, &cell, softmax, cell.vocabulary, "softmax with its gradient", "");
    }
    memory_free(cell.memory);
    memory_free(cell.first);
    memory_free(cell.logits);
    free(kept);
    return status;
}

/* ---- the exact sum ---- */

enum { SUM_VALUES = 1 << 22, ADD_BITS = 30 };

struct sum {
    struct exact_sum *sum;
    float *values;
};

static void add_values(void *context)
{
    struct sum *sum = context;
    exact_sum_add(sum->sum, 0, sum->values, SUM_VALUES);
}

static void norm_of(void *context)
{
    volatile double squares = exact_sum_squares(((struct sum *)context)->sum, 1e-6);
    (void)squares;
}

/* Reads and writes of 8-byte sums and 4-byte values that no cache holds. */
enum status bench_sums(struct bench *bench)
{
    struct sum sum = {.values = numbers(SUM_VALUES)};
    enum status status = comm_agree(
        bench->comm,
        sum.values ? STATUS_OK : status_fail(STATUS_FAILED, "no memory for a sum"));
    if (status == STATUS_OK)
        status =
            comm_agree(bench->comm, exact_sum_create(bench->comm, SUM_VALUES, 0, 1 << 20,
                                                     ADD_BITS, 0, &sum.sum));
    if (status == STATUS_OK) {
        exact_sum_clear(sum.sum);
        double seconds = bench_time(bench, add_values, &sum);
        bench_add(bench, "sum", "GB/s", 20.0 * SUM_VALUES / seconds / 1e9, "memory",
                  bench->memory / 1e9, "fixed point, added");
        seconds = bench_time(bench, norm_of, &sum);
        bench_add(bench, "sum", "GB/s", 8.0 * SUM_VALUES / seconds / 1e9, "memory",
                  bench->memory / 1e9, "norm of the gradient");
    }
    exact_sum_free(sum.sum);
    memory_free(sum.values);
    return status;
}

/* ---- whole steps ---- */

struct steps {
    struct synthetic_run *synthetic_run;
    enum status status;
};

static void make_step(void *context)
{
    struct steps *steps = context;
    if (steps->status == STATUS_OK)
        steps->status = synthetic_run_step(steps->synthetic_run);
}

/* Adds tokens a second of all ranks of `comm`; *rate gets it. */
static enum status add_steps(struct bench *bench, struct comm *comm,
                             const struct options *options, const char *name,
                             double *rate)
{
    struct steps steps = {.status = STATUS_OK};
    enum status status = synthetic_run_open(comm, options, bench->encoding->vocabulary,
                                            &steps.synthetic_run);
    if (status != STATUS_OK)
        return status;
    struct bench of_comm = *bench;
    of_comm.comm = comm;
    double seconds = bench_time(&of_comm, make_step, &steps);
    *rate = comm_size(comm) * synthetic_run_tokens(steps.synthetic_run) / seconds;
    bench_add(bench, "step", "tokens/s", *rate, NULL, 0, "%s", name);
    bench_add(bench, "step", "GFLOP/s",
              synthetic_run_flop(steps.synthetic_run) / seconds / 1e9, fma_limit,
              of_comm.flops / 1e9, "%s, a rank's products", name);
    synthetic_run_close(steps.synthetic_run);
    return steps.status;
}

/* This rank's part of the batch as the whole one. */
static struct options alone(const struct bench *bench)
{
    struct options options = *bench->options;
    struct microbatches own = microbatches_of_rank(
        (int)options.train.slices, comm_rank(bench->comm), comm_size(bench->comm));
    options.train.batch = options.train.batch / options.train.slices * own.count;
    options.train.slices = own.count;
    return options;
}

static enum status add_alone(struct bench *bench, double all)
{
    struct options options = alone(bench);
    struct comm *self = NULL;
    double rate = 0;
    enum status status = comm_agree(bench->comm, comm_self(bench->comm, &self));
    if (status == STATUS_OK && comm_rank(bench->comm) == 0)
        status = add_steps(bench, self, &options, "one rank, the others waiting", &rate);
    comm_self_free(self);
    status = comm_agree(bench->comm, status);
    if (status == STATUS_OK && comm_rank(bench->comm) == 0)
        bench_add(bench, "step", "times", all / rate, "ranks", comm_size(bench->comm),
                  "%d ranks against one", comm_size(bench->comm));
    return status;
}

enum status bench_steps(struct bench *bench)
{
    struct options options = *bench->options;
    double exact = 0, other = 0;
    enum status status = add_steps(bench, bench->comm, &options, "exact sum", &exact);
    options.train.reduce = REDUCE_FLOAT;
    if (status == STATUS_OK)
        status = add_steps(bench, bench->comm, &options, "float sum", &other);
    if (status == STATUS_OK && comm_size(bench->comm) > 1)
        status = add_alone(bench, exact);
    return status;
}

/* ---- generation ---- */

struct generation {
    struct model *model;
    token *inputs;
};

static void make_token(void *context)
{
    struct generation *generation = context;
    const token *inputs = generation->inputs;
    model_forward(generation->model, &inputs, NULL, NULL, NULL);
}

/* Tokens of `pieces` pieces at once, one time step after the other. The weights of one
 * step are read once for all pieces: that, or the multiply-adds, is the limit. */
static enum status add_generation(struct bench *bench, int pieces)
{
    struct model_shape shape =
        model_shape_of(bench->options, bench->encoding->vocabulary);
    struct generation generation = {
        .inputs = calloc((size_t)pieces, sizeof *generation.inputs)};
    const struct model_plan plan = {.shape = &shape,
                                    .end = bench->encoding->end,
                                    .microbatches = 1,
                                    .rows = pieces,
                                    .steps = 1,
                                    .backend = bench->backend};
    enum status status = generation.inputs ? model_create(&plan, &generation.model)
                                           : status_fail(STATUS_FAILED, "out of memory");
    status = comm_agree(bench->comm, status);
    if (status == STATUS_OK) {
        params_initialise(&shape, model_params(generation.model), 1,
                          model_weights(generation.model));
        model_weights_changed(generation.model);
        double weights = (double)model_macs_per_token(generation.model), rate = 0;
        double seconds = bench_time(bench, make_token, &generation);
        double flops = bench->flops;
        status = bench_read_rate(bench, (size_t)(4 * weights), &rate);
        bench_add(bench, "generate", "tokens/s", pieces / seconds, NULL, 0,
                  "%d at once, without the drawing", pieces);
        if (pieces == 1)
            bench_add(bench, "generate", "GB/s", 4 * weights / seconds / 1e9,
                      "reading as much", rate / 1e9, "weights read");
        else
            bench_add(bench, "generate", "GFLOP/s", 2 * weights * pieces / seconds / 1e9,
                      fma_limit, flops / 1e9, "%d at once, products", pieces);
    }
    model_free(generation.model);
    free(generation.inputs);
    return status;
}

enum status bench_generation(struct bench *bench)
{
    enum status status = add_generation(bench, 1);
    return status == STATUS_OK ? add_generation(bench, 64) : status;
}
