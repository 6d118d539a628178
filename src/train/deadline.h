/* deadline: the time limit of a run: the earlier of run.time_limit_minutes and the time
 * limit of its Slurm job. Rank 0 only.
 *
 * The job's limit is read from SLURM_JOB_END_TIME first, if it is set (newer versions of
 * Slurm do so), then from `squeue`: at the start, every few minutes, and more often
 * towards the end, as a limit may be extended. A separate thread does this, so training
 * never waits; without an answer the known limit stays in effect. The result is logged in
 * one line. Variables left over from a job (its end has passed, or squeue does not know
 * it) set no limit; one warning names the job.
 */
#ifndef TUTTI_TRAIN_DEADLINE_H
#define TUTTI_TRAIN_DEADLINE_H

#include "base/status.h"

struct deadline;

/* The `minutes` (0: no such limit) start now. Outside a Slurm job there is no thread. */
enum status deadline_open(double minutes, struct deadline **out);

/* Seconds left; HUGE_VAL without a limit, or while none is known. Any thread. */
double deadline_left(const struct deadline *deadline);

/* Doesn't wait for an answer from Slurm. NULL is fine. */
void deadline_close(struct deadline *deadline);

#endif
