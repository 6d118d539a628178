/* bench_steps: complete training steps on synthetic tokens, with the exact sum and the
 * float sum, on all ranks and on one rank. */
#include "bench.h"
#include "base/team.h"
#include "comm/microbatches.h"
#include "train/synthetic_run.h"

struct steps {
    struct synthetic_run *synthetic_run;
    enum status status;
};

static void run_step(void *context)
{
    struct steps *steps = context;
    if (steps->status == STATUS_OK)
        steps->status = synthetic_run_step(steps->synthetic_run);
}

/* Adds the rows of one kind of step. *rate is the tokens/s of all ranks of `comm`.
 * Collective over `comm`. */
static enum status add_steps(struct bench *bench, struct comm *comm,
                             const struct options *options, const char *name,
                             double *rate)
{
    struct steps steps = {.status = STATUS_OK};
    enum status status =
        synthetic_run_open(comm, options, bench->vocabulary, &steps.synthetic_run);
    if (status != STATUS_OK)
        return status;
    struct bench sub_bench = *bench;
    sub_bench.comm = comm;
    double seconds = bench_time(&sub_bench, run_step, &steps);
    int threads = team_threads(options->train.threads);
    *rate = comm_size(comm) * synthetic_run_tokens(steps.synthetic_run) / seconds;
    bench_add(bench, "step", "tokens/s", *rate, bench_unlimited, "%s", name);
    bench_add(bench, "step", "GFLOP/s",
              synthetic_run_flop(steps.synthetic_run) / seconds / 1e9,
              (struct bench_limit){bench_peak, threads * sub_bench.flops / 1e9},
              "%s, matmul rate per rank", name);
    synthetic_run_close(steps.synthetic_run);
    return steps.status;
}

/* The options for a single rank: its part of the batch becomes the whole batch. */
static struct options single_rank_options(const struct bench *bench)
{
    struct options options = *bench->options;
    struct microbatches own = microbatches_of_rank(
        (int)options.train.microbatches, comm_rank(bench->comm), comm_size(bench->comm));
    options.train.batch = options.train.batch / options.train.microbatches * own.count;
    options.train.microbatches = own.count;
    return options;
}

static enum status add_single_rank(struct bench *bench, double all)
{
    struct options options = single_rank_options(bench);
    struct comm *self = NULL;
    double rate = 0;
    enum status status = comm_agree(bench->comm, comm_self(bench->comm, &self));
    if (status == STATUS_OK && comm_rank(bench->comm) == 0)
        status = add_steps(bench, self, &options, "one rank alone", &rate);
    comm_self_free(self);
    status = comm_agree(bench->comm, status);
    if (status == STATUS_OK && comm_rank(bench->comm) == 0)
        bench_add(bench, "step", "times", all / rate,
                  (struct bench_limit){"linear", comm_size(bench->comm)},
                  "speed-up of %d ranks", comm_size(bench->comm));
    return status;
}

enum status bench_steps(struct bench *bench)
{
    struct options options = *bench->options;
    double exact = 0, floating = 0;
    enum status status = add_steps(bench, bench->comm, &options, "exact sum", &exact);
    options.train.reduce = REDUCE_FLOAT;
    if (status == STATUS_OK)
        status = add_steps(bench, bench->comm, &options, "float sum", &floating);
    if (status == STATUS_OK && comm_size(bench->comm) > 1)
        status = add_single_rank(bench, exact);
    return status;
}
