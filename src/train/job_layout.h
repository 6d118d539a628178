/* job_layout: the layout of a running job and the cores that it has on rank 0's node. */
#ifndef TUTTI_TRAIN_JOB_LAYOUT_H
#define TUTTI_TRAIN_JOB_LAYOUT_H

#include "rank_layout.h"
#include "base/status.h"
#include "comm/comm.h"

struct job_layout {
    struct layout_facts facts;
    struct rank_layout layout; /* the ranks of rank 0's node */
    int cpus_per_core;         /* hardware threads, which srun counts */
    int fewest_cores, rank; /* the rank that may use the fewest cores, and their number */
};

/* *out is set on rank 0 only. The job's cores on its node are those of its ranks. The
 * same status on all ranks. Collective. */
enum status job_layout_gather(struct comm *comm, const struct options *options,
                              struct job_layout *out);

/* Warns if a rank has fewer cores than threads; or else logs a line if another layout
 * suits the job better. Rank 0 only. */
void job_layout_log(const struct job_layout *job);

#endif
