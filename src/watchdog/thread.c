/* watchdog, the thread: sends a heartbeat once a second, receives those of other ranks,
 * and ends this process when a rank has died or hangs.
 *
 * The coordinator watches all ranks for deaths and hangs; the other ranks only watch the
 * coordinator. If several deaths are found at once, the order of enum watchdog_reason
 * decides which is the root cause: a rank that calls MPI after another has died may fail
 * as a consequence.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/progress.h"

static const double tick_seconds = 1;
static const double gap_seconds = 3; /* a tick this late: this process was suspended */
static const double goodbye_seconds = 1;

/* ---- once a second ---- */

/* The rank that reports if rank 0 can't: the lowest on another host, else the lowest. */
static void choose_successor(struct watchdog *watchdog)
{
    int any = 0, elsewhere = 0;
    for (int i = watchdog->count - 1; i > 0; i--) {
        if (!watchdog->peers[i].known)
            continue;
        any = i;
        if (strcmp(watchdog->peers[i].process.host, watchdog->self.host) != 0)
            elsewhere = i;
    }
    watchdog->successor = elsewhere ? elsewhere : any;
}

/* Time during which this process itself was not running (a suspended job, a sleeping
 * laptop) is not counted against any rank. */
static void discount_suspension(struct watchdog *watchdog, double now)
{
    double gap = now - watchdog->last_tick - tick_seconds;
    if (watchdog->last_tick == 0 || gap < gap_seconds)
        return;
    watchdog->last_progress += gap;
    for (int i = 0; i < watchdog->count; i++)
        watchdog->peers[i].last_heartbeat += gap;
}

static struct watchdog_cause check_ranks(const struct watchdog *watchdog, double now)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE};
    if (!watchdog_check_launcher(watchdog, &cause))
        cause = watchdog_find_hang(watchdog->peers, watchdog->count, watchdog->ranks, now,
                                   watchdog->hang_timeout);
    return cause;
}

static struct watchdog_cause check_coordinator(const struct watchdog *watchdog,
                                               double now)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE, .peer = &watchdog->peers[0]};
    cause.seconds = now - cause.peer->last_heartbeat;
    if (!cause.peer->left && watchdog->hang_timeout > 0 &&
        cause.seconds > watchdog->hang_timeout + tick_seconds)
        cause.reason = CAUSE_SILENT;
    return cause;
}

static void tick(struct watchdog *watchdog, double now)
{
    struct watchdog_frame alive;
    discount_suspension(watchdog, now);
    watchdog->last_tick = now;
    watchdog_pending_expire(watchdog, now);
    watchdog_update_self(watchdog, now);
    if (watchdog->is_coordinator && watchdog->count > 1)
        choose_successor(watchdog);
    watchdog_describe(watchdog, WATCHDOG_ALIVE, &alive);
    watchdog_send_to_all(watchdog, &alive);
    struct watchdog_cause cause = watchdog->is_coordinator
                                      ? check_ranks(watchdog, now)
                                      : check_coordinator(watchdog, now);
    if (cause.reason != CAUSE_NONE)
        watchdog_end_run(watchdog, &cause);
}

/* ---- the loop ---- */

/* The owner of a polled descriptor: at most one member is not NULL (none: `wake`). */
struct owner {
    struct watchdog_peer *peer;
    struct watchdog_pending *pending;
    int *listener;
};

/* The open connections, followed by the listeners, because accepting may close pending
 * connections. Closed ones are left out: poll rejects a list longer than the descriptor
 * limit. */
struct table {
    struct pollfd *polled;
    struct owner *owners;
    nfds_t count;
};

static void add(struct table *table, int socket, struct owner owner)
{
    if (socket < 0)
        return;
    table->polled[table->count] = (struct pollfd){.fd = socket, .events = POLLIN};
    table->owners[table->count++] = owner;
}

static void fill(struct table *table, struct watchdog *watchdog)
{
    table->count = 0;
    add(table, watchdog->wake, (struct owner){0});
    for (int i = 0; i < watchdog->count; i++)
        add(table, watchdog->peers[i].link.socket,
            (struct owner){.peer = &watchdog->peers[i]});
    for (int i = 0; watchdog->pending && i < WATCHDOG_PENDING; i++)
        add(table, watchdog->pending[i].link.socket,
            (struct owner){.pending = &watchdog->pending[i]});
    for (int i = 0;
         i < WATCHDOG_ADDRESSES && watchdog_can_accept(watchdog, clock_seconds()); i++)
        add(table, watchdog->listeners[i],
            (struct owner){.listener = &watchdog->listeners[i]});
}

/* Reads a ready descriptor, unless it has been closed, or has joined, since poll. */
static void read_ready(struct watchdog *watchdog, int socket, const struct owner *owner,
                       struct watchdog_cause *root)
{
    uint64_t woken;
    if (socket == watchdog->wake && read(watchdog->wake, &woken, sizeof woken) < 0)
        return; /* already read */
    if (owner->listener && *owner->listener == socket)
        watchdog_accept(watchdog, owner->listener);
    else if (owner->pending && owner->pending->link.socket == socket)
        watchdog_pending_read(watchdog, owner->pending);
    else if (owner->peer && owner->peer->link.socket == socket)
        watchdog_read_peer(watchdog, owner->peer, root);
}

/* Ends the run if a death has been found, of this process or another. */
static void act(struct watchdog *watchdog, struct watchdog_cause *root)
{
    if (watchdog->is_coordinator && atomic_load(&watchdog->crash_sent)) {
        struct watchdog_cause crash =
            watchdog_crash_cause(&watchdog->peers[0], &watchdog->crash_message);
        watchdog_update_self(watchdog, clock_seconds());
        watchdog_keep_root(root, &crash);
    }
    if (root->reason == CAUSE_NONE || atomic_load(&watchdog->closing))
        return;
    watchdog_check_launcher(watchdog, root);
    watchdog_end_run(watchdog, root);
}

static void poll_until(struct watchdog *watchdog, struct table *table, double until)
{
    struct watchdog_cause root = {.reason = CAUSE_NONE};
    if (atomic_load(&watchdog->all_joined))
        watchdog_stop_listening(watchdog);
    fill(table, watchdog);
    double left = until - clock_seconds();
    int ready = poll(table->polled, table->count, left > 0 ? (int)(1000 * left) + 1 : 0);
    if (ready < 0 && errno != EINTR)
        poll(NULL, 0, 100); /* avoids a busy loop if poll keeps failing */
    for (nfds_t i = 0; ready > 0 && i < table->count; i++)
        if (table->polled[i].revents)
            read_ready(watchdog, table->polled[i].fd, &table->owners[i], &root);
    act(watchdog, &root);
}

static bool any_link(const struct watchdog *watchdog)
{
    for (int i = 0; i < watchdog->count; i++)
        if (watchdog->peers[i].link.socket >= 0)
            return true;
    return false;
}

/* Each side sends a goodbye, shuts down its direction and reads until the other has done
 * the same: closing at once could discard data in flight. */
static void send_goodbye(struct watchdog *watchdog, struct table *table)
{
    struct watchdog_frame bye;
    double until = clock_seconds() + goodbye_seconds;
    watchdog_describe(watchdog, WATCHDOG_BYE, &bye);
    watchdog_send_to_all(watchdog, &bye);
    for (int i = 0; i < watchdog->count; i++)
        if (watchdog->peers[i].link.socket >= 0)
            shutdown(watchdog->peers[i].link.socket, SHUT_WR);
    while (any_link(watchdog) && clock_seconds() < until)
        poll_until(watchdog, table, until);
}

static void run(struct watchdog *watchdog, struct table *table)
{
    double next = clock_seconds();
    while (!atomic_load(&watchdog->closing)) {
        double now = clock_seconds();
        if (now >= next || atomic_exchange(&watchdog->urgent, false)) {
            tick(watchdog, now);
            next = now + tick_seconds;
        }
        poll_until(watchdog, table, next);
    }
    send_goodbye(watchdog, table);
}

void *watchdog_run(void *argument)
{
    struct watchdog *watchdog = argument;
    size_t capacity = 1 + WATCHDOG_ADDRESSES + WATCHDOG_PENDING + (size_t)watchdog->count;
    struct table table = {.polled = calloc(capacity, sizeof *table.polled),
                          .owners = calloc(capacity, sizeof *table.owners)};
    if (table.polled && table.owners)
        run(watchdog, &table);
    free(table.polled);
    free(table.owners);
    return NULL;
}
