/* watchdog, links: nonblocking sockets with authenticated frames. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchdog_internal.h"

static size_t send_bytes(int socket, const void *bytes, size_t size)
{
    ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? (size_t)sent : 0; /* a broken connection is detected on reading */
}

static void encode_next(struct watchdog_link *link, const struct watchdog_frame *frame,
                        uint8_t *wire)
{
    uint64_t counter = atomic_fetch_add(&link->send_counter, 1) + 1;
    watchdog_frame_encode(frame, counter, link->send_key, wire);
}

bool watchdog_link_try_send(struct watchdog_link *link,
                            const struct watchdog_frame *frame)
{
    uint8_t wire[WATCHDOG_FRAME_BYTES];
    encode_next(link, frame, wire);
    return send_bytes(link->socket, wire, sizeof wire) > 0;
}

void watchdog_link_send(struct watchdog_link *link, const struct watchdog_frame *frame)
{
    if (link->socket < 0)
        return;
    if (link->unsent > 0)
        link->unsent -= send_bytes(
            link->socket, link->out + sizeof link->out - link->unsent, link->unsent);
    if (link->unsent > 0)
        return;
    encode_next(link, frame, link->out);
    size_t sent = send_bytes(link->socket, link->out, sizeof link->out);
    link->unsent = sent > 0 ? sizeof link->out - sent : 0;
}

int watchdog_link_fill(struct watchdog_link *link, size_t size)
{
    while (link->filled < size) {
        ssize_t received = recv(link->socket, link->in + link->filled,
                                size - link->filled, MSG_DONTWAIT);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (received == 0)
            errno = 0;
        if (received <= 0)
            return -1;
        link->filled += (size_t)received;
    }
    link->filled = 0;
    return 1;
}

int watchdog_link_receive(struct watchdog_link *link)
{
    int result = watchdog_link_fill(link, sizeof link->in);
    if (result <= 0)
        return result;
    errno = EPROTO;
    return watchdog_frame_decode(link->in, link->receive_key, &link->receive_counter,
                                 &link->frame)
               ? 1
               : -1;
}

void watchdog_link_close(struct watchdog_link *link)
{
    if (link->socket >= 0)
        close(link->socket);
    *link = (struct watchdog_link){.socket = -1};
}
