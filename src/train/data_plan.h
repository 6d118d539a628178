/* data_plan: divides up data.memory_mb on a rank, or reports that it is too little. */
#ifndef TUTTI_TRAIN_DATA_PLAN_H
#define TUTTI_TRAIN_DATA_PLAN_H

#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "data/dataset.h"

struct data_plan { /* bytes; 0: all tokens are in memory */
    uint64_t training;
    uint64_t validation; /* during validation, while training streams are idle */
    int windows;         /* of the prefetcher */
};

/* The plan follows from the index and the settings alone, so every rank can compute what
 * all ranks need. `assignment`: the microbatch of each training shard. STATUS_MISUSE
 * names the smallest data.memory_mb that suffices on all `ranks` ranks. Not collective.
 */
enum status data_plan_compute(const struct dataset *dataset,
                              const struct options *options, const int *assignment,
                              int rank, int ranks, struct data_plan *out);

#endif
