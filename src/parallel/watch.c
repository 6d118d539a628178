/* watch: opening, closing, and what the training tells it. */
#include "tutti/watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tutti/file.h"
#include "tutti/log.h"
#include "tutti/progress.h"
#include "watch_internal.h"

static const double connect_seconds = 5;

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

static void free_watch(struct watch *watch)
{
    if (!watch)
        return;
    for (int i = 0; watch->members && i < watch->count; i++)
        watch_link_close(&watch->members[i].link);
    for (int i = 0; watch->strangers && i < WATCH_STRANGERS; i++)
        watch_link_close(&watch->strangers[i].link);
    if (watch->listener >= 0)
        close(watch->listener);
    if (watch->wake >= 0)
        close(watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch->members);
    free(watch->strangers);
    free(watch->directory);
    free(watch);
}

static enum status create(struct comm *comm, const struct watch_request *request,
                          struct watch **out)
{
    struct watch *watch = *out = calloc(1, sizeof *watch);
    if (!watch)
        return status_fail(STATUS_FAILED, "out of memory for the watch");
    watch->rank = comm_rank(comm);
    watch->ranks = comm_size(comm);
    watch->hub = watch->rank == 0;
    watch->launcher = watch->ranks > 1 ? getppid() : 0;
    watch->hang_seconds = request->hang_seconds;
    watch->listener = watch->wake = -1;
    pthread_mutex_init(&watch->lock, NULL);
    watch_process_self(&watch->self, watch->rank, comm_host(comm));
    watch->mine.process = watch->self;
    watch->count = watch->hub ? watch->ranks : 1;
    watch->members = new_members(watch->count);
    watch->strangers = watch->hub ? new_members(WATCH_STRANGERS) : NULL;
    watch->directory = strdup(request->directory);
    if (!watch->members || !watch->directory || (watch->hub && !watch->strangers))
        return status_fail(STATUS_FAILED, "out of memory for the watch");
    watch->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (watch->wake < 0)
        return status_fail_errno("no event for the watch");
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

static void invite(struct watch *watch, const struct watch_request *request,
                   struct watch_invitation *invitation)
{
    if (getrandom(&invitation->token, sizeof invitation->token, 0) < 0)
        invitation->token = (uint64_t)getpid() * 0x9E3779B97F4A7C15u;
    invitation->kernel = watch_kernel();
    watch_copy(invitation->command, sizeof invitation->command, request->command);
    be_known_to_self(watch);
    remove_old_report(watch->directory);
    if (watch->ranks == 1)
        return;
    watch->room = make_room(watch->ranks);
    watch->listener = watch_listen(watch->ranks, invitation);
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
    struct watch_frame hello = {0}, welcome;
    struct watch_member *hub = &watch->members[0];
    watch_frame_fill(&hello, WATCH_HELLO, watch->token, &watch->self);
    watch_copy(hello.text, sizeof hello.text, watch->self.host);
    if (invitation->port == 0) {
        snprintf(reason, size, "%s", invitation->reason);
        return false;
    }
    if (!watch_connect(invitation, &hello, connect_seconds, &hub->link, &welcome, reason,
                       size))
        return false;
    hub->process = (struct watch_process){
        .rank = 0, .pid = welcome.pid, .place = welcome.place, .born = welcome.born};
    watch_copy(hub->process.host, sizeof hub->process.host, welcome.text);
    hub->known = true;
    hub->heard = clock_seconds();
    hub->phase = (enum phase)welcome.phase;
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

enum status watch_open(struct comm *comm, const struct watch_request *request,
                       struct watch **out)
{
    struct watch_invitation invitation = {0};
    char reason[WATCH_TEXT] = "";
    enum status status = comm_agree(comm, create(comm, request, out));
    if (status == STATUS_OK && (*out)->hub)
        invite(*out, request, &invitation);
    if (status == STATUS_OK)
        status = comm_broadcast(comm, &invitation, sizeof invitation);
    if (status != STATUS_OK) {
        free_watch(*out);
        *out = NULL;
        return status;
    }
    struct watch *watch = *out;
    watch->token = invitation.token;
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
    watch_words_begin(watch);
    if (watch->ranks > 1)
        warn_unwatched(comm, watch, reached, reason);
    return STATUS_OK;
}

static void wake(struct watch *watch)
{
    const uint64_t one = 1;
    ssize_t put = write(watch->wake, &one, sizeof one);
    (void)put; /* it fails only where the thread is about to wake anyway */
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
    free_watch(watch);
}
