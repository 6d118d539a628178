/* trainer_setup: prepares a run up to its first step. */
#ifndef TUTTI_TRAIN_TRAINER_SETUP_H
#define TUTTI_TRAIN_TRAINER_SETUP_H

#include "trainer_parts.h"
#include "base/status.h"

/* Opens all parts, resumes, and counts the training tokens for the baselines if the
 * checkpoint does not contain the counts. Afterwards state.step is the number of steps
 * already made. trainer->comm and ->request must be set, and the report open.
 * trainer_close must be called even after a failure. Collective. */
enum status trainer_open(struct trainer *trainer);
void trainer_close(struct trainer *trainer);

/* Logs the settings, dataset, model, ranks, memory and baselines. Collective. */
void trainer_log_configuration(struct trainer *trainer);

#endif
