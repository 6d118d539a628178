/* trainer_setup: from settings to the moment before the first step. */
#ifndef TUTTI_TRAIN_TRAINER_SETUP_H
#define TUTTI_TRAIN_TRAINER_SETUP_H

#include "trainer_parts.h"
#include "base/status.h"

/* Opens all parts, resumes, and counts the training tokens for the baselines if the
 * checkpoint does not hold the counts; then state.step steps have been made.
 * trainer->comm and ->request are given, the report is open. After a failure
 * trainer_close is still to be called. Collective. */
enum status trainer_open(struct trainer *trainer);
void trainer_close(struct trainer *trainer);

/* Logs the settings and the facts of the run. Collective. */
void trainer_print_facts(struct trainer *trainer);

#endif
