/* comm: MPI.
 *
 * Errors come back as codes and become a status with MPI's words. MPI counts are int, so
 * long vectors go in pieces. Nothing here depends on which algorithm MPI takes.
 *
 * What needs other ranks is PHASE_WAIT for as long as it takes: so the watchdog never
 * takes for hung who only waits for another, and the time of waiting is known.
 */
#include "comm.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "comm_internal.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/phase.h"
#include "base/slurm.h"

enum {
    PIECE_ELEMENTS = 1 << 20, /* 8 MB of integers at once */
    PIECE_BYTES = 1 << 24,
    GATHER_TAG = 1
};

/* ---- failures ---- */

enum status comm_check(int code, const char *what)
{
    if (code == MPI_SUCCESS)
        return STATUS_OK;
    char reason[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    MPI_Error_string(code, reason, &length);
    return status_fail(STATUS_FAILED, "MPI can't %s: %s", what, reason);
}

static void (*on_abort)(const char *message);

void comm_on_abort(void (*report)(const char *message))
{
    on_abort = report;
}

void comm_abort(struct comm *comm, int code)
{
    (void)comm;
    if (on_abort)
        on_abort(status_message());
    MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code); /* MPI_Abort does not come back */
}

void comm_check_or_abort(int code, const char *what)
{
    if (comm_check(code, what) == STATUS_OK)
        return;
    log_error("%s", status_message());
    comm_abort(NULL, STATUS_FAILED);
}

/* ---- start and end ---- */

/* Containers often forbid reading another process's memory, which Open MPI finds out too
 * late and then prints an error for every message. */
static void avoid_forbidden_copies(void)
{
    char from = 'x', to;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1)
        return;
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0); /* Open MPI 4 */
    setenv("OMPI_MCA_smsc", "^cma", 0);                            /* Open MPI 5 */
}

/* A process without a launcher would start a daemon of Open MPI 4's, for MPI_Comm_spawn:
 * a third of a second, and a process that can be left over. Without the daemon all such
 * processes of a user have one folder for temporary files, and one that ends removes it
 * while another starts, which then fails; a process alone needs none. */
static void need_no_daemon(void)
{
    setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
    setenv("OMPI_MCA_orte_create_session_dirs", "0", 0);
}

/* Open MPI 5 does not start without a home folder, which services and `env -i` don't
 * set. */
static void need_home(void)
{
    const struct passwd *user = getenv("HOME") ? NULL : getpwuid(geteuid());
    setenv("HOME", user && user->pw_dir ? user->pw_dir : "/", 0);
}

/* The same where Open MPI loads UCX only now (see main.c): it takes SIGHUP, also from a
 * run under nohup. */
static int start_mpi(int *argc, char ***argv)
{
    struct sigaction before;
    int provided;
    sigaction(SIGHUP, NULL, &before);
    int code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    sigaction(SIGHUP, &before, NULL);
    return code;
}

/* Does the environment speak of one process only, started by an MPI's own launcher? */
static bool launched_alone(void)
{
    const char *pmi_size = getenv("PMI_SIZE");
    return getenv("OMPI_COMM_WORLD_SIZE") || (pmi_size && strcmp(pmi_size, "1") == 0);
}

/* srun sets the number of a step's tasks; a batch script outside of any step has none,
 * and there a single process is meant, as it is in a shell that has outlived its step. */
static enum status check_launch(int size, bool alone)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (size != 1 || alone || !tasks || atoi(tasks) <= 1 || slurm_job_is_past(NULL))
        return STATUS_OK;
    const char *task = getenv("SLURM_PROCID");
    log_mute(task && strcmp(task, "0") != 0);
    return status_fail(
        STATUS_MISUSE,
        "srun started %s processes, but MPI was not told and each would be "
        "rank 0 of 1: use srun --mpi=pmix (srun --mpi=list shows what is there), "
        "or mpirun inside sbatch or salloc",
        tasks);
}

/* Which ranks share a host: all learn the lowest rank on the host of each, and each
 * rank's place among those of its host. */
static int find_hosts(struct comm *comm)
{
    size_t size = (size_t)comm->size;
    comm->host_of = calloc(2 * size, sizeof *comm->host_of);
    if (!comm->host_of)
        comm_abort(comm, STATUS_FAILED); /* the others are waiting */
    comm->place_of = comm->host_of + size;
    int lowest = comm->rank;
    int code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, comm->rank,
                                   MPI_INFO_NULL, &comm->neighbours);
    if (code != MPI_SUCCESS)
        return code;
    MPI_Comm_rank(comm->neighbours, &comm->place);
    MPI_Comm_size(comm->neighbours, &comm->places);
    code = MPI_Bcast(&lowest, 1, MPI_INT, 0, comm->neighbours);
    if (code == MPI_SUCCESS)
        code =
            MPI_Allgather(&lowest, 1, MPI_INT, comm->host_of, 1, MPI_INT, MPI_COMM_WORLD);
    if (code == MPI_SUCCESS)
        code = MPI_Allgather(&comm->place, 1, MPI_INT, comm->place_of, 1, MPI_INT,
                             MPI_COMM_WORLD);
    return code;
}

static enum status describe_self(struct comm *comm)
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
        code = MPI_Comm_dup(MPI_COMM_WORLD, &comm->sums);
    if (code == MPI_SUCCESS)
        code = find_hosts(comm);
    return comm_check(code, "start");
}

enum status comm_open(int *argc, char ***argv, struct comm **out)
{
    *out = NULL;
    struct comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return status_fail(STATUS_FAILED, "out of memory");
    bool alone = launched_alone(); /* asked first, as MPI sets variables of its own */
    enum status status = STATUS_OK;
    avoid_forbidden_copies();
    need_home();
    if (!getenv("PMIX_RANK") && !getenv("PMI_RANK")) {
        need_no_daemon();
        status =
            check_launch(1, alone); /* starting MPI may already end in its own words */
    }
    if (status == STATUS_OK)
        status = comm_check(start_mpi(argc, argv), "start");
    if (status != STATUS_OK) {
        free(comm);
        return status;
    }
    status = describe_self(comm);
    log_mute(comm->rank != 0);
    if (status == STATUS_OK)
        status = check_launch(comm->size, alone);
    if (status == STATUS_OK)
        *out = comm;
    else
        comm_close(comm);
    return status;
}

void comm_close(struct comm *comm)
{
    if (!comm)
        return;
    MPI_Finalize();
    free(comm->host_of);
    free(comm);
}

enum status comm_self(const struct comm *comm, struct comm **out)
{
    struct comm *alone = *out = calloc(1, sizeof *alone);
    if (!alone || !(alone->host_of = calloc(2, sizeof *alone->host_of))) {
        free(alone);
        *out = NULL;
        return status_fail(STATUS_FAILED, "out of memory");
    }
    alone->size = alone->places = 1;
    alone->place_of = alone->host_of + 1;
    memcpy(alone->host, comm->host, sizeof alone->host);
    return STATUS_OK;
}

void comm_self_free(struct comm *alone)
{
    if (alone)
        free(alone->host_of);
    free(alone);
}

int comm_rank(const struct comm *comm)
{
    return comm->rank;
}

int comm_size(const struct comm *comm)
{
    return comm->size;
}

const char *comm_host(const struct comm *comm)
{
    return comm->host;
}

/* One blank for each run of blanks and tabs. */
static void collapse_blanks(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (!isblank((unsigned char)*from))
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
}

const char *comm_library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS)
        return "MPI";
    text[strcspn(text, ",\n")] = '\0';
    collapse_blanks(text);
    return text;
}

/* ---- agreeing ---- */

static int badness(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return 0;
    case STATUS_STOPPED:
        return 1;
    case STATUS_MISUSE:
        return 2;
    case STATUS_FAILED:
        break;
    }
    return 3;
}

static enum status status_of(int64_t bad)
{
    static const enum status statuses[] = {STATUS_OK, STATUS_STOPPED, STATUS_MISUSE,
                                           STATUS_FAILED};
    return statuses[bad];
}

/* What the ranks compare, as maxima: the worst status with its lowest rank, and a hash of
 * status and message with its complement, which give the same hash if all are alike. */
struct verdict {
    int64_t worst, hash, complement;
};

static struct verdict verdict_of(const struct comm *comm, enum status mine)
{
    uint64_t hash = hash64(status_message(), strlen(status_message()));
    hash = (hash & ~(uint64_t)3) | (uint64_t)badness(mine);
    return (struct verdict){(int64_t)badness(mine) << 32 | (INT_MAX - comm->rank),
                            (int64_t)hash, (int64_t)~hash};
}

/* The words of rank `from` to all. */
static enum status spread_message(struct comm *comm, int from, bool alike)
{
    char text[STATUS_MESSAGE_SIZE];
    if (alike)
        snprintf(text, sizeof text, "%s", status_message());
    else
        snprintf(text, sizeof text, "rank %d (%.200s): %.1800s", comm->rank, comm->host,
                 status_message());
    enum status status = comm_check(
        MPI_Bcast(text, sizeof text, MPI_CHAR, from, MPI_COMM_WORLD), "broadcast");
    if (status == STATUS_OK)
        status_set_message(text);
    return status;
}

static enum status agree(struct comm *comm, enum status mine)
{
    struct verdict own = verdict_of(comm, mine), all;
    enum status status = comm_check(
        MPI_Allreduce(&own, &all, 3, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD), "agree");
    if (status != STATUS_OK)
        return status;
    enum status agreed = status_of(all.worst >> 32);
    if (agreed == STATUS_OK)
        return agreed;
    int from = INT_MAX - (int)(all.worst & INT_MAX);
    status = spread_message(comm, from, all.hash == ~all.complement);
    return status == STATUS_OK ? agreed : status;
}

enum status comm_agree(struct comm *comm, enum status mine)
{
    if (comm->size == 1)
        return mine;
    enum phase before = phase_enter(PHASE_WAIT);
    enum status status = agree(comm, mine);
    phase_enter(before);
    return status;
}

/* ---- sums ---- */

enum status comm_sum_i64(struct comm *comm, int64_t *values, size_t count, size_t piece)
{
    if (comm->size == 1)
        return STATUS_OK;
    if (piece == 0)
        piece = PIECE_ELEMENTS;
    if (piece > INT_MAX)
        piece = INT_MAX; /* MPI's counts are int */
    enum phase before = phase_enter(PHASE_WAIT);
    int code = MPI_SUCCESS;
    for (size_t at = 0; at < count && code == MPI_SUCCESS; at += piece) {
        size_t n = count - at < piece ? count - at : piece;
        code = MPI_Allreduce(MPI_IN_PLACE, values + at, (int)n, MPI_INT64_T, MPI_SUM,
                             MPI_COMM_WORLD);
    }
    phase_enter(before);
    return comm_check(code, "sum over the ranks");
}

int64_t comm_max_i64(struct comm *comm, int64_t value)
{
    int64_t most = value;
    if (comm->size == 1)
        return value;
    enum phase before = phase_enter(PHASE_WAIT);
    comm_check_or_abort(
        MPI_Allreduce(&value, &most, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD),
        "compare the ranks");
    phase_enter(before);
    return most;
}

void comm_barrier(struct comm *comm)
{
    if (comm->size == 1)
        return;
    enum phase before = phase_enter(PHASE_WAIT);
    comm_check_or_abort(MPI_Barrier(MPI_COMM_WORLD), "meet");
    phase_enter(before);
}

/* ---- bytes ---- */

static size_t piece_at(size_t at, size_t size)
{
    return size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
}

enum status comm_broadcast(struct comm *comm, void *bytes, size_t size)
{
    int code = MPI_SUCCESS;
    enum phase before = phase_enter(PHASE_WAIT);
    for (size_t at = 0; comm->size > 1 && at < size && code == MPI_SUCCESS;
         at += PIECE_BYTES)
        code = MPI_Bcast((char *)bytes + at, (int)piece_at(at, size), MPI_BYTE, 0,
                         MPI_COMM_WORLD);
    phase_enter(before);
    return comm_check(code, "broadcast");
}

static enum status send_pieces(const uint8_t *bytes, size_t size)
{
    int code = MPI_SUCCESS;
    for (size_t at = 0; at < size && code == MPI_SUCCESS; at += PIECE_BYTES)
        code = MPI_Send(bytes + at, (int)piece_at(at, size), MPI_BYTE, 0, GATHER_TAG,
                        MPI_COMM_WORLD);
    return comm_check(code, "gather");
}

static enum status receive_pieces(int from, uint8_t *bytes, size_t size)
{
    int code = MPI_SUCCESS;
    for (size_t at = 0; at < size && code == MPI_SUCCESS; at += PIECE_BYTES)
        code = MPI_Recv(bytes + at, (int)piece_at(at, size), MPI_BYTE, from, GATHER_TAG,
                        MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return comm_check(code, "gather");
}

/* On rank 0: room for all, and every rank's size. */
static enum status gather_sizes(struct comm *comm, size_t size, uint8_t **all,
                                size_t **sizes)
{
    uint64_t mine = size, *of_rank = NULL;
    enum status status = STATUS_OK;
    if (comm->rank == 0 && !(of_rank = malloc((size_t)comm->size * sizeof *of_rank)))
        status = status_fail(STATUS_FAILED, "no memory for %d sizes", comm->size);
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = comm_check(MPI_Gather(&mine, 1, MPI_UINT64_T, of_rank, 1, MPI_UINT64_T,
                                       0, MPI_COMM_WORLD),
                            "gather");
    if (status == STATUS_OK && comm->rank == 0) {
        size_t total = 0;
        for (int r = 0; r < comm->size; r++)
            total += of_rank[r];
        *all = malloc(total + 1);
        if (!*all)
            status = status_fail(STATUS_FAILED, "no memory for %zu bytes", total);
    }
    _Static_assert(sizeof(size_t) == sizeof(uint64_t), "64 bits");
    *sizes = (size_t *)of_rank;
    return comm_agree(comm, status);
}

static enum status receive_all(struct comm *comm, const void *bytes, uint8_t *all,
                               const size_t *sizes)
{
    enum status status = STATUS_OK;
    if (sizes[0] > 0)
        memcpy(all, bytes, sizes[0]);
    all += sizes[0];
    for (int r = 1; r < comm->size && status == STATUS_OK; r++) {
        status = receive_pieces(r, all, sizes[r]);
        all += sizes[r];
    }
    return status;
}

enum status comm_gather(struct comm *comm, const void *bytes, size_t size, uint8_t **all,
                        size_t **sizes)
{
    *all = NULL;
    *sizes = NULL;
    enum phase before = phase_enter(PHASE_WAIT);
    enum status status = gather_sizes(comm, size, all, sizes);
    if (status == STATUS_OK)
        status = comm->rank == 0 ? receive_all(comm, bytes, *all, *sizes)
                                 : send_pieces(bytes, size);
    if (status != STATUS_OK) {
        free(*all);
        free(*sizes);
        *all = NULL;
        *sizes = NULL;
    }
    phase_enter(before);
    return status;
}
