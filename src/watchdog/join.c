/* watchdog, joining: how rank 0 admits the connections of the other ranks, and no others.
 *
 * Anyone who can reach the port can connect, so a connection is untrusted until it has
 * joined. Only a few such pending connections are kept, each for a few seconds. When more
 * arrive, connections without a valid hello are closed first, the oldest first. A rank
 * sends its hello as soon as it has connected, and from then on a flood can't displace
 * its connection; so a flood delays ranks only briefly. When all ranks have joined or
 * given up, rank 0 stops listening.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/progress.h"

/* How long a pending connection with a valid hello is protected; the rank itself doesn't
 * wait longer, either. */
static const double hello_protection_seconds = 1;

/* ---- pending connections ---- */

/* A free slot, else the oldest one whose connection may be closed, preferably one without
 * a valid hello; NULL: none. */
static struct watchdog_pending *find_slot(const struct watchdog *watchdog, double now)
{
    struct watchdog_pending *oldest = NULL;
    for (int i = 0; i < WATCHDOG_MAX_PENDING; i++) {
        struct watchdog_pending *candidate = &watchdog->pending[i];
        if (candidate->link.socket < 0)
            return candidate;
        if (candidate->rank != 0 &&
            now - candidate->accepted_at < hello_protection_seconds)
            continue;
        if (!oldest || (candidate->rank == 0) > (oldest->rank == 0) ||
            ((candidate->rank == 0) == (oldest->rank == 0) &&
             candidate->accepted_at < oldest->accepted_at))
            oldest = candidate;
    }
    return oldest;
}

bool watchdog_can_accept(const struct watchdog *watchdog, double now)
{
    return watchdog->pending && find_slot(watchdog, now) != NULL;
}

static void drop_pending(struct watchdog_pending *pending)
{
    watchdog_link_close(&pending->link);
    pending->rank = 0;
}

void watchdog_pending_expire(struct watchdog *watchdog, double now)
{
    for (int i = 0; watchdog->pending && i < WATCHDOG_MAX_PENDING; i++)
        if (watchdog->pending[i].link.socket >= 0 &&
            now - watchdog->pending[i].accepted_at > watchdog->pending_seconds)
            drop_pending(&watchdog->pending[i]);
}

void watchdog_stop_listening(struct watchdog *watchdog)
{
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++) {
        if (watchdog->listeners[i] >= 0)
            close(watchdog->listeners[i]);
        watchdog->listeners[i] = -1;
    }
    for (int i = 0; watchdog->pending && i < WATCHDOG_MAX_PENDING; i++)
        drop_pending(&watchdog->pending[i]);
}

/* ---- accepting ---- */

static bool drop_oldest(struct watchdog *watchdog)
{
    struct watchdog_pending *oldest = NULL;
    for (int i = 0; i < WATCHDOG_MAX_PENDING; i++) {
        struct watchdog_pending *candidate = &watchdog->pending[i];
        if (candidate->link.socket >= 0 &&
            (!oldest || candidate->accepted_at < oldest->accepted_at))
            oldest = candidate;
    }
    if (oldest)
        drop_pending(oldest);
    return oldest != NULL;
}

static bool is_resource_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Accepts a few at a time, so that pending connections are served in between. Most errors
 * concern the connection, not the listener (accept(2)). */
void watchdog_accept(struct watchdog *watchdog, int *listener)
{
    for (int i = 0; i < WATCHDOG_MAX_PENDING && *listener >= 0; i++) {
        struct watchdog_pending *slot = find_slot(watchdog, clock_seconds());
        if (!slot)
            return;
        int fd = accept4(*listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0 && is_resource_shortage(errno) && !drop_oldest(watchdog)) {
            close(*listener); /* so that waiting connections fail now */
            *listener = -1;
        }
        if (fd < 0)
            continue;
        drop_pending(slot);
        slot->link.socket = fd;
        slot->accepted_at = clock_seconds();
        watchdog_pending_receive(watchdog, slot);
    }
}

/* ---- joining ---- */

static int count_connections(const struct watchdog *watchdog)
{
    int n = 0;
    for (int i = 0; i < watchdog->peer_count; i++)
        n += watchdog->peers[i].link.socket >= 0;
    return n;
}

/* A rank may join again until it has sent a frame after joining. */
static bool may_join(const struct watchdog *watchdog, int32_t rank)
{
    return rank >= 1 && rank < watchdog->peer_count && !watchdog->peers[rank].confirmed;
}

/* Closes the other pending connections of the same rank: only the newest is kept. */
static void drop_others_of(struct watchdog *watchdog,
                           const struct watchdog_pending *pending)
{
    for (int i = 0; i < WATCHDOG_MAX_PENDING; i++)
        if (&watchdog->pending[i] != pending &&
            watchdog->pending[i].rank == pending->rank)
            drop_pending(&watchdog->pending[i]);
}

static bool answer_hello(struct watchdog *watchdog, struct watchdog_pending *pending)
{
    struct watchdog_greeting hello, challenge = {.kind = WATCHDOG_CHALLENGE};
    uint8_t wire[WATCHDOG_GREETING_BYTES];
    if (!watchdog_greeting_decode(pending->link.in, WATCHDOG_HELLO, watchdog->secret,
                                  NULL, &hello) ||
        !may_join(watchdog, hello.rank) ||
        !watchdog_random_bytes(challenge.nonce, WATCHDOG_NONCE_BYTES))
        return false;
    challenge.rank = pending->rank = hello.rank;
    drop_others_of(watchdog, pending);
    struct watchdog_keys keys =
        watchdog_session_keys(watchdog->secret, hello.rank, hello.nonce, challenge.nonce);
    memcpy(pending->link.receive_key, keys.to_coordinator, WATCHDOG_SECRET_BYTES);
    memcpy(pending->link.send_key, keys.from_coordinator, WATCHDOG_SECRET_BYTES);
    watchdog_greeting_encode(&challenge, watchdog->secret, hello.nonce, wire);
    return send(pending->link.socket, wire, sizeof wire, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           sizeof wire;
}

static void admit(struct watchdog *watchdog, struct watchdog_pending *pending)
{
    const struct watchdog_frame *join = &pending->link.frame;
    struct watchdog_peer *peer = &watchdog->peers[pending->rank];
    struct watchdog_frame reply;
    watchdog_link_close(&peer->link);
    bool full = count_connections(watchdog) >= watchdog->max_connections;
    watchdog_frame_init(watchdog, full ? WATCHDOG_FULL : WATCHDOG_WELCOME, &reply);
    watchdog_link_send(&pending->link, &reply);
    if (full) {
        drop_pending(pending);
        return;
    }
    peer->process = (struct watchdog_process){.rank = pending->rank,
                                              .pid = join->pid,
                                              .pid_namespace = join->pid_namespace,
                                              .start_time = join->start_time};
    watchdog_copy_text(peer->process.host, sizeof peer->process.host, join->text);
    peer->last_heartbeat = clock_seconds();
    peer->link = pending->link;
    pending->link.socket = -1;
    pending->rank = 0;
}

void watchdog_pending_receive(struct watchdog *watchdog, struct watchdog_pending *pending)
{
    int result;
    if (pending->rank == 0) {
        result = watchdog_link_fill(&pending->link, WATCHDOG_GREETING_BYTES);
        if (result < 0 || (result > 0 && !answer_hello(watchdog, pending)))
            drop_pending(pending);
        return;
    }
    result = watchdog_link_receive(&pending->link);
    if (result > 0 && pending->link.frame.kind == WATCHDOG_JOIN &&
        pending->link.frame.rank == pending->rank && may_join(watchdog, pending->rank))
        admit(watchdog, pending);
    else if (result != 0)
        drop_pending(pending);
}
