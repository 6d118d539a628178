/* data_plan: how a rank spends data.memory, or why that is too little. */
#ifndef TUTTI_TRAIN_DATA_PLAN_H
#define TUTTI_TRAIN_DATA_PLAN_H

#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "data/dataset.h"

struct data_plan { /* bytes; 0: all tokens are in memory */
    uint64_t training;
    uint64_t validation; /* during a validation, when the training streams rest */
    int windows;         /* of the prefetcher */
};

/* Plans from the index and the settings alone, so every rank knows what all of them need.
 * `assignment`: the microbatch of each training shard. STATUS_MISUSE names the smallest
 * data.memory that suffices on all `ranks` ranks. Not collective. */
enum status data_plan_make(const struct dataset *dataset, const struct options *options,
                           const int *assignment, int rank, int ranks,
                           struct data_plan *out);

#endif
