/* trainer_epoch: the steps of an epoch, and its end: validation, history, checkpoint,
 * samples, time report.
 *
 * Ranks base decisions (stop, save, end early) only on values that are the same on all of
 * them: those of the exact sum, of the evaluation and of the settings.
 */
#ifndef TUTTI_TRAIN_TRAINER_EPOCH_H
#define TUTTI_TRAIN_TRAINER_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer_parts.h"
#include "base/status.h"

/* True if no step is left, by train.epochs, train.max_steps or early stopping. An epoch
 * whose steps are complete is not finished before it is validated. */
bool trainer_finished(const struct trainer *trainer);

/* Runs the rest of the current epoch, up to train.max_steps or until trainer->stop is
 * set. A stop after the last step leaves the validation to the resumed run.
 * Collective. */
enum status trainer_epoch(struct trainer *trainer);

/* If train.max_steps ended the run within an epoch: validates there. Collective. */
enum status trainer_validate_partial_epoch(struct trainer *trainer);

/* Requests a checkpoint. Collective. */
void trainer_save(struct trainer *trainer);

/* Reports the breakdown of the time since the last call, for epoch number `epoch`.
 * Collective. */
enum status trainer_report_time(struct trainer *trainer, int64_t epoch);

/* Rank 0: true if that folder of the run exists. A user may have removed it. */
bool trainer_folder_exists(const char *folder);

#endif
