/* watchdog, joining: how rank 0 admits the connections of the other ranks, and no others.
 *
 * Whoever can reach the port can connect to it, so a connection is nobody's until it has
 * joined: few are kept at a time, and each for a few seconds. When more come, those that
 * have sent nothing right yet make room, the oldest first. A rank's hello arrives with
 * its connection, and from then on strangers can't displace it; so a flood delays ranks
 * for moments, not for good. When all have joined or given up, rank 0 stops listening.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/progress.h"

/* A rank that has sent its hello is safe for so long; it waits no longer itself. */
static const double answer_seconds = 1;

/* ---- those who have not joined ---- */

/* One that may be used: free, or the oldest of those that may be closed; or NULL. */
static struct watchdog_pending *find_slot(const struct watchdog *watchdog, double now)
{
    struct watchdog_pending *oldest = NULL;
    for (int i = 0; i < WATCHDOG_PENDING; i++) {
        struct watchdog_pending *at = &watchdog->pending[i];
        if (at->link.socket < 0)
            return at;
        if (at->rank != 0 && now - at->since < answer_seconds)
            continue;
        if (!oldest || (at->rank == 0) > (oldest->rank == 0) ||
            ((at->rank == 0) == (oldest->rank == 0) && at->since < oldest->since))
            oldest = at;
    }
    return oldest;
}

bool watchdog_can_accept(const struct watchdog *watchdog, double now)
{
    return watchdog->pending && find_slot(watchdog, now) != NULL;
}

static void drop(struct watchdog_pending *pending)
{
    watchdog_link_close(&pending->link);
    pending->rank = 0;
}

void watchdog_pending_expire(struct watchdog *watchdog, double now)
{
    for (int i = 0; watchdog->pending && i < WATCHDOG_PENDING; i++)
        if (watchdog->pending[i].link.socket >= 0 &&
            now - watchdog->pending[i].since > watchdog->pending_seconds)
            drop(&watchdog->pending[i]);
}

void watchdog_stop_listening(struct watchdog *watchdog)
{
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        if (watchdog->listeners[i] >= 0)
            close(watchdog->listeners[i]);
        watchdog->listeners[i] = -1;
    }
    for (int i = 0; watchdog->pending && i < WATCHDOG_PENDING; i++)
        drop(&watchdog->pending[i]);
}

/* ---- accepting ---- */

static bool drop_oldest(struct watchdog *watchdog)
{
    struct watchdog_pending *oldest = NULL;
    for (int i = 0; i < WATCHDOG_PENDING; i++) {
        struct watchdog_pending *at = &watchdog->pending[i];
        if (at->link.socket >= 0 && (!oldest || at->since < oldest->since))
            oldest = at;
    }
    if (oldest)
        drop(oldest);
    return oldest != NULL;
}

static bool lacks_descriptors(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* A few at a time, so that those who are being answered get their turn. Most errors are
 * of the connection, not of the listener (accept(2)). */
void watchdog_accept(struct watchdog *watchdog, int *listener)
{
    for (int i = 0; i < WATCHDOG_PENDING && *listener >= 0; i++) {
        struct watchdog_pending *slot = find_slot(watchdog, clock_seconds());
        if (!slot)
            return;
        int made = accept4(*listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (made < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (made < 0 && lacks_descriptors(errno) && !drop_oldest(watchdog)) {
            close(*listener); /* those who wait learn it now */
            *listener = -1;
        }
        if (made < 0)
            continue;
        drop(slot);
        slot->link.socket = made;
        slot->since = clock_seconds();
        watchdog_pending_read(watchdog, slot);
    }
}

/* ---- joining ---- */

static int connections(const struct watchdog *watchdog)
{
    int n = 0;
    for (int i = 0; i < watchdog->count; i++)
        n += watchdog->members[i].link.socket >= 0;
    return n;
}

/* A rank may try again until it is known by more than its first frame. */
static bool may_join(const struct watchdog *watchdog, int32_t rank)
{
    return rank >= 1 && rank < watchdog->count && !watchdog->members[rank].known;
}

/* One connection at a time for each rank: the newest. */
static void drop_others_of(struct watchdog *watchdog,
                           const struct watchdog_pending *pending)
{
    for (int i = 0; i < WATCHDOG_PENDING; i++)
        if (&watchdog->pending[i] != pending &&
            watchdog->pending[i].rank == pending->rank)
            drop(&watchdog->pending[i]);
}

static bool answer_hello(struct watchdog *watchdog, struct watchdog_pending *pending)
{
    struct watchdog_greeting hello, challenge = {.kind = WATCHDOG_CHALLENGE};
    uint8_t wire[WATCHDOG_GREETING_BYTES];
    if (!watchdog_greeting_read(pending->link.in, WATCHDOG_HELLO, watchdog->secret, NULL,
                                &hello) ||
        !may_join(watchdog, hello.rank) ||
        !watchdog_random(challenge.nonce, WATCHDOG_NONCE))
        return false;
    challenge.rank = pending->rank = hello.rank;
    drop_others_of(watchdog, pending);
    struct watchdog_keys keys =
        watchdog_session_keys(watchdog->secret, hello.rank, hello.nonce, challenge.nonce);
    memcpy(pending->link.receive_key, keys.to_hub, WATCHDOG_SECRET);
    memcpy(pending->link.send_key, keys.from_hub, WATCHDOG_SECRET);
    watchdog_greeting_write(&challenge, watchdog->secret, hello.nonce, wire);
    return send(pending->link.socket, wire, sizeof wire, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           sizeof wire;
}

static void admit(struct watchdog *watchdog, struct watchdog_pending *pending)
{
    const struct watchdog_frame *join = &pending->link.frame;
    struct watchdog_member *member = &watchdog->members[pending->rank];
    struct watchdog_frame answer;
    watchdog_link_close(&member->link);
    bool full = connections(watchdog) >= watchdog->room;
    watchdog_describe(watchdog, full ? WATCHDOG_FULL : WATCHDOG_WELCOME, &answer);
    watchdog_link_send(&pending->link, &answer);
    if (full) {
        drop(pending);
        return;
    }
    member->process = (struct watchdog_process){.rank = pending->rank,
                                                .pid = join->pid,
                                                .place = join->place,
                                                .born = join->born};
    watchdog_copy(member->process.host, sizeof member->process.host, join->text);
    member->heard = clock_seconds();
    member->link = pending->link;
    pending->link.socket = -1;
    pending->rank = 0;
}

void watchdog_pending_read(struct watchdog *watchdog, struct watchdog_pending *pending)
{
    int got;
    if (pending->rank == 0) {
        got = watchdog_link_fill(&pending->link, WATCHDOG_GREETING_BYTES);
        if (got < 0 || (got > 0 && !answer_hello(watchdog, pending)))
            drop(pending);
        return;
    }
    got = watchdog_link_receive(&pending->link);
    if (got > 0 && pending->link.frame.kind == WATCHDOG_JOIN &&
        pending->link.frame.rank == pending->rank && may_join(watchdog, pending->rank))
        admit(watchdog, pending);
    else if (got != 0)
        drop(pending);
}
