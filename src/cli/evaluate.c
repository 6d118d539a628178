/* evaluate: loss and accuracy of a checkpoint, or of an ensemble of several, on a split
 * of a dataset. Before MPI starts, a sandboxed child reads everything that the ranks will
 * read (see sandbox.h).
 *
 * Batch, length of sequences and microbatches are those of the first checkpoint. Results
 * depend on them, and on the order of the checkpoints, only by the rounding of sums. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "evaluate_results.h"
#include "evaluate_samples.h"
#include "base/sandbox.h"
#include "base/team.h"
#include "comm/microbatches.h"
#include "generate/generator.h"
#include "train/checkpoint_path.h"

enum { MEMBERS_MAX = 64 };

struct evaluate_arguments {
    const char *const *checkpoints;
    int checkpoint_count;
    const char *dataset;
    enum split split;
    int64_t batch;         /* 0: the first checkpoint's */
    int64_t memory;        /* megabytes; 0: all */
    int64_t samples;       /* pieces to generate; 0: none */
    double sample_seconds; /* 0: the checkpoint's run.sample_seconds */
    bool average;          /* evaluates the averaged weights */
    bool json;
};

/* Checks that need no computation. */
static enum status check(const struct evaluate_arguments *args,
                         const struct evaluate_results *results, int ranks)
{
    const struct evaluate_member *first = &results->members[0];
    const struct options *options = &first->checkpoint->options;
    enum status status = STATUS_OK;
    for (int m = 0; status == STATUS_OK && m < results->member_count; m++)
        status = checkpoint_check_vocabulary(
            results->members[m].path, results->members[m].checkpoint, results->dataset);
    if (status != STATUS_OK)
        return status;
    if (options->train.microbatches < ranks)
        return status_fail(
            STATUS_MISUSE,
            "%s was trained with %" PRId64 " microbatches, so at most %" PRId64
            " ranks can evaluate it (found: %d)%s",
            first->path, options->train.microbatches, options->train.microbatches, ranks,
            results->member_count > 1
                ? "; name the checkpoint with the most microbatches first"
                : "");
    if (args->batch % options->train.microbatches != 0)
        return status_fail(STATUS_MISUSE,
                           "--batch %" PRId64
                           ": must be a multiple of the %scheckpoint's %" PRId64
                           " microbatches",
                           args->batch, results->member_count > 1 ? "first " : "",
                           options->train.microbatches);
    if (results->dataset->total.pieces[args->split] == 0)
        return status_fail(STATUS_MISUSE,
                           "%s: the %s split has no pieces; choose another, for example "
                           "--split train",
                           results->dataset->path, split_name(args->split));
    return STATUS_OK;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The shape of one forward pass: rows of a microbatch, and time steps. */
struct window {
    int rows, steps;
};

/* The shape used in training, limited by the number of pieces and tokens, as anything
 * larger would only be padding. A checkpoint may contain any batch size, so a pass is
 * limited to POSITIONS; longer sequences take several passes. The results do not depend
 * on the shape, except for the last bits with OpenBLAS. */
static struct window choose_window(const struct evaluate_arguments *args,
                                   const struct evaluate_results *results)
{
    enum { POSITIONS_MAX = 1 << 14 }; /* in all microbatches: 4 default batches */
    const struct split_counts *total = &results->dataset->total;
    const struct options *options = &results->members[0].checkpoint->options;
    uint64_t pieces = total->pieces[results->split];
    uint64_t tokens = total->tokens[results->split] + pieces;
    uint64_t rows = (uint64_t)((args->batch ? args->batch : options->train.batch) /
                               options->train.microbatches);
    rows = min_u64(rows, pieces);
    uint64_t steps = min_u64((uint64_t)options->train.sequence_length, tokens);
    uint64_t all_rows = rows * (uint64_t)options->train.microbatches;
    if (all_rows * steps > POSITIONS_MAX)
        steps = POSITIONS_MAX / all_rows + 1;
    return (struct window){(int)rows, (int)steps};
}

static void free_models(struct model **models, int count)
{
    for (int m = 0; models && m < count; m++)
        model_free(models[m]);
    free(models);
}

/* Sets the member's matmul. */
static enum status create_model(struct evaluate_member *member, struct model_plan plan,
                                struct model **model)
{
    enum status status =
        model_matmul_backend(&member->checkpoint->options, &plan.backend);
    if (status != STATUS_OK)
        return status;
    member->matmul = plan.backend->inference->description();
    return checkpoint_model(member->checkpoint, &plan, model);
}

/* A model for each of the `count` members; freed by free_models, also after a failure. */
static enum status create_models(struct evaluate_member *members, int count,
                                 struct comm *comm, struct window window,
                                 struct model ***out)
{
    int microbatches = (int)members[0].checkpoint->options.train.microbatches;
    int local_microbatches =
        microbatches_of_rank(microbatches, comm_rank(comm), comm_size(comm)).count;
    const struct model_plan plan = {.microbatches = local_microbatches,
                                    .rows = window.rows,
                                    .steps = window.steps,
                                    .threads = team_threads(0)};
    struct model **models = *out = calloc((size_t)count, sizeof *models);
    enum status status =
        models ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory for the models");
    for (int m = 0; status == STATUS_OK && m < count; m++)
        status = create_model(&members[m], plan, &models[m]);
    return status;
}

/* Baselines are computed from the counts of the first checkpoint's training split,
 * whichever dataset is evaluated. If the checkpoint has no counts, they are taken from the
 * evaluated dataset, provided that the checkpoint was trained on it. Collective. */
static enum status compute_baselines(struct comm *comm, enum split split,
                                     struct evaluate_results *results)
{
    const struct checkpoint *checkpoint = results->members[0].checkpoint;
    const struct dataset *dataset = results->dataset;
    int64_t *counts = NULL;
    results->baselines = (struct baselines){(double)NAN, (double)NAN};
    if (!checkpoint->pairs && checkpoint->dataset_hash != dataset->dataset_hash) {
        snprintf(results->baselines_unknown, sizeof results->baselines_unknown,
                 "the checkpoint, written by an older tutti, has no counts of training "
                 "tokens, "
                 "and this is not the dataset that it was trained on");
        return STATUS_OK;
    }
    enum status status = STATUS_OK;
    if (!checkpoint->pairs)
        status = baselines_count(comm, dataset, SPLIT_TRAIN, &counts);
    if (status == STATUS_OK)
        status =
            baselines_evaluate(comm, dataset, split, counts ? counts : checkpoint->pairs,
                               &results->baselines);
    free(counts);
    return status;
}

/* `members` are those of the results. Collective. */
static enum status compute(struct comm *comm, const struct evaluate_arguments *args,
                           struct evaluate_member *members,
                           struct evaluate_results *results)
{
    int count = results->member_count;
    struct model **models = NULL;
    struct window window = {0};
    enum status status = check(args, results, comm_size(comm));
    if (status == STATUS_OK) {
        window = choose_window(args, results);
        status = create_models(members, count, comm, window, &models);
    }
    status = comm_agree(comm, status);
    const struct evaluation_request request = {
        .dataset = results->dataset,
        .split = args->split,
        .microbatches = (int)members[0].checkpoint->options.train.microbatches,
        .rows = window.rows,
        .steps = window.steps,
        .memory = (uint64_t)args->memory * 1000000};
    const struct ensemble ensemble = {.models = models, .count = count};
    if (status == STATUS_OK)
        status = evaluate_split(comm, &request, &ensemble, &results->model);
    if (status == STATUS_OK)
        status = compute_baselines(comm, args->split, results);
    free_models(models, count);
    return status;
}

/* Inputs of the command. Zero-initialise. */
struct inputs {
    char *paths[MEMBERS_MAX]; /* of the checkpoints' files */
    struct checkpoint *checkpoints[MEMBERS_MAX];
    struct evaluate_member members[MEMBERS_MAX];
    int member_count;
    struct dataset *dataset;
};

static void free_inputs(struct inputs *inputs)
{
    dataset_close(inputs->dataset);
    for (int m = 0; m < inputs->member_count; m++) {
        checkpoint_free(inputs->checkpoints[m]);
        free(inputs->checkpoints[m]);
        free(inputs->paths[m]);
    }
}

static enum status read_checkpoint(const char *name, bool average, struct inputs *inputs)
{
    int m = inputs->member_count;
    char *path = NULL;
    enum status status = checkpoint_path_resolve(name, "best", &path);
    struct checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (status == STATUS_OK && !checkpoint)
        status = status_fail(STATUS_FAILED, "out of memory for %s", path);
    if (status == STATUS_OK)
        status = checkpoint_read(
            path, average ? CHECKPOINT_TO_PREDICT_AVERAGE : CHECKPOINT_TO_PREDICT,
            checkpoint);
    if (status != STATUS_OK) {
        free(checkpoint);
        free(path);
        return status;
    }
    inputs->paths[m] = path;
    inputs->checkpoints[m] = checkpoint;
    inputs->members[m] = (struct evaluate_member){.path = path, .checkpoint = checkpoint};
    inputs->member_count++;
    return STATUS_OK;
}

/* Reads and checks the checkpoints and the dataset; reads only this rank's shards. */
static enum status read_inputs(const struct evaluate_arguments *args,
                               enum dataset_check check, int rank, int ranks,
                               struct inputs *inputs)
{
    enum status status = STATUS_OK;
    for (int m = 0; status == STATUS_OK && m < args->checkpoint_count; m++)
        status = read_checkpoint(args->checkpoints[m], args->average, inputs);
    if (status == STATUS_OK)
        status = dataset_open(args->dataset, &inputs->dataset);
    if (status == STATUS_OK)
        status = dataset_check_part(inputs->dataset, check, rank, ranks);
    return status;
}

/* Generates and compares samples, and sends the result. In the sandboxed child. */
static enum status compare_samples(const struct evaluate_arguments *args,
                                   const struct inputs *inputs, FILE *reply)
{
    struct evaluate_samples samples;
    const struct evaluate_results results = {.members = inputs->members,
                                             .member_count = inputs->member_count,
                                             .dataset = inputs->dataset};
    enum status status = check(args, &results, 1);
    if (status != STATUS_OK)
        return status;
    status = evaluate_samples(inputs->checkpoints[0], inputs->dataset, (int)args->samples,
                              args->sample_seconds, &samples);
    if (status == STATUS_OK && fwrite(&samples, sizeof samples, 1, reply) != 1)
        status = status_fail_errno("can't send the figures of the samples");
    return status;
}

/* Runs in the sandboxed child. Reads all shards, including the parts that ranks read
 * later. */
static enum status read_sandboxed(void *context, FILE *reply)
{
    const struct evaluate_arguments *args = context;
    struct inputs inputs = {0};
    enum status status = read_inputs(args, CHECK_ALL, 0, 1, &inputs);
    if (status == STATUS_OK && args->samples > 0)
        status = compare_samples(args, &inputs, reply);
    free_inputs(&inputs);
    return status;
}

/* Reads the inputs in the sandboxed child, in the first process only, and receives the
 * figures of the samples. Not collective. */
static enum status check_inputs_sandboxed(struct evaluate_arguments *args,
                                          struct evaluate_samples *samples)
{
    const char *paths[MEMBERS_MAX + 1];
    int count = args->checkpoint_count;
    memcpy(paths, args->checkpoints, (size_t)count * sizeof *paths);
    paths[count] = args->dataset;
    const struct sandbox_inputs inputs = {
        .paths = paths, .count = (size_t)count + 1, .computes = args->samples > 0};
    struct sandbox_reply reply;
    if (!cli_is_first_process())
        return STATUS_OK;
    enum status status = sandbox_run(&inputs, read_sandboxed, args, &reply);
    if (status == STATUS_OK && args->samples > 0 && reply.size != sizeof *samples)
        status = status_fail(STATUS_FAILED, "%s: no figures of its samples (%zu bytes)",
                             args->checkpoints[0], reply.size);
    if (status == STATUS_OK && args->samples > 0)
        memcpy(samples, reply.bytes, sizeof *samples);
    free(reply.bytes);
    return status;
}

/* All ranks return rank 0's failure, if any. Collective. */
static enum status agree_on_rank0_status(struct comm *comm, enum status local_status)
{
    struct {
        enum status status;
        char message[STATUS_MESSAGE_SIZE];
    } root = {.status = local_status};
    snprintf(root.message, sizeof root.message, "%s", status_message());
    enum status status = comm_broadcast(comm, &root, sizeof root);
    if (status == STATUS_OK && root.status != STATUS_OK) {
        status = root.status;
        status_set_message(root.message);
    } else if (status == STATUS_OK) {
        status = local_status;
    }
    return comm_agree(comm, status);
}

/* Collective. */
static enum status evaluate(struct comm *comm, const struct evaluate_arguments *args,
                            const struct evaluate_samples *samples)
{
    struct inputs inputs = {0};
    enum dataset_check check = args->memory > 0 ? CHECK_PIECES : CHECK_ALL;
    enum status status =
        read_inputs(args, check, comm_rank(comm), comm_size(comm), &inputs);
    status = comm_agree(comm, status);
    if (status == STATUS_OK) {
        struct evaluate_results results = {.members = inputs.members,
                                           .member_count = inputs.member_count,
                                           .dataset = inputs.dataset,
                                           .split = args->split,
                                           .average = args->average,
                                           .samples = args->samples ? samples : NULL};
        status = compute(comm, args, inputs.members, &results);
        if (status == STATUS_OK && comm_rank(comm) == 0 && args->json)
            status = evaluate_print_json(&results);
        else if (status == STATUS_OK && comm_rank(comm) == 0)
            evaluate_print_table(&results);
    }
    free_inputs(&inputs);
    return comm_agree(comm, status);
}

static enum status parse_split(const char *text, enum split *split)
{
    int found = split_from_name(text);
    if (found < 0)
        return status_fail(STATUS_MISUSE, "--split %s: must be train, valid or test",
                           text);
    *split = (enum split)found;
    return STATUS_OK;
}

/* Joins the job's ranks, also if rank 0 can't read its inputs. */
static enum status evaluate_on_ranks(struct evaluate_arguments *args)
{
    struct comm *comm = NULL;
    char message[STATUS_MESSAGE_SIZE];
    static struct evaluate_samples samples; /* large */
    enum status input_status = check_inputs_sandboxed(args, &samples);
    snprintf(message, sizeof message, "%s", status_message());
    enum status status = cli_open_ranks(STATUS_OK, &comm);
    if (status != STATUS_OK)
        return status;
    status_set_message(message);
    status = agree_on_rank0_status(comm, input_status);
    if (status == STATUS_OK)
        status = evaluate(comm, args, &samples);
    comm_close(comm);
    return status;
}

/* Checks the arguments against each other, and sets those that are not options. */
static enum status complete_arguments(const struct cli_request *request,
                                      const char *split, struct evaluate_arguments *args)
{
    if (args->sample_seconds > 0 && args->samples == 0)
        return status_fail(STATUS_MISUSE,
                           "evaluate: --sample-seconds without samples; add --samples N");
    if (request->positional_count > MEMBERS_MAX + 1)
        return status_fail(STATUS_MISUSE,
                           "evaluate: at most %d checkpoints are evaluated together "
                           "(found: %zu)",
                           MEMBERS_MAX, request->positional_count - 1);
    args->checkpoints = request->positionals;
    args->checkpoint_count = (int)request->positional_count - 1;
    args->dataset = request->positionals[args->checkpoint_count];
    if (args->samples > 0 && args->checkpoint_count > 1)
        return status_fail(STATUS_MISUSE,
                           "evaluate: --samples generates with one checkpoint (found: "
                           "%d); give one",
                           args->checkpoint_count);
    return parse_split(split, &args->split);
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    struct evaluate_arguments args = {0};
    const char *split = "valid";
    const struct cli_argument arguments[] = {
        {.name = "--split",
         .placeholder = "NAME",
         .text = &split,
         .help = "train, valid or test (default: valid)"},
        {.name = "--batch",
         .placeholder = "N",
         .integer = &args.batch,
         .low = 1,
         .high = 1000000,
         .help = "global batch size, over all ranks (default: the first checkpoint's "
                 "train.batch)"},
        {.name = "--memory",
         .placeholder = "MB",
         .integer = &args.memory,
         .low = 1,
         .high = 1000000000,
         .help =
             "memory per rank for tokens; the rest is streamed from disk (default: no "
             "limit)"},
        {.name = "--samples",
         .placeholder = "N",
         .integer = &args.samples,
         .low = 1,
         .high = GENERATOR_PIECES_MAX,
         .help = "generate N pieces and compare them with the dataset (see statistics)"},
        {.name = "--sample-seconds",
         .placeholder = "N",
         .number = &args.sample_seconds,
         .low = 0.01,
         .high = SAMPLER_SECONDS_MAX,
         .help =
             "length of these pieces, and of the beginnings of the dataset's pieces "
             "that they are compared with (default: run.sample_seconds, at most 600)"},
        {.name = "--average",
         .flag = &args.average,
         .help = "use the averaged weights of a run with train.average = ema"},
        {.name = "--json", .flag = &args.json, .help = "print JSON instead of a table"},
        {.name = NULL},
    };
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .positional_min = 2,
                                   .positional_max = CLI_POSITIONALS_MAX};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    status = complete_arguments(&request, split, &args);
    return status == STATUS_OK ? evaluate_on_ranks(&args) : status;
}

const struct cli_command command_evaluate = {
    .name = "evaluate",
    .summary = "compute loss and accuracy of checkpoints on a dataset",
    .usage = "evaluate CHECKPOINT... DATASET [options]",
    .examples =
        "CHECKPOINT is a file or a run's directory (its best checkpoint, or the latest\n"
        "if none is marked). Several, up to 64, are an ensemble, which predicts the\n"
        "mean of their probabilities. Every piece is scored from its start to END.\n"
        "Notes are counted from the tokens, which exclude percussion and merged notes.\n"
        "The baselines are the losses of unigram and bigram models of the training\n"
        "split of the first checkpoint. Each rank uses OMP_NUM_THREADS threads, or else\n"
        "Slurm's --cpus-per-task, or else 1.\n"
        "\n"
        "  tutti evaluate runs/first data/mine\n"
        "  tutti evaluate runs/first runs/second runs/third data/mine\n"
        "  mpirun -n 4 tutti evaluate runs/first data/mine --split test --json\n"
        "  tutti evaluate runs/first data/mine --samples 50 --sample-seconds 60",
    .run = run,
};
