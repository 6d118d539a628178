/* trainer_data: the training data of this rank, from the dataset to windows of tokens. */
#ifndef TUTTI_TRAIN_TRAINER_DATA_H
#define TUTTI_TRAIN_TRAINER_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "data_plan.h"
#include "local_batch.h"
#include "prefetcher.h"
#include "state.h"
#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"
#include "data/stream.h"

struct training_data { /* zero-initialise; free with training_data_close */
    struct dataset *dataset;
    int *assignment; /* [shards]: the microbatch of each */
    struct data_plan plan;
    struct local_batch batch;
    struct streams streams; /* of own microbatches; used only by the prefetcher */
    struct prefetcher *prefetcher;
    int64_t steps_per_epoch;
};

/* Opens the dataset, replaces [data] in `options` by the settings that the dataset was
 * made with, assigns shards to microbatches and plans the memory. STATUS_MISUSE if the
 * settings don't fit the dataset. Not collective: each rank verifies its part of the
 * files. */
enum status training_data_open(struct training_data *data, const struct comm *comm,
                               struct options *options);

/* Opens the streams, at the positions of `resumed` if it has rows, else at their start,
 * and the prefetcher, whose first window is for step `step`. Not collective. */
enum status training_data_start(struct training_data *data, const struct options *options,
                                const struct stream_snapshot *resumed, int64_t step);

void training_data_close(struct training_data *data);

/* Upper bound on this rank's bytes for tokens and for all that is needed to read them. */
uint64_t training_data_bytes(const struct training_data *data);

/* True if the validation split is not empty. */
bool training_data_has_validation(const struct training_data *data);

/* Tokens of one pass over a split, END included. */
uint64_t training_data_tokens(const struct training_data *data, enum split split);

#endif
