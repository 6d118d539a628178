/* doctor_host: properties of a rank's process and host, and the limits they impose. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "doctor.h"
#include "base/file.h"
#include "base/slurm.h"
#include "base/team.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"

/* ---- properties ---- */

const char *const doctor_variables[VARIABLES] = {
    [VARIABLE_OMPI_SIZE] = "OMPI_COMM_WORLD_SIZE",
    [VARIABLE_PMIX_RANK] = "PMIX_RANK",
    [VARIABLE_PMI_RANK] = "PMI_RANK",
    [VARIABLE_HYDRA_RANKS] = "MPI_LOCALNRANKS",
    [VARIABLE_SLURM_JOB] = "SLURM_JOB_ID",
    [VARIABLE_SLURM_STEP_TASKS] = "SLURM_STEP_NUM_TASKS",
    [VARIABLE_SLURM_TASK] = "SLURM_PROCID",
    [VARIABLE_SLURM_TASKS] = "SLURM_NTASKS",
    [VARIABLE_SLURM_CPUS_PER_TASK] = "SLURM_CPUS_PER_TASK",
    [VARIABLE_OMP_THREADS] = "OMP_NUM_THREADS",
    [VARIABLE_OPENBLAS_THREADS] = "OPENBLAS_NUM_THREADS",
    [VARIABLE_OPENBLAS_CORE] = "OPENBLAS_CORETYPE",
    [VARIABLE_H5_LOCKING] = "HDF5_USE_FILE_LOCKING",
};

/* Cores of the host, whether or not the process may use them. */
static int count_host_cores(void)
{
    cpu_set_t cpus, cores;
    topology_online("", &cpus);
    topology_cores("", &cpus, &cores);
    return CPU_COUNT(&cores);
}

static void collect_cores(struct rank_report *report)
{
    team_cores(&report->cpus);
    topology_cores("", &report->cpus, &report->cores);
    topology_read("", &report->cpus, &report->topology);
    CPU_ZERO(&report->first_thread);
    sched_getaffinity(0, sizeof report->first_thread, &report->first_thread);
    report->host_cores = count_host_cores();
    int limit = topology_cpu_limit("");
    report->cpu_quota = limit < INT_MAX ? limit : 0;
}

static uint64_t soft_limit(__rlimit_resource_t resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

static int probe_process_vm_readv(void)
{
    char from = 'x', to;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 ? 0 : errno;
}

void doctor_collect_environment(struct rank_report *report)
{
    *report = (struct rank_report){0};
    gethostname(report->host, sizeof report->host - 1);
    for (int i = 0; i < VARIABLES; i++) {
        const char *value = getenv(doctor_variables[i]);
        snprintf(report->variables[i], DOCTOR_NAME_SIZE, "%s", value ? value : "");
    }
}

void doctor_collect_host(struct doctor *doctor)
{
    struct rank_report *report = &doctor->local;
    report->rank = doctor->rank;
    if (doctor->comm)
        snprintf(report->host, sizeof report->host, "%s", comm_host(doctor->comm));
    collect_cores(report);
    const struct matmul_backend *openblas;
    if (doctor_uses_openblas(doctor) &&
        matmul_backend_select(BACKEND_OPENBLAS, &openblas) == STATUS_OK)
        snprintf(report->openblas_core, sizeof report->openblas_core, "%s",
                 matmul_openblas_core());
    snprintf(report->kernels, sizeof report->kernels, "%s", kernels()->name);
    snprintf(report->mpi_library, sizeof report->mpi_library, "%s",
             comm_library_version());
    topology_processor("", report->processor, sizeof report->processor);
    report->vm_readv_errno = probe_process_vm_readv();
    report->open_files = soft_limit(RLIMIT_NOFILE);
    report->locked_memory = soft_limit(RLIMIT_MEMLOCK);
    report->file_size = soft_limit(RLIMIT_FSIZE);
    report->core_file = soft_limit(RLIMIT_CORE);
    report->infiniband = file_is_directory("/sys/class/infiniband");
}

bool doctor_lacks_pmi(const struct rank_report *report)
{
    return doctor_is_set(report, VARIABLE_SLURM_STEP_TASKS) &&
           !slurm_end_time_passed(NULL) && !doctor_is_set(report, VARIABLE_OMPI_SIZE) &&
           !doctor_is_set(report, VARIABLE_PMIX_RANK) &&
           !doctor_is_set(report, VARIABLE_PMI_RANK);
}

bool doctor_is_set(const struct rank_report *report, enum doctor_variable variable)
{
    return report->variables[variable][0] != '\0';
}

bool doctor_uses_openblas(const struct doctor *doctor)
{
    return doctor->options.train.matmul == MATMUL_OPENBLAS;
}

/* ---- limits ---- */

/* Open files needed for connections of MPI and the watchdog, and for the dataset. */
static uint64_t files_needed(const struct doctor *doctor)
{
    const uint64_t own = 256;
    return own + 2 * (uint64_t)doctor->ranks;
}

static bool open_files_low(const struct doctor *doctor, const struct rank_report *report)
{
    return report->open_files < files_needed(doctor);
}

static bool file_size_limited(const struct doctor *doctor,
                              const struct rank_report *report)
{
    (void)doctor;
    return report->file_size != UINT64_MAX;
}

static bool locked_memory_low(const struct doctor *doctor,
                              const struct rank_report *report)
{
    (void)doctor;
    return report->infiniband && report->locked_memory < (uint64_t)1 << 30;
}

struct limit {
    bool (*violated)(const struct doctor *doctor, const struct rank_report *report);
    enum doctor_level level;
    const char *found, *remedy;
};

static const struct limit limits[] = {
    {open_files_low, DOCTOR_WARNING, "the limit of open files is too low (ulimit -n)",
     "ulimit -n 4096 in the job script, or LimitNOFILE of slurmd"},
    {file_size_limited, DOCTOR_WARNING, "the size of files is limited (ulimit -f)",
     "ulimit -f unlimited: a truncated checkpoint is lost"},
    {locked_memory_low, DOCTOR_WARNING,
     "InfiniBand, but the limit of locked memory is low (ulimit -l)",
     "ulimit -l unlimited; under Slurm LimitMEMLOCK=infinity of slurmd"},
};

void doctor_check_limits(struct doctor *doctor)
{
    bool *affected = calloc((size_t)doctor->ranks + 1, sizeof *affected);
    int found = 0;
    for (size_t i = 0; affected && i < sizeof limits / sizeof *limits; i++) {
        int count = 0;
        char list[DOCTOR_TEXT_SIZE / 2];
        for (int r = 0; r < doctor->ranks; r++)
            count += affected[r] = limits[i].violated(doctor, &doctor->reports[r]);
        if (count > 0)
            doctor_add(doctor, limits[i].level, "limits", limits[i].remedy, "%s: %s",
                       limits[i].found,
                       doctor_rank_list(doctor, affected, list, sizeof list));
        found += count > 0;
    }
    if (found == 0)
        doctor_add(doctor, DOCTOR_OK, "limits", NULL,
                   "%llu open files, files of any size, core files %s",
                   (unsigned long long)doctor->reports[0].open_files,
                   doctor->reports[0].core_file ? "on" : "off");
    free(affected);
}
