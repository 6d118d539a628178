/* watch: opening, closing, and what the training tells it. */
#include "watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "watch_internal.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"

static const double connect_seconds = 5;
static const double pending_seconds = 5;

/* ---- set-up ---- */

/* One descriptor a rank, and some for everything else. Returns for how many ranks there
 * is room: the training must not lack them for the watch's sake. */
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

static struct watch_member *new_members(int count)
{
    struct watch_member *members = calloc((size_t)count, sizeof *members);
    for (int i = 0; members && i < count; i++)
        members[i].link.socket = -1;
    return members;
}

static struct watch_pending *new_pending(void)
{
    struct watch_pending *pending = calloc(WATCH_PENDING, sizeof *pending);
    for (int i = 0; pending && i < WATCH_PENDING; i++)
        pending[i].link.socket = -1;
    return pending;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    watch_stop_listening(watch);
    for (int i = 0; watch->members && i < watch->count; i++)
        watch_link_close(&watch->members[i].link);
    if (watch->wake >= 0)
        close(watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch->members);
    free(watch->pending);
    free(watch->directory);
    free(watch);
}

static bool allocate(struct watch *watch, const char *directory)
{
    bool listens = watch->hub && watch->ranks > 1;
    watch->count = watch->hub ? watch->ranks : 1;
    watch->members = new_members(watch->count);
    watch->pending = listens ? new_pending() : NULL;
    watch->directory = strdup(directory);
    return watch->members && watch->directory && (watch->pending || !listens);
}

struct watch *watch_create(int rank, int ranks, const char *host, const char *directory)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->rank = rank;
    watch->ranks = watch->room = ranks;
    watch->hub = rank == 0;
    watch->launcher = ranks > 1 ? getppid() : 0;
    watch->pending_seconds = pending_seconds;
    watch->wake = -1;
    for (int i = 0; i < WATCH_ADDRESSES; i++)
        watch->listeners[i] = -1;
    pthread_mutex_init(&watch->lock, NULL);
    watch_process_self(&watch->self, rank, host);
    watch->mine.process = watch->self;
    if (allocate(watch, directory))
        return watch;
    watch_free(watch);
    return NULL;
}

static enum status create(struct comm *comm, const struct watch_request *request,
                          struct watch **out)
{
    struct watch *watch = *out = watch_create(comm_rank(comm), comm_size(comm),
                                              comm_host(comm), request->directory);
    if (!watch)
        return status_fail(STATUS_FAILED, "out of memory for the watchdog");
    watch->hang_seconds = request->hang_seconds;
    watch->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (watch->wake < 0)
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

static void be_known_to_self(struct watch *watch)
{
    watch->members[0].process = watch->self;
    watch->members[0].known = true;
    watch->members[0].heard = clock_seconds();
}

/* Ranks on one host need no other network than its loopback. Collective. */
static enum status find_spread(struct comm *comm, bool *spread)
{
    uint64_t own = watch_network(comm_host(comm)), first = own;
    *spread = false;
    if (comm_size(comm) == 1)
        return STATUS_OK;
    enum status status = comm_broadcast(comm, &first, sizeof first);
    *spread = comm_max_i64(comm, own == 0 || own != first) > 0;
    return status;
}

/* Without a secret nobody could be told from a stranger, so nobody is invited. */
static void listen_with_secret(struct watch *watch, struct watch_invitation *invitation)
{
    watch->room = make_room(watch->ranks);
    if (watch_random(invitation->secret, sizeof invitation->secret)) {
        watch_listen(invitation, watch->listeners);
        return;
    }
    invitation->count = 0;
    snprintf(invitation->reason, sizeof invitation->reason,
             "rank 0 gets no random numbers for a key: %s", strerror(errno));
}

static enum status invite(struct watch *watch, const struct watch_request *request,
                          bool spread, struct watch_invitation *invitation)
{
    const char *interface = request->interface ? request->interface : "";
    enum status status = watch_choose(interface, spread, invitation);
    if (status != STATUS_OK)
        return status;
    invitation->network = watch_network(watch->self.host);
    watch_copy(invitation->command, sizeof invitation->command, request->command);
    be_known_to_self(watch);
    remove_old_report(watch->directory);
    if (watch->ranks > 1)
        listen_with_secret(watch, invitation);
    return STATUS_OK;
}

static enum status start_thread(struct watch *watch)
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
    int code = pthread_create(&watch->thread, &attributes, watch_run, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    watch->started = code == 0;
    return code == 0 ? STATUS_OK
                     : status_fail(STATUS_FAILED, "no thread for the watch: %s",
                                   strerror(code));
}

/* ---- the others' way to rank 0 ---- */

static bool reach_hub(struct watch *watch, const struct watch_invitation *invitation,
                      char *reason, size_t size)
{
    struct watch_frame join = {0};
    struct watch_member *hub = &watch->members[0];
    const struct watch_frame *welcome = &hub->link.frame;
    watch_frame_fill(&join, WATCH_JOIN, &watch->self);
    watch_copy(join.text, sizeof join.text, watch->self.host);
    if (invitation->count == 0) {
        snprintf(reason, size, "%s", invitation->reason);
        return false;
    }
    if (!watch_connect(invitation, &join, connect_seconds, &hub->link, reason, size))
        return false;
    hub->process = (struct watch_process){
        .rank = 0, .pid = welcome->pid, .place = welcome->place, .born = welcome->born};
    watch_copy(hub->process.host, sizeof hub->process.host, welcome->text);
    hub->known = true;
    hub->heard = clock_seconds();
    hub->phase = (enum phase)welcome->phase;
    watch->heir = 1;
    return true;
}

/* Says once which rank nobody watches. Collective. */
static void warn_unwatched(struct comm *comm, const struct watch *watch, bool reached,
                           const char *reason)
{
    int64_t unwatched[1] = {!reached};
    int64_t first = -comm_max_i64(comm, reached ? INT64_MIN / 2 : -(int64_t)watch->rank);
    enum status status = comm_sum_i64(comm, unwatched, 1, 0);
    if (status != STATUS_OK || unwatched[0] == 0)
        return;
    if (!reached && watch->rank == first)
        status_fail(STATUS_FAILED,
                    "not watched: %lld of %d ranks can't reach rank 0 by TCP, first this "
                    "one: %s; the run goes on, but nobody will say why they have died "
                    "or that they hang",
                    (long long)unwatched[0], watch->ranks, reason);
    status =
        comm_agree(comm, !reached && watch->rank == first ? STATUS_FAILED : STATUS_OK);
    if (status != STATUS_OK)
        log_warn("%s", status_message());
}

/* ---- what others call ---- */

static void wake(struct watch *watch)
{
    const uint64_t one = 1;
    ssize_t put = write(watch->wake, &one, sizeof one);
    (void)put; /* it fails only where the thread is about to wake anyway */
}

enum status watch_open(struct comm *comm, const struct watch_request *request,
                       struct watch **out)
{
    struct watch_invitation invitation = {0};
    char reason[WATCH_TEXT] = "";
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
        watch_free(*out);
        *out = NULL;
        return status;
    }
    struct watch *watch = *out;
    memcpy(watch->secret, invitation.secret, sizeof watch->secret);
    watch_copy(watch->command, sizeof watch->command, invitation.command);
    bool reached = watch->hub || reach_hub(watch, &invitation, reason, sizeof reason);
    if (!reached) {
        watch->hub = true;
        be_known_to_self(watch);
    }
    status = comm_agree(comm, start_thread(watch));
    if (status != STATUS_OK) {
        watch_close(watch);
        *out = NULL;
        return status;
    }
    atomic_store(&watch->gathered, true);
    wake(watch);
    watch_words_begin(watch);
    if (watch->ranks > 1)
        warn_unwatched(comm, watch, reached, reason);
    return STATUS_OK;
}

void watch_checkpoint(struct watch *watch, const char *path)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch_copy(watch->checkpoint, sizeof watch->checkpoint, path);
    pthread_mutex_unlock(&watch->lock);
    atomic_store(&watch->news, true);
    wake(watch);
}

/* ---- the same without a run, for tutti doctor ---- */

enum status watch_probe(struct comm *comm, const char *interface, int *error,
                        char *addresses, size_t size)
{
    struct watch_invitation invitation = {.network = watch_network(comm_host(comm))};
    int listeners[WATCH_ADDRESSES];
    bool spread, listens = comm_rank(comm) == 0;
    *error = 0;
    enum status status = find_spread(comm, &spread);
    if (status == STATUS_OK)
        status = comm_agree(comm, listens ? watch_choose(interface, spread, &invitation)
                                          : STATUS_OK);
    if (status != STATUS_OK)
        return status;
    if (listens)
        watch_listen(&invitation, listeners);
    status = comm_broadcast(comm, &invitation, sizeof invitation);
    if (status == STATUS_OK && !listens)
        *error = watch_try(&invitation, comm_host(comm), connect_seconds);
    watch_addresses_text(&invitation, addresses, size);
    comm_barrier(comm);
    for (int i = 0; listens && i < invitation.count; i++)
        close(listeners[i]);
    return status;
}

void watch_close(struct watch *watch)
{
    if (!watch)
        return;
    atomic_store(&watch->closing, true);
    watch_words_end();
    if (watch->started) {
        wake(watch);
        pthread_join(watch->thread, NULL);
    }
    watch_free(watch);
}
