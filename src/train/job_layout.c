#include "job_layout.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/team.h"
#include "base/topology.h"

struct rank_cores {
    char host[64];
    int count; /* of cores, not of hardware threads */
    cpu_set_t set;
};

static struct rank_cores own_cores(const struct comm *comm)
{
    struct rank_cores own;
    struct topology topology;
    memset(&own, 0, sizeof own); /* it is sent as bytes */
    snprintf(own.host, sizeof own.host, "%s", comm_host(comm));
    team_cores(&own.set);
    topology_read("", &own.set, &topology);
    own.count = topology.cores;
    return own;
}

static bool is_first_of_host(const struct rank_cores *ranks, int r)
{
    for (int earlier = 0; earlier < r; earlier++)
        if (strcmp(ranks[earlier].host, ranks[r].host) == 0)
            return false;
    return true;
}

static struct job_layout describe(const struct rank_cores *ranks, int count,
                                  const struct options *options)
{
    struct job_layout job = {.layout = {.threads = team_threads(options->train.threads)}};
    struct topology node;
    cpu_set_t cores;
    int nodes = 0;
    CPU_ZERO(&cores);
    for (int r = 0; r < count; r++) {
        nodes += is_first_of_host(ranks, r);
        if (ranks[r].count < ranks[job.rank].count)
            job.rank = r;
        if (strcmp(ranks[r].host, ranks[0].host) != 0)
            continue;
        CPU_OR(&cores, &cores, &ranks[r].set);
        job.layout.ranks++;
    }
    job.fewest_cores = ranks[job.rank].count;
    topology_read("", &cores, &node);
    job.cpus_per_core = node.cores > 0 ? node.cpus / node.cores : 1;
    topology_apply_limit(&node, topology_cpu_limit(""));
    job.facts = layout_facts_of(options, &node, nodes);
    return job;
}

enum status job_layout_gather(struct comm *comm, const struct options *options,
                              struct job_layout *out)
{
    struct rank_cores own = own_cores(comm);
    uint8_t *all = NULL;
    size_t *sizes = NULL;
    enum status status = comm_gather(comm, &own, sizeof own, &all, &sizes);
    if (status == STATUS_OK && comm_rank(comm) == 0)
        *out = describe((const struct rank_cores *)(void *)all, comm_size(comm), options);
    free(all);
    free(sizes);
    return comm_agree(comm, status);
}

void job_layout_log(const struct job_layout *job)
{
    char text[LAYOUT_TEXT];
    int threads = job->layout.threads;
    if (job->fewest_cores > 0 && job->fewest_cores < threads)
        log_warn("rank %d: %d threads on %d core%s; bind each rank to %d cores (mpirun "
                 "--map-by slot:PE=%d --bind-to core, MPICH: -bind-to core:%d; srun "
                 "--cpus-per-task=%d), or use mpirun --bind-to none, or fewer threads",
                 job->rank, threads, job->fewest_cores, job->fewest_cores == 1 ? "" : "s",
                 threads, threads, threads, threads * job->cpus_per_core);
    else if (rank_layout_remark(&job->facts, job->layout, text)[0])
        log_info("layout           %s", text);
}
