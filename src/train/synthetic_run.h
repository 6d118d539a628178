/* synthetic_run: runs training steps on synthetic tokens with the trainer's own code, to
 * measure the cost of a step on this machine without a dataset. Writes no files.
 */
#ifndef TUTTI_TRAIN_SYNTHETIC_RUN_H
#define TUTTI_TRAIN_SYNTHETIC_RUN_H

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

struct synthetic_run;

/* Uses the settings of [model] and [train]. Tokens are drawn uniformly from `vocabulary`,
 * except the last, which ends a piece. Collective; with comm_self, on this rank only. */
enum status synthetic_run_open(struct comm *comm, const struct options *options,
                               size_t vocabulary, struct synthetic_run **out);
void synthetic_run_close(struct synthetic_run *run); /* NULL is fine */

/* A complete step: forward, backward, allreduce, clipping, update. Collective. */
enum status synthetic_run_step(struct synthetic_run *run);

/* Tokens of one step on this rank, and its FLOP in matrix products (6 per multiply-add of
 * the forward pass). */
double synthetic_run_tokens(const struct synthetic_run *run);
double synthetic_run_flop(const struct synthetic_run *run);

#endif
