/* slurm: whether the Slurm variables of the environment can be believed. A shell (tmux,
 * nohup, a container) that has outlived its job hands them on for ever.
 */
#ifndef TUTTI_BASE_SLURM_H
#define TUTTI_BASE_SLURM_H

#include <stdbool.h>
#include <time.h>

/* Does SLURM_JOB_END_TIME, which newer Slurms set, lie in the past? *ended (may be NULL)
 * is that time. A job that still runs after it (its limit was extended, or there is a
 * grace period) is known to `squeue` only. */
bool slurm_job_is_past(time_t *ended);

#endif
