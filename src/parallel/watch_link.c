/* watch, links: TCP sockets that never make anyone wait, and frames of one size on them.
 *
 * Rank 0 has as many addresses as its host has interfaces, and not all of them can be
 * reached from everywhere. A rank tries them all at once, but says hello on one
 * connection at a time, the first in the list that stands; whoever listens there may be a
 * stranger (the address of a container bridge is the same on every host), who doesn't
 * know the run's token and so can't answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tutti/progress.h"
#include "watch_internal.h"

/* ---- listening ---- */

static int listen_on(int family, int ranks)
{
    int no = 0;
    int listener = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family}; /* port 0: any */
    socklen_t size = family == AF_INET6 ? sizeof any : sizeof(struct sockaddr_in);
    if (family == AF_INET6)
        setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(listener, (const struct sockaddr *)&any, size) == 0 &&
        listen(listener, ranks) == 0)
        return listener;
    int reason = errno;
    close(listener);
    errno = reason;
    return -1;
}

static int port_of(int listener)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    if (getsockname(listener, (struct sockaddr *)&own, &size) != 0)
        return 0;
    return ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                           : ((struct sockaddr_in *)&own)->sin_port);
}

/* False for what others can't use: a link-local address has a meaning on its link only.
 */
static bool read_address(const struct ifaddrs *from, struct watch_address *to)
{
    if (!from->ifa_addr || !(from->ifa_flags & IFF_UP))
        return false;
    *to = (struct watch_address){.family = from->ifa_addr->sa_family,
                                 .loopback = (from->ifa_flags & IFF_LOOPBACK) != 0};
    if (to->family == AF_INET) {
        const struct sockaddr_in *four = (const void *)from->ifa_addr;
        memcpy(to->bytes, &four->sin_addr, sizeof four->sin_addr);
        return true;
    }
    const struct sockaddr_in6 *six = (const void *)from->ifa_addr;
    if (to->family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr))
        return false;
    memcpy(to->bytes, &six->sin6_addr, sizeof six->sin6_addr);
    return true;
}

/* First those that reach from host to host. */
static void list_addresses(int family, struct watch_invitation *invitation)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return;
    for (int loopback = 0; loopback <= 1; loopback++)
        for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
            struct watch_address address;
            if (!read_address(at, &address) || address.loopback != loopback ||
                (address.family == AF_INET6 && family == AF_INET))
                continue;
            /* loopback is worth a place even where there are very many others */
            int room = loopback ? WATCH_ADDRESSES : WATCH_ADDRESSES - 2;
            if (invitation->count < room)
                invitation->addresses[invitation->count++] = address;
        }
    freeifaddrs(all);
}

int watch_listen(int ranks, struct watch_invitation *invitation)
{
    int family = AF_INET6, listener = listen_on(family, ranks);
    if (listener < 0) {
        family = AF_INET;
        listener = listen_on(family, ranks);
    }
    if (listener < 0) {
        snprintf(invitation->reason, sizeof invitation->reason,
                 "rank 0 can't listen on a TCP port: %s", strerror(errno));
        return -1;
    }
    invitation->port = port_of(listener);
    list_addresses(family, invitation);
    return listener;
}

/* ---- frames ---- */

static ssize_t send_bytes(int socket, const void *bytes, size_t size)
{
    ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? sent : 0; /* a broken connection shows when it is read */
}

void watch_link_send(struct watch_link *link, const struct watch_frame *frame)
{
    if (link->socket < 0)
        return;
    if (link->unsent > 0)
        link->unsent -= (size_t)send_bytes(
            link->socket, (const char *)(&link->out + 1) - link->unsent, link->unsent);
    if (link->unsent > 0)
        return;
    size_t sent = (size_t)send_bytes(link->socket, frame, sizeof *frame);
    if (sent > 0 && sent < sizeof *frame) {
        link->out = *frame;
        link->unsent = sizeof *frame - sent;
    }
}

static bool makes_sense(const struct watch_frame *frame, uint64_t token)
{
    return frame->token == token && frame->kind > 0 && frame->kind < WATCH_KINDS &&
           frame->phase >= 0 && frame->phase < PHASES &&
           memchr(frame->text, '\0', sizeof frame->text) != NULL;
}

int watch_link_receive(struct watch_link *link, uint64_t token)
{
    for (;;) {
        ssize_t got = recv(link->socket, (char *)&link->in + link->filled,
                           sizeof link->in - link->filled, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (got == 0)
            errno = 0;
        if (got <= 0)
            return -1;
        link->filled += (size_t)got;
        if (link->filled < sizeof link->in)
            continue;
        link->filled = 0;
        errno = EPROTO;
        return makes_sense(&link->in, token) ? 1 : -1;
    }
}

void watch_link_close(struct watch_link *link)
{
    if (link->socket >= 0)
        close(link->socket);
    *link = (struct watch_link){.socket = -1};
}

/* ---- connecting ---- */

static const double answer_seconds = 1; /* then the next address gets its turn */

/* The ways to rank 0 that are being tried. */
struct attempts {
    const struct watch_invitation *invitation;
    int sockets[WATCH_ADDRESSES]; /* -1: not tried, or given up */
    bool stands[WATCH_ADDRESSES];
    int asked; /* hello was said there; -1: nowhere */
    double asked_at;
    int error;
};

static int begin(const struct watch_address *address, int port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
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

/* On one host the loopback always works; on another it leads to the wrong one. */
static void begin_all(struct attempts *attempts)
{
    const struct watch_invitation *invitation = attempts->invitation;
    bool here = invitation->kernel != 0 && invitation->kernel == watch_kernel();
    attempts->asked = -1;
    for (int i = 0; i < WATCH_ADDRESSES; i++) {
        attempts->sockets[i] = -1;
        if (i >= invitation->count || (invitation->addresses[i].loopback && !here))
            continue;
        attempts->sockets[i] = begin(&invitation->addresses[i], invitation->port);
        if (attempts->sockets[i] < 0)
            attempts->error = errno;
    }
}

static void give_up(struct attempts *attempts, int which, int error)
{
    if (attempts->sockets[which] >= 0)
        close(attempts->sockets[which]);
    attempts->sockets[which] = -1;
    attempts->stands[which] = false;
    attempts->error = error;
    if (attempts->asked == which)
        attempts->asked = -1;
}

/* Waits a moment; notes which connections have come to stand, and which have failed. */
static bool look(struct attempts *attempts)
{
    enum { MOMENT = 50 };
    struct pollfd polled[WATCH_ADDRESSES];
    bool any = false;
    for (int i = 0; i < WATCH_ADDRESSES; i++) {
        short events = attempts->stands[i] ? POLLIN : POLLOUT;
        bool waits = attempts->stands[i] && attempts->asked != i; /* for its turn */
        polled[i] =
            (struct pollfd){.fd = waits ? -1 : attempts->sockets[i], .events = events};
        any |= attempts->sockets[i] >= 0;
    }
    poll(polled, WATCH_ADDRESSES, MOMENT);
    for (int i = 0; i < WATCH_ADDRESSES; i++) {
        int error = 0;
        socklen_t size = sizeof error;
        if (polled[i].fd < 0 || polled[i].revents == 0 || attempts->stands[i])
            continue;
        getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
        attempts->stands[i] = error == 0;
        if (error != 0)
            give_up(attempts, i, error);
    }
    return any;
}

static void ask(struct attempts *attempts, const struct watch_frame *hello)
{
    if (attempts->asked >= 0 && clock_seconds() - attempts->asked_at > answer_seconds)
        give_up(attempts, attempts->asked, ETIMEDOUT);
    for (int i = 0; i < WATCH_ADDRESSES && attempts->asked < 0; i++) {
        if (!attempts->stands[i])
            continue;
        attempts->asked = i;
        attempts->asked_at = clock_seconds();
        send_bytes(attempts->sockets[i], hello, sizeof *hello);
    }
}

/* Has the one that was asked answered rightly? */
static bool answered(struct attempts *attempts, struct watch_link *link, uint64_t token)
{
    if (attempts->asked < 0)
        return false;
    if (link->socket != attempts->sockets[attempts->asked])
        *link = (struct watch_link){.socket = attempts->sockets[attempts->asked]};
    int got = watch_link_receive(link, token);
    if (got < 0)
        give_up(attempts, attempts->asked, errno ? errno : ECONNRESET);
    return got > 0 && link->in.kind == WATCH_WELCOME;
}

bool watch_connect(const struct watch_invitation *invitation,
                   const struct watch_frame *hello, double seconds,
                   struct watch_link *link, struct watch_frame *welcome, char *reason,
                   size_t size)
{
    struct attempts attempts = {.invitation = invitation, .error = ETIMEDOUT};
    double until = clock_seconds() + seconds;
    bool found = false;
    *link = (struct watch_link){.socket = -1};
    begin_all(&attempts);
    while (!found && clock_seconds() < until && look(&attempts)) {
        ask(&attempts, hello);
        found = answered(&attempts, link, hello->token);
    }
    for (int i = 0; i < WATCH_ADDRESSES; i++)
        if (attempts.sockets[i] >= 0 && !(found && i == attempts.asked))
            close(attempts.sockets[i]);
    if (found) {
        *welcome = link->in;
        return true;
    }
    *link = (struct watch_link){.socket = -1};
    snprintf(reason, size, "%s", strerror(attempts.error));
    return false;
}
