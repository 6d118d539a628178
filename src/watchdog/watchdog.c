/* watchdog: opening and closing; the public functions. */
#include "watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"

static const double connect_seconds = 5;
static const double pending_seconds = 5;

/* ---- set-up ---- */

/* Raises the limit to one descriptor per rank plus some for everything else. Returns the
 * number of ranks that may connect: the training must not run out of descriptors because
 * of the watchdog. */
static int raise_descriptor_limit(int ranks)
{
    const rlim_t reserved = 128;
    struct rlimit limit;
    rlim_t needed = (rlim_t)ranks + reserved;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return ranks;
    limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= needed)
        return ranks;
    log_warn("%d ranks need %llu file descriptors on rank 0, but only %llu are allowed "
             "(raise it: ulimit -n)",
             ranks, (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
    return limit.rlim_cur > reserved ? (int)(limit.rlim_cur - reserved) : 0;
}

static struct watchdog_peer *allocate_peers(int count)
{
    struct watchdog_peer *peers = calloc((size_t)count, sizeof *peers);
    for (int i = 0; peers && i < count; i++)
        peers[i].link.socket = -1;
    return peers;
}

static struct watchdog_pending *allocate_pending(void)
{
    struct watchdog_pending *pending = calloc(WATCHDOG_MAX_PENDING, sizeof *pending);
    for (int i = 0; pending && i < WATCHDOG_MAX_PENDING; i++)
        pending[i].link.socket = -1;
    return pending;
}

void watchdog_free(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    watchdog_stop_listening(watchdog);
    for (int i = 0; watchdog->peers && i < watchdog->peer_count; i++)
        watchdog_link_close(&watchdog->peers[i].link);
    if (watchdog->wake_event >= 0)
        close(watchdog->wake_event);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog->peers);
    free(watchdog->pending);
    free(watchdog->directory);
    free(watchdog);
}

static bool allocate(struct watchdog *watchdog, const char *directory)
{
    bool listens = watchdog->is_coordinator && watchdog->ranks > 1;
    watchdog->peer_count = watchdog->is_coordinator ? watchdog->ranks : 1;
    watchdog->peers = allocate_peers(watchdog->peer_count);
    watchdog->pending = listens ? allocate_pending() : NULL;
    watchdog->directory = strdup(directory);
    return watchdog->peers && watchdog->directory && (watchdog->pending || !listens);
}

struct watchdog *watchdog_create(int rank, int ranks, const char *host,
                                 const char *directory)
{
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (!watchdog)
        return NULL;
    watchdog->rank = rank;
    watchdog->ranks = watchdog->max_connections = ranks;
    watchdog->is_coordinator = rank == 0;
    watchdog->launcher_pid = ranks > 1 ? getppid() : 0;
    watchdog->pending_seconds = pending_seconds;
    watchdog->wake_event = -1;
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++)
        watchdog->listeners[i] = -1;
    pthread_mutex_init(&watchdog->lock, NULL);
    watchdog_process_self(&watchdog->self, rank, host);
    watchdog->self_state.process = watchdog->self;
    if (allocate(watchdog, directory))
        return watchdog;
    watchdog_free(watchdog);
    return NULL;
}

static enum status create(struct comm *comm, const struct watchdog_request *request,
                          struct watchdog **out)
{
    struct watchdog *watchdog = *out = watchdog_create(
        comm_rank(comm), comm_size(comm), comm_host(comm), request->directory);
    if (!watchdog)
        return status_fail(STATUS_FAILED, "out of memory for the watchdog");
    watchdog->hang_timeout = request->hang_timeout;
    watchdog->wake_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (watchdog->wake_event < 0)
        return status_fail_errno("no event for the watchdog");
    return STATUS_OK;
}

/* A file from an earlier run must not be mistaken for one from this run. */
static void remove_old_report(const char *directory)
{
    char *path = path_join(directory, "root-cause.txt");
    if (path)
        unlink(path);
    free(path);
}

static void init_self_peer(struct watchdog *watchdog)
{
    watchdog->peers[0].process = watchdog->self;
    watchdog->peers[0].confirmed = true;
    watchdog->peers[0].last_heartbeat = clock_seconds();
}

/* *multi_host: true if the ranks don't all share a network namespace, so loopback
 * addresses don't suffice. Collective. */
static enum status detect_multi_host(struct comm *comm, bool *multi_host)
{
    uint64_t network = watchdog_network_id(comm_host(comm)), first = network;
    *multi_host = false;
    if (comm_size(comm) == 1)
        return STATUS_OK;
    enum status status = comm_broadcast(comm, &first, sizeof first);
    *multi_host = comm_max_i64(comm, network == 0 || network != first) > 0;
    return status;
}

/* Without a secret ranks can't be authenticated, so rank 0 doesn't listen. */
static void listen_with_secret(struct watchdog *watchdog,
                               struct watchdog_invitation *invitation)
{
    watchdog->max_connections = raise_descriptor_limit(watchdog->ranks);
    if (watchdog_random_bytes(invitation->secret, sizeof invitation->secret)) {
        watchdog_listen(invitation, watchdog->listeners);
        return;
    }
    invitation->count = 0;
    snprintf(invitation->reason, sizeof invitation->reason,
             "rank 0 gets no random numbers for a key: %s", strerror(errno));
}

static enum status prepare_invitation(struct watchdog *watchdog,
                                      const struct watchdog_request *request,
                                      bool multi_host,
                                      struct watchdog_invitation *invitation)
{
    const char *interface = request->interface ? request->interface : "";
    enum status status = watchdog_choose_addresses(interface, multi_host, invitation);
    if (status != STATUS_OK)
        return status;
    invitation->network = watchdog_network_id(watchdog->self.host);
    watchdog_copy_text(invitation->command, sizeof invitation->command, request->command);
    init_self_peer(watchdog);
    remove_old_report(watchdog->directory);
    if (watchdog->ranks > 1)
        listen_with_secret(watchdog, invitation);
    return STATUS_OK;
}

static enum status start_thread(struct watchdog *watchdog)
{
    enum { STACK = 1 << 18 };
    /* a fault of the thread itself is reported like any other */
    static const int unblocked[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof unblocked / sizeof *unblocked; i++)
        sigdelset(&all, unblocked[i]);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&watchdog->thread, &attributes, watchdog_run, watchdog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    watchdog->thread_started = code == 0;
    return code == 0 ? STATUS_OK
                     : status_fail(STATUS_FAILED, "no thread for the watchdog: %s",
                                   strerror(code));
}

/* ---- the other ranks ---- */

static bool join_coordinator(struct watchdog *watchdog,
                             const struct watchdog_invitation *invitation, char *reason,
                             size_t size)
{
    struct watchdog_frame join = {0};
    struct watchdog_peer *coordinator = &watchdog->peers[0];
    const struct watchdog_frame *welcome = &coordinator->link.frame;
    watchdog_frame_fill(&join, WATCHDOG_JOIN, &watchdog->self);
    watchdog_copy_text(join.text, sizeof join.text, watchdog->self.host);
    if (invitation->count == 0) {
        snprintf(reason, size, "%s", invitation->reason);
        return false;
    }
    if (!watchdog_connect(invitation, &join, connect_seconds, &coordinator->link, reason,
                          size))
        return false;
    coordinator->process =
        (struct watchdog_process){.rank = 0,
                                  .pid = welcome->pid,
                                  .pid_namespace = welcome->pid_namespace,
                                  .start_time = welcome->start_time};
    watchdog_copy_text(coordinator->process.host, sizeof coordinator->process.host,
                       welcome->text);
    coordinator->confirmed = true;
    coordinator->last_heartbeat = clock_seconds();
    coordinator->phase = (enum phase)welcome->phase;
    watchdog->successor = 1;
    return true;
}

/* Logs one warning for all ranks that are not watched. Collective. */
static void warn_unwatched(struct comm *comm, const struct watchdog *watchdog,
                           bool reached, const char *reason)
{
    int64_t unwatched[1] = {!reached};
    int64_t first =
        -comm_max_i64(comm, reached ? INT64_MIN / 2 : -(int64_t)watchdog->rank);
    enum status status = comm_allreduce_i64(comm, unwatched, 1, 0);
    if (status != STATUS_OK || unwatched[0] == 0)
        return;
    if (!reached && watchdog->rank == first)
        status_fail(
            STATUS_FAILED,
            "not watched: %lld of %d ranks can't reach rank 0 by TCP, this one "
            "first: %s; the run continues, but their deaths and hangs will not be "
            "reported",
            (long long)unwatched[0], watchdog->ranks, reason);
    status =
        comm_agree(comm, !reached && watchdog->rank == first ? STATUS_FAILED : STATUS_OK);
    if (status != STATUS_OK)
        log_warn("%s", status_message());
}

/* ---- opening ---- */

static void wake_thread(struct watchdog *watchdog)
{
    const uint64_t one = 1;
    ssize_t written = write(watchdog->wake_event, &one, sizeof one);
    (void)written; /* fails only if the thread is about to wake anyway */
}

/* Creates the watchdog and passes rank 0's invitation to all ranks. Collective. */
static enum status exchange_invitation(struct comm *comm,
                                       const struct watchdog_request *request,
                                       struct watchdog_invitation *invitation,
                                       struct watchdog **out)
{
    bool multi_host = false;
    enum status status = comm_agree(comm, create(comm, request, out));
    if (status == STATUS_OK)
        status = detect_multi_host(comm, &multi_host);
    if (status == STATUS_OK)
        status = comm_agree(
            comm, (*out)->is_coordinator
                      ? prepare_invitation(*out, request, multi_host, invitation)
                      : STATUS_OK);
    if (status == STATUS_OK)
        status = comm_broadcast(comm, invitation, sizeof *invitation);
    return status;
}

/* False, with a reason, if rank 0 can't be reached: this rank then coordinates itself. */
static bool connect_to_coordinator(struct watchdog *watchdog,
                                   const struct watchdog_invitation *invitation,
                                   char *reason, size_t size)
{
    memcpy(watchdog->secret, invitation->secret, sizeof watchdog->secret);
    watchdog_copy_text(watchdog->command, sizeof watchdog->command, invitation->command);
    if (watchdog->is_coordinator || join_coordinator(watchdog, invitation, reason, size))
        return true;
    watchdog->is_coordinator = true;
    init_self_peer(watchdog);
    return false;
}

enum status watchdog_open(struct comm *comm, const struct watchdog_request *request,
                          struct watchdog **out)
{
    struct watchdog_invitation invitation = {0};
    char reason[WATCHDOG_TEXT_SIZE] = "";
    enum status status = exchange_invitation(comm, request, &invitation, out);
    if (status != STATUS_OK) {
        watchdog_free(*out);
        *out = NULL;
        return status;
    }
    struct watchdog *watchdog = *out;
    bool reached = connect_to_coordinator(watchdog, &invitation, reason, sizeof reason);
    status = comm_agree(comm, start_thread(watchdog));
    if (status != STATUS_OK) {
        watchdog_close(watchdog);
        *out = NULL;
        return status;
    }
    atomic_store(&watchdog->all_joined, true);
    wake_thread(watchdog);
    watchdog_crash_handler_install(watchdog);
    if (watchdog->ranks > 1)
        warn_unwatched(comm, watchdog, reached, reason);
    return STATUS_OK;
}

void watchdog_checkpoint(struct watchdog *watchdog, const char *path)
{
    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog_copy_text(watchdog->checkpoint, sizeof watchdog->checkpoint, path);
    pthread_mutex_unlock(&watchdog->lock);
    atomic_store(&watchdog->heartbeat_requested, true);
    wake_thread(watchdog);
}

/* ---- without a run, for tutti doctor ---- */

enum status watchdog_probe(struct comm *comm, const char *interface, int *error,
                           char *addresses, size_t size)
{
    struct watchdog_invitation invitation = {.network =
                                                 watchdog_network_id(comm_host(comm))};
    int listeners[WATCHDOG_MAX_ADDRESSES];
    bool multi_host, listens = comm_rank(comm) == 0;
    *error = 0;
    enum status status = detect_multi_host(comm, &multi_host);
    if (status == STATUS_OK)
        status = comm_agree(
            comm, listens ? watchdog_choose_addresses(interface, multi_host, &invitation)
                          : STATUS_OK);
    if (status != STATUS_OK)
        return status;
    if (listens)
        watchdog_listen(&invitation, listeners);
    status = comm_broadcast(comm, &invitation, sizeof invitation);
    if (status == STATUS_OK && !listens)
        *error = watchdog_try_connect(&invitation, comm_host(comm), connect_seconds);
    watchdog_addresses_text(&invitation, addresses, size);
    comm_barrier(comm);
    for (int i = 0; listens && i < invitation.count; i++)
        close(listeners[i]);
    return status;
}

void watchdog_close(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    atomic_store(&watchdog->closing, true);
    watchdog_crash_handler_remove();
    if (watchdog->thread_started) {
        wake_thread(watchdog);
        pthread_join(watchdog->thread, NULL);
    }
    watchdog_free(watchdog);
}
