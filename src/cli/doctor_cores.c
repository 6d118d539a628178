/* doctor_cores: compares threads with the cores that each rank may use. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor.h"

static int threads(const struct doctor *doctor)
{
    return (int)doctor->options.train.threads;
}

static bool within(const cpu_set_t *inner, const cpu_set_t *outer)
{
    cpu_set_t both;
    CPU_AND(&both, inner, outer);
    return CPU_EQUAL(&both, inner);
}

/* Marks the ranks of the host whose cores all lie in `cores`; returns their number. */
static int mark_within(const struct doctor *doctor, int host, const cpu_set_t *cores,
                       bool *which)
{
    int count = 0;
    for (int r = 0; r < doctor->ranks; r++) {
        which[r] =
            doctor_same_host(doctor, r, host) && within(&doctor->reports[r].cores, cores);
        count += which[r];
    }
    return count;
}

static void host_union(const struct doctor *doctor, int host, cpu_set_t *all)
{
    CPU_ZERO(all);
    for (int r = host; r < doctor->ranks; r++)
        if (doctor_same_host(doctor, r, host))
            CPU_OR(all, all, &doctor->reports[r].cores);
}

/* True if an earlier rank of the host has exactly the same cores. */
static bool seen_before(const struct doctor *doctor, int r)
{
    for (int before = 0; before < r; before++)
        if (doctor_same_host(doctor, before, r) &&
            CPU_EQUAL(&doctor->reports[before].cores, &doctor->reports[r].cores))
            return true;
    return false;
}

/* Adds a finding for `ranks` ranks that have more threads than their `cores` cores, on a
 * host with `others` further cores. */
static void add_oversubscribed(struct doctor *doctor, const bool *which, int ranks,
                               int cores, int others)
{
    char list[DOCTOR_TEXT / 2];
    bool bound_alone = ranks == 1;
    const char *cure =
        bound_alone && others > 0
            ? "mpirun --bind-to none, or --map-by slot:PE=THREADS; srun --cpus-per-task; "
              "or --set train.threads=1"
        : bound_alone ? "--set train.threads=1, or fewer"
        : others > 0
            ? "mpirun --bind-to core gives each rank its own; srun --cpu-bind=cores"
            : "fewer ranks on the host: mpirun -n, srun --ntasks-per-node; or "
              "--set train.threads=1";
    doctor_rank_list(doctor, which, list, sizeof list);
    if (bound_alone)
        doctor_add(doctor, DOCTOR_WARNING, "binding", cure, "%s: %d threads on %d %s%s",
                   list, threads(doctor), cores, cores == 1 ? "core" : "cores",
                   others > 0 ? ", while the host has other cores" : "");
    else
        doctor_add(doctor, DOCTOR_WARNING, "binding", cure,
                   "%s share %d %s: %d threads%s", list, cores,
                   cores == 1 ? "core" : "cores", ranks * threads(doctor),
                   others > 0 ? ", while the host has other cores" : "");
}

/* Looks for sets of cores with more threads than cores: every rank's own set, and the
 * union over all ranks of the host. Returns the number of findings. */
static int check_host_cores(struct doctor *doctor, int host, bool *which)
{
    int found = 0;
    cpu_set_t all;
    host_union(doctor, host, &all);
    for (int r = host; r <= doctor->ranks; r++) {
        bool last = r == doctor->ranks;
        if (!last && (!doctor_same_host(doctor, r, host) || seen_before(doctor, r)))
            continue;
        const cpu_set_t *cores = last ? &all : &doctor->reports[r].cores;
        int ranks = mark_within(doctor, host, cores, which);
        int have = CPU_COUNT(cores);
        if (ranks * threads(doctor) <= have || (last && found > 0))
            continue;
        add_oversubscribed(doctor, which, ranks, have,
                           doctor->reports[host].host_cores - have);
        found++;
    }
    return found;
}

/* Checks the CPU limit of the control group, which does not show in the binding. */
static int check_share(struct doctor *doctor, int host, int ranks)
{
    double share = doctor->reports[host].share;
    if (share <= 0 || ranks * threads(doctor) <= (int)ceil(share))
        return 0;
    doctor_add(doctor, DOCTOR_WARNING, "binding",
               "fewer ranks, or a larger share (docker --cpus)",
               "%d threads on %s, whose control group (cpu.max) allows %.0f cores",
               ranks * threads(doctor), doctor->reports[host].host, share);
    return 1;
}

static void check_cores_per_task(struct doctor *doctor, bool *which)
{
    int count = 0, asked = 0;
    char list[DOCTOR_TEXT / 2];
    for (int r = 0; r < doctor->ranks; r++) {
        const struct rank_report *report = &doctor->reports[r];
        int wanted = atoi(report->variables[VARIABLE_SLURM_CPUS_PER_TASK]);
        which[r] = wanted > CPU_COUNT(&report->cores);
        count += which[r];
        asked = which[r] ? wanted : asked;
    }
    if (count == 0)
        return;
    const struct rank_report *first = &doctor->reports[0];
    char cure[DOCTOR_TEXT];
    if (doctor_is_set(first, VARIABLE_HYDRA_RANKS))
        snprintf(cure, sizeof cure, "mpirun -bind-to core:%d", asked);
    else if (doctor_by_mpirun(first))
        snprintf(cure, sizeof cure, "mpirun --map-by slot:PE=%d --bind-to core", asked);
    else
        snprintf(cure, sizeof cure,
                 "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK in the job script, or "
                 "srun --cpus-per-task=%d: srun does not inherit it",
                 asked);
    doctor_add(doctor, DOCTOR_WARNING, "cpus-per-task", cure,
               "--cpus-per-task=%d did not reach %s", asked,
               doctor_rank_list(doctor, which, list, sizeof list));
}

static void check_thread_variables(struct doctor *doctor)
{
    static const enum doctor_variable variables[] = {VARIABLE_OMP_THREADS,
                                                     VARIABLE_OPENBLAS_THREADS};
    const struct rank_report *report = &doctor->reports[0];
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = report->variables[variables[i]];
        if (value[0] && atoi(value) != threads(doctor))
            doctor_add(doctor, DOCTOR_NOTE, "threads", "--set train.threads=N",
                       "%s=%s has no effect: train.threads = %d is used",
                       doctor_variables[variables[i]], value, threads(doctor));
    }
}

void doctor_check_cores(struct doctor *doctor)
{
    bool *which = calloc((size_t)doctor->ranks + 1, sizeof *which);
    int found = 0, used = 0, cores = 0;
    for (int host = 0; which && host < doctor->ranks; host++) {
        if (!doctor_first_of_host(doctor, host))
            continue;
        cpu_set_t all;
        host_union(doctor, host, &all);
        int ranks = mark_within(doctor, host, &all, which);
        found += check_host_cores(doctor, host, which);
        found += check_share(doctor, host, ranks);
        used += ranks * threads(doctor);
        cores += CPU_COUNT(&all);
    }
    if (which && found == 0 && (used >= cores || doctor->launch_fault[0]))
        doctor_add(doctor, DOCTOR_OK, "binding", NULL,
                   "%d rank%s x %d thread%s, one core each", doctor->ranks,
                   doctor_plural(doctor->ranks), threads(doctor),
                   doctor_plural(threads(doctor)));
    else if (which && found == 0)
        doctor_add(doctor, DOCTOR_NOTE, "binding",
                   "one rank per core is fastest: mpirun -n, srun --ntasks-per-node",
                   "%d rank%s x %d thread%s: %d of %d available cores", doctor->ranks,
                   doctor_plural(doctor->ranks), threads(doctor),
                   doctor_plural(threads(doctor)), used, cores);
    if (which)
        check_cores_per_task(doctor, which);
    check_thread_variables(doctor);
    free(which);
}
