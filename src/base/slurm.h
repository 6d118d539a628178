/* slurm: checks whether the Slurm variables in the environment are current. A shell
 * (tmux, nohup, a container) that outlives its job still exports them.
 */
#ifndef TUTTI_BASE_SLURM_H
#define TUTTI_BASE_SLURM_H

#include <stdbool.h>
#include <time.h>

/* True if SLURM_JOB_END_TIME, which newer Slurm versions set, is in the past. *end_time
 * (may be NULL) is that time. A job may still run after it, with an extended time limit
 * or in a grace period; only `squeue` can tell. */
bool slurm_end_time_passed(time_t *end_time);

#endif
