/* doctor_place: how this rank was started, on which cores of what processor, and under
 * which limits; and what is wrong with that. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "doctor.h"
#include "launch.h"
#include "base/file.h"
#include "base/slurm.h"
#include "kernels/matmul.h"
#include "kernels/kernels.h"

#define ROOT_CONFIRM "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"

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

/* ---- facts ---- */

/* The first "model name" of /proc/cpuinfo; the machine's kind where there is none. */
static void find_processor(char name[DOCTOR_WORD])
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    snprintf(name, DOCTOR_WORD, "unknown processor");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) != 0 || !colon)
            continue;
        snprintf(name, DOCTOR_WORD, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

static uint64_t soft_limit(__rlimit_resource_t which)
{
    struct rlimit limit;
    if (getrlimit(which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

static int try_copy(void)
{
    char from = 'x', to;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 ? 0 : errno;
}

/* Products by OpenBLAS have the bits of its kernels; our own have the same everywhere. */
static bool uses_openblas(const struct doctor *doctor)
{
    return doctor->options.train.products == MATMUL_OPENBLAS;
}

void place_collect_early(struct place *place)
{
    *place = (struct place){0};
    gethostname(place->host, sizeof place->host - 1);
    for (int i = 0; i < VARIABLES; i++) {
        const char *value = getenv(doctor_variables[i]);
        snprintf(place->variables[i], DOCTOR_WORD, "%s", value ? value : "");
    }
}

void place_collect(struct doctor *doctor)
{
    struct place *place = &doctor->here;
    place->rank = doctor->rank;
    if (doctor->comm)
        snprintf(place->host, sizeof place->host, "%s", comm_host(doctor->comm));
    if (sched_getaffinity(0, sizeof place->cores, &place->cores) != 0)
        CPU_ZERO(&place->cores);
    place->host_cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    int share = launch_cores();
    place->share = share < CPU_COUNT(&place->cores) ? share : 0;
    const struct matmul_backend *openblas;
    if (uses_openblas(doctor) &&
        matmul_backend_select(BACKEND_OPENBLAS, (int)doctor->options.train.threads,
                              &openblas) == STATUS_OK)
        snprintf(place->core, sizeof place->core, "%s", openblas->numerics());
    snprintf(place->kernels, sizeof place->kernels, "%s", kernels()->name);
    snprintf(place->library, sizeof place->library, "%s", comm_library());
    find_processor(place->processor);
    place->copies = try_copy();
    place->open_files = soft_limit(RLIMIT_NOFILE);
    place->locked_memory = soft_limit(RLIMIT_MEMLOCK);
    place->file_size = soft_limit(RLIMIT_FSIZE);
    place->core_file = soft_limit(RLIMIT_CORE);
    place->infiniband = file_is_directory("/sys/class/infiniband");
}

static bool is_set(const struct place *place, enum doctor_variable variable)
{
    return place->variables[variable][0] != '\0';
}

bool place_is_lost(const struct place *place)
{
    return is_set(place, VARIABLE_SLURM_STEP_TASKS) && !slurm_job_is_past(NULL) &&
           !is_set(place, VARIABLE_OMPI_SIZE) && !is_set(place, VARIABLE_PMIX_RANK) &&
           !is_set(place, VARIABLE_PMI_RANK);
}

/* ---- launch ---- */

static const char *plural(int count)
{
    return count == 1 ? "" : "s";
}

/* "n1: 4, n2: 4" */
static int list_hosts(const struct doctor *doctor, char *text, size_t size)
{
    int hosts = 0;
    size_t used = 0;
    text[0] = '\0';
    for (int r = 0; r < doctor->ranks; r++) {
        int there = 0;
        if (!doctor_first_of_host(doctor, r))
            continue;
        for (int other = r; other < doctor->ranks; other++)
            there += strcmp(doctor->places[other].host, doctor->places[r].host) == 0;
        if (used + DOCTOR_WORD + 16 < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s: %d",
                                     hosts ? ", " : "", doctor->places[r].host, there);
        hosts++;
    }
    return hosts;
}

/* Open MPI's launcher, or Hydra, which is MPICH's. */
static bool is_by_mpirun(const struct place *place)
{
    return is_set(place, VARIABLE_OMPI_SIZE) || is_set(place, VARIABLE_HYDRA_RANKS);
}

static const char *launcher(const struct place *place)
{
    if (is_by_mpirun(place))
        return "mpirun";
    if (!is_set(place, VARIABLE_SLURM_TASK))
        return "nobody (one process)";
    if (is_set(place, VARIABLE_PMIX_RANK))
        return "srun with PMIx";
    return is_set(place, VARIABLE_PMI_RANK) ? "srun with PMI" : "srun without PMI";
}

static void judge_versions(struct doctor *doctor)
{
    for (int r = 1; r < doctor->ranks; r++)
        if (strcmp(doctor->places[r].library, doctor->places[0].library) != 0) {
            doctor_find(doctor, DOCTOR_FAULT, "launch",
                        "build and start with one MPI library on all hosts",
                        "rank 0 (%s) has %s, rank %d (%s) has %s", doctor->places[0].host,
                        doctor->places[0].library, r, doctor->places[r].host,
                        doctor->places[r].library);
            return;
        }
}

static void judge_refused(struct doctor *doctor)
{
    int tasks = atoi(doctor->places[0].variables[VARIABLE_SLURM_STEP_TASKS]);
    if (tasks == 0)
        doctor_find(doctor, DOCTOR_FAULT, "launch", NULL, "%.400s", doctor->launch_fault);
    else
        doctor_find(doctor, DOCTOR_FAULT, "launch",
                    "srun --mpi=pmix (srun --mpi=list shows what there is), or mpirun "
                    "inside sbatch or salloc",
                    "srun started %d process%s, but MPI was not told: it does not start, "
                    "or each is rank 0 of 1",
                    tasks, tasks == 1 ? "" : "es");
}

/* Open MPI's mpirun refuses root, in containers too, unless two variables allow it. */
static void judge_root(struct doctor *doctor)
{
    const struct place *first = &doctor->places[0];
    bool allowed = getenv("OMPI_ALLOW_RUN_AS_ROOT") && getenv(ROOT_CONFIRM);
    if (geteuid() != 0 || allowed || is_set(first, VARIABLE_OMPI_SIZE) ||
        strncmp(first->library, "Open MPI", strlen("Open MPI")) != 0)
        return;
    doctor_find(doctor, DOCTOR_NOTE, "root",
                "export OMPI_ALLOW_RUN_AS_ROOT=1 " ROOT_CONFIRM "=1, or mpirun "
                "--allow-run-as-root",
                "this runs as root, and mpirun refuses to start programs for root");
}

void judge_launch(struct doctor *doctor)
{
    const struct place *first = &doctor->places[0];
    char hosts[DOCTOR_TEXT / 2];
    if (doctor->launch_fault[0]) {
        judge_refused(doctor);
        return;
    }
    int count = list_hosts(doctor, hosts, sizeof hosts);
    doctor_find(doctor, DOCTOR_OK, "launch", NULL,
                "%d rank%s on %d host%s (%s), started by %s; %s", doctor->ranks,
                plural(doctor->ranks), count, plural(count), hosts, launcher(first),
                first->library);
    judge_root(doctor);
    judge_versions(doctor);
    if (is_set(first, VARIABLE_SLURM_JOB) && slurm_job_is_past(NULL))
        doctor_find(doctor, DOCTOR_NOTE, "launch", "unset \"${!SLURM_@}\"",
                    "the Slurm variables are left over from job %s, whose end "
                    "(SLURM_JOB_END_TIME) has passed: mpirun may go by them",
                    first->variables[VARIABLE_SLURM_JOB]);
    else if (doctor->ranks == 1 && atoi(first->variables[VARIABLE_SLURM_TASKS]) > 1)
        doctor_find(doctor, DOCTOR_NOTE, "launch",
                    "srun --mpi=pmix tutti ..., or mpirun tutti ...",
                    "the job has %s tasks, this is one process: only its host is looked "
                    "at",
                    first->variables[VARIABLE_SLURM_TASKS]);
    if (doctor->ranks > doctor->options.train.slices)
        doctor_find(doctor, DOCTOR_FAULT, "microbatches",
                    "--set train.slices=N, N at least the number of ranks and a divisor "
                    "of train.batch",
                    "%d ranks, but train.slices = %lld, and each rank needs one",
                    doctor->ranks, (long long)doctor->options.train.slices);
}

/* ---- cores ---- */

static int threads(const struct doctor *doctor)
{
    return (int)doctor->options.train.threads;
}

static bool on_host(const struct doctor *doctor, int r, int host)
{
    return strcmp(doctor->places[r].host, doctor->places[host].host) == 0;
}

static bool within(const cpu_set_t *inner, const cpu_set_t *outer)
{
    cpu_set_t both;
    CPU_AND(&both, inner, outer);
    return CPU_EQUAL(&both, inner);
}

/* Ranks of the host whose cores all lie in `cores`. */
static int mark_within(const struct doctor *doctor, int host, const cpu_set_t *cores,
                       bool *which)
{
    int count = 0;
    for (int r = 0; r < doctor->ranks; r++) {
        which[r] = on_host(doctor, r, host) && within(&doctor->places[r].cores, cores);
        count += which[r];
    }
    return count;
}

static void host_union(const struct doctor *doctor, int host, cpu_set_t *all)
{
    CPU_ZERO(all);
    for (int r = host; r < doctor->ranks; r++)
        if (on_host(doctor, r, host))
            CPU_OR(all, all, &doctor->places[r].cores);
}

/* Does an earlier rank of the host have the very same cores? */
static bool seen_before(const struct doctor *doctor, int r)
{
    for (int before = 0; before < r; before++)
        if (on_host(doctor, before, r) &&
            CPU_EQUAL(&doctor->places[before].cores, &doctor->places[r].cores))
            return true;
    return false;
}

static void find_crowd(struct doctor *doctor, const bool *which, int ranks, int cores,
                       int idle)
{
    char who[DOCTOR_TEXT / 2];
    bool bound_alone = ranks == 1; /* one rank with more threads than cores */
    const char *cure =
        bound_alone && idle > 0
            ? "mpirun --bind-to none, or --map-by slot:PE=THREADS; srun --cpus-per-task; "
              "or --set train.threads=1"
        : bound_alone ? "--set train.threads=1, or fewer"
        : idle > 0
            ? "mpirun --bind-to core gives each rank its own; srun --cpu-bind=cores"
            : "fewer ranks on the host: mpirun -n, srun --ntasks-per-node; or "
              "train.threads = 1";
    doctor_who(doctor, which, who, sizeof who);
    if (bound_alone)
        doctor_find(doctor, DOCTOR_WARNING, "binding", cure, "%s: %d threads on %d %s%s",
                    who, threads(doctor), cores, cores == 1 ? "core" : "cores",
                    idle > 0 ? ", while others of the host are free" : "");
    else
        doctor_find(doctor, DOCTOR_WARNING, "binding", cure,
                    "%s share %d %s: %d threads%s", who, cores,
                    cores == 1 ? "core" : "cores", ranks * threads(doctor),
                    idle > 0 ? ", while other cores of the host are free" : "");
}

/* Looks for sets of cores that are asked to run more threads than they have (every
 * rank's own set, and the host's). Returns how many were found. */
static int judge_host_cores(struct doctor *doctor, int host, bool *which)
{
    int found = 0;
    cpu_set_t all;
    host_union(doctor, host, &all);
    for (int r = host; r <= doctor->ranks; r++) {
        bool last = r == doctor->ranks;
        if (!last && (!on_host(doctor, r, host) || seen_before(doctor, r)))
            continue;
        const cpu_set_t *cores = last ? &all : &doctor->places[r].cores;
        int ranks = mark_within(doctor, host, cores, which);
        int have = CPU_COUNT(cores);
        if (ranks * threads(doctor) <= have || (last && found > 0))
            continue;
        find_crowd(doctor, which, ranks, have, doctor->places[host].host_cores - have);
        found++;
    }
    return found;
}

/* What the container or the control group takes away, which binding doesn't show. */
static int judge_share(struct doctor *doctor, int host, int ranks)
{
    double share = doctor->places[host].share;
    if (share <= 0 || ranks * threads(doctor) <= (int)ceil(share))
        return 0;
    doctor_find(doctor, DOCTOR_WARNING, "binding",
                "fewer ranks, or a larger share (docker --cpus)",
                "%d threads on %s, whose control group (cpu.max) has %.0f cores",
                ranks * threads(doctor), doctor->places[host].host, share);
    return 1;
}

static void judge_cores_per_task(struct doctor *doctor, bool *which)
{
    int count = 0, asked = 0;
    char who[DOCTOR_TEXT / 2];
    for (int r = 0; r < doctor->ranks; r++) {
        const struct place *place = &doctor->places[r];
        int wanted = atoi(place->variables[VARIABLE_SLURM_CPUS_PER_TASK]);
        which[r] = wanted > CPU_COUNT(&place->cores);
        count += which[r];
        asked = which[r] ? wanted : asked;
    }
    if (count == 0)
        return;
    const struct place *first = &doctor->places[0];
    char cure[DOCTOR_TEXT];
    if (is_set(first, VARIABLE_HYDRA_RANKS))
        snprintf(cure, sizeof cure, "mpirun -bind-to core:%d", asked);
    else if (is_by_mpirun(first))
        snprintf(cure, sizeof cure, "mpirun --map-by slot:PE=%d --bind-to core", asked);
    else
        snprintf(cure, sizeof cure,
                 "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK in the job script, or "
                 "srun --cpus-per-task=%d: srun does not inherit it",
                 asked);
    doctor_find(doctor, DOCTOR_WARNING, "cpus-per-task", cure,
                "--cpus-per-task=%d did not reach %s", asked,
                doctor_who(doctor, which, who, sizeof who));
}

static void judge_thread_variables(struct doctor *doctor)
{
    static const enum doctor_variable variables[] = {VARIABLE_OMP_THREADS,
                                                     VARIABLE_OPENBLAS_THREADS};
    const struct place *place = &doctor->places[0];
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = place->variables[variables[i]];
        if (value[0] && atoi(value) != threads(doctor))
            doctor_find(doctor, DOCTOR_NOTE, "threads", "--set train.threads=N",
                        "%s=%s is not what counts: train.threads = %d is",
                        doctor_variables[variables[i]], value, threads(doctor));
    }
}

void judge_cores(struct doctor *doctor)
{
    bool *which = calloc((size_t)doctor->ranks + 1, sizeof *which);
    int found = 0, used = 0, cores = 0;
    for (int host = 0; which && host < doctor->ranks; host++) {
        if (!doctor_first_of_host(doctor, host))
            continue;
        cpu_set_t all;
        host_union(doctor, host, &all);
        int ranks = mark_within(doctor, host, &all, which);
        found += judge_host_cores(doctor, host, which);
        found += judge_share(doctor, host, ranks);
        used += ranks * threads(doctor);
        cores += CPU_COUNT(&all);
    }
    if (which && found == 0 && (used >= cores || doctor->launch_fault[0]))
        doctor_find(doctor, DOCTOR_OK, "binding", NULL,
                    "%d rank%s x %d thread%s, a core for each", doctor->ranks,
                    plural(doctor->ranks), threads(doctor), plural(threads(doctor)));
    else if (which && found == 0)
        doctor_find(doctor, DOCTOR_NOTE, "binding",
                    "a rank for each core is fastest: mpirun -n, srun --ntasks-per-node",
                    "%d rank%s x %d thread%s: %d of the %d cores that they may use",
                    doctor->ranks, plural(doctor->ranks), threads(doctor),
                    plural(threads(doctor)), used, cores);
    if (which)
        judge_cores_per_task(doctor, which);
    judge_thread_variables(doctor);
    free(which);
}

/* ---- processors ---- */

/* The ranks whose text at `offset` differs from rank 0's; returns how many. */
static int mark_unlike(const struct doctor *doctor, size_t offset, bool *which)
{
    int count = 0;
    const char *first = (const char *)&doctor->places[0] + offset;
    for (int r = 0; r < doctor->ranks; r++) {
        const char *mine = (const char *)&doctor->places[r] + offset;
        which[r] = strcmp(mine, first) != 0;
        count += which[r];
    }
    return count;
}

static int first_marked(const bool *which)
{
    int r = 0;
    while (!which[r])
        r++;
    return r;
}

/* OpenBLAS's types of x86-64, older ones first; later ones may lack on older processors. */
static const char *const types[] = {"Prescott",   "Nehalem",       "Sandybridge",
                                    "Haswell",    "Zen",           "SkylakeX",
                                    "Cooperlake", "SapphireRapids"};

static size_t age(const char *core)
{
    const size_t count = sizeof types / sizeof *types;
    size_t i = 0;
    while (i < count && strcasecmp(types[i], core) != 0)
        i++;
    return i;
}

/* The oldest type that any rank has. */
static const char *oldest_core(const struct doctor *doctor)
{
    const char *oldest = doctor->places[0].core;
    for (int r = 1; r < doctor->ranks; r++)
        if (age(doctor->places[r].core) < age(oldest))
            oldest = doctor->places[r].core;
    return oldest;
}

static bool judge_openblas_missing(struct doctor *doctor, bool *which)
{
    char who[DOCTOR_TEXT / 2];
    size_t missing = 0;
    for (int r = 0; r < doctor->ranks; r++)
        missing += which[r] = uses_openblas(doctor) && !doctor->places[r].core[0];
    if (missing == 0)
        return false;
    doctor_find(doctor, DOCTOR_FAULT, "processors",
                "install its shared library on every host (Debian: libopenblas0), or set "
                "train.products = packed",
                "OpenBLAS can't be loaded on %s",
                doctor_who(doctor, which, who, sizeof who));
    return true;
}

static bool judge_openblas(struct doctor *doctor, bool *which)
{
    const struct place *first = &doctor->places[0];
    char who[DOCTOR_TEXT / 2], cure[DOCTOR_TEXT];
    if (!uses_openblas(doctor) ||
        mark_unlike(doctor, offsetof(struct place, core), which) == 0)
        return false;
    snprintf(cure, sizeof cure,
             "train.products = packed; or OPENBLAS_CORETYPE=%s on all hosts; or "
             "train.allow_mixed_cores = yes, without the promise of the same bits",
             oldest_core(doctor));
    doctor_find(
        doctor, doctor->options.train.allow_mixed_cores ? DOCTOR_WARNING : DOCTOR_FAULT,
        "processors", cure,
        "OpenBLAS takes its %s kernels on rank 0 (%s), but %s on %s: results would "
        "depend on who computes what, so train refuses",
        first->core, first->host, doctor->places[first_marked(which)].core,
        doctor_who(doctor, which, who, sizeof who));
    return true;
}

/* OpenBLAS takes an older processor's kernels where it doesn't know the one it runs on. */
static void judge_weak_core(struct doctor *doctor)
{
    const struct place *place = &doctor->places[0];
    bool chosen = is_set(place, VARIABLE_OPENBLAS_CORE);
    if (uses_openblas(doctor) && strcmp(place->kernels, "avx512") == 0 &&
        age(place->core) < age("SkylakeX"))
        doctor_find(doctor, DOCTOR_NOTE, "processors",
                    chosen ? "unset OPENBLAS_CORETYPE on all hosts; a run resumes only "
                             "with the type it began with"
                           : "OPENBLAS_CORETYPE=SkylakeX on all hosts; a run resumes "
                             "only with the type it began with",
                    "the processor has AVX-512, but OpenBLAS takes its %s kernels%s",
                    place->core, chosen ? ", as OPENBLAS_CORETYPE says" : "");
}

void judge_processors(struct doctor *doctor)
{
    const struct place *first = &doctor->places[0];
    char who[DOCTOR_TEXT / 2];
    bool *which = calloc((size_t)doctor->ranks + 1, sizeof *which);
    if (!which)
        return;
    bool mixed = judge_openblas_missing(doctor, which) || judge_openblas(doctor, which);
    if (mark_unlike(doctor, offsetof(struct place, processor), which) > 0)
        doctor_find(doctor, DOCTOR_NOTE, "processors",
                    "the slowest sets the pace: sbatch --constraint asks for one kind",
                    "%s on rank 0, but %s on %s", first->processor,
                    doctor->places[first_marked(which)].processor,
                    doctor_who(doctor, which, who, sizeof who));
    else if (!mixed)
        doctor_find(doctor, DOCTOR_OK, "processors", NULL, "%s; kernels %s%s%s",
                    first->processor, first->kernels,
                    uses_openblas(doctor) ? ", OpenBLAS core " : "", first->core);
    if (!mixed)
        judge_weak_core(doctor);
    free(which);
}

/* ---- limits ---- */

/* Connections of MPI and of the watchdog, files of the dataset. */
static uint64_t files_needed(const struct doctor *doctor)
{
    const uint64_t own = 256;
    return own + 2 * (uint64_t)doctor->ranks;
}

static bool few_files(const struct doctor *doctor, const struct place *place)
{
    return place->open_files < files_needed(doctor);
}

static bool small_files(const struct doctor *doctor, const struct place *place)
{
    (void)doctor;
    return place->file_size != UINT64_MAX;
}

static bool little_locked(const struct doctor *doctor, const struct place *place)
{
    (void)doctor;
    return place->infiniband && place->locked_memory < (uint64_t)1 << 30;
}

struct limit {
    bool (*broken)(const struct doctor *doctor, const struct place *place);
    enum doctor_level level;
    const char *found, *cure;
};

static const struct limit limits[] = {
    {few_files, DOCTOR_WARNING, "too few open files are allowed (ulimit -n)",
     "ulimit -n 4096 in the job script, or LimitNOFILE of slurmd"},
    {small_files, DOCTOR_WARNING, "the size of files is limited (ulimit -f)",
     "ulimit -f unlimited: a checkpoint that is cut off is lost"},
    {little_locked, DOCTOR_WARNING,
     "InfiniBand, but little memory may be locked (ulimit -l)",
     "ulimit -l unlimited; under Slurm LimitMEMLOCK=infinity of slurmd"},
};

void judge_limits(struct doctor *doctor)
{
    bool *which = calloc((size_t)doctor->ranks + 1, sizeof *which);
    int found = 0;
    for (size_t i = 0; which && i < sizeof limits / sizeof *limits; i++) {
        int count = 0;
        char who[DOCTOR_TEXT / 2];
        for (int r = 0; r < doctor->ranks; r++)
            count += which[r] = limits[i].broken(doctor, &doctor->places[r]);
        if (count > 0)
            doctor_find(doctor, limits[i].level, "limits", limits[i].cure, "%s: %s",
                        limits[i].found, doctor_who(doctor, which, who, sizeof who));
        found += count > 0;
    }
    if (found == 0)
        doctor_find(doctor, DOCTOR_OK, "limits", NULL,
                    "open files %llu, files of any size, core files %s",
                    (unsigned long long)doctor->places[0].open_files,
                    doctor->places[0].core_file ? "on" : "off");
    free(which);
}
