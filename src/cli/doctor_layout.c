/* doctor_layout: compares ranks and threads with the caches and NUMA nodes, for the model
 * and the batch of the configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "train/rank_layout.h"

static int count_hosts(const struct doctor *doctor)
{
    int hosts = 0;
    for (int r = 0; r < doctor->ranks; r++)
        hosts += doctor_first_of_host(doctor, r);
    return hosts;
}

/* The layout of rank 0's host, and its cores: those of its ranks. */
static struct layout_facts facts_of(const struct doctor *doctor,
                                    struct rank_layout *layout)
{
    struct topology node;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    *layout = (struct rank_layout){.threads = doctor_threads(doctor)};
    for (int r = 0; r < doctor->ranks; r++)
        if (doctor_same_host(doctor, r, 0)) {
            CPU_OR(&cpus, &cpus, &doctor->reports[r].cpus);
            layout->ranks++;
        }
    topology_read("", &cpus, &node);
    topology_apply_limit(&node, topology_cpu_limit(""));
    return layout_facts_of(&doctor->options, &node, count_hosts(doctor));
}

int doctor_cpus_per_core(const struct doctor *doctor)
{
    const struct topology *topology = &doctor->reports[0].topology;
    return topology->cores > 0 ? topology->cpus / topology->cores : 1;
}

const char *doctor_recommended_launch(const struct doctor *doctor,
                                      char text[DOCTOR_TEXT_SIZE])
{
    struct rank_layout now;
    struct layout_facts facts = facts_of(doctor, &now);
    struct rank_layout best = rank_layout_recommend(&facts);
    int ranks = best.ranks * facts.nodes, used;
    if (doctor_has_open_mpi(&doctor->reports[0]))
        used = snprintf(text, DOCTOR_TEXT_SIZE,
                        "mpirun -n %d --map-by ppr:%d:node:PE=%d --bind-to core", ranks,
                        best.ranks, best.threads);
    else
        used = snprintf(text, DOCTOR_TEXT_SIZE, "mpirun -n %d -ppn %d -bind-to core:%d",
                        ranks, best.ranks, best.threads);
    snprintf(text + used, DOCTOR_TEXT_SIZE - (size_t)used,
             ", or srun --ntasks-per-node=%d --cpus-per-task=%d --cpu-bind=cores; with "
             "train.threads=%d",
             best.ranks, best.threads * doctor_cpus_per_core(doctor), best.threads);
    return text;
}

/* A rank on several NUMA nodes or, with them, third-level caches. */
static bool spans_numa_nodes(const struct rank_report *report)
{
    return report->topology.numa_nodes > 1;
}

static bool spans_domains(const struct rank_report *report)
{
    return report->topology.domains > 1;
}

/* True if OpenMP has bound the threads of the rank (OMP_PROC_BIND, OMP_PLACES). */
static bool has_bound_threads(const struct rank_report *report)
{
    return CPU_COUNT(&report->first_thread) < CPU_COUNT(&report->cpus);
}

/* Looks for ranks that the given function is true for. */
static bool check_span(struct doctor *doctor, bool (*spans)(const struct rank_report *),
                       enum doctor_level level, const char *of)
{
    char list[DOCTOR_TEXT_SIZE / 2], remedy[DOCTOR_TEXT_SIZE];
    bool *affected = calloc((size_t)doctor->ranks + 1, sizeof *affected);
    int count = 0;
    for (int r = 0; affected && r < doctor->ranks; r++)
        count += affected[r] =
            spans(&doctor->reports[r]) && !has_bound_threads(&doctor->reports[r]);
    if (count > 0)
        doctor_add(
            doctor, level, "layout", doctor_recommended_launch(doctor, remedy),
            "the cores of %s belong to several %s, so the threads of a rank may be "
            "far apart",
            doctor_rank_list(doctor, affected, list, sizeof list), of);
    free(affected);
    return count > 0;
}

/* True if the threads of some ranks may be far apart. */
static bool check_spans(struct doctor *doctor)
{
    return doctor_threads(doctor) > 1 &&
           (check_span(doctor, spans_numa_nodes, DOCTOR_WARNING, "NUMA nodes") ||
            check_span(doctor, spans_domains, DOCTOR_NOTE, "third-level caches"));
}

/* Writes "a thread reads 1 MB of recurrent weights ...". */
static void describe_share(const struct layout_facts *facts, int threads,
                           char text[LAYOUT_TEXT])
{
    const double megabyte = 1e6;
    int used = snprintf(text, LAYOUT_TEXT,
                        "a thread reads %.2g MB of recurrent weights per time step",
                        (double)rank_layout_share(facts, threads) / megabyte);
    if (facts->l2_bytes > 0)
        snprintf(text + used, LAYOUT_TEXT - (size_t)used,
                 "; its second-level cache has %.2g MB",
                 (double)facts->l2_bytes / megabyte);
}

void doctor_check_layout(struct doctor *doctor)
{
    char text[LAYOUT_TEXT], share[LAYOUT_TEXT], remedy[DOCTOR_TEXT_SIZE];
    struct rank_layout now;
    struct layout_facts facts = facts_of(doctor, &now);
    struct rank_layout best = rank_layout_recommend(&facts);
    int used = now.ranks * now.threads;
    if (check_spans(doctor) || used > facts.cores || used < best.ranks * best.threads)
        return; /* the check of the cores has reported the rest */
    if (rank_layout_remark(&facts, now, text)[0]) {
        doctor_recommended_launch(doctor, remedy);
        doctor_add(doctor, DOCTOR_NOTE, "layout", remedy, "%s", text);
        return;
    }
    describe_share(&facts, now.threads, share);
    doctor_add(doctor, DOCTOR_OK, "layout", NULL, "%s: %s",
               rank_layout_text(&facts, now, text), share);
}
