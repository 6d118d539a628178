/* bench_generation: the model's share of sampling, for one piece and for a batch. */
#include <stdlib.h>

#include "bench.h"
#include "nn/model.h"

struct generation {
    struct model *model;
    token *inputs;
};

static void run_token(void *context)
{
    struct generation *generation = context;
    const token *inputs = generation->inputs;
    model_forward(generation->model, &inputs, NULL, NULL, NULL);
}

/* Adds the rows for a batch of `pieces` pieces. A time step reads the weights once for
 * all pieces. A single piece is bound by this read, a batch by multiply-adds. */
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
                                    .backend = &matmul_float32};
    enum status status = generation.inputs ? model_create(&plan, &generation.model)
                                           : status_fail(STATUS_FAILED, "out of memory");
    status = comm_agree(bench->comm, status);
    if (status == STATUS_OK) {
        params_initialise(&shape, model_params(generation.model), INIT_GLOROT, 1,
                          model_weights(generation.model));
        model_weights_changed(generation.model);
        double weights = (double)model_macs_per_token(generation.model), rate = 0;
        double seconds = bench_time(bench, run_token, &generation);
        double flops = bench->flops;
        status = bench_read_rate(bench, (size_t)(4 * weights), &rate);
        bench_add(bench, "generate", "tokens/s", pieces / seconds, bench_unlimited,
                  "batch of %d, without sampling", pieces);
        if (pieces == 1)
            bench_add(bench, "generate", "GB/s", 4 * weights / seconds / 1e9,
                      (struct bench_limit){"reading alone", rate / 1e9},
                      "batch of 1, weights read");
        else
            bench_add(bench, "generate", "GFLOP/s", 2 * weights * pieces / seconds / 1e9,
                      (struct bench_limit){bench_peak, flops / 1e9},
                      "batch of %d, matmul", pieces);
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
