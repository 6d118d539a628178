/* checkpoint_check: what a checkpoint says of itself, held against the rest of it. A
 * file's checksums show that it is what somebody wrote, not that it makes sense: counters
 * near their ends, losses that are no numbers, positions that no run comes to. Whoever
 * goes on from there would count past the range of an integer, or never come to an end.
 *
 * Every limit is far above what a run can reach: 2^53 steps.
 */
#ifndef TUTTI_TRAIN_CHECKPOINT_CHECK_H
#define TUTTI_TRAIN_CHECKPOINT_CHECK_H

#include "checkpoint.h"
#include "base/status.h"

/* /state and /history, which must fit each other and the weights' hash; the pairs if
 * there are any. Messages: "PATH: /state: attribute epoch_step: 7 (expected 0 to 5)". */
enum status checkpoint_check(const char *path, const struct checkpoint *checkpoint);

/* What training goes on from: weights, moments and carried states are numbers, the
 * optimizer has made as many updates as there were steps, the streams are where so many
 * steps can have led them. */
enum status checkpoint_check_training(const char *path,
                                      const struct checkpoint *checkpoint);

/* That all weights are numbers, for those who only predict. */
enum status checkpoint_check_weights(const char *path,
                                     const struct checkpoint *checkpoint);

#endif
