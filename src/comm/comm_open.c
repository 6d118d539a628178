/* comm_open: starts MPI in whatever environment the process was started in, and finds out
 * which ranks share a node.
 */
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "comm_internal.h"
#include "base/log.h"
#include "base/slurm.h"

/* ---- the environment ---- */

/* Containers often forbid reading another process's memory. Open MPI notices too late and
 * then prints an error for every message. */
static void disable_forbidden_single_copy(void)
{
    char from = 'x', to;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1)
        return;
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0); /* Open MPI 4 */
    setenv("OMPI_MCA_smsc", "^cma", 0);                            /* Open MPI 5 */
}

/* A process without a launcher (an MPI singleton) would start a daemon of Open MPI 4 for
 * MPI_Comm_spawn, which takes a third of a second and can outlive the process. Without
 * the daemon, all singletons of a user share one session directory; one that exits
 * removes it, and another that is just starting then fails. A singleton needs no session
 * directory. */
static void disable_singleton_daemon(void)
{
    setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
    setenv("OMPI_MCA_orte_create_session_dirs", "0", 0);
}

/* Open MPI 5 does not start unless HOME is set, and services and `env -i` don't set
 * it. */
static void set_home(void)
{
    const struct passwd *user = getenv("HOME") ? NULL : getpwuid(geteuid());
    setenv("HOME", user && user->pw_dir ? user->pw_dir : "/", 0);
}

/* UCX, which MPI may load here, installs a handler for SIGHUP, but a run under nohup must
 * keep ignoring it. So the previous disposition is restored. */
static int init_mpi(int *argc, char ***argv)
{
    struct sigaction before;
    int provided;
    sigaction(SIGHUP, NULL, &before);
    int code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    sigaction(SIGHUP, &before, NULL);
    return code;
}

/* True if the environment describes a single process started by MPI's own launcher. */
static bool is_launched_singleton(void)
{
    const char *pmi_size = getenv("PMI_SIZE");
    return getenv("OMPI_COMM_WORLD_SIZE") || (pmi_size && strcmp(pmi_size, "1") == 0);
}

/* STATUS_MISUSE if srun started several processes that MPI isn't aware of. srun sets the
 * number of tasks of a step. In a batch script outside any step it is not set, and the
 * process is meant to run alone; so is one started by a shell that has outlived its
 * step. */
static enum status check_launch(int size, bool singleton)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (size != 1 || singleton || !tasks || atoi(tasks) <= 1 ||
        slurm_end_time_passed(NULL))
        return STATUS_OK;
    const char *task = getenv("SLURM_PROCID");
    log_mute(task && strcmp(task, "0") != 0);
    return status_fail(
        STATUS_MISUSE,
        "srun started %s processes without PMI, so each would be rank 0 of 1: "
        "use srun --mpi=pmix (srun --mpi=list shows the available types), "
        "or mpirun inside sbatch or salloc",
        tasks);
}

/* ---- nodes ---- */

/* Sets node_of and local_rank_of. */
static int exchange_nodes(struct comm *comm)
{
    int lowest = comm->rank;
    int code = MPI_Bcast(&lowest, 1, MPI_INT, 0, comm->node_comm);
    if (code == MPI_SUCCESS)
        code =
            MPI_Allgather(&lowest, 1, MPI_INT, comm->node_of, 1, MPI_INT, MPI_COMM_WORLD);
    if (code == MPI_SUCCESS)
        code = MPI_Allgather(&comm->local_rank, 1, MPI_INT, comm->local_rank_of, 1,
                             MPI_INT, MPI_COMM_WORLD);
    return code;
}

/* Finds out which ranks share a node. */
static int find_nodes(struct comm *comm)
{
    size_t size = (size_t)comm->size;
    comm->node_of = calloc(2 * size, sizeof *comm->node_of);
    if (!comm->node_of)
        comm_abort(comm, STATUS_FAILED); /* the other ranks are in the collective below */
    comm->local_rank_of = comm->node_of + size;
    int code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, comm->rank,
                                   MPI_INFO_NULL, &comm->node_comm);
    if (code != MPI_SUCCESS)
        return code;
    MPI_Comm_rank(comm->node_comm, &comm->local_rank);
    MPI_Comm_size(comm->node_comm, &comm->local_size);
    return exchange_nodes(comm);
}

static enum status init_comm(struct comm *comm)
{
    int length;
    int code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_rank(MPI_COMM_WORLD, &comm->rank);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_size(MPI_COMM_WORLD, &comm->size);
    if (code == MPI_SUCCESS)
        code = MPI_Get_processor_name(comm->host, &length);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_dup(MPI_COMM_WORLD, &comm->allreduce_comm);
    if (code == MPI_SUCCESS)
        code = find_nodes(comm);
    return comm_check(code, "start");
}

/* ---- start ---- */

/* Starts MPI after setting the environment variables that it needs. */
static enum status start_mpi(int *argc, char ***argv, bool singleton)
{
    enum status status = STATUS_OK;
    disable_forbidden_single_copy();
    set_home();
    if (!getenv("PMIX_RANK") && !getenv("PMI_RANK")) {
        disable_singleton_daemon();
        status = check_launch(1, singleton); /* before MPI may end the process itself */
    }
    return status == STATUS_OK ? comm_check(init_mpi(argc, argv), "start") : status;
}

enum status comm_open(int *argc, char ***argv, struct comm **out)
{
    *out = NULL;
    struct comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return status_fail(STATUS_FAILED, "out of memory");
    bool singleton = is_launched_singleton(); /* before MPI sets variables of its own */
    enum status status = start_mpi(argc, argv, singleton);
    if (status != STATUS_OK) {
        free(comm);
        return status;
    }
    status = init_comm(comm);
    log_mute(comm->rank != 0);
    if (status == STATUS_OK)
        status = check_launch(comm->size, singleton);
    if (status == STATUS_OK)
        *out = comm;
    else
        comm_close(comm);
    return status;
}
