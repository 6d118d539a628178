/* watch, joining: how rank 0 admits the connections of the other ranks, and no others.
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

#include "watch_internal.h"
#include "base/progress.h"

/* A rank that has sent its hello is safe for so long; it waits no longer itself. */
static const double answer_seconds = 1;

/* ---- those who have not joined ---- */

/* One that may be used: free, or the oldest of those that may be closed; or NULL. */
static struct watch_pending *find_slot(const struct watch *watch, double now)
{
    struct watch_pending *oldest = NULL;
    for (int i = 0; i < WATCH_PENDING; i++) {
        struct watch_pending *at = &watch->pending[i];
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

bool watch_can_accept(const struct watch *watch, double now)
{
    return watch->pending && find_slot(watch, now) != NULL;
}

static void drop(struct watch_pending *pending)
{
    watch_link_close(&pending->link);
    pending->rank = 0;
}

void watch_pending_expire(struct watch *watch, double now)
{
    for (int i = 0; watch->pending && i < WATCH_PENDING; i++)
        if (watch->pending[i].link.socket >= 0 &&
            now - watch->pending[i].since > watch->pending_seconds)
            drop(&watch->pending[i]);
}

void watch_stop_listening(struct watch *watch)
{
    for (int i = 0; i < WATCH_ADDRESSES; i++) {
        if (watch->listeners[i] >= 0)
            close(watch->listeners[i]);
        watch->listeners[i] = -1;
    }
    for (int i = 0; watch->pending && i < WATCH_PENDING; i++)
        drop(&watch->pending[i]);
}

/* ---- accepting ---- */

static bool drop_oldest(struct watch *watch)
{
    struct watch_pending *oldest = NULL;
    for (int i = 0; i < WATCH_PENDING; i++) {
        struct watch_pending *at = &watch->pending[i];
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
void watch_accept(struct watch *watch, int *listener)
{
    for (int i = 0; i < WATCH_PENDING && *listener >= 0; i++) {
        struct watch_pending *slot = find_slot(watch, clock_seconds());
        if (!slot)
            return;
        int made = accept4(*listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (made < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (made < 0 && lacks_descriptors(errno) && !drop_oldest(watch)) {
            close(*listener); /* those who wait learn it now */
            *listener = -1;
        }
        if (made < 0)
            continue;
        drop(slot);
        slot->link.socket = made;
        slot->since = clock_seconds();
        watch_pending_read(watch, slot);
    }
}

/* ---- joining ---- */

static int connections(const struct watch *watch)
{
    int n = 0;
    for (int i = 0; i < watch->count; i++)
        n += watch->members[i].link.socket >= 0;
    return n;
}

/* A rank may try again until it is known by more than its first frame. */
static bool may_join(const struct watch *watch, int32_t rank)
{
    return rank >= 1 && rank < watch->count && !watch->members[rank].known;
}

/* One connection at a time for each rank: the newest. */
static void drop_others_of(struct watch *watch, const struct watch_pending *pending)
{
    for (int i = 0; i < WATCH_PENDING; i++)
        if (&watch->pending[i] != pending && watch->pending[i].rank == pending->rank)
            drop(&watch->pending[i]);
}

static bool answer_hello(struct watch *watch, struct watch_pending *pending)
{
    struct watch_greeting hello, challenge = {.kind = WATCH_CHALLENGE};
    uint8_t wire[WATCH_GREETING_BYTES];
    if (!watch_greeting_read(pending->link.in, WATCH_HELLO, watch->secret, NULL,
                             &hello) ||
        !may_join(watch, hello.rank) || !watch_random(challenge.nonce, WATCH_NONCE))
        return false;
    challenge.rank = pending->rank = hello.rank;
    drop_others_of(watch, pending);
    struct watch_keys keys =
        watch_session_keys(watch->secret, hello.rank, hello.nonce, challenge.nonce);
    memcpy(pending->link.receive_key, keys.to_hub, WATCH_SECRET);
    memcpy(pending->link.send_key, keys.from_hub, WATCH_SECRET);
    watch_greeting_write(&challenge, watch->secret, hello.nonce, wire);
    return send(pending->link.socket, wire, sizeof wire, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           sizeof wire;
}

static void admit(struct watch *watch, struct watch_pending *pending)
{
    const struct watch_frame *join = &pending->link.frame;
    struct watch_member *member = &watch->members[pending->rank];
    struct watch_frame answer;
    watch_link_close(&member->link);
    bool full = connections(watch) >= watch->room;
    watch_describe(watch, full ? WATCH_FULL : WATCH_WELCOME, &answer);
    watch_link_send(&pending->link, &answer);
    if (full) {
        drop(pending);
        return;
    }
    member->process = (struct watch_process){.rank = pending->rank,
                                             .pid = join->pid,
                                             .place = join->place,
                                             .born = join->born};
    watch_copy(member->process.host, sizeof member->process.host, join->text);
    member->heard = clock_seconds();
    member->link = pending->link;
    pending->link.socket = -1;
    pending->rank = 0;
}

void watch_pending_read(struct watch *watch, struct watch_pending *pending)
{
    int got;
    if (pending->rank == 0) {
        got = watch_link_fill(&pending->link, WATCH_GREETING_BYTES);
        if (got < 0 || (got > 0 && !answer_hello(watch, pending)))
            drop(pending);
        return;
    }
    got = watch_link_receive(&pending->link);
    if (got > 0 && pending->link.frame.kind == WATCH_JOIN &&
        pending->link.frame.rank == pending->rank && may_join(watch, pending->rank))
        admit(watch, pending);
    else if (got != 0)
        drop(pending);
}
