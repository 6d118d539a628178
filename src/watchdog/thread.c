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
#include "base/team.h"

static const double tick_seconds = 1;
/* A tick this late: this process was suspended. */
static const double suspension_seconds = 3;
static const double goodbye_seconds = 1;

/* ---- once a second ---- */

/* The rank that reports if rank 0 can't: the lowest on another host, else the lowest. */
static void choose_successor(struct watchdog *watchdog)
{
    int lowest = 0, lowest_remote = 0;
    for (int i = watchdog->peer_count - 1; i > 0; i--) {
        if (!watchdog->peers[i].confirmed)
            continue;
        lowest = i;
        if (strcmp(watchdog->peers[i].process.host, watchdog->self.host) != 0)
            lowest_remote = i;
    }
    watchdog->successor = lowest_remote ? lowest_remote : lowest;
}

/* Time during which this process itself was not running (a suspended job, a sleeping
 * laptop) is not counted against any rank. */
static void discount_suspension(struct watchdog *watchdog, double now)
{
    double gap = now - watchdog->last_tick - tick_seconds;
    if (watchdog->last_tick == 0 || gap < suspension_seconds)
        return;
    watchdog->last_progress += gap;
    for (int i = 0; i < watchdog->peer_count; i++)
        watchdog->peers[i].last_heartbeat += gap;
}

static struct watchdog_cause check_ranks(const struct watchdog *watchdog, double now)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE};
    if (!watchdog_check_launcher(watchdog, &cause))
        cause = watchdog_find_hang(watchdog->peers, watchdog->peer_count, watchdog->ranks,
                                   now, watchdog->hang_timeout);
    return cause;
}

static struct watchdog_cause check_coordinator(const struct watchdog *watchdog,
                                               double now)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE, .peer = &watchdog->peers[0]};
    cause.seconds = now - cause.peer->last_heartbeat;
    if (!cause.peer->bye_received && watchdog->hang_timeout > 0 &&
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
    if (watchdog->is_coordinator && watchdog->peer_count > 1)
        choose_successor(watchdog);
    watchdog_frame_init(watchdog, WATCHDOG_ALIVE, &alive);
    watchdog_send_to_all(watchdog, &alive);
    struct watchdog_cause cause = watchdog->is_coordinator
                                      ? check_ranks(watchdog, now)
                                      : check_coordinator(watchdog, now);
    if (cause.reason != CAUSE_NONE)
        watchdog_end_run(watchdog, &cause);
}

/* ---- the loop ---- */

/* The owner of a polled descriptor: at most one member is not NULL (none:
 * `wake_event`). */
struct owner {
    struct watchdog_peer *peer;
    struct watchdog_pending *pending;
    int *listener;
};

/* The open connections, followed by the listeners, because accepting may close pending
 * connections. Closed ones are left out: poll rejects a list longer than the descriptor
 * limit. */
struct poll_set {
    struct pollfd *polled;
    struct owner *owners;
    nfds_t count;
};

static void add_descriptor(struct poll_set *set, int socket, struct owner owner)
{
    if (socket < 0)
        return;
    set->polled[set->count] = (struct pollfd){.fd = socket, .events = POLLIN};
    set->owners[set->count++] = owner;
}

static void fill_poll_set(struct poll_set *set, struct watchdog *watchdog)
{
    set->count = 0;
    add_descriptor(set, watchdog->wake_event, (struct owner){0});
    for (int i = 0; i < watchdog->peer_count; i++)
        add_descriptor(set, watchdog->peers[i].link.socket,
                       (struct owner){.peer = &watchdog->peers[i]});
    for (int i = 0; watchdog->pending && i < WATCHDOG_MAX_PENDING; i++)
        add_descriptor(set, watchdog->pending[i].link.socket,
                       (struct owner){.pending = &watchdog->pending[i]});
    for (int i = 0;
         i < WATCHDOG_MAX_ADDRESSES && watchdog_can_accept(watchdog, clock_seconds());
         i++)
        add_descriptor(set, watchdog->listeners[i],
                       (struct owner){.listener = &watchdog->listeners[i]});
}

/* Reads a ready descriptor, unless it has been closed, or has joined, since poll. */
static void read_ready(struct watchdog *watchdog, int socket, const struct owner *owner,
                       struct watchdog_cause *root)
{
    uint64_t events;
    if (socket == watchdog->wake_event &&
        read(watchdog->wake_event, &events, sizeof events) < 0)
        return; /* already read */
    if (owner->listener && *owner->listener == socket)
        watchdog_accept(watchdog, owner->listener);
    else if (owner->pending && owner->pending->link.socket == socket)
        watchdog_pending_receive(watchdog, owner->pending);
    else if (owner->peer && owner->peer->link.socket == socket)
        watchdog_peer_receive(watchdog, owner->peer, root);
}

/* Ends the run if a death has been found, of this process or another. */
static void handle_cause(struct watchdog *watchdog, struct watchdog_cause *root)
{
    if (watchdog->is_coordinator && atomic_load(&watchdog->crash_sent)) {
        struct watchdog_cause crash =
            watchdog_crash_cause(&watchdog->peers[0], &watchdog->crash_message);
        watchdog_update_self(watchdog, clock_seconds());
        watchdog_update_root_cause(root, &crash);
    }
    if (root->reason == CAUSE_NONE || atomic_load(&watchdog->closing))
        return;
    watchdog_check_launcher(watchdog, root);
    watchdog_end_run(watchdog, root);
}

static void poll_until(struct watchdog *watchdog, struct poll_set *set, double deadline)
{
    struct watchdog_cause root = {.reason = CAUSE_NONE};
    if (atomic_load(&watchdog->all_joined))
        watchdog_stop_listening(watchdog);
    fill_poll_set(set, watchdog);
    double remaining = deadline - clock_seconds();
    int ready =
        poll(set->polled, set->count, remaining > 0 ? (int)(1000 * remaining) + 1 : 0);
    if (ready < 0 && errno != EINTR)
        poll(NULL, 0, 100); /* avoids a busy loop if poll keeps failing */
    for (nfds_t i = 0; ready > 0 && i < set->count; i++)
        if (set->polled[i].revents)
            read_ready(watchdog, set->polled[i].fd, &set->owners[i], &root);
    handle_cause(watchdog, &root);
}

static bool any_link_open(const struct watchdog *watchdog)
{
    for (int i = 0; i < watchdog->peer_count; i++)
        if (watchdog->peers[i].link.socket >= 0)
            return true;
    return false;
}

/* Each side sends a goodbye, shuts down its direction and reads until the other has done
 * the same: closing at once could discard data in flight. */
static void send_goodbye(struct watchdog *watchdog, struct poll_set *set)
{
    struct watchdog_frame bye;
    double deadline = clock_seconds() + goodbye_seconds;
    watchdog_frame_init(watchdog, WATCHDOG_BYE, &bye);
    watchdog_send_to_all(watchdog, &bye);
    for (int i = 0; i < watchdog->peer_count; i++)
        if (watchdog->peers[i].link.socket >= 0)
            shutdown(watchdog->peers[i].link.socket, SHUT_WR);
    while (any_link_open(watchdog) && clock_seconds() < deadline)
        poll_until(watchdog, set, deadline);
}

static void run_loop(struct watchdog *watchdog, struct poll_set *set)
{
    double next_tick = clock_seconds();
    while (!atomic_load(&watchdog->closing)) {
        double now = clock_seconds();
        if (now >= next_tick || atomic_exchange(&watchdog->heartbeat_requested, false)) {
            tick(watchdog, now);
            next_tick = now + tick_seconds;
        }
        poll_until(watchdog, set, next_tick);
    }
    send_goodbye(watchdog, set);
}

void *watchdog_run(void *argument)
{
    struct watchdog *watchdog = argument;
    team_unbind();
    size_t capacity =
        1 + WATCHDOG_MAX_ADDRESSES + WATCHDOG_MAX_PENDING + (size_t)watchdog->peer_count;
    struct poll_set set = {.polled = calloc(capacity, sizeof *set.polled),
                           .owners = calloc(capacity, sizeof *set.owners)};
    if (set.polled && set.owners)
        run_loop(watchdog, &set);
    free(set.polled);
    free(set.owners);
    return NULL;
}
