/* deadline: how long the run may go on: run.minutes, and the time limit of the
 * Slurm job that it is part of. Rank 0 only.
 *
 * Slurm is asked at the start, every few minutes and more often towards the end, as a
 * limit may be extended: SLURM_JOB_END_TIME at first where it is set (newer Slurms do),
 * then `squeue`. A thread does the asking, so training never waits for it, and no answer
 * is no fault: what was known stays. What was found is logged in one line. Variables
 * left over from a job (its end has passed, or squeue does not know it) set no
 * limit; one warning names the job.
 */
#ifndef TUTTI_TRAIN_DEADLINE_H
#define TUTTI_TRAIN_DEADLINE_H

#include "base/status.h"

struct deadline;

/* The clock of `minutes` (0: no such limit) starts now. Outside of a Slurm job there is
 * no thread. */
enum status deadline_open(double minutes, struct deadline **out);

/* Seconds that are left; HUGE_VAL without a limit, or while none is known. From any
 * thread. */
double deadline_left(const struct deadline *deadline);

/* Doesn't wait for an answer of Slurm. NULL is fine. */
void deadline_close(struct deadline *deadline);

/* Slurm's "[days-]hours:minutes:seconds", "minutes:seconds" or "UNLIMITED" (HUGE_VAL) as
 * seconds; -1: nothing of the kind. */
double deadline_parse(const char *text);

#endif
