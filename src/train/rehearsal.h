/* rehearsal: training steps on made-up tokens, by the trainer's own code: what a step costs
 * on this machine, without a dataset. Writes no file.
 */
#ifndef TUTTI_TRAIN_REHEARSAL_H
#define TUTTI_TRAIN_REHEARSAL_H

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

struct rehearsal;

/* With the settings of [model] and [train]. Tokens are drawn evenly from `vocabulary`, of
 * which the last ends a piece and never comes. Collective; with comm_alone's, of this rank
 * only. */
enum status rehearsal_open(struct comm *comm, const struct options *options,
                           size_t vocabulary, struct rehearsal **out);
void rehearsal_close(struct rehearsal *rehearsal); /* NULL is fine */

/* A whole step: forward, backward, sum, clip, update. Collective. */
enum status rehearsal_step(struct rehearsal *rehearsal);

/* Of one step of this rank: tokens, and FLOP in matrix products (6 for each multiply-add of
 * the forward pass). */
double rehearsal_tokens(const struct rehearsal *rehearsal);
double rehearsal_flop(const struct rehearsal *rehearsal);

#endif
