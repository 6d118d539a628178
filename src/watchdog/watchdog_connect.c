/* watchdog, connecting: how a rank finds rank 0 and proves itself.
 *
 * Rank 0 has as many addresses as its host has interfaces, and not all of them can be
 * reached from everywhere. A rank tries them all at once, but greets on one connection at
 * a time, the first in the list that stands; whoever listens there may be a stranger (the
 * address of a container bridge is the same on every host), who doesn't know the run's
 * secret and so can't answer. A connection that is closed or not answered is tried again:
 * rank 0 may have been busy with a flood of others.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/progress.h"

static const double answer_seconds = 1; /* then the next address gets its turn */
static const double again_seconds = 0.1;

/* One address of rank 0's. */
struct way {
    int socket;   /* -1: not tried, or given up */
    bool stands;  /* connected */
    double again; /* clock_seconds: when to connect anew; 0: never */
};

struct attempts {
    const struct watchdog_invitation *invitation;
    const struct watchdog_frame *join;
    struct way ways[WATCHDOG_ADDRESSES];
    int asked; /* a hello was sent there; -1: nowhere */
    double asked_at;
    uint8_t nonce[WATCHDOG_NONCE]; /* of that hello */
    bool challenged;               /* it was answered, and this rank has joined */
    bool full;                     /* rank 0 has refused */
    int error;
};

/* ---- connections ---- */

static int begin(const struct watchdog_address *address)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)address->port)};
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)address->port)};
    memcpy(&six.sin6_addr, address->bytes, sizeof six.sin6_addr);
    memcpy(&four.sin_addr, address->bytes, sizeof four.sin_addr);
    bool is_six = address->family == AF_INET6;
    int one = 1;
    int made = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0)
        return -1;
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const struct sockaddr *to = is_six ? (const void *)&six : (const void *)&four;
    if (connect(made, to, is_six ? sizeof six : sizeof four) == 0 || errno == EINPROGRESS)
        return made;
    int reason = errno;
    close(made);
    errno = reason;
    return -1;
}

static void give_up(struct attempts *attempts, int which, int error, bool again)
{
    struct way *way = &attempts->ways[which];
    if (way->socket >= 0)
        close(way->socket);
    *way =
        (struct way){.socket = -1, .again = again ? clock_seconds() + again_seconds : 0};
    attempts->error = error;
    if (attempts->asked == which)
        attempts->asked = -1;
}

static void begin_one(struct attempts *attempts, int which)
{
    struct way *way = &attempts->ways[which];
    *way = (struct way){.socket = begin(&attempts->invitation->addresses[which])};
    if (way->socket < 0)
        attempts->error = errno;
}

/* On one host the loopback always works; on another it leads to the wrong one. */
static void begin_all(struct attempts *attempts, const char *host)
{
    const struct watchdog_invitation *invitation = attempts->invitation;
    bool here = invitation->network != 0 && invitation->network == watchdog_network(host);
    attempts->asked = -1;
    attempts->error = ETIMEDOUT;
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        attempts->ways[i] = (struct way){.socket = -1};
        if (i < invitation->count && (here || !invitation->addresses[i].loopback))
            begin_one(attempts, i);
    }
}

static void begin_again(struct attempts *attempts)
{
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        struct way *way = &attempts->ways[i];
        if (way->socket < 0 && way->again > 0 && clock_seconds() >= way->again)
            begin_one(attempts, i);
    }
}

/* Whether there is anything left to wait for. */
static bool any_way(const struct attempts *attempts)
{
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
        if (attempts->ways[i].socket >= 0 || attempts->ways[i].again > 0)
            return true;
    return false;
}

/* Waits a moment; notes which connections have come to stand, and which have failed. */
static void look(struct attempts *attempts)
{
    enum { MOMENT = 50 };
    struct pollfd polled[WATCHDOG_ADDRESSES];
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        const struct way *way = &attempts->ways[i];
        bool waits = way->stands && attempts->asked != i; /* for its turn */
        polled[i] = (struct pollfd){.fd = waits ? -1 : way->socket,
                                    .events = way->stands ? POLLIN : POLLOUT};
    }
    poll(polled, WATCHDOG_ADDRESSES, MOMENT);
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        int error = 0;
        socklen_t size = sizeof error;
        if (polled[i].fd < 0 || polled[i].revents == 0 || attempts->ways[i].stands)
            continue;
        getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
        attempts->ways[i].stands = error == 0;
        if (error != 0)
            give_up(attempts, i, error, error == ECONNRESET);
    }
}

static void close_all_but(struct attempts *attempts, int kept)
{
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
        if (attempts->ways[i].socket >= 0 && i != kept)
            close(attempts->ways[i].socket);
}

/* ---- joining ---- */

static void send_hello(struct attempts *attempts, int which)
{
    struct watchdog_greeting hello = {.kind = WATCHDOG_HELLO,
                                      .rank = attempts->join->rank};
    uint8_t wire[WATCHDOG_GREETING_BYTES];
    if (!watchdog_random(attempts->nonce, WATCHDOG_NONCE)) {
        give_up(attempts, which, errno, false);
        return;
    }
    attempts->asked = which;
    attempts->asked_at = clock_seconds();
    attempts->challenged = false;
    memcpy(hello.nonce, attempts->nonce, WATCHDOG_NONCE);
    watchdog_greeting_write(&hello, attempts->invitation->secret, NULL, wire);
    send(attempts->ways[which].socket, wire, sizeof wire, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void ask(struct attempts *attempts, struct watchdog_link *link)
{
    if (attempts->asked >= 0 && clock_seconds() - attempts->asked_at > answer_seconds)
        give_up(attempts, attempts->asked, ETIMEDOUT, true);
    for (int i = 0; i < WATCHDOG_ADDRESSES && attempts->asked < 0; i++) {
        if (!attempts->ways[i].stands)
            continue;
        *link = (struct watchdog_link){.socket = attempts->ways[i].socket};
        send_hello(attempts, i);
    }
}

/* The challenge has come: who sent it knows the secret, and is shown that this rank does. */
static bool answer_challenge(struct attempts *attempts, struct watchdog_link *link)
{
    const uint8_t *secret = attempts->invitation->secret;
    struct watchdog_greeting challenge;
    if (!watchdog_greeting_read(link->in, WATCHDOG_CHALLENGE, secret, attempts->nonce,
                                &challenge) ||
        challenge.rank != attempts->join->rank)
        return false;
    struct watchdog_keys keys =
        watchdog_session_keys(secret, challenge.rank, attempts->nonce, challenge.nonce);
    memcpy(link->send_key, keys.to_hub, WATCHDOG_SECRET);
    memcpy(link->receive_key, keys.from_hub, WATCHDOG_SECRET);
    watchdog_link_send(link, attempts->join);
    attempts->challenged = true;
    return true;
}

/* True when rank 0 has welcomed this rank. */
static bool answered(struct attempts *attempts, struct watchdog_link *link)
{
    if (attempts->asked < 0)
        return false;
    int got = attempts->challenged ? watchdog_link_receive(link)
                                   : watchdog_link_fill(link, WATCHDOG_GREETING_BYTES);
    if (got > 0 && !attempts->challenged) {
        errno = EPROTO;
        got = answer_challenge(attempts, link) ? 0 : -1;
    }
    if (got > 0 && link->frame.kind == WATCHDOG_WELCOME && link->frame.rank == 0)
        return true;
    attempts->full = got > 0 && link->frame.kind == WATCHDOG_FULL;
    if (got != 0) /* a stranger stays one */
        give_up(attempts, attempts->asked, got < 0 && errno ? errno : ECONNRESET,
                got < 0 && errno != EPROTO);
    return false;
}

bool watchdog_connect(const struct watchdog_invitation *invitation,
                      const struct watchdog_frame *join, double seconds,
                      struct watchdog_link *link, char *reason, size_t size)
{
    struct attempts attempts = {.invitation = invitation, .join = join};
    double until = clock_seconds() + seconds;
    bool found = false;
    *link = (struct watchdog_link){.socket = -1};
    begin_all(&attempts, join->text);
    while (!found && !attempts.full && clock_seconds() < until && any_way(&attempts)) {
        begin_again(&attempts);
        look(&attempts);
        ask(&attempts, link);
        found = answered(&attempts, link);
    }
    close_all_but(&attempts, found ? attempts.asked : -1);
    if (found)
        return true;
    *link = (struct watchdog_link){.socket = -1};
    snprintf(reason, size, "%s",
             attempts.full ? "it may hold no more connections (raise its limit of file "
                             "descriptors: ulimit -n)"
             : attempts.error == EPROTO ? "another program answers at its address"
                                        : strerror(attempts.error));
    return false;
}

int watchdog_try(const struct watchdog_invitation *invitation, const char *host,
                 double seconds)
{
    struct attempts attempts = {.invitation = invitation};
    double until = clock_seconds() + seconds;
    bool stands = false;
    begin_all(&attempts, host);
    while (!stands && clock_seconds() < until && any_way(&attempts)) {
        look(&attempts);
        for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
            stands |= attempts.ways[i].stands;
    }
    close_all_but(&attempts, -1);
    return stands ? 0 : attempts.error;
}
