/* doctor_launch: checks how the ranks were started. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "base/slurm.h"

#define ROOT_CONFIRM "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"

bool doctor_launched_by_mpirun(const struct rank_report *report)
{
    return doctor_is_set(report, VARIABLE_OMPI_SIZE) ||
           doctor_is_set(report, VARIABLE_HYDRA_RANKS);
}

bool doctor_has_open_mpi(const struct rank_report *report)
{
    return strncmp(report->mpi_library, "Open MPI", strlen("Open MPI")) == 0;
}

/* Writes "n1: 4, n2: 4", the number of ranks on each host. Returns the number of hosts.
 */
static int list_hosts(const struct doctor *doctor, char *text, size_t size)
{
    int hosts = 0;
    size_t used = 0;
    text[0] = '\0';
    for (int r = 0; r < doctor->ranks; r++) {
        int count = 0;
        if (!doctor_first_of_host(doctor, r))
            continue;
        for (int other = r; other < doctor->ranks; other++)
            count += strcmp(doctor->reports[other].host, doctor->reports[r].host) == 0;
        if (used + DOCTOR_NAME_SIZE + 16 < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s: %d",
                                     hosts ? ", " : "", doctor->reports[r].host, count);
        hosts++;
    }
    return hosts;
}

static const char *launcher(const struct rank_report *report)
{
    if (doctor_launched_by_mpirun(report))
        return "started by mpirun";
    if (!doctor_is_set(report, VARIABLE_SLURM_TASK))
        return "without a launcher";
    if (doctor_is_set(report, VARIABLE_PMIX_RANK))
        return "started by srun with PMIx";
    return doctor_is_set(report, VARIABLE_PMI_RANK) ? "started by srun with PMI"
                                                    : "started by srun without PMI";
}

static void check_versions(struct doctor *doctor)
{
    for (int r = 1; r < doctor->ranks; r++)
        if (strcmp(doctor->reports[r].mpi_library, doctor->reports[0].mpi_library) != 0) {
            doctor_add(doctor, DOCTOR_FAULT, "launch",
                       "use the same MPI library on all hosts",
                       "rank 0 (%s) has %s, rank %d (%s) has %s", doctor->reports[0].host,
                       doctor->reports[0].mpi_library, r, doctor->reports[r].host,
                       doctor->reports[r].mpi_library);
            return;
        }
}

static void report_launch_error(struct doctor *doctor)
{
    int tasks = atoi(doctor->reports[0].variables[VARIABLE_SLURM_STEP_TASKS]);
    if (tasks == 0)
        doctor_add(doctor, DOCTOR_FAULT, "launch", NULL, "%.400s", doctor->launch_error);
    else
        doctor_add(doctor, DOCTOR_FAULT, "launch",
                   "srun --mpi=pmix (srun --mpi=list shows the plugins), or mpirun "
                   "inside sbatch or salloc",
                   "srun started %d process%s without PMI: MPI does not start, or each "
                   "is rank 0 of 1",
                   tasks, tasks == 1 ? "" : "es");
}

/* Open MPI's mpirun refuses to run as root, even in containers, unless two environment
 * variables allow it. */
static void check_root(struct doctor *doctor)
{
    const struct rank_report *first = &doctor->reports[0];
    bool allowed = getenv("OMPI_ALLOW_RUN_AS_ROOT") && getenv(ROOT_CONFIRM);
    if (geteuid() != 0 || allowed || doctor_is_set(first, VARIABLE_OMPI_SIZE) ||
        !doctor_has_open_mpi(first))
        return;
    doctor_add(doctor, DOCTOR_NOTE, "root",
               "export OMPI_ALLOW_RUN_AS_ROOT=1 " ROOT_CONFIRM "=1, or mpirun "
               "--allow-run-as-root",
               "running as root, for which mpirun refuses to start programs");
}

void doctor_check_launch(struct doctor *doctor)
{
    const struct rank_report *first = &doctor->reports[0];
    char hosts[DOCTOR_TEXT_SIZE / 2];
    if (doctor->launch_error[0]) {
        report_launch_error(doctor);
        return;
    }
    int count = list_hosts(doctor, hosts, sizeof hosts);
    doctor_add(doctor, DOCTOR_OK, "launch", NULL, "%d rank%s on %d host%s (%s), %s; %s",
               doctor->ranks, doctor_plural(doctor->ranks), count, doctor_plural(count),
               hosts, launcher(first), first->mpi_library);
    check_root(doctor);
    check_versions(doctor);
    if (doctor_is_set(first, VARIABLE_SLURM_JOB) && slurm_end_time_passed(NULL))
        doctor_add(doctor, DOCTOR_NOTE, "launch", "unset \"${!SLURM_@}\"",
                   "the Slurm variables are left over from job %s, whose end "
                   "(SLURM_JOB_END_TIME) has passed: mpirun may follow them",
                   first->variables[VARIABLE_SLURM_JOB]);
    else if (doctor->ranks == 1 && atoi(first->variables[VARIABLE_SLURM_TASKS]) > 1)
        doctor_add(doctor, DOCTOR_NOTE, "launch",
                   "srun --mpi=pmix tutti ..., or mpirun tutti ...",
                   "the job has %s tasks, but this is one process: only its host is "
                   "checked",
                   first->variables[VARIABLE_SLURM_TASKS]);
    if (doctor->ranks > doctor->options.train.microbatches)
        doctor_add(
            doctor, DOCTOR_FAULT, "microbatches",
            "--set train.microbatches=N, where N divides train.batch and is at least "
            "the number of ranks",
            "%d ranks, but train.microbatches = %lld: each rank needs at least one "
            "microbatch",
            doctor->ranks, (long long)doctor->options.train.microbatches);
}
