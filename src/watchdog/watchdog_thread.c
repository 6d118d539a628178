/* watchdog, the thread: sends a heartbeat once a second, and ends this process when one
 * of the run has died or hangs.
 *
 * The hub receives all heartbeats and judges; what it finds it reports, then it ends the
 * other ranks. They judge for themselves only whether the hub is there. A connection that
 * ends without a goodbye is a death: the kernel ends it, whatever has ended the process.
 * Several deaths found at one look are told apart by how they came (enum
 * watchdog_reason): a rank that calls MPI after another has died may fail of that.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/printable.h"
#include "base/progress.h"

static const double tick_seconds = 1;
static const double gap_seconds = 3;      /* a tick so late: this process has not run */
static const double core_seconds = 2;     /* to a dying process, for its core or trace */
static const double own_core_seconds = 5; /* after which it is ended */
static const double goodbye_seconds = 1;
/* Launchers that end a job send SIGTERM and, a second later, SIGKILL. So a process that
 * is killed so long after being asked to stop is no cause of anything. */
static const double stopping_seconds = 0.9;

/* ---- what this process says ---- */

/* Its own row, as others have theirs from its frames. */
static void look_at_self(struct watchdog *watchdog, double now)
{
    struct phase_state state = phase_state();
    struct watchdog_member *mine = &watchdog->mine;
    if (state.heartbeats != watchdog->heartbeats || watchdog->moved == 0) {
        watchdog->heartbeats = state.heartbeats;
        watchdog->moved = now;
    }
    mine->phase = state.phase;
    mine->step = state.step;
    mine->still = now - watchdog->moved;
    mine->heard = now;
    if (watchdog->hub) {
        watchdog->members[0].phase = mine->phase;
        watchdog->members[0].step = mine->step;
        watchdog->members[0].still = mine->still;
        watchdog->members[0].heard = now;
    }
}

void watchdog_describe(struct watchdog *watchdog, enum watchdog_kind kind,
                       struct watchdog_frame *frame)
{
    memset(frame, 0, sizeof *frame);
    watchdog_frame_fill(frame, kind, &watchdog->self);
    frame->still = watchdog->mine.still;
    frame->heir = watchdog->heir;
    pthread_mutex_lock(&watchdog->lock);
    watchdog_copy(frame->text, sizeof frame->text,
                  kind == WATCHDOG_WELCOME || !watchdog->hub ? watchdog->self.host
                                                             : watchdog->checkpoint);
    pthread_mutex_unlock(&watchdog->lock);
}

static void say_to_all(struct watchdog *watchdog, const struct watchdog_frame *frame)
{
    for (int i = 0; i < watchdog->count; i++)
        watchdog_link_send(&watchdog->members[i].link, frame);
}

/* ---- the end ---- */

/* The checkpoint to be named: not one that was removed together with the run's folder.
 * Only rank 0, and ranks on its host, know that they see the same files. */
static void checkpoint_of(struct watchdog *watchdog, char *text, size_t size)
{
    static const char gone[] = " (has been removed)";
    pthread_mutex_lock(&watchdog->lock);
    printable_copy(text, size, watchdog->checkpoint);
    pthread_mutex_unlock(&watchdog->lock);
    bool same_host = watchdog->hub ||
                     strcmp(watchdog->self.host, watchdog->members[0].process.host) == 0;
    size_t length = strlen(text);
    if (length > 0 && same_host && watchdog_is_gone(text))
        watchdog_copy(text + length, size - length, gone);
}

static size_t block(struct watchdog *watchdog, const struct watchdog_cause *cause,
                    char *text, size_t size)
{
    char checkpoint[WATCHDOG_TEXT];
    checkpoint_of(watchdog, checkpoint, sizeof checkpoint);
    return watchdog_block(cause, clock_seconds(), checkpoint, watchdog->command, text,
                          size);
}

/* The job is being ended, and not every rank could stop in time. */
static void tell_too_late(struct watchdog *watchdog, const struct watchdog_cause *cause)
{
    char checkpoint[WATCHDOG_TEXT], text[2 * WATCHDOG_COMMAND];
    checkpoint_of(watchdog, checkpoint, sizeof checkpoint);
    snprintf(text, sizeof text,
             "tutti: killed %.0f s after the request to stop, in step %lld; the last "
             "checkpoint is %s; resume with: %.*s\n",
             watchdog_stopping_seconds(), (long long)cause->member->step,
             *checkpoint ? checkpoint : "none", (int)strcspn(watchdog->command, "\n"),
             watchdog->command);
    watchdog_print(text);
}

static bool is_too_late(const struct watchdog_cause *cause)
{
    return cause->reason == CAUSE_LOST && watchdog_stopping_seconds() > stopping_seconds;
}

/* Its last words are out; what comes behind them (a trace, a core) may take a while. */
static void let_die(const struct watchdog_member *member)
{
    struct watchdog_link *link = (struct watchdog_link *)&member->link;
    double until = clock_seconds() + core_seconds;
    struct pollfd polled = {.fd = link->socket, .events = POLLIN};
    while (link->socket >= 0 && clock_seconds() < until) {
        poll(&polled, 1, 100);
        if (watchdog_link_receive(link) < 0)
            watchdog_link_close(link);
    }
}

static void sleep_then_leave(double seconds)
{
    double until = clock_seconds() + seconds;
    while (clock_seconds() < until)
        poll(NULL, 0, 100);
    _exit(STATUS_FAILED);
}

/* The hub's: tells people, then all ranks, and leaves. */
static void conclude(struct watchdog *watchdog, const struct watchdog_cause *cause)
{
    const struct watchdog_process *culprit = &cause->member->process;
    bool own = cause->member == &watchdog->members[0];
    bool worded = cause->reason == CAUSE_SIGNAL || cause->reason == CAUSE_EXIT ||
                  cause->reason == CAUSE_FAILED;
    char text[2 * WATCHDOG_COMMAND];
    if (is_too_late(cause)) {
        tell_too_late(watchdog, cause);
    } else {
        block(watchdog, cause, text, sizeof text);
        watchdog_tell(watchdog, text);
    }
    if (worded && !own)
        let_die(cause->member);
    struct watchdog_frame frame;
    watchdog_describe(watchdog, WATCHDOG_END, &frame);
    frame.rank = culprit->rank;
    frame.pid = culprit->pid;
    frame.place = culprit->place;
    frame.born = culprit->born;
    frame.number = !worded; /* those who can speak can leave */
    say_to_all(watchdog, &frame);
    if (!worded) {
        watchdog_process_kill(culprit);
        if (cause->reason == CAUSE_UNHEARD)
            watchdog_process_kill_far(culprit, watchdog->ranks);
    }
    atomic_store(&watchdog->told, true); /* last words of its own may go on */
    if (worded && own)
        sleep_then_leave(own_core_seconds);
    _exit(STATUS_FAILED);
}

/* The others': the hub is gone or silent. Each has found it out; one of them tells. */
static void conclude_without_hub(struct watchdog *watchdog,
                                 const struct watchdog_cause *cause)
{
    char text[2 * WATCHDOG_COMMAND];
    bool heir = watchdog->rank == watchdog->heir;
    if (!is_too_late(cause)) {
        block(watchdog, cause, text, sizeof text);
        watchdog_tell_once(watchdog, text, heir);
    } else if (heir) {
        tell_too_late(watchdog, cause);
    }
    watchdog_process_kill(&cause->member->process);
    if (cause->reason == CAUSE_UNHEARD)
        watchdog_process_kill_far(&cause->member->process, watchdog->ranks);
    _exit(STATUS_FAILED);
}

/* The hub has said so. */
static void leave(struct watchdog *watchdog, const struct watchdog_frame *frame)
{
    struct watchdog_process culprit = {
        .pid = frame->pid, .place = frame->place, .born = frame->born};
    if (frame->number)
        watchdog_process_kill(&culprit);
    if (frame->rank == 0) /* the launcher reports the first that leaves */
        let_die(&watchdog->members[0]);
    if (frame->rank == watchdog->rank && atomic_load(&watchdog->spoken))
        sleep_then_leave(own_core_seconds);
    _exit(STATUS_FAILED);
}

/* A launcher that has died takes its ranks along, one after the other and in no order. */
static bool find_orphaned(struct watchdog *watchdog, struct watchdog_cause *cause)
{
    if (watchdog->launcher == 0 || getppid() == watchdog->launcher)
        return false;
    *cause = (struct watchdog_cause){.reason = CAUSE_ORPHANED,
                                     .member = watchdog->hub ? &watchdog->members[0]
                                                             : &watchdog->mine,
                                     .number = (int)watchdog->launcher};
    return true;
}

static void worse(struct watchdog_cause *worst, const struct watchdog_cause *other)
{
    if (other->reason > worst->reason)
        *worst = *other;
}

/* ---- hearing ---- */

static struct watchdog_cause words_of(const struct watchdog_member *member,
                                      const struct watchdog_frame *frame)
{
    struct watchdog_cause cause = {.member = member, .number = frame->number};
    cause.reason = frame->kind == WATCHDOG_SIGNAL ? CAUSE_SIGNAL
                   : frame->kind == WATCHDOG_EXIT ? CAUSE_EXIT
                                                  : CAUSE_FAILED;
    watchdog_copy(cause.text, sizeof cause.text, frame->text);
    return cause;
}

/* How a process on this host has ended is in /proc for the moment between its last breath
 * and the launcher's look at it. */
static struct watchdog_cause lost(const struct watchdog_member *member)
{
    struct watchdog_cause cause = {.reason = CAUSE_LOST, .member = member};
    for (int i = 0; i < 20 && cause.number == 0; i++) {
        struct watchdog_proc found = watchdog_process_look(&member->process);
        cause.number = found.exit_code;
        if (found.state == 0 || found.state == 'Z' || found.state == 'X')
            break;
        if (cause.number == 0)
            poll(NULL, 0, 1);
    }
    return cause;
}

static void hear_alive(struct watchdog *watchdog, struct watchdog_member *member,
                       const struct watchdog_frame *frame)
{
    member->known = true;
    member->phase = (enum phase)frame->phase;
    member->step = frame->step;
    member->still = frame->still;
    member->heard = clock_seconds();
    if (watchdog->hub)
        return;
    watchdog->heir = frame->heir;
    if (frame->kind != WATCHDOG_ALIVE)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog_copy(watchdog->checkpoint, sizeof watchdog->checkpoint, frame->text);
    pthread_mutex_unlock(&watchdog->lock);
}

static void hear(struct watchdog *watchdog, struct watchdog_member *member,
                 struct watchdog_cause *worst)
{
    const struct watchdog_frame *frame = &member->link.frame;
    struct watchdog_cause words;
    if (frame->heir >= watchdog->ranks || frame->rank >= watchdog->ranks ||
        (frame->kind != WATCHDOG_END && frame->rank != member->process.rank))
        return;
    switch ((enum watchdog_kind)frame->kind) {
    case WATCHDOG_ALIVE:
        hear_alive(watchdog, member, frame);
        break;
    case WATCHDOG_SIGNAL:
    case WATCHDOG_EXIT:
    case WATCHDOG_FAILED:
        hear_alive(watchdog, member, frame);
        words = words_of(member, frame);
        worse(worst, &words);
        break;
    case WATCHDOG_BYE:
        member->left = true;
        break;
    case WATCHDOG_END:
        if (!watchdog->hub && !atomic_load(&watchdog->closing))
            leave(watchdog, frame);
        break;
    default:
        break;
    }
}

static void read_member(struct watchdog *watchdog, struct watchdog_member *member,
                        struct watchdog_cause *worst)
{
    int got;
    while ((got = watchdog_link_receive(&member->link)) > 0)
        hear(watchdog, member, worst);
    if (got == 0)
        return;
    watchdog_link_close(&member->link);
    bool worded = worst->reason != CAUSE_NONE && worst->member == member;
    if (member->left || worded || !member->known)
        return; /* never known: it has found another way, or has warned */
    struct watchdog_cause cause = lost(member);
    worse(worst, &cause);
}

/* Who speaks when rank 0 can't: the lowest rank of another host, or else of this one. */
static void choose_heir(struct watchdog *watchdog)
{
    int any = 0, elsewhere = 0;
    for (int i = watchdog->count - 1; i > 0; i--) {
        if (!watchdog->members[i].known)
            continue;
        any = i;
        if (strcmp(watchdog->members[i].process.host, watchdog->self.host) != 0)
            elsewhere = i;
    }
    watchdog->heir = elsewhere ? elsewhere : any;
}

/* ---- once a second ---- */

/* Nobody is to blame for the time in which this process itself has not run: a suspended
 * job, a sleeping laptop. */
static void forgive(struct watchdog *watchdog, double now)
{
    double gap = now - watchdog->ticked - tick_seconds;
    if (watchdog->ticked == 0 || gap < gap_seconds)
        return;
    watchdog->moved += gap;
    for (int i = 0; i < watchdog->count; i++)
        watchdog->members[i].heard += gap;
}

static void tick(struct watchdog *watchdog, double now)
{
    struct watchdog_frame alive;
    struct watchdog_cause cause = {.reason = CAUSE_NONE};
    forgive(watchdog, now);
    watchdog->ticked = now;
    watchdog_pending_expire(watchdog, now);
    look_at_self(watchdog, now);
    if (watchdog->hub && watchdog->count > 1)
        choose_heir(watchdog);
    watchdog_describe(watchdog, WATCHDOG_ALIVE, &alive);
    say_to_all(watchdog, &alive);
    if (watchdog->hub) {
        if (!find_orphaned(watchdog, &cause))
            cause = watchdog_judge(watchdog->members, watchdog->count, watchdog->ranks,
                                   now, watchdog->hang_seconds);
        if (cause.reason != CAUSE_NONE)
            conclude(watchdog, &cause);
        return;
    }
    double silent = now - watchdog->members[0].heard;
    if (!watchdog->members[0].left && watchdog->hang_seconds > 0 &&
        silent > watchdog->hang_seconds + tick_seconds) {
        cause = (struct watchdog_cause){
            .reason = CAUSE_UNHEARD, .member = &watchdog->members[0], .seconds = silent};
        conclude_without_hub(watchdog, &cause);
    }
}

/* ---- the loop ---- */

/* What is polled: whoever is connected, and last, as accepting may close the pending
 * ones, the listeners. Only that, for poll refuses a list longer than the limit of
 * descriptors. */
struct entry {
    struct watchdog_member *member; /* NULL: none of them */
    struct watchdog_pending *pending;
    int *listener;
};

struct table {
    struct pollfd *polled;
    struct entry *who;
    nfds_t count;
};

static void list(struct table *table, int socket, struct entry who)
{
    if (socket < 0)
        return;
    table->polled[table->count] = (struct pollfd){.fd = socket, .events = POLLIN};
    table->who[table->count++] = who;
}

static void list_all(struct watchdog *watchdog, struct table *table)
{
    table->count = 0;
    list(table, watchdog->wake, (struct entry){0});
    for (int i = 0; i < watchdog->count; i++)
        list(table, watchdog->members[i].link.socket,
             (struct entry){.member = &watchdog->members[i]});
    for (int i = 0; watchdog->pending && i < WATCHDOG_PENDING; i++)
        list(table, watchdog->pending[i].link.socket,
             (struct entry){.pending = &watchdog->pending[i]});
    for (int i = 0;
         i < WATCHDOG_ADDRESSES && watchdog_can_accept(watchdog, clock_seconds()); i++)
        list(table, watchdog->listeners[i],
             (struct entry){.listener = &watchdog->listeners[i]});
}

/* One that is ready; it may have been closed since, or joined. */
static void read_one(struct watchdog *watchdog, int socket, const struct entry *who,
                     struct watchdog_cause *worst)
{
    uint64_t woken;
    if (socket == watchdog->wake && read(watchdog->wake, &woken, sizeof woken) < 0)
        return; /* somebody else's news have been read already */
    if (who->listener && *who->listener == socket)
        watchdog_accept(watchdog, who->listener);
    else if (who->pending && who->pending->link.socket == socket)
        watchdog_pending_read(watchdog, who->pending);
    else if (who->member && who->member->link.socket == socket)
        read_member(watchdog, who->member, worst);
}

/* What has been read so far, of this process and of others, decides. */
static void act(struct watchdog *watchdog, struct watchdog_cause *worst)
{
    if (watchdog->hub && atomic_load(&watchdog->spoken)) {
        struct watchdog_cause words = words_of(&watchdog->members[0], &watchdog->words);
        look_at_self(watchdog, clock_seconds());
        worse(worst, &words);
    }
    if (worst->reason == CAUSE_NONE || atomic_load(&watchdog->closing))
        return;
    find_orphaned(watchdog, worst);
    if (watchdog->hub)
        conclude(watchdog, worst);
    conclude_without_hub(watchdog, worst);
}

static void turn(struct watchdog *watchdog, struct table *table, double until)
{
    struct watchdog_cause worst = {.reason = CAUSE_NONE};
    if (atomic_load(&watchdog->gathered))
        watchdog_stop_listening(watchdog);
    list_all(watchdog, table);
    double left = until - clock_seconds();
    int ready = poll(table->polled, table->count, left > 0 ? (int)(1000 * left) + 1 : 0);
    if (ready < 0 && errno != EINTR)
        poll(NULL, 0, 100); /* better late than in circles */
    for (nfds_t i = 0; ready > 0 && i < table->count; i++)
        if (table->polled[i].revents)
            read_one(watchdog, table->polled[i].fd, &table->who[i], &worst);
    act(watchdog, &worst);
}

static bool any_link(const struct watchdog *watchdog)
{
    for (int i = 0; i < watchdog->count; i++)
        if (watchdog->members[i].link.socket >= 0)
            return true;
    return false;
}

/* Each side says goodbye, says no more, and reads until the other has done so too: closed
 * at once, a connection may lose what is still on its way. */
static void say_goodbye(struct watchdog *watchdog, struct table *table)
{
    struct watchdog_frame bye;
    double until = clock_seconds() + goodbye_seconds;
    watchdog_describe(watchdog, WATCHDOG_BYE, &bye);
    say_to_all(watchdog, &bye);
    for (int i = 0; i < watchdog->count; i++)
        if (watchdog->members[i].link.socket >= 0)
            shutdown(watchdog->members[i].link.socket, SHUT_WR);
    while (any_link(watchdog) && clock_seconds() < until)
        turn(watchdog, table, until);
}

static void run(struct watchdog *watchdog, struct table *table)
{
    double next = clock_seconds();
    while (!atomic_load(&watchdog->closing)) {
        double now = clock_seconds();
        if (now >= next || atomic_exchange(&watchdog->news, false)) {
            tick(watchdog, now);
            next = now + tick_seconds;
        }
        turn(watchdog, table, next);
    }
    say_goodbye(watchdog, table);
}

void *watchdog_run(void *argument)
{
    struct watchdog *watchdog = argument;
    size_t most = 1 + WATCHDOG_ADDRESSES + WATCHDOG_PENDING + (size_t)watchdog->count;
    struct table table = {.polled = calloc(most, sizeof *table.polled),
                          .who = calloc(most, sizeof *table.who)};
    if (table.polled && table.who)
        run(watchdog, &table);
    free(table.polled);
    free(table.who);
    return NULL;
}
