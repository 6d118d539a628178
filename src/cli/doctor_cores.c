/* doctor_cores: compares threads with the cores that each rank may use. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor.h"
#include "base/team.h"

int doctor_threads(const struct doctor *doctor)
{
    return team_threads(doctor->options.train.threads);
}

static bool is_subset(const cpu_set_t *inner, const cpu_set_t *outer)
{
    cpu_set_t both;
    CPU_AND(&both, inner, outer);
    return CPU_EQUAL(&both, inner);
}

/* Marks the ranks of the host whose cores all lie in `cores`; returns their number. */
static int mark_subset(const struct doctor *doctor, int host, const cpu_set_t *cores,
                       bool *affected)
{
    int count = 0;
    for (int r = 0; r < doctor->ranks; r++) {
        affected[r] = doctor_same_host(doctor, r, host) &&
                      is_subset(&doctor->reports[r].cores, cores);
        count += affected[r];
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
static bool is_repeated_set(const struct doctor *doctor, int r)
{
    for (int earlier = 0; earlier < r; earlier++)
        if (doctor_same_host(doctor, earlier, r) &&
            CPU_EQUAL(&doctor->reports[earlier].cores, &doctor->reports[r].cores))
            return true;
    return false;
}

static const char *cores_of_host_remain(const struct doctor *doctor, int host, int used)
{
    return doctor->reports[host].host_cores > used ? ", while the host has other cores"
                                                   : "";
}

/* Writes how the launchers bind each rank to a core per thread. */
static const char *binding_launch(const struct doctor *doctor, char *text, size_t size)
{
    int threads = doctor_threads(doctor);
    bool open_mpi = doctor_has_open_mpi(&doctor->reports[0]);
    snprintf(text, size, "mpirun %s%d%s, srun --cpus-per-task=%d --cpu-bind=cores",
             open_mpi ? "--map-by slot:PE=" : "-bind-to core:", threads,
             open_mpi ? " --bind-to core" : "", threads * doctor_cpus_per_core(doctor));
    return text;
}

static bool has_few_cores(const struct doctor *doctor, int r)
{
    int cores = CPU_COUNT(&doctor->reports[r].cores);
    return cores > 0 && cores < doctor_threads(doctor);
}

/* Looks for ranks that have fewer cores than threads: by default Open MPI's mpirun binds
 * each of one or two ranks to one core, whatever its threads. Returns their number. */
static int check_own_cores(struct doctor *doctor, bool *affected)
{
    char list[DOCTOR_TEXT_SIZE / 2], launch[DOCTOR_TEXT_SIZE / 2],
        remedy[DOCTOR_TEXT_SIZE];
    int count = 0, first = 0;
    for (int r = doctor->ranks - 1; r >= 0; r--) {
        affected[r] = has_few_cores(doctor, r);
        count += affected[r];
        first = affected[r] ? r : first;
    }
    if (count == 0)
        return 0;
    int cores = CPU_COUNT(&doctor->reports[first].cores);
    const char *others = cores_of_host_remain(doctor, first, cores);
    if (others[0])
        snprintf(remedy, sizeof remedy,
                 "%s; or mpirun --bind-to none; or --set train.threads=1",
                 binding_launch(doctor, launch, sizeof launch));
    else
        snprintf(remedy, sizeof remedy, "--set train.threads=1, or fewer");
    doctor_add(
        doctor, DOCTOR_WARNING, "binding", remedy, "%s: %d threads on %d core%s%s%s",
        doctor_rank_list(doctor, affected, list, sizeof list), doctor_threads(doctor),
        cores, doctor_plural(cores), count > 1 ? " each" : "", others);
    return count;
}

/* Looks for ranks whose threads OpenMP has bound to the same cores: the first ones that
 * each rank may use, which are the same for all ranks of a host unless the launcher has
 * bound them. Returns the number of these ranks. */
static int check_places(struct doctor *doctor, bool *affected)
{
    char list[DOCTOR_TEXT_SIZE / 2], launch[DOCTOR_TEXT_SIZE / 2],
        remedy[DOCTOR_TEXT_SIZE];
    int count = 0;
    for (int r = 0; r < doctor->ranks; r++) {
        const struct rank_report *report = &doctor->reports[r];
        affected[r] = false;
        for (int other = 0; other < doctor->ranks; other++)
            affected[r] |=
                other != r && doctor_same_host(doctor, r, other) &&
                CPU_EQUAL(&report->first_thread, &doctor->reports[other].first_thread);
        affected[r] &= CPU_COUNT(&report->first_thread) < CPU_COUNT(&report->cpus);
        count += affected[r];
    }
    if (count == 0)
        return 0;
    snprintf(remedy, sizeof remedy,
             "unset OMP_PROC_BIND OMP_PLACES, or bind the ranks: %s",
             binding_launch(doctor, launch, sizeof launch));
    doctor_add(doctor, DOCTOR_WARNING, "binding", remedy,
               "OMP_PROC_BIND or OMP_PLACES binds the threads of %s to the same cores",
               doctor_rank_list(doctor, affected, list, sizeof list));
    return count;
}

/* Adds a finding for `ranks` ranks whose threads share too few cores. */
static void add_oversubscribed(struct doctor *doctor, const bool *affected, int ranks,
                               int cores, const char *others)
{
    char list[DOCTOR_TEXT_SIZE / 2], launch[DOCTOR_TEXT_SIZE / 2];
    doctor_rank_list(doctor, affected, list, sizeof list);
    doctor_add(doctor, DOCTOR_WARNING, "binding",
               others[0] ? binding_launch(doctor, launch, sizeof launch)
                         : "fewer ranks on the host: mpirun -n, srun --ntasks-per-node; "
                           "or --set train.threads=1",
               "%s share %d %s: %d threads%s", list, cores, cores == 1 ? "core" : "cores",
               ranks * doctor_threads(doctor), others);
}

/* Looks for sets of cores with more threads than cores that several ranks share: every
 * rank's own set, and the union over all ranks of the host. Ranks with fewer cores than
 * threads have a finding of their own, which explains that of the union, too. Returns the
 * number of findings. */
static int check_host_cores(struct doctor *doctor, int host, bool *affected)
{
    bool is_explained = false;
    int found = 0;
    cpu_set_t all;
    host_union(doctor, host, &all);
    for (int r = host; r <= doctor->ranks; r++) {
        bool last = r == doctor->ranks;
        if (!last && !doctor_same_host(doctor, r, host))
            continue;
        is_explained |= !last && has_few_cores(doctor, r);
        if (!last && (is_repeated_set(doctor, r) || has_few_cores(doctor, r)))
            continue;
        const cpu_set_t *cores = last ? &all : &doctor->reports[r].cores;
        int ranks = mark_subset(doctor, host, cores, affected);
        int available = CPU_COUNT(cores);
        if (ranks * doctor_threads(doctor) <= available || (last && is_explained))
            continue;
        add_oversubscribed(doctor, affected, ranks, available,
                           cores_of_host_remain(doctor, host, available));
        is_explained = true;
        found++;
    }
    return found;
}

/* The cores of the ranks of a host that its CPU quota allows. */
static int available_cores(const struct doctor *doctor, int host, int cores)
{
    int quota = (int)doctor->reports[host].cpu_quota;
    return quota > 0 && quota < cores ? quota : cores;
}

/* Checks the CPU quota of the control group, which the binding does not show. */
static int check_cpu_quota(struct doctor *doctor, int host, int ranks)
{
    double cpu_quota = doctor->reports[host].cpu_quota;
    if (cpu_quota <= 0 || ranks * doctor_threads(doctor) <= (int)ceil(cpu_quota))
        return 0;
    doctor_add(doctor, DOCTOR_WARNING, "binding",
               "fewer ranks, or a larger CPU quota (docker --cpus)",
               "%d threads on %s, whose control group (cpu.max) allows %.0f cores",
               ranks * doctor_threads(doctor), doctor->reports[host].host, cpu_quota);
    return 1;
}

static void check_cores_per_task(struct doctor *doctor, bool *affected)
{
    int count = 0, requested = 0;
    char list[DOCTOR_TEXT_SIZE / 2];
    for (int r = 0; r < doctor->ranks; r++) {
        const struct rank_report *report = &doctor->reports[r];
        int per_task = atoi(report->variables[VARIABLE_SLURM_CPUS_PER_TASK]);
        affected[r] = per_task > CPU_COUNT(&report->cpus);
        count += affected[r];
        requested = affected[r] ? per_task : requested;
    }
    if (count == 0)
        return;
    const struct rank_report *first = &doctor->reports[0];
    const int unit = doctor_cpus_per_core(doctor), cores = (requested + unit - 1) / unit;
    char remedy[DOCTOR_TEXT_SIZE];
    if (doctor_is_set(first, VARIABLE_HYDRA_RANKS))
        snprintf(remedy, sizeof remedy, "mpirun -bind-to core:%d", cores);
    else if (doctor_launched_by_mpirun(first))
        snprintf(remedy, sizeof remedy, "mpirun --map-by slot:PE=%d --bind-to core",
                 cores);
    else
        snprintf(remedy, sizeof remedy,
                 "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK in the job script, or "
                 "srun --cpus-per-task=%d: srun does not inherit it",
                 requested);
    doctor_add(doctor, DOCTOR_WARNING, "cpus-per-task", remedy,
               "--cpus-per-task=%d did not reach %s", requested,
               doctor_rank_list(doctor, affected, list, sizeof list));
}

static void check_thread_variables(struct doctor *doctor)
{
    static const enum doctor_variable variables[] = {VARIABLE_OMP_THREADS,
                                                     VARIABLE_OPENBLAS_THREADS};
    const struct rank_report *report = &doctor->reports[0];
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = report->variables[variables[i]];
        if (value[0] && atoi(value) != doctor_threads(doctor))
            doctor_add(doctor, DOCTOR_NOTE, "threads", "--set train.threads=N",
                       "%s=%s has no effect: a rank has %d %s",
                       doctor_variables[variables[i]], value, doctor_threads(doctor),
                       doctor_threads(doctor) == 1 ? "thread" : "threads");
    }
}

void doctor_check_cores(struct doctor *doctor)
{
    char remedy[DOCTOR_TEXT_SIZE];
    bool *affected = calloc((size_t)doctor->ranks + 1, sizeof *affected);
    int found = affected ? check_own_cores(doctor, affected) : 0, used = 0, cores = 0;
    for (int host = 0; affected && host < doctor->ranks; host++) {
        if (!doctor_first_of_host(doctor, host))
            continue;
        cpu_set_t all;
        host_union(doctor, host, &all);
        int ranks = mark_subset(doctor, host, &all, affected);
        found += check_host_cores(doctor, host, affected);
        found += check_cpu_quota(doctor, host, ranks);
        used += ranks * doctor_threads(doctor);
        cores += available_cores(doctor, host, CPU_COUNT(&all));
    }
    if (affected)
        found += check_places(doctor, affected);
    if (affected && found == 0 && (used >= cores || doctor->launch_error[0]))
        doctor_add(doctor, DOCTOR_OK, "binding", NULL,
                   "%d rank%s x %d thread%s, one core each", doctor->ranks,
                   doctor_plural(doctor->ranks), doctor_threads(doctor),
                   doctor_plural(doctor_threads(doctor)));
    else if (affected && found == 0)
        doctor_add(doctor, DOCTOR_NOTE, "binding",
                   doctor_recommended_launch(doctor, remedy),
                   "%d rank%s x %d thread%s: %d of %d available cores", doctor->ranks,
                   doctor_plural(doctor->ranks), doctor_threads(doctor),
                   doctor_plural(doctor_threads(doctor)), used, cores);
    if (affected)
        check_cores_per_task(doctor, affected);
    check_thread_variables(doctor);
    free(affected);
}
