/* bench: how near to the limits of this machine everything runs.
 *
 * Limits are measured first, then whatever they bound, each as a share of its limit. The
 * limit of arithmetic is measured again beside each row: a processor's clock changes with
 * its load and its neighbours'. On several ranks all measure at once, as they work at
 * once, and rank 0 prints its own.
 */
#include "bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "base/json.h"
#include "base/progress.h"
#include "kernels/kernels.h"
#include "nn/cell.h"
#include "nn/model.h"

/* ---- measuring ---- */

enum { TIMINGS = 7 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of so many calls. */
static double time_calls(bench_work *work, void *context, int64_t calls)
{
    double began = clock_seconds();
    for (int64_t i = 0; i < calls; i++)
        work(context);
    return clock_seconds() - began;
}

/* FLOP/s of multiply-adds on registers, over some milliseconds. */
static double multiply_add_rate(void)
{
    const double enough = 3e-3;
    double began = clock_seconds(), took = 0, flop = 0;
    for (; took < enough; took = clock_seconds() - began)
        flop += kernels()->peak(10000);
    return flop / took;
}

double bench_time(struct bench *bench, bench_work *work, void *context)
{
    double timings[TIMINGS], flops[TIMINGS];
    work(context);
    double once = time_calls(work, context, 1), wanted = bench->seconds / TIMINGS;
    int64_t calls = once < wanted ? (int64_t)(wanted / fmax(once, 1e-9)) : 1;
    calls = comm_max_i64(bench->comm, calls); /* a step takes all ranks */
    for (int i = 0; i < TIMINGS; i++) {
        comm_barrier(bench->comm);
        timings[i] = time_calls(work, context, calls) / (double)calls;
        flops[i] = multiply_add_rate();
    }
    qsort(timings, TIMINGS, sizeof *timings, compare);
    qsort(flops, TIMINGS, sizeof *flops, compare);
    bench->flops = flops[TIMINGS / 2];
    return timings[TIMINGS / 2];
}

void bench_add(struct bench *bench, const char *group, const char *unit, double value,
               const char *limit_name, double limit, const char *name, ...)
{
    if (bench->count == BENCH_ROWS)
        return;
    struct bench_row *row = &bench->rows[bench->count++];
    *row = (struct bench_row){.group = group,
                              .unit = unit,
                              .value = value,
                              .limit_name = limit_name,
                              .limit = limit};
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(row->name, sizeof row->name, name, arguments);
    va_end(arguments);
}

/* ---- printing ---- */

static void print_row(const struct bench_row *row, const char *group_before)
{
    printf("%-9s %-42s %11.*f %-9s", strcmp(row->group, group_before) ? row->group : "",
           row->name, row->value < 100 ? 2 : 0, row->value, row->unit);
    if (row->limit_name)
        printf(" %5.1f %% of %s", 100 * row->value / row->limit, row->limit_name);
    printf("\n");
}

static void print_model(const struct bench *bench)
{
    const struct options *options = bench->options;
    printf("%s %lld x %lld, embedding %lld, %zu tokens (%s); batch %lld in %lld "
           "microbatches, "
           "%lld steps; %d %s, products by %s\n\n",
           cell_of(options->model.cell)->title, (long long)options->model.layers,
           (long long)options->model.hidden, (long long)options->model.embedding,
           bench->encoding->vocabulary, bench->encoding->name,
           (long long)options->train.batch, (long long)options->train.slices,
           (long long)options->train.time, comm_size(bench->comm),
           comm_size(bench->comm) == 1 ? "rank" : "ranks", bench->backend->description());
}

static enum status print_json(const struct bench *bench)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_integer(&json, "ranks", comm_size(bench->comm));
    json_string(&json, "kernels", kernels()->name);
    json_string(&json, "products", bench->backend->description());
    json_array(&json, "rows");
    for (size_t i = 0; i < bench->count; i++) {
        const struct bench_row *row = &bench->rows[i];
        json_object(&json, NULL);
        json_string(&json, "group", row->group);
        json_string(&json, "name", row->name);
        json_number(&json, "value", row->value);
        json_string(&json, "unit", row->unit);
        if (row->limit_name) {
            json_string(&json, "limit", row->limit_name);
            json_number(&json, "share", row->value / row->limit);
        }
        json_close(&json);
    }
    json_close(&json);
    json_close(&json);
    return json_end(&json);
}

/* ---- the command ---- */

/* Collective. Rows are printed as they come, unless it is to be JSON. */
static enum status measure(struct bench *bench, bool json)
{
    static enum status (*const parts[])(struct bench *) = {
        bench_limits, bench_products,   bench_cells,     bench_sums,
        bench_steps,  bench_generation, bench_preprocess};
    const bool prints = comm_rank(bench->comm) == 0 && !json;
    enum status status =
        comm_agree(bench->comm, encoding_of_options(bench->options, &bench->encoding));
    if (status == STATUS_OK && prints)
        print_model(bench);
    for (size_t i = 0; status == STATUS_OK && i < sizeof parts / sizeof *parts; i++) {
        size_t before = bench->count;
        status = parts[i](bench);
        for (size_t r = before; prints && r < bench->count; r++)
            print_row(&bench->rows[r], r == before ? "" : bench->rows[r - 1].group);
        fflush(stdout);
    }
    if (status == STATUS_OK && comm_rank(bench->comm) == 0 && json)
        status = print_json(bench);
    encoding_free(bench->encoding);
    return comm_agree(bench->comm, status);
}

static enum status check(const struct options *options, int ranks)
{
    if (options->train.slices >= ranks)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "train.slices = %lld, but there are %d ranks and each needs a "
                       "microbatch: --set train.slices=%d",
                       (long long)options->train.slices, ranks, ranks);
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    static struct options options; /* large */
    static struct bench bench;
    bool json = false;
    bench.seconds = 1;
    bench.options = &options;
    const struct cli_argument arguments[] = {
        {.name = "--seconds",
         .placeholder = "N",
         .number = &bench.seconds,
         .low = 0.001,
         .high = 3600,
         .help = "that each row may take (default: 1)"},
        {.name = "--json", .flag = &json, .help = "JSON instead of a table"},
        {.name = NULL},
    };
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .takes_set = true,
                                   .options = &options,
                                   .positional_max = 1};
    options_defaults(&options);
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    const char *config = request.positional_count ? request.positionals[0] : NULL;
    status = cli_open_with_settings(config, &request, &bench.comm);
    if (status != STATUS_OK)
        return status;
    status = comm_agree(bench.comm, model_matmul_backend(&options, &bench.backend));
    if (status == STATUS_OK)
        status = check(&options, comm_size(bench.comm));
    if (status == STATUS_OK)
        status = measure(&bench, json);
    comm_close(bench.comm);
    return status;
}

const struct cli_command command_bench = {
    .name = "bench",
    .summary = "throughput of every stage relative to this machine's limits",
    .usage = "bench [CONFIG] [--seconds N] [--json] [--set SECTION.KEY=VALUE]...",
    .examples =
        "Measures this machine's limits, then every kernel, the whole training step,\n"
        "generation and the reading of MIDI as a share of them; for the model of CONFIG, "
        "or\n"
        "the default one. On several ranks all measure at once, rank 0's figures are "
        "shown,\n"
        "and the step is compared with one rank's. The machine should have nothing else "
        "to do.\n"
        "\n"
        "  tutti bench\n"
        "  tutti bench configs/piano.conf --json\n"
        "  mpirun -n 4 tutti bench --set train.batch=64",
    .run = run,
};
