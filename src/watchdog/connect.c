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
    struct attempt each[WATCHDOG_MAX_ADDRESSES];
    int hello_index; /* index of the attempt on which a hello was sent; -1: none */
    double hello_sent_at;
    uint8_t nonce[WATCHDOG_NONCE_BYTES]; /* of that hello */
    bool challenged; /* the challenge has arrived, and the join frame was sent */
    bool full;       /* rank 0 has refused the connection */
    int error;
};

/* ---- connections ---- */

static int start_connect(const struct watchdog_address *address)
{
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6,
                                .sin6_port = htons((uint16_t)address->port)};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)address->port)};
    memcpy(&ipv6.sin6_addr, address->bytes, sizeof ipv6.sin6_addr);
    memcpy(&ipv4.sin_addr, address->bytes, sizeof ipv4.sin_addr);
    bool is_ipv6 = address->family == AF_INET6;
    int enabled = 1;
    int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &enabled, sizeof enabled);
    const struct sockaddr *to = is_ipv6 ? (const void *)&ipv6 : (const void *)&ipv4;
    if (connect(fd, to, is_ipv6 ? sizeof ipv6 : sizeof ipv4) == 0 || errno == EINPROGRESS)
        return fd;
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return -1;
}

static void fail_attempt(struct attempts *attempts, int index, int error, bool retry)
{
    struct attempt *attempt = &attempts->each[index];
    if (attempt->socket >= 0)
        close(attempt->socket);
    *attempt = (struct attempt){.socket = -1,
                                .retry_at = retry ? clock_seconds() + retry_seconds : 0};
    attempts->error = error;
    if (attempts->hello_index == index)
        attempts->hello_index = -1;
}

static void start_attempt(struct attempts *attempts, int index)
{
    struct attempt *attempt = &attempts->each[index];
    *attempt = (struct attempt){
        .socket = start_connect(&attempts->invitation->addresses[index])};
    if (attempt->socket < 0)
        attempts->error = errno;
}

/* Tries loopback addresses only if rank 0 is on this host: they always work there, but
 * lead to the wrong host elsewhere. */
static void start_all(struct attempts *attempts, const char *host)
{
    const struct watchdog_invitation *invitation = attempts->invitation;
    bool same_host =
        invitation->network != 0 && invitation->network == watchdog_network_id(host);
    attempts->hello_index = -1;
    attempts->error = ETIMEDOUT;
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++) {
        attempts->each[i] = (struct attempt){.socket = -1};
        if (i < invitation->count && (same_host || !invitation->addresses[i].loopback))
            start_attempt(attempts, i);
    }
}

static void retry_attempts(struct attempts *attempts)
{
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++) {
        struct attempt *attempt = &attempts->each[i];
        if (attempt->socket < 0 && attempt->retry_at > 0 &&
            clock_seconds() >= attempt->retry_at)
            start_attempt(attempts, i);
    }
}

/* True if any attempt is open or will be retried. */
static bool any_in_progress(const struct attempts *attempts)
{
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++)
        if (attempts->each[i].socket >= 0 || attempts->each[i].retry_at > 0)
            return true;
    return false;
}

/* Waits briefly, then records which attempts have connected and which have failed. */
static void poll_attempts(struct attempts *attempts)
{
    enum { POLL_MS = 50 };
    struct pollfd polled[WATCHDOG_MAX_ADDRESSES];
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++) {
        const struct attempt *attempt = &attempts->each[i];
        bool is_queued = attempt->connected &&
                         attempts->hello_index != i; /* for its turn to get a hello */
        polled[i] = (struct pollfd){.fd = is_queued ? -1 : attempt->socket,
                                    .events = attempt->connected ? POLLIN : POLLOUT};
    }
    poll(polled, WATCHDOG_MAX_ADDRESSES, POLL_MS);
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++) {
        int error = 0;
        socklen_t size = sizeof error;
        if (polled[i].fd < 0 || polled[i].revents == 0 || attempts->each[i].connected)
            continue;
        getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
        attempts->each[i].connected = error == 0;
        if (error != 0)
            fail_attempt(attempts, i, error, error == ECONNRESET);
    }
}

static void close_all_except(struct attempts *attempts, int kept)
{
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++)
        if (attempts->each[i].socket >= 0 && i != kept)
            close(attempts->each[i].socket);
}

/* ---- joining ---- */

static void send_hello(struct attempts *attempts, int index)
{
    struct watchdog_greeting hello = {.kind = WATCHDOG_HELLO,
                                      .rank = attempts->join->rank};
    uint8_t wire[WATCHDOG_GREETING_BYTES];
    if (!watchdog_random_bytes(attempts->nonce, WATCHDOG_NONCE_BYTES)) {
        fail_attempt(attempts, index, errno, false);
        return;
    }
    attempts->hello_index = index;
    attempts->hello_sent_at = clock_seconds();
    attempts->challenged = false;
    memcpy(hello.nonce, attempts->nonce, WATCHDOG_NONCE_BYTES);
    watchdog_greeting_encode(&hello, attempts->invitation->secret, NULL, wire);
    send(attempts->each[index].socket, wire, sizeof wire, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_next_hello(struct attempts *attempts, struct watchdog_link *link)
{
    if (attempts->hello_index >= 0 &&
        clock_seconds() - attempts->hello_sent_at > reply_seconds)
        fail_attempt(attempts, attempts->hello_index, ETIMEDOUT, true);
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES && attempts->hello_index < 0; i++) {
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
    if (!watchdog_greeting_decode(link->in, WATCHDOG_CHALLENGE, secret, attempts->nonce,
                                  &challenge) ||
        challenge.rank != attempts->join->rank)
        return false;
    struct watchdog_keys keys =
        watchdog_session_keys(secret, challenge.rank, attempts->nonce, challenge.nonce);
    memcpy(link->send_key, keys.to_coordinator, WATCHDOG_SECRET_BYTES);
    memcpy(link->receive_key, keys.from_coordinator, WATCHDOG_SECRET_BYTES);
    watchdog_link_send(link, attempts->join);
    attempts->challenged = true;
    return true;
}

/* True once rank 0 has welcomed this rank. */
static bool receive_welcome(struct attempts *attempts, struct watchdog_link *link)
{
    if (attempts->hello_index < 0)
        return false;
    int result = attempts->challenged ? watchdog_link_receive(link)
                                      : watchdog_link_fill(link, WATCHDOG_GREETING_BYTES);
    if (result > 0 && !attempts->challenged) {
        errno = EPROTO;
        result = answer_challenge(attempts, link) ? 0 : -1;
    }
    if (result > 0 && link->frame.kind == WATCHDOG_WELCOME && link->frame.rank == 0)
        return true;
    attempts->full = result > 0 && link->frame.kind == WATCHDOG_FULL;
    if (result != 0) /* no retry with a program that is not rank 0 */
        fail_attempt(attempts, attempts->hello_index,
                     result < 0 && errno ? errno : ECONNRESET,
                     result < 0 && errno != EPROTO);
    return false;
}

bool watchdog_connect(const struct watchdog_invitation *invitation,
                      const struct watchdog_frame *join, double seconds,
                      struct watchdog_link *link, char *reason, size_t size)
{
    struct attempts attempts = {.invitation = invitation, .join = join};
    double deadline = clock_seconds() + seconds;
    bool joined = false;
    *link = (struct watchdog_link){.socket = -1};
    start_all(&attempts, join->text);
    while (!joined && !attempts.full && clock_seconds() < deadline &&
           any_in_progress(&attempts)) {
        retry_attempts(&attempts);
        poll_attempts(&attempts);
        send_next_hello(&attempts, link);
        joined = receive_welcome(&attempts, link);
    }
    close_all_except(&attempts, joined ? attempts.hello_index : -1);
    if (joined)
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
    double deadline = clock_seconds() + seconds;
    bool connected = false;
    start_all(&attempts, host);
    while (!connected && clock_seconds() < deadline && any_in_progress(&attempts)) {
        poll_attempts(&attempts);
        for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++)
            connected |= attempts.each[i].connected;
    }
    close_all_except(&attempts, -1);
    return connected ? 0 : attempts.error;
}
