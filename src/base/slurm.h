/* slurm: whether the Slurm variables of the environment are current. A shell (tmux,
 * nohup, a container) that outlives its job still exports them.
 */
#ifndef TUTTI_BASE_SLURM_H
#define TUTTI_BASE_SLURM_H

#include <stdbool.h>
#include <time.h>

/* True if SLURM_JOB_END_TIME, which newer Slurm versions set, is in the past. *ended (may
 * be NULL) is that time. Only `squeue` knows of a job that still runs after it (with an
 * extended limit, or in a grace period). */
bool slurm_job_is_past(time_t *ended);

#endif
