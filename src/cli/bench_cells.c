/* bench_cells: elementwise parts of a training step: cells, softmax, exact sum. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "base/memory.h"
#include "comm/exact_sum.h"
#include "kernels/kernels.h"
#include "nn/cell.h"

/* ---- cells ---- */

/* One row of the model's cell; its vectors stay in cache. */
struct cell_bench {
    const struct cell *cell;
    struct cell_step step;
    float *memory;      /* all vectors of the step; owned */
    float *initial;     /* initial values of the vectors that a pass overwrites; owned */
    size_t overwritten; /* floats, at the start of `memory` */
    float *logits;
    int vocabulary;
};

static void cell_forward(void *context)
{
    struct cell_bench *bench = context;
    bench->cell->forward(&bench->step);
}

/* A backward pass overwrites gates and gradients that it also reads, so each pass starts
 * from a copy. The copies are a small part of its time. */
static void cell_backward(void *context)
{
    struct cell_bench *bench = context;
    memcpy(bench->memory, bench->initial, bench->overwritten * sizeof *bench->memory);
    bench->cell->backward(&bench->step);
}

static void softmax(void *context)
{
    struct cell_bench *bench = context;
    int best;
    kernels()->softmax_cross_entropy(bench->vocabulary, bench->logits, 0, true, 0, &best);
}

/* Lays out the vectors of a step, one after another. */
static void lay_out_vectors(struct cell_bench *bench)
{
    struct cell_step *step = &bench->step;
    size_t h = (size_t)step->hidden, g = h * (size_t)bench->cell->gate_count;
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
    float **const written[] = {&step->tanh_c, &step->h, &step->h_next, &step->c_next};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++, at += h)
        *read[i] = at;
    for (size_t i = 0; i < sizeof written / sizeof *written; i++, at += h)
        *written[i] = at;
}

static void add_cell(struct bench *bench, struct cell_bench *cell, bench_work *work,
                     int width, const char *name, const char *direction)
{
    double seconds = bench_time(bench, work, cell);
    bench_add(bench, "cell", "ns/unit", 1e9 * seconds / width, bench_unlimited, "%s%s",
              name, direction);
}

enum status bench_cells(struct bench *bench)
{
    struct cell_bench cell = {.cell = cell_of(bench->options->model.cell),
                              .step.hidden = (int)bench->options->model.hidden,
                              .step.units = (int)bench->options->model.hidden,
                              .vocabulary = (int)bench->vocabulary};
    size_t h = (size_t)cell.step.hidden,
           size = (3 * (size_t)cell.cell->gate_count + 9) * h;
    cell.memory = bench_random(size);
    cell.initial = bench_random(size);
    cell.logits = bench_random((size_t)cell.vocabulary);
    uint8_t *mask = calloc(h, 1);
    for (size_t j = 0; mask && j < h; j++)
        mask[j] = j % 4 != 0;
    cell.step.dropout =
        (struct dropout_mask){bench->options->model.dropout > 0 ? mask : NULL, 1};
    enum status status =
        comm_agree(bench->comm, cell.memory && cell.initial && cell.logits && mask
                                    ? STATUS_OK
                                    : status_fail(STATUS_FAILED, "no memory for a cell"));
    if (status == STATUS_OK) {
        lay_out_vectors(&cell);
        add_cell(bench, &cell, cell_forward, (int)h, cell.cell->title, ", forward");
        add_cell(bench, &cell, cell_backward, (int)h, cell.cell->title, ", backward");
        add_cell(bench, &cell, softmax, cell.vocabulary, "softmax and gradient", "");
    }
    memory_free(cell.memory);
    memory_free(cell.initial);
    memory_free(cell.logits);
    free(mask);
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

static void compute_norm(void *context)
{
    volatile double squares =
        exact_sum_squares(((struct sum *)context)->sum, 0, SUM_VALUES, 1e-6);
    (void)squares;
}

/* Memory bandwidth on 8-byte sums and 4-byte values; both exceed every cache. */
enum status bench_sums(struct bench *bench)
{
    struct sum sum = {.values = bench_random(SUM_VALUES)};
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
        bench_add(bench, "sum", "GB/s", 20.0 * SUM_VALUES / seconds / 1e9,
                  (struct bench_limit){bench_bandwidth, bench->memory / 1e9},
                  "convert to fixed point and add");
        seconds = bench_time(bench, compute_norm, &sum);
        bench_add(bench, "sum", "GB/s", 8.0 * SUM_VALUES / seconds / 1e9,
                  (struct bench_limit){bench_bandwidth, bench->memory / 1e9},
                  "gradient norm");
    }
    exact_sum_free(sum.sum);
    memory_free(sum.values);
    return status;
}
