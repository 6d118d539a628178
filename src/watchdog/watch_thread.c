/* watch, the thread: sends a heartbeat once a second, and ends this process when one of
 * the run has died or hangs.
 *
 * The hub receives all heartbeats and judges; what it finds it reports, then it ends the
 * other ranks. They judge for themselves only whether the hub is there. A connection that
 * ends without a goodbye is a death: the kernel ends it, whatever has ended the process.
 * Several deaths found at one look are told apart by how they came (enum watch_reason): a
 * rank that calls MPI after another has died may fail of that.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "watch_internal.h"
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
static void look_at_self(struct watch *watch, double now)
{
    struct phase_state state = phase_state();
    struct watch_member *mine = &watch->mine;
    if (state.moves != watch->moves || watch->moved == 0) {
        watch->moves = state.moves;
        watch->moved = now;
    }
    mine->phase = state.phase;
    mine->step = state.step;
    mine->still = now - watch->moved;
    mine->heard = now;
    if (watch->hub) {
        watch->members[0].phase = mine->phase;
        watch->members[0].step = mine->step;
        watch->members[0].still = mine->still;
        watch->members[0].heard = now;
    }
}

void watch_describe(struct watch *watch, enum watch_kind kind, struct watch_frame *frame)
{
    memset(frame, 0, sizeof *frame);
    watch_frame_fill(frame, kind, &watch->self);
    frame->still = watch->mine.still;
    frame->heir = watch->heir;
    pthread_mutex_lock(&watch->lock);
    watch_copy(frame->text, sizeof frame->text,
               kind == WATCH_WELCOME || !watch->hub ? watch->self.host
                                                    : watch->checkpoint);
    pthread_mutex_unlock(&watch->lock);
}

static void say_to_all(struct watch *watch, const struct watch_frame *frame)
{
    for (int i = 0; i < watch->count; i++)
        watch_link_send(&watch->members[i].link, frame);
}

/* ---- the end ---- */

/* The checkpoint to be named: not one that was removed together with the run's folder.
 * Only rank 0, and ranks on its host, know that they see the same files. */
static void checkpoint_of(struct watch *watch, char *text, size_t size)
{
    static const char gone[] = " (has been removed)";
    pthread_mutex_lock(&watch->lock);
    printable_copy(text, size, watch->checkpoint);
    pthread_mutex_unlock(&watch->lock);
    bool same_host =
        watch->hub || strcmp(watch->self.host, watch->members[0].process.host) == 0;
    size_t length = strlen(text);
    if (length > 0 && same_host && watch_is_gone(text))
        watch_copy(text + length, size - length, gone);
}

static size_t block(struct watch *watch, const struct watch_cause *cause, char *text,
                    size_t size)
{
    char checkpoint[WATCH_TEXT];
    checkpoint_of(watch, checkpoint, sizeof checkpoint);
    return watch_block(cause, clock_seconds(), checkpoint, watch->command, text, size);
}

/* The job is being ended, and not every rank could stop in time. */
static void tell_too_late(struct watch *watch, const struct watch_cause *cause)
{
    char checkpoint[WATCH_TEXT], text[2 * WATCH_COMMAND];
    checkpoint_of(watch, checkpoint, sizeof checkpoint);
    snprintf(text, sizeof text,
             "tutti: killed %.0f s after the request to stop, in step %lld; the last "
             "checkpoint is %s; go on with: %.*s\n",
             watch_stopping_seconds(), (long long)cause->member->step,
             *checkpoint ? checkpoint : "none", (int)strcspn(watch->command, "\n"),
             watch->command);
    watch_print(text);
}

static bool is_too_late(const struct watch_cause *cause)
{
    return cause->reason == CAUSE_LOST && watch_stopping_seconds() > stopping_seconds;
}

/* Its last words are out; what comes behind them (a trace, a core) may take a while. */
static void let_die(const struct watch_member *member)
{
    struct watch_link *link = (struct watch_link *)&member->link;
    double until = clock_seconds() + core_seconds;
    struct pollfd polled = {.fd = link->socket, .events = POLLIN};
    while (link->socket >= 0 && clock_seconds() < until) {
        poll(&polled, 1, 100);
        if (watch_link_receive(link) < 0)
            watch_link_close(link);
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
static void conclude(struct watch *watch, const struct watch_cause *cause)
{
    const struct watch_process *culprit = &cause->member->process;
    bool own = cause->member == &watch->members[0];
    bool worded = cause->reason == CAUSE_SIGNAL || cause->reason == CAUSE_EXIT ||
                  cause->reason == CAUSE_FAILED;
    char text[2 * WATCH_COMMAND];
    if (is_too_late(cause)) {
        tell_too_late(watch, cause);
    } else {
        block(watch, cause, text, sizeof text);
        watch_tell(watch, text);
    }
    if (worded && !own)
        let_die(cause->member);
    struct watch_frame frame;
    watch_describe(watch, WATCH_END, &frame);
    frame.rank = culprit->rank;
    frame.pid = culprit->pid;
    frame.place = culprit->place;
    frame.born = culprit->born;
    frame.number = !worded; /* those who can speak can leave */
    say_to_all(watch, &frame);
    if (!worded) {
        watch_process_kill(culprit);
        if (cause->reason == CAUSE_UNHEARD)
            watch_process_kill_far(culprit, watch->ranks);
    }
    atomic_store(&watch->told, true); /* last words of its own may go on */
    if (worded && own)
        sleep_then_leave(own_core_seconds);
    _exit(STATUS_FAILED);
}

/* The others': the hub is gone or silent. Each has found it out; one of them tells. */
static void conclude_without_hub(struct watch *watch, const struct watch_cause *cause)
{
    char text[2 * WATCH_COMMAND];
    bool heir = watch->rank == watch->heir;
    if (!is_too_late(cause)) {
        block(watch, cause, text, sizeof text);
        watch_tell_once(watch, text, heir);
    } else if (heir) {
        tell_too_late(watch, cause);
    }
    watch_process_kill(&cause->member->process);
    if (cause->reason == CAUSE_UNHEARD)
        watch_process_kill_far(&cause->member->process, watch->ranks);
    _exit(STATUS_FAILED);
}

/* The hub has said so. */
static void leave(struct watch *watch, const struct watch_frame *frame)
{
    struct watch_process culprit = {
        .pid = frame->pid, .place = frame->place, .born = frame->born};
    if (frame->number)
        watch_process_kill(&culprit);
    if (frame->rank == 0) /* the launcher reports the first that leaves */
        let_die(&watch->members[0]);
    if (frame->rank == watch->rank && atomic_load(&watch->spoken))
        sleep_then_leave(own_core_seconds);
    _exit(STATUS_FAILED);
}

/* A launcher that has died takes its ranks along, one after the other and in no order. */
static bool find_orphaned(struct watch *watch, struct watch_cause *cause)
{
    if (watch->launcher == 0 || getppid() == watch->launcher)
        return false;
    *cause =
        (struct watch_cause){.reason = CAUSE_ORPHANED,
                             .member = watch->hub ? &watch->members[0] : &watch->mine,
                             .number = (int)watch->launcher};
    return true;
}

static void worse(struct watch_cause *worst, const struct watch_cause *other)
{
    if (other->reason > worst->reason)
        *worst = *other;
}

/* ---- hearing ---- */

static struct watch_cause words_of(const struct watch_member *member,
                                   const struct watch_frame *frame)
{
    struct watch_cause cause = {.member = member, .number = frame->number};
    cause.reason = frame->kind == WATCH_SIGNAL ? CAUSE_SIGNAL
                   : frame->kind == WATCH_EXIT ? CAUSE_EXIT
                                               : CAUSE_FAILED;
    watch_copy(cause.text, sizeof cause.text, frame->text);
    return cause;
}

/* How a process on this host has ended is in /proc for the moment between its last breath
 * and the launcher's look at it. */
static struct watch_cause lost(const struct watch_member *member)
{
    struct watch_cause cause = {.reason = CAUSE_LOST, .member = member};
    for (int i = 0; i < 20 && cause.number == 0; i++) {
        struct watch_proc found = watch_process_look(&member->process);
        cause.number = found.exit_code;
        if (found.state == 0 || found.state == 'Z' || found.state == 'X')
            break;
        if (cause.number == 0)
            poll(NULL, 0, 1);
    }
    return cause;
}

static void hear_alive(struct watch *watch, struct watch_member *member,
                       const struct watch_frame *frame)
{
    member->known = true;
    member->phase = (enum phase)frame->phase;
    member->step = frame->step;
    member->still = frame->still;
    member->heard = clock_seconds();
    if (watch->hub)
        return;
    watch->heir = frame->heir;
    if (frame->kind != WATCH_ALIVE)
        return;
    pthread_mutex_lock(&watch->lock);
    watch_copy(watch->checkpoint, sizeof watch->checkpoint, frame->text);
    pthread_mutex_unlock(&watch->lock);
}

static void hear(struct watch *watch, struct watch_member *member,
                 struct watch_cause *worst)
{
    const struct watch_frame *frame = &member->link.frame;
    struct watch_cause words;
    if (frame->heir >= watch->ranks || frame->rank >= watch->ranks ||
        (frame->kind != WATCH_END && frame->rank != member->process.rank))
        return;
    switch ((enum watch_kind)frame->kind) {
    case WATCH_ALIVE:
        hear_alive(watch, member, frame);
        break;
    case WATCH_SIGNAL:
    case WATCH_EXIT:
    case WATCH_FAILED:
        hear_alive(watch, member, frame);
        words = words_of(member, frame);
        worse(worst, &words);
        break;
    case WATCH_BYE:
        member->left = true;
        break;
    case WATCH_END:
        if (!watch->hub && !atomic_load(&watch->closing))
            leave(watch, frame);
        break;
    default:
        break;
    }
}

static void read_member(struct watch *watch, struct watch_member *member,
                        struct watch_cause *worst)
{
    int got;
    while ((got = watch_link_receive(&member->link)) > 0)
        hear(watch, member, worst);
    if (got == 0)
        return;
    watch_link_close(&member->link);
    bool worded = worst->reason != CAUSE_NONE && worst->member == member;
    if (member->left || worded || !member->known)
        return; /* never known: it has found another way, or has warned */
    struct watch_cause cause = lost(member);
    worse(worst, &cause);
}

/* Who speaks when rank 0 can't: the lowest rank of another host, or else of this one. */
static void choose_heir(struct watch *watch)
{
    int any = 0, elsewhere = 0;
    for (int i = watch->count - 1; i > 0; i--) {
        if (!watch->members[i].known)
            continue;
        any = i;
        if (strcmp(watch->members[i].process.host, watch->self.host) != 0)
            elsewhere = i;
    }
    watch->heir = elsewhere ? elsewhere : any;
}

/* ---- once a second ---- */

/* Nobody is to blame for the time in which this process itself has not run: a suspended
 * job, a sleeping laptop. */
static void forgive(struct watch *watch, double now)
{
    double gap = now - watch->ticked - tick_seconds;
    if (watch->ticked == 0 || gap < gap_seconds)
        return;
    watch->moved += gap;
    for (int i = 0; i < watch->count; i++)
        watch->members[i].heard += gap;
}

static void tick(struct watch *watch, double now)
{
    struct watch_frame alive;
    struct watch_cause cause = {.reason = CAUSE_NONE};
    forgive(watch, now);
    watch->ticked = now;
    watch_pending_expire(watch, now);
    look_at_self(watch, now);
    if (watch->hub && watch->count > 1)
        choose_heir(watch);
    watch_describe(watch, WATCH_ALIVE, &alive);
    say_to_all(watch, &alive);
    if (watch->hub) {
        if (!find_orphaned(watch, &cause))
            cause = watch_judge(watch->members, watch->count, watch->ranks, now,
                                watch->hang_seconds);
        if (cause.reason != CAUSE_NONE)
            conclude(watch, &cause);
        return;
    }
    double silent = now - watch->members[0].heard;
    if (!watch->members[0].left && watch->hang_seconds > 0 &&
        silent > watch->hang_seconds + tick_seconds) {
        cause = (struct watch_cause){
            .reason = CAUSE_UNHEARD, .member = &watch->members[0], .seconds = silent};
        conclude_without_hub(watch, &cause);
    }
}

/* ---- the loop ---- */

/* What is polled: whoever is connected, and last, as accepting may close the pending ones,
 * the listeners. Only that, for poll refuses a list longer than the limit of descriptors. */
struct entry {
    struct watch_member *member; /* NULL: none of them */
    struct watch_pending *pending;
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

static void list_all(struct watch *watch, struct table *table)
{
    table->count = 0;
    list(table, watch->wake, (struct entry){0});
    for (int i = 0; i < watch->count; i++)
        list(table, watch->members[i].link.socket,
             (struct entry){.member = &watch->members[i]});
    for (int i = 0; watch->pending && i < WATCH_PENDING; i++)
        list(table, watch->pending[i].link.socket,
             (struct entry){.pending = &watch->pending[i]});
    for (int i = 0; i < WATCH_ADDRESSES && watch_can_accept(watch, clock_seconds()); i++)
        list(table, watch->listeners[i],
             (struct entry){.listener = &watch->listeners[i]});
}

/* One that is ready; it may have been closed since, or joined. */
static void read_one(struct watch *watch, int socket, const struct entry *who,
                     struct watch_cause *worst)
{
    uint64_t woken;
    if (socket == watch->wake && read(watch->wake, &woken, sizeof woken) < 0)
        return; /* somebody else's news have been read already */
    if (who->listener && *who->listener == socket)
        watch_accept(watch, who->listener);
    else if (who->pending && who->pending->link.socket == socket)
        watch_pending_read(watch, who->pending);
    else if (who->member && who->member->link.socket == socket)
        read_member(watch, who->member, worst);
}

/* What has been read so far, of this process and of others, decides. */
static void act(struct watch *watch, struct watch_cause *worst)
{
    if (watch->hub && atomic_load(&watch->spoken)) {
        struct watch_cause words = words_of(&watch->members[0], &watch->words);
        look_at_self(watch, clock_seconds());
        worse(worst, &words);
    }
    if (worst->reason == CAUSE_NONE || atomic_load(&watch->closing))
        return;
    find_orphaned(watch, worst);
    if (watch->hub)
        conclude(watch, worst);
    conclude_without_hub(watch, worst);
}

static void turn(struct watch *watch, struct table *table, double until)
{
    struct watch_cause worst = {.reason = CAUSE_NONE};
    if (atomic_load(&watch->gathered))
        watch_stop_listening(watch);
    list_all(watch, table);
    double left = until - clock_seconds();
    int ready = poll(table->polled, table->count, left > 0 ? (int)(1000 * left) + 1 : 0);
    if (ready < 0 && errno != EINTR)
        poll(NULL, 0, 100); /* better late than in circles */
    for (nfds_t i = 0; ready > 0 && i < table->count; i++)
        if (table->polled[i].revents)
            read_one(watch, table->polled[i].fd, &table->who[i], &worst);
    act(watch, &worst);
}

static bool any_link(const struct watch *watch)
{
    for (int i = 0; i < watch->count; i++)
        if (watch->members[i].link.socket >= 0)
            return true;
    return false;
}

/* Each side says goodbye, says no more, and reads until the other has done so too: closed
 * at once, a connection may lose what is still on its way. */
static void say_goodbye(struct watch *watch, struct table *table)
{
    struct watch_frame bye;
    double until = clock_seconds() + goodbye_seconds;
    watch_describe(watch, WATCH_BYE, &bye);
    say_to_all(watch, &bye);
    for (int i = 0; i < watch->count; i++)
        if (watch->members[i].link.socket >= 0)
            shutdown(watch->members[i].link.socket, SHUT_WR);
    while (any_link(watch) && clock_seconds() < until)
        turn(watch, table, until);
}

static void run(struct watch *watch, struct table *table)
{
    double next = clock_seconds();
    while (!atomic_load(&watch->closing)) {
        double now = clock_seconds();
        if (now >= next || atomic_exchange(&watch->news, false)) {
            tick(watch, now);
            next = now + tick_seconds;
        }
        turn(watch, table, next);
    }
    say_goodbye(watch, table);
}

void *watch_run(void *argument)
{
    struct watch *watch = argument;
    size_t most = 1 + WATCH_ADDRESSES + WATCH_PENDING + (size_t)watch->count;
    struct table table = {.polled = calloc(most, sizeof *table.polled),
                          .who = calloc(most, sizeof *table.who)};
    if (table.polled && table.who)
        run(watch, &table);
    free(table.polled);
    free(table.who);
    return NULL;
}
