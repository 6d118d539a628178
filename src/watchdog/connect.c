/* watchdog, connecting: how a rank reaches rank 0 and authenticates.
 *
 * Rank 0 has one address per interface of its host, and not every address can be reached
 * from every host. A rank connects to all of them at once but sends a hello on only one
 * connection at a time: the first established one in the list. Another program may be
 * listening at such an address (the address of a container bridge is the same on every
 * host); it doesn't know the run's secret, so it can't reply. A connection that is closed
 * or gets no reply is retried: rank 0 may be flooded with other connections.
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

static const double reply_seconds = 1; /* then the next address is tried */
static const double retry_seconds = 0.1;

/* A connection attempt to one address of rank 0. */
struct attempt {
    int socket; /* -1: not tried, or given up */
    bool connected;
    double retry_at; /* clock_seconds; 0: never */
};

struct attempts {
    const struct watchdog_invitation *invitation;
    const struct watchdog_frame *join;
    struct attempt each[WATCHDOG_ADDRESSES];
    int greeted; /* index of the attempt on which a hello was sent; -1: none */
    double greeted_at;
    uint8_t nonce[WATCHDOG_NONCE]; /* of that hello */
    bool challenged; /* the challenge has arrived, and the join frame was sent */
    bool full;       /* rank 0 has refused the connection */
    int error;
};

/* ---- connections ---- */

static int start_connect(const struct watchdog_address *address)
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

static void give_up(struct attempts *attempts, int which, int error, bool retry)
{
    struct attempt *one = &attempts->each[which];
    if (one->socket >= 0)
        close(one->socket);
    *one = (struct attempt){.socket = -1,
                            .retry_at = retry ? clock_seconds() + retry_seconds : 0};
    attempts->error = error;
    if (attempts->greeted == which)
        attempts->greeted = -1;
}

static void start_attempt(struct attempts *attempts, int which)
{
    struct attempt *one = &attempts->each[which];
    *one = (struct attempt){.socket =
                                start_connect(&attempts->invitation->addresses[which])};
    if (one->socket < 0)
        attempts->error = errno;
}

/* Tries loopback addresses only if rank 0 is on this host: they always work there, but
 * lead to the wrong host elsewhere. */
static void start_all(struct attempts *attempts, const char *host)
{
    const struct watchdog_invitation *invitation = attempts->invitation;
    bool here = invitation->network != 0 && invitation->network == watchdog_network(host);
    attempts->greeted = -1;
    attempts->error = ETIMEDOUT;
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        attempts->each[i] = (struct attempt){.socket = -1};
        if (i < invitation->count && (here || !invitation->addresses[i].loopback))
            start_attempt(attempts, i);
    }
}

static void retry_attempts(struct attempts *attempts)
{
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        struct attempt *one = &attempts->each[i];
        if (one->socket < 0 && one->retry_at > 0 && clock_seconds() >= one->retry_at)
            start_attempt(attempts, i);
    }
}

/* True if any attempt is open or will be retried. */
static bool any_left(const struct attempts *attempts)
{
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
        if (attempts->each[i].socket >= 0 || attempts->each[i].retry_at > 0)
            return true;
    return false;
}

/* Waits briefly, then records which attempts have connected and which have failed. */
static void poll_attempts(struct attempts *attempts)
{
    enum { MOMENT = 50 };
    struct pollfd polled[WATCHDOG_ADDRESSES];
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        const struct attempt *one = &attempts->each[i];
        bool waits =
            one->connected && attempts->greeted != i; /* for its turn to get a hello */
        polled[i] = (struct pollfd){.fd = waits ? -1 : one->socket,
                                    .events = one->connected ? POLLIN : POLLOUT};
    }
    poll(polled, WATCHDOG_ADDRESSES, MOMENT);
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++) {
        int error = 0;
        socklen_t size = sizeof error;
        if (polled[i].fd < 0 || polled[i].revents == 0 || attempts->each[i].connected)
            continue;
        getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
        attempts->each[i].connected = error == 0;
        if (error != 0)
            give_up(attempts, i, error, error == ECONNRESET);
    }
}

static void close_all_but(struct attempts *attempts, int kept)
{
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
        if (attempts->each[i].socket >= 0 && i != kept)
            close(attempts->each[i].socket);
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
    attempts->greeted = which;
    attempts->greeted_at = clock_seconds();
    attempts->challenged = false;
    memcpy(hello.nonce, attempts->nonce, WATCHDOG_NONCE);
    watchdog_greeting_write(&hello, attempts->invitation->secret, NULL, wire);
    send(attempts->each[which].socket, wire, sizeof wire, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void greet_next(struct attempts *attempts, struct watchdog_link *link)
{
    if (attempts->greeted >= 0 && clock_seconds() - attempts->greeted_at > reply_seconds)
        give_up(attempts, attempts->greeted, ETIMEDOUT, true);
    for (int i = 0; i < WATCHDOG_ADDRESSES && attempts->greeted < 0; i++) {
        if (!attempts->each[i].connected)
            continue;
        *link = (struct watchdog_link){.socket = attempts->each[i].socket};
        send_hello(attempts, i);
    }
}

/* Verifies that the sender of the challenge knows the secret, and sends the join frame,
 * which proves that this rank knows it, too. */
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
    memcpy(link->send_key, keys.to_coordinator, WATCHDOG_SECRET);
    memcpy(link->receive_key, keys.from_coordinator, WATCHDOG_SECRET);
    watchdog_link_send(link, attempts->join);
    attempts->challenged = true;
    return true;
}

/* True once rank 0 has welcomed this rank. */
static bool is_welcome(struct attempts *attempts, struct watchdog_link *link)
{
    if (attempts->greeted < 0)
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
    if (got != 0) /* no retry with a program that is not rank 0 */
        give_up(attempts, attempts->greeted, got < 0 && errno ? errno : ECONNRESET,
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
    start_all(&attempts, join->text);
    while (!found && !attempts.full && clock_seconds() < until && any_left(&attempts)) {
        retry_attempts(&attempts);
        poll_attempts(&attempts);
        greet_next(&attempts, link);
        found = is_welcome(&attempts, link);
    }
    close_all_but(&attempts, found ? attempts.greeted : -1);
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

int watchdog_try_connect(const struct watchdog_invitation *invitation, const char *host,
                         double seconds)
{
    struct attempts attempts = {.invitation = invitation};
    double until = clock_seconds() + seconds;
    bool connected = false;
    start_all(&attempts, host);
    while (!connected && clock_seconds() < until && any_left(&attempts)) {
        poll_attempts(&attempts);
        for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
            connected |= attempts.each[i].connected;
    }
    close_all_but(&attempts, -1);
    return connected ? 0 : attempts.error;
}
