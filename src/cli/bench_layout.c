/* bench_layout: the ranks and threads that suit the model, the batch and the caches. */
#include "bench.h"
#include "train/job_layout.h"

static void add_share(struct bench *bench, const struct layout_facts *facts, int threads,
                      const char *name)
{
    const double megabyte = 1e6;
    struct bench_limit cache = {"a core's L2 cache", (double)facts->l2_bytes / megabyte};
    bench_add(bench, "layout", "MB", (double)rank_layout_share(facts, threads) / megabyte,
              facts->l2_bytes > 0 ? cache : bench_unlimited, "%s", name);
}

/* Not collective. */
static void add_rows(struct bench *bench, const struct job_layout *job)
{
    struct rank_layout best = rank_layout_recommend(&job->facts);
    bench_add(bench, "layout", "cores", job->facts.cores, bench_unlimited,
              "cores of the job on this node");
    bench_add(bench, "layout", "domains", job->facts.domains, bench_unlimited,
              "groups that share an L3 cache");
    add_share(bench, &job->facts, job->layout.threads, "recurrent weights of a thread");
    bench_add(bench, "layout", "ranks", best.ranks, bench_unlimited,
              "recommended ranks per node");
    bench_add(bench, "layout", "threads", best.threads, bench_unlimited,
              "recommended threads per rank");
    add_share(bench, &job->facts, best.threads,
              "recurrent weights of a thread, recommended");
}

enum status bench_layout(struct bench *bench)
{
    struct job_layout job;
    enum status status = job_layout_gather(bench->comm, bench->options, &job);
    if (status == STATUS_OK && comm_rank(bench->comm) == 0)
        add_rows(bench, &job);
    return status;
}
