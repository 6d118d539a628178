/* baselines: the losses, on another split, of unigram and bigram models of the training
 * split. A model whose loss is not lower than these has learned nothing. */
#ifndef TUTTI_TRAIN_BASELINES_H
#define TUTTI_TRAIN_BASELINES_H

#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "data/dataset.h"

/* Counts how often token b follows token a in a split read as "END piece END piece END":
 * (*pairs)[a * V + b], [V][V]. The caller frees it; NULL after a failure. Holds one chunk
 * of a shard in memory at a time. Same result on every rank and for any number of ranks.
 * Collective. */
enum status baselines_count(struct comm *comm, const struct dataset *dataset,
                            enum split split, int64_t **pairs);

/* Cross-entropy on `split`, nats per token, from the counts c of tokens and pairs in
 * `train`, the pair counts of a training split, [V][V]:
 *   unigram  p(b)   = (c(b) + 1) / (n + V)
 *   bigram   p(b|a) = (c(a,b) + m p(b)) / (c(a) + m), m = 1 + the number of different
 *            tokens that follow a (Witten and Bell, 1991)
 * NAN for an empty split. Same result on every rank and for any number of ranks.
 * Collective. */
struct baselines {
    double unigram, bigram;
};
enum status baselines_evaluate(struct comm *comm, const struct dataset *dataset,
                               enum split split, const int64_t *train,
                               struct baselines *out);

#endif
