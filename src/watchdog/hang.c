/* watchdog, the hang detector: which rank hangs, if any. Pure arithmetic on the last
 * heartbeats.
 *
 * A rank that waits for others (PHASE_WAIT) is not at fault. A rank that computes, reads
 * or writes without progress for `hang_timeout` is at fault. One that sends no heartbeats
 * is the likelier culprit, because its thread sends them even while its training hangs.
 * If all ranks wait, no single rank is at fault.
 */
#include "watchdog_internal.h"

static bool is_watched(const struct watchdog_peer *peer)
{
    return peer->confirmed && !peer->bye_received;
}

/* Loading a dataset and ending a run may both take a long time. */
static bool is_exempt(const struct watchdog_peer *peer)
{
    return (peer->phase == PHASE_START && peer->step == 0) || peer->phase == PHASE_END;
}

static struct watchdog_cause check_peer(const struct watchdog_peer *peer, double now,
                                        double hang_timeout)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE, .peer = peer};
    double silent = now - peer->last_heartbeat, idle = peer->idle + silent;
    if (silent > hang_timeout) {
        cause.reason = CAUSE_SILENT;
        cause.seconds = silent;
    } else if (peer->phase != PHASE_WAIT && !is_exempt(peer) && idle > hang_timeout) {
        cause.reason = CAUSE_HANG;
        cause.seconds = idle;
    }
    return cause;
}

/* CAUSE_ALL_WAIT if all ranks have waited for each other for longer than any of them
 * could have waited for a rank that hangs; else CAUSE_NONE. */
static struct watchdog_cause check_all_wait(const struct watchdog_peer *peers, int count,
                                            int ranks, double now, double hang_timeout)
{
    struct watchdog_cause cause = {.reason = CAUSE_NONE, .peer = &peers[0]};
    double shortest = -1;
    for (int i = 0; i < count; i++) {
        const struct watchdog_peer *peer = &peers[i];
        double idle = peer->idle + now - peer->last_heartbeat;
        if (!is_watched(peer) || peer->phase != PHASE_WAIT)
            return cause;
        if (shortest < 0 || idle < shortest)
            shortest = idle;
    }
    if (count == ranks && shortest > 2 * hang_timeout) {
        cause.reason = CAUSE_ALL_WAIT;
        cause.seconds = shortest;
    }
    return cause;
}

struct watchdog_cause watchdog_find_hang(const struct watchdog_peer *peers, int count,
                                         int ranks, double now, double hang_timeout)
{
    struct watchdog_cause root = {.reason = CAUSE_NONE};
    if (hang_timeout <= 0)
        return root;
    for (int i = 0; i < count; i++) {
        if (!is_watched(&peers[i]))
            continue;
        struct watchdog_cause cause = check_peer(&peers[i], now, hang_timeout);
        if (cause.reason > root.reason ||
            (cause.reason == root.reason && cause.seconds > root.seconds))
            root = cause;
    }
    if (root.reason == CAUSE_NONE)
        root = check_all_wait(peers, count, ranks, now, hang_timeout);
    return root;
}
