/* watchdog: opening, closing, and what the training tells it. */
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

/* One descriptor a rank, and some for everything else. Returns for how many ranks there
 * is room: the training must not lack them for the watchdog's sake. */
static int make_room(int ranks)
{
    const rlim_t others = 128;
    struct rlimit limit;
    rlim_t wanted = (rlim_t)ranks + others;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return ranks;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return ranks;
    log_warn("%d ranks need %llu file descriptors on rank 0, but only %llu are allowed "
             "(raise it: ulimit -n)",
             ranks, (unsigned long long)wanted, (unsigned long long)limit.rlim_cur);
    return limit.rlim_cur > others ? (int)(limit.rlim_cur - others) : 0;
}

static struct watchdog_member *new_members(int count)
{
    struct watchdog_member *members = calloc((size_t)count, sizeof *members);
    for (int i = 0; members && i < count; i++)
        members[i].link.socket = -1;
    return members;
}

static struct watchdog_pending *new_pending(void)
{
    struct watchdog_pending *pending = calloc(WATCHDOG_PENDING, sizeof *pending);
    for (int i = 0; pending && i < WATCHDOG_PENDING; i++)
        pending[i].link.socket = -1;
    return pending;
}

void watchdog_free(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    watchdog_stop_listening(watchdog);
    for (int i = 0; watchdog->members && i < watchdog->count; i++)
        watchdog_link_close(&watchdog->members[i].link);
    if (watchdog->wake >= 0)
        close(watchdog->wake);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog->members);
    free(watchdog->pending);
    free(watchdog->directory);
    free(watchdog);
}

static bool allocate(struct watchdog *watchdog, const char *directory)
{
    bool listens = watchdog->hub && watchdog->ranks > 1;
    watchdog->count = watchdog->hub ? watchdog->ranks : 1;
    watchdog->members = new_members(watchdog->count);
    watchdog->pending = listens ? new_pending() : NULL;
    watchdog->directory = strdup(directory);
    return watchdog->members && watchdog->directory && (watchdog->pending || !listens);
}

struct watchdog *watchdog_create(int rank, int ranks, const char *host,
                                 const char *directory)
{
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (!watchdog)
        return NULL;
    watchdog->rank = rank;
    watchdog->ranks = watchdog->room = ranks;
    watchdog->hub = rank == 0;
    watchdog->launcher = ranks > 1 ? getppid() : 0;
    watchdog->pending_seconds = pending_seconds;
    watchdog->wake = -1;
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
        watchdog->listeners[i] = -1;
    pthread_mutex_init(&watchdog->lock, NULL);
    watchdog_process_self(&watchdog->self, rank, host);
    watchdog->mine.process = watchdog->self;
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
    watchdog->hang_seconds = request->hang_seconds;
    watchdog->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (watchdog->wake < 0)
        return status_fail_errno("no event for the watchdog");
    return STATUS_OK;
}

/* A file of an earlier run must not pass for one of this. */
static void remove_old_report(const char *directory)
{
    char *path = path_join(directory, "root-cause.txt");
    if (path)
        unlink(path);
    free(path);
}

static void be_known_to_self(struct watchdog *watchdog)
{
    watchdog->members[0].process = watchdog->self;
    watchdog->members[0].known = true;
    watchdog->members[0].heard = clock_seconds();
}

/* Ranks on one host need no other network than its loopback. Collective. */
static enum status find_spread(struct comm *comm, bool *spread)
{
    uint64_t own = watchdog_network(comm_host(comm)), first = own;
    *spread = false;
    if (comm_size(comm) == 1)
        return STATUS_OK;
    enum status status = comm_broadcast(comm, &first, sizeof first);
    *spread = comm_max_i64(comm, own == 0 || own != first) > 0;
    return status;
}

/* Without a secret nobody could be told from a stranger, so nobody is invited. */
static void listen_with_secret(struct watchdog *watchdog,
                               struct watchdog_invitation *invitation)
{
    watchdog->room = make_room(watchdog->ranks);
    if (watchdog_random(invitation->secret, sizeof invitation->secret)) {
        watchdog_listen(invitation, watchdog->listeners);
        return;
    }
    invitation->count = 0;
    snprintf(invitation->reason, sizeof invitation->reason,
             "rank 0 gets no random numbers for a key: %s", strerror(errno));
}

static enum status invite(struct watchdog *watchdog,
                          const struct watchdog_request *request, bool spread,
                          struct watchdog_invitation *invitation)
{
    const char *interface = request->interface ? request->interface : "";
    enum status status = watchdog_choose(interface, spread, invitation);
    if (status != STATUS_OK)
        return status;
    invitation->network = watchdog_network(watchdog->self.host);
    watchdog_copy(invitation->command, sizeof invitation->command, request->command);
    be_known_to_self(watchdog);
    remove_old_report(watchdog->directory);
    if (watchdog->ranks > 1)
        listen_with_secret(watchdog, invitation);
    return STATUS_OK;
}

static enum status start_thread(struct watchdog *watchdog)
{
    enum { STACK = 1 << 18 };
    /* a fault of the thread's own is to be told like any other */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&all, own[i]);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&watchdog->thread, &attributes, watchdog_run, watchdog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    watchdog->started = code == 0;
    return code == 0 ? STATUS_OK
                     : status_fail(STATUS_FAILED, "no thread for the watchdog: %s",
                                   strerror(code));
}

/* ---- the others' way to rank 0 ---- */

static bool reach_hub(struct watchdog *watchdog,
                      const struct watchdog_invitation *invitation, char *reason,
                      size_t size)
{
    struct watchdog_frame join = {0};
    struct watchdog_member *hub = &watchdog->members[0];
    const struct watchdog_frame *welcome = &hub->link.frame;
    watchdog_frame_fill(&join, WATCHDOG_JOIN, &watchdog->self);
    watchdog_copy(join.text, sizeof join.text, watchdog->self.host);
    if (invitation->count == 0) {
        snprintf(reason, size, "%s", invitation->reason);
        return false;
    }
    if (!watchdog_connect(invitation, &join, connect_seconds, &hub->link, reason, size))
        return false;
    hub->process = (struct watchdog_process){
        .rank = 0, .pid = welcome->pid, .place = welcome->place, .born = welcome->born};
    watchdog_copy(hub->process.host, sizeof hub->process.host, welcome->text);
    hub->known = true;
    hub->heard = clock_seconds();
    hub->phase = (enum phase)welcome->phase;
    watchdog->heir = 1;
    return true;
}

/* Says once which rank nobody watches. Collective. */
static void warn_unwatched(struct comm *comm, const struct watchdog *watchdog,
                           bool reached, const char *reason)
{
    int64_t unwatched[1] = {!reached};
    int64_t first =
        -comm_max_i64(comm, reached ? INT64_MIN / 2 : -(int64_t)watchdog->rank);
    enum status status = comm_sum_i64(comm, unwatched, 1, 0);
    if (status != STATUS_OK || unwatched[0] == 0)
        return;
    if (!reached && watchdog->rank == first)
        status_fail(STATUS_FAILED,
                    "not watched: %lld of %d ranks can't reach rank 0 by TCP, first this "
                    "one: %s; the run continues, but nobody will report why they died "
                    "or that they hang",
                    (long long)unwatched[0], watchdog->ranks, reason);
    status =
        comm_agree(comm, !reached && watchdog->rank == first ? STATUS_FAILED : STATUS_OK);
    if (status != STATUS_OK)
        log_warn("%s", status_message());
}

/* ---- what others call ---- */

static void wake(struct watchdog *watchdog)
{
    const uint64_t one = 1;
    ssize_t put = write(watchdog->wake, &one, sizeof one);
    (void)put; /* it fails only where the thread is about to wake anyway */
}

enum status watchdog_open(struct comm *comm, const struct watchdog_request *request,
                          struct watchdog **out)
{
    struct watchdog_invitation invitation = {0};
    char reason[WATCHDOG_TEXT] = "";
    bool spread = false;
    enum status status = comm_agree(comm, create(comm, request, out));
    if (status == STATUS_OK)
        status = find_spread(comm, &spread);
    if (status == STATUS_OK)
        status = comm_agree(comm, (*out)->hub ? invite(*out, request, spread, &invitation)
                                              : STATUS_OK);
    if (status == STATUS_OK)
        status = comm_broadcast(comm, &invitation, sizeof invitation);
    if (status != STATUS_OK) {
        watchdog_free(*out);
        *out = NULL;
        return status;
    }
    struct watchdog *watchdog = *out;
    memcpy(watchdog->secret, invitation.secret, sizeof watchdog->secret);
    watchdog_copy(watchdog->command, sizeof watchdog->command, invitation.command);
    bool reached =
        watchdog->hub || reach_hub(watchdog, &invitation, reason, sizeof reason);
    if (!reached) {
        watchdog->hub = true;
        be_known_to_self(watchdog);
    }
    status = comm_agree(comm, start_thread(watchdog));
    if (status != STATUS_OK) {
        watchdog_close(watchdog);
        *out = NULL;
        return status;
    }
    atomic_store(&watchdog->gathered, true);
    wake(watchdog);
    watchdog_words_begin(watchdog);
    if (watchdog->ranks > 1)
        warn_unwatched(comm, watchdog, reached, reason);
    return STATUS_OK;
}

void watchdog_checkpoint(struct watchdog *watchdog, const char *path)
{
    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog_copy(watchdog->checkpoint, sizeof watchdog->checkpoint, path);
    pthread_mutex_unlock(&watchdog->lock);
    atomic_store(&watchdog->news, true);
    wake(watchdog);
}

/* ---- the same without a run, for tutti doctor ---- */

enum status watchdog_probe(struct comm *comm, const char *interface, int *error,
                           char *addresses, size_t size)
{
    struct watchdog_invitation invitation = {.network =
                                                 watchdog_network(comm_host(comm))};
    int listeners[WATCHDOG_ADDRESSES];
    bool spread, listens = comm_rank(comm) == 0;
    *error = 0;
    enum status status = find_spread(comm, &spread);
    if (status == STATUS_OK)
        status = comm_agree(
            comm, listens ? watchdog_choose(interface, spread, &invitation) : STATUS_OK);
    if (status != STATUS_OK)
        return status;
    if (listens)
        watchdog_listen(&invitation, listeners);
    status = comm_broadcast(comm, &invitation, sizeof invitation);
    if (status == STATUS_OK && !listens)
        *error = watchdog_try(&invitation, comm_host(comm), connect_seconds);
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
    watchdog_words_end();
    if (watchdog->started) {
        wake(watchdog);
        pthread_join(watchdog->thread, NULL);
    }
    watchdog_free(watchdog);
}
