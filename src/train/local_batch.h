/* local_batch: the part of the global batch that one rank computes. */
#ifndef TUTTI_TRAIN_LOCAL_BATCH_H
#define TUTTI_TRAIN_LOCAL_BATCH_H

#include <stdint.h>

#include "base/options.h"
#include "comm/microbatches.h"

struct local_batch {
    struct microbatches own; /* this rank's, consecutive */
    int rows;                /* of each microbatch */
    int steps;               /* time steps of a window, train.sequence_length */
};

/* By train.batch, train.microbatches and train.sequence_length. */
struct local_batch local_batch_of(const struct options *options, int rank, int ranks);

/* Targets of one step over the global batch, if every window is full. */
int64_t tokens_per_step(const struct options *options);

#endif
