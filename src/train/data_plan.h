/* data_plan: what data.memory is spent on, or why it is too little. */
#ifndef TUTTI_TRAIN_DATA_PLAN_H
#define TUTTI_TRAIN_DATA_PLAN_H

#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "data/dataset.h"

struct data_plan { /* bytes; 0: all tokens are in memory */
    uint64_t training;
    uint64_t validation; /* while the training streams rest */
    int windows;         /* of the prefetcher */
};

/* From the index and the settings alone, so every rank can tell what all of them need.
 * `assigned`: the shards, to microbatches, for training. STATUS_MISUSE names the smallest
 * data.memory with which all `ranks` ranks would work. Not collective. */
enum status data_plan_make(const struct dataset *dataset, const struct options *options,
                           const int *assigned, int rank, int ranks,
                           struct data_plan *out);

#endif
