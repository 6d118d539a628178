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
enum { LEAST_WINDOWS = 2, MOST_WINDOWS = 16, WINDOWS_SHARE = 16 };

struct needs { /* bytes on one rank */
    uint64_t window, resting, training, validation;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct needs needs_of(const struct streams_request *training,
                             const struct streams_request *validation, int steps)
{
    return (struct needs){
        .window = prefetcher_window_bytes(training->count, training->rows, steps),
        .resting = streams_min_idle_bytes(training),
        .training = streams_min_bytes(training),
        .validation = streams_min_bytes(validation),
    };
}

static uint64_t minimum(const struct needs *needs)
{
    return LEAST_WINDOWS * needs->window +
           larger(needs->training, needs->resting + needs->window + needs->validation);
}

static void spend(const struct needs *needs, uint64_t memory, struct data_plan *out)
{
    const uint64_t most_more = MOST_WINDOWS - LEAST_WINDOWS;
    uint64_t more = (memory - minimum(needs)) / WINDOWS_SHARE / needs->window;
    out->windows = LEAST_WINDOWS + (int)(more < most_more ? more : most_more);
    out->training = memory - (uint64_t)out->windows * needs->window;
    out->validation = out->training - needs->resting - needs->window;
}

static enum status fail_too_little(const struct dataset *dataset,
                                   const struct options *options, int ranks,
                                   uint64_t most)
{
    const double hundredth = 1e4; /* of a megabyte */
    return status_fail(
        STATUS_MISUSE,
        "data.memory_mb = %g is too little for %s on %d rank%s: set it to %.2f "
        "MB or more, or to 0 to hold all tokens in memory",
        options->data.memory_mb, dataset->path, ranks, ranks > 1 ? "s" : "",
        (double)(uint64_t)((double)most / hundredth + 1) / 100);
}

static enum status plan(const struct options *options, int rank, int ranks,
                        struct streams_request *training,
                        struct streams_request *validation, struct data_plan *out)
{
    uint64_t memory = (uint64_t)(options->data.memory_mb * 1e6), most = 0;
    struct needs own = {0};
    for (int r = 0; r < ranks; r++) {
        struct microbatches microbatches =
            microbatches_of_rank((int)options->train.microbatches, r, ranks);
        training->first = validation->first = microbatches.first;
        training->count = validation->count = microbatches.count;
        struct needs needs =
            needs_of(training, validation, (int)options->train.sequence_length);
        most = larger(most, minimum(&needs));
        if (r == rank)
            own = needs;
    }
    if (memory < most)
        return fail_too_little(training->dataset, options, ranks, most);
    spend(&own, memory, out);
    return STATUS_OK;
}

enum status data_plan_make(const struct dataset *dataset, const struct options *options,
                           const int *assignment, int rank, int ranks,
                           struct data_plan *out)
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
        .rows = (int)(options->train.batch / options->train.microbatches)};
    struct streams_request validation = training;
    validation.assigned = validation_assignment;
    validation.split = SPLIT_VALID;
    enum status status = dataset_assign_split(
        dataset, SPLIT_VALID, (int)options->train.microbatches, validation_assignment);
    if (status == STATUS_OK)
        status = plan(options, rank, ranks, &training, &validation, out);
    free(validation_assignment);
    return status;
}
