/* bench: performance relative to the limits of this machine.
 *
 * Limits are measured first; everything else is reported as a fraction of the limit that
 * bounds it. The peak is measured again for each row, because a core's clock frequency
 * changes with the load on it and on neighbouring cores. All ranks measure at the same
 * time, as in training, and rank 0 prints its own results.
 */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "base/json.h"
#include "base/team.h"
#include "kernels/kernels.h"
#include "nn/cell.h"
#include "nn/model.h"

/* ---- printing ---- */

static void print_row(const struct bench_row *row, const char *previous_group)
{
    bool is_count = row->value == trunc(row->value);
    printf("%-9s %-42s %11.*f %-9s", strcmp(row->group, previous_group) ? row->group : "",
           row->name, row->value < 100 && !is_count ? 2 : 0, row->value, row->unit);
    if (row->limit.name)
        printf(" %5.1f %% of %s", 100 * row->value / row->limit.value, row->limit.name);
    printf("\n");
}

static void print_model(const struct bench *bench)
{
    const struct options *options = bench->options;
    int threads = team_threads(options->train.threads);
    char of_threads[32] = "";
    if (threads > 1)
        snprintf(of_threads, sizeof of_threads, " with %d threads", threads);
    char input[32] = "one-hot";
    if (options->model.embedding)
        snprintf(input, sizeof input, "embedding %lld",
                 (long long)options->model.embedding);
    printf("%s %lld x %lld, %s%s%s, %zu tokens (%s); batch %lld in %lld "
           "microbatches, %lld time steps; %d %s%s\nmatmul %s%s%s\n\n",
           cell_of(options->model.cell)->title, (long long)options->model.layers,
           (long long)options->model.hidden, options->model.residual ? "residual, " : "",
           options->model.layer_norm ? "layer normalisation, " : "", input,
           bench->vocabulary, bench->encoding->name, (long long)options->train.batch,
           (long long)options->train.microbatches,
           (long long)options->train.sequence_length, comm_size(bench->comm),
           comm_size(bench->comm) == 1 ? "rank" : "ranks", of_threads,
           bench->backend->description(), bench->matmul_note[0] ? "; " : "",
           bench->matmul_note);
}

static enum status print_json(const struct bench *bench)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_integer(&json, "ranks", comm_size(bench->comm));
    json_integer(&json, "threads", team_threads(bench->options->train.threads));
    json_string(&json, "kernels", kernels()->name);
    json_string(&json, "matmul", bench->backend->description());
    json_string(&json, "matmul_note", bench->matmul_note);
    json_array(&json, "rows");
    for (size_t i = 0; i < bench->count; i++) {
        const struct bench_row *row = &bench->rows[i];
        json_object(&json, NULL);
        json_string(&json, "group", row->group);
        json_string(&json, "name", row->name);
        json_number(&json, "value", row->value);
        json_string(&json, "unit", row->unit);
        if (row->limit.name) {
            json_string(&json, "limit", row->limit.name);
            json_number(&json, "share", row->value / row->limit.value);
        }
        json_close(&json);
    }
    json_close(&json);
    json_close(&json);
    return json_end(&json);
}

/* ---- the command ---- */

/* Prints rows as they are measured, or JSON at the end. Collective. */
static enum status measure(struct bench *bench, bool json)
{
    static enum status (*const parts[])(struct bench *) = {
        bench_limits, bench_layout, bench_matmuls,    bench_cells,
        bench_sums,   bench_steps,  bench_generation, bench_preprocess};
    const bool prints = comm_rank(bench->comm) == 0 && !json;
    enum status status =
        comm_agree(bench->comm, encoding_from_options(bench->options, &bench->encoding));
    if (status == STATUS_OK)
        bench->vocabulary =
            bench->encoding->vocabulary + (size_t)bench->options->data.bpe;
    if (status == STATUS_OK && prints)
        print_model(bench);
    for (size_t i = 0; status == STATUS_OK && i < sizeof parts / sizeof *parts; i++) {
        size_t first_row = bench->count;
        status = parts[i](bench);
        for (size_t r = first_row; prints && r < bench->count; r++)
            print_row(&bench->rows[r], r == first_row ? "" : bench->rows[r - 1].group);
        fflush(stdout);
    }
    if (status == STATUS_OK && comm_rank(bench->comm) == 0 && json)
        status = print_json(bench);
    encoding_free(bench->encoding);
    return comm_agree(bench->comm, status);
}

static enum status check(const struct options *options, int ranks)
{
    if (options->train.microbatches >= ranks)
        return STATUS_OK;
    return status_fail(
        STATUS_MISUSE,
        "train.microbatches = %lld, but there are %d ranks and each needs at least "
        "one microbatch: --set train.microbatches=%d",
        (long long)options->train.microbatches, ranks, ranks);
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
         .help = "time for each row (default: 1)"},
        {.name = "--json", .flag = &json, .help = "print JSON instead of a table"},
        {.name = NULL},
    };
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .accepts_set = true,
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
    status = matmul_resolve(bench.comm, &options, MATMUL_AUTO, bench.matmul_note);
    if (status == STATUS_OK)
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
    .summary = "benchmark training, generation and preprocessing on this machine",
    .usage = "bench [CONFIG] [--seconds N] [--json] [--set SECTION.KEY=VALUE]...",
    .examples =
        "Measures this machine's limits, then every kernel, the training step, "
        "generation "
        "and the\n"
        "MIDI reader relative to them, for the model of CONFIG, or the default model. "
        "Recommends\n"
        "numbers of ranks and threads that suit the caches and the batch. Several "
        "ranks\n"
        "measure at the same time; rank 0's results are shown, and the step is compared "
        "with\n"
        "that of one rank. The machine should be idle.\n"
        "\n"
        "  tutti bench\n"
        "  tutti bench configs/piano.conf --json\n"
        "  mpirun -n 4 tutti bench --set train.batch=64",
    .run = run,
};
