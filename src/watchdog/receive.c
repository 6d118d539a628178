/* watchdog, receiving: the frames of other ranks, and the end of their connections.
 *
 * A connection that is closed without a goodbye means that the process has died: the
 * kernel closes it, however the process ends.
 */
#include <poll.h>

#include "watchdog_internal.h"
#include "base/progress.h"

void watchdog_update_root_cause(struct watchdog_cause *root,
                                const struct watchdog_cause *other)
{
    if (other->reason > root->reason)
        *root = *other;
}

struct watchdog_cause watchdog_crash_cause(const struct watchdog_peer *peer,
                                           const struct watchdog_frame *frame)
{
    struct watchdog_cause cause = {.peer = peer, .number = frame->number};
    cause.reason = frame->kind == WATCHDOG_SIGNAL ? CAUSE_SIGNAL
                   : frame->kind == WATCHDOG_EXIT ? CAUSE_EXIT
                                                  : CAUSE_FAILED;
    watchdog_copy_text(cause.text, sizeof cause.text, frame->text);
    return cause;
}

/* The exit status of a process on this host is in /proc only until its launcher has
 * reaped it. */
static struct watchdog_cause lost_connection_cause(const struct watchdog_peer *peer)
{
    struct watchdog_cause cause = {.reason = CAUSE_LOST, .peer = peer};
    for (int i = 0; i < 20 && cause.number == 0; i++) {
        struct watchdog_proc found = watchdog_process_query(&peer->process);
        cause.number = found.exit_code;
        if (found.state == 0 || found.state == 'Z' || found.state == 'X')
            break;
        if (cause.number == 0)
            poll(NULL, 0, 1);
    }
    return cause;
}

static void update_peer(struct watchdog *watchdog, struct watchdog_peer *peer,
                        const struct watchdog_frame *frame)
{
    peer->confirmed = true;
    peer->phase = (enum phase)frame->phase;
    peer->step = frame->step;
    peer->idle = frame->idle;
    peer->last_heartbeat = clock_seconds();
    if (watchdog->is_coordinator)
        return;
    watchdog->successor = frame->successor;
    if (frame->kind != WATCHDOG_ALIVE)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog_copy_text(watchdog->checkpoint, sizeof watchdog->checkpoint, frame->text);
    pthread_mutex_unlock(&watchdog->lock);
}

static void handle_frame(struct watchdog *watchdog, struct watchdog_peer *peer,
                         struct watchdog_cause *root)
{
    const struct watchdog_frame *frame = &peer->link.frame;
    struct watchdog_cause crash;
    if (frame->successor >= watchdog->ranks || frame->rank >= watchdog->ranks ||
        (frame->kind != WATCHDOG_END && frame->rank != peer->process.rank))
        return;
    switch ((enum watchdog_kind)frame->kind) {
    case WATCHDOG_ALIVE:
        update_peer(watchdog, peer, frame);
        break;
    case WATCHDOG_SIGNAL:
    case WATCHDOG_EXIT:
    case WATCHDOG_FAILED:
        update_peer(watchdog, peer, frame);
        crash = watchdog_crash_cause(peer, frame);
        watchdog_update_root_cause(root, &crash);
        break;
    case WATCHDOG_BYE:
        peer->bye_received = true;
        break;
    case WATCHDOG_END:
        if (!watchdog->is_coordinator && !atomic_load(&watchdog->closing))
            watchdog_end_process(watchdog, frame);
        break;
    default:
        break;
    }
}

void watchdog_peer_receive(struct watchdog *watchdog, struct watchdog_peer *peer,
                           struct watchdog_cause *root)
{
    int result;
    while ((result = watchdog_link_receive(&peer->link)) > 0)
        handle_frame(watchdog, peer, root);
    if (result == 0)
        return;
    watchdog_link_close(&peer->link);
    bool has_crashed = root->reason != CAUSE_NONE && root->peer == peer;
    if (peer->bye_received || has_crashed || !peer->confirmed)
        return; /* an unconfirmed peer reconnects, or warns that it isn't watched */
    struct watchdog_cause cause = lost_connection_cause(peer);
    watchdog_update_root_cause(root, &cause);
}
