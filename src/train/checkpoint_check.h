/* checkpoint_check: checks the consistency of a checkpoint that was read. A file's
 * checksums show that it is as it was written, but not that its values can occur in a
 * run: it may contain counters near overflow, losses that are not finite, or positions
 * that no run can reach. A run resumed from such values could overflow an integer or
 * never end.
 *
 * Every limit is far above anything that a run can reach, such as 2^53 steps.
 */
#ifndef TUTTI_TRAIN_CHECKPOINT_CHECK_H
#define TUTTI_TRAIN_CHECKPOINT_CHECK_H

#include "checkpoint.h"
#include "base/status.h"

/* Checks /state and /history, which must be consistent with each other and with the
 * weights' hash, and the pairs if there are any. Messages: "PATH: /state: attribute
 * epoch_step: 7 (expected 0 to 5)". */
enum status checkpoint_check(const char *path, const struct checkpoint *checkpoint);

/* For resuming: checks that weights, moments and hidden states are finite, that the
 * optimizer has made one update per step, and that the streams' positions can be reached
 * in that number of steps. */
enum status checkpoint_check_training(const char *path,
                                      const struct checkpoint *checkpoint);

/* For prediction: checks that all weights are finite. */
enum status checkpoint_check_weights(const char *path,
                                     const struct checkpoint *checkpoint);

/* The same for the averaged weights, [params.total]. */
enum status checkpoint_check_average(const char *path,
                                     const struct checkpoint *checkpoint,
                                     const float *average);

#endif
