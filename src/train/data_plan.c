/* data_plan: see the header.
 *
 * The tables of the training streams and the windows of the prefetcher are always held.
 * The rest is for chunks of tokens: those of the training streams or, while these are
 * idle, whatever validation needs.
 */
#include "data_plan.h"

#include <stdlib.h>

#include "prefetcher.h"
#include "comm/microbatches.h"
#include "data/stream.h"

/* One window in use and one being read; more if they fit in a small share of the
 * memory. */
enum { MIN_WINDOWS = 2, MAX_WINDOWS = 16, WINDOWS_SHARE = 16 };

struct memory_needs { /* bytes on one rank */
    uint64_t window, idle, training, validation;
};

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct memory_needs memory_needs_of(const struct streams_request *training,
                                           const struct streams_request *validation,
                                           int steps)
{
    return (struct memory_needs){
        .window = prefetcher_window_bytes(training->count, training->rows, steps),
        .idle = streams_min_idle_bytes(training),
        .training = streams_min_bytes(training),
        .validation = streams_min_bytes(validation),
    };
}

static uint64_t min_bytes(const struct memory_needs *needs)
{
    return MIN_WINDOWS * needs->window +
           max_u64(needs->training, needs->idle + needs->window + needs->validation);
}

static void divide_memory(const struct memory_needs *needs, uint64_t memory,
                          struct data_plan *out)
{
    const uint64_t max_extra = MAX_WINDOWS - MIN_WINDOWS;
    uint64_t extra = (memory - min_bytes(needs)) / WINDOWS_SHARE / needs->window;
    out->windows = MIN_WINDOWS + (int)(extra < max_extra ? extra : max_extra);
    out->training = memory - (uint64_t)out->windows * needs->window;
    out->validation = out->training - needs->idle - needs->window;
}

static enum status fail_too_little(const struct dataset *dataset,
                                   const struct options *options, int ranks,
                                   uint64_t required)
{
    const double hundredth = 1e4; /* of a megabyte */
    return status_fail(
        STATUS_MISUSE,
        "data.memory_mb = %g is too little for %s on %d rank%s: set it to %.2f "
        "MB or more, or to 0 to hold all tokens in memory",
        options->data.memory_mb, dataset->path, ranks, ranks > 1 ? "s" : "",
        (double)(uint64_t)((double)required / hundredth + 1) / 100);
}

static enum status plan(const struct options *options, int rank, int ranks,
                        struct streams_request *training,
                        struct streams_request *validation, struct data_plan *out)
{
    uint64_t memory = (uint64_t)(options->data.memory_mb * 1e6), required = 0;
    struct memory_needs own = {0};
    for (int r = 0; r < ranks; r++) {
        struct microbatches microbatches =
            microbatches_of_rank((int)options->train.microbatches, r, ranks);
        training->first = validation->first = microbatches.first;
        training->count = validation->count = microbatches.count;
        struct memory_needs needs =
            memory_needs_of(training, validation, (int)options->train.sequence_length);
        required = max_u64(required, min_bytes(&needs));
        if (r == rank)
            own = needs;
    }
    if (memory < required)
        return fail_too_little(training->dataset, options, ranks, required);
    divide_memory(&own, memory, out);
    return STATUS_OK;
}

enum status data_plan_compute(const struct dataset *dataset,
                              const struct options *options, const int *assignment,
                              int rank, int ranks, struct data_plan *out)
{
    *out = (struct data_plan){.windows = 1};
    if (options->data.memory_mb <= 0)
        return STATUS_OK;
    int *validation_assignment =
        calloc(dataset->shard_count + 1, sizeof *validation_assignment);
    if (!validation_assignment)
        return status_fail(STATUS_FAILED, "out of memory for the assignment of shards");
    struct streams_request training = {
        .dataset = dataset,
        .assigned = assignment,
        .split = SPLIT_TRAIN,
        .rows = (int)(options->train.batch / options->train.microbatches),
        .independent = options->train.windows == WINDOWS_INDEPENDENT};
    struct streams_request validation = training;
    validation.independent = false;
    validation.assigned = validation_assignment;
    validation.split = SPLIT_VALID;
    enum status status = dataset_assign_split(
        dataset, SPLIT_VALID, (int)options->train.microbatches, validation_assignment);
    if (status == STATUS_OK)
        status = plan(options, rank, ranks, &training, &validation, out);
    free(validation_assignment);
    return status;
}
