/* checkpoint_check: consistency of a checkpoint that was read. A file's checksums show
 * that it is what somebody wrote, not that its values can occur in a run: counters near
 * overflow, losses that are not finite, positions that no run reaches. A run resumed from
 * such values could overflow an integer or never end.
 *
 * Every limit is far above what a run can reach: 2^53 steps.
 */
#ifndef TUTTI_TRAIN_CHECKPOINT_CHECK_H
#define TUTTI_TRAIN_CHECKPOINT_CHECK_H

#include "checkpoint.h"
#include "base/status.h"

/* /state and /history, which must be consistent with each other and with the weights'
 * hash; the pairs if there are any. Messages: "PATH: /state: attribute epoch_step: 7
 * (expected 0 to 5)". */
enum status checkpoint_check(const char *path, const struct checkpoint *checkpoint);

/* For resuming: weights, moments and hidden states are finite, the optimizer has made one
 * update per step, the streams are at positions reachable in that number of steps. */
enum status checkpoint_check_training(const char *path,
                                      const struct checkpoint *checkpoint);

/* For prediction: all weights are finite. */
enum status checkpoint_check_weights(const char *path,
                                     const struct checkpoint *checkpoint);

#endif
