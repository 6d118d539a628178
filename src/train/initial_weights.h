/* initial_weights: the weights of train.init_from, with which a new run starts. Nothing
 * else of that checkpoint is used: step, epoch, optimizer and schedule begin anew. */
#ifndef TUTTI_TRAIN_INITIAL_WEIGHTS_H
#define TUTTI_TRAIN_INITIAL_WEIGHTS_H

#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"

struct initial_weights { /* zero-initialise; free with initial_weights_free */
    float *values;       /* [params.total]; NULL: none */
    uint64_t hash;       /* weights hash */
};

/* Reads train.init_from, which is not empty, on every rank: a checkpoint, or a run's
 * directory, of which the best checkpoint is taken. Precision, dropout and all of [train]
 * may differ from its own. STATUS_MISUSE if its vocabulary is not the dataset's or its
 * model not that of [model]; the message names what differs. STATUS_FAILED if it can't be
 * read, or if the ranks have read different weights. Nothing is written. Collective. */
enum status initial_weights_read(struct comm *comm, const struct options *options,
                                 const struct dataset *dataset,
                                 struct initial_weights *out);
void initial_weights_free(struct initial_weights *weights);

#endif
