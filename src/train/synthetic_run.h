/* synthetic_run: training steps on synthetic tokens, by the trainer's own code: what a
 * step costs on this machine, without a dataset. Writes no file.
 */
#ifndef TUTTI_TRAIN_SYNTHETIC_RUN_H
#define TUTTI_TRAIN_SYNTHETIC_RUN_H

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

struct synthetic_run;

/* With the settings of [model] and [train]. Tokens are uniform over `vocabulary` except
 * the last, which ends a piece. Collective; with comm_self, of this rank only. */
enum status synthetic_run_open(struct comm *comm, const struct options *options,
                               size_t vocabulary, struct synthetic_run **out);
void synthetic_run_close(struct synthetic_run *run); /* NULL is fine */

/* A whole step: forward, backward, sum, clip, update. Collective. */
enum status synthetic_run_step(struct synthetic_run *run);

/* Of one step of this rank: tokens, and FLOP in matrix products (6 for each multiply-add
 * of the forward pass). */
double synthetic_run_tokens(const struct synthetic_run *run);
double synthetic_run_flop(const struct synthetic_run *run);

#endif
