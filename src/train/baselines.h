/* baselines: the loss of the unigram and bigram models of the training split on another
 * text. A model whose loss is not below these has learned nothing. */
#ifndef TUTTI_TRAIN_FLOORS_H
#define TUTTI_TRAIN_FLOORS_H

#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"

/* Counts how often token b comes after token a in a split read as "END piece END piece
 * END", into *pairs, [V][V], at [a * V + b]; the caller frees it, and it is NULL after a
 * failure. Reads the split with a chunk of a shard in memory at a time. Same result on
 * every rank and for any number of ranks. Collective. */
enum status baselines_count(struct comm *comm, const struct dataset *dataset,
                            enum split split, int64_t **pairs);

/* Cross-entropy on `split`, nats per token, of the token frequencies c that `train` has,
 * the pairs of a training split, [V][V]:
 *   unigram  p(b)   = (c(b) + 1) / (n + V)
 *   bigram   p(b|a) = (c(a,b) + m p(b)) / (c(a) + m), m = 1 + the number of different
 *            tokens seen after a (Witten and Bell, 1991)
 * NAN for an empty split. Same result on every rank and for any number of ranks.
 * Collective. */
struct baselines {
    double unigram, bigram;
};
enum status baselines_evaluate(struct comm *comm, const struct dataset *dataset,
                               enum split split, const int64_t *train,
                               struct baselines *out);

#endif
