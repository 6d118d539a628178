/* watchdog: which connections join, which are refused, and what other programs can do to
 * the port. The coordinator of a run of four ranks is a thread of this process; ranks and
 * outsiders are sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/options.h"
#include "watchdog/watchdog_internal.h"

enum { RANKS = 4, TIMEOUT_SECONDS = 60 /* only failures take this long */ };

static const uint8_t secret[WATCHDOG_SECRET_BYTES] = {1, 2, 3};
static const uint8_t other_secret[WATCHDOG_SECRET_BYTES] = {1, 2, 4};

/* ---- greetings ---- */

static void greeting_with_a_flipped_bit_is_rejected(void **state)
{
    (void)state;
    struct watchdog_greeting hello = {.kind = WATCHDOG_HELLO, .rank = 2, .nonce = {9}},
                             got;
    uint8_t wire[WATCHDOG_GREETING_BYTES];
    watchdog_greeting_encode(&hello, secret, NULL, wire);
    assert_true(watchdog_greeting_decode(wire, WATCHDOG_HELLO, secret, NULL, &got));
    assert_int_equal(got.rank, 2);
    assert_memory_equal(got.nonce, hello.nonce, WATCHDOG_NONCE_BYTES);
    assert_false(
        watchdog_greeting_decode(wire, WATCHDOG_HELLO, other_secret, NULL, &got));
    for (size_t bit = 0; bit < 8 * sizeof wire; bit++) {
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(watchdog_greeting_decode(wire, WATCHDOG_HELLO, secret, NULL, &got));
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A reflected hello is not accepted as a challenge, and a challenge answers only one
 * hello. */
static void challenge_is_bound_to_one_hello(void **state)
{
    (void)state;
    struct watchdog_greeting hello = {.kind = WATCHDOG_HELLO, .rank = 2, .nonce = {9}},
                             got;
    struct watchdog_greeting challenge = {
        .kind = WATCHDOG_CHALLENGE, .rank = 2, .nonce = {7}};
    const uint8_t other_nonce[WATCHDOG_NONCE_BYTES] = {8};
    uint8_t wire[WATCHDOG_GREETING_BYTES];
    watchdog_greeting_encode(&hello, secret, NULL, wire);
    assert_false(watchdog_greeting_decode(wire, WATCHDOG_CHALLENGE, secret, NULL, &got));
    assert_false(
        watchdog_greeting_decode(wire, WATCHDOG_CHALLENGE, secret, hello.nonce, &got));
    watchdog_greeting_encode(&challenge, secret, hello.nonce, wire);
    assert_true(
        watchdog_greeting_decode(wire, WATCHDOG_CHALLENGE, secret, hello.nonce, &got));
    assert_false(
        watchdog_greeting_decode(wire, WATCHDOG_CHALLENGE, secret, other_nonce, &got));
    assert_false(watchdog_greeting_decode(wire, WATCHDOG_CHALLENGE, secret, NULL, &got));
    assert_false(
        watchdog_greeting_decode(wire, WATCHDOG_HELLO, secret, hello.nonce, &got));
}

static void keys_differ_by_connection_and_direction(void **state)
{
    (void)state;
    const uint8_t a[WATCHDOG_NONCE_BYTES] = {1}, b[WATCHDOG_NONCE_BYTES] = {2};
    const struct watchdog_keys all[] = {watchdog_session_keys(secret, 1, a, b),
                                        watchdog_session_keys(secret, 2, a, b),
                                        watchdog_session_keys(secret, 1, b, a),
                                        watchdog_session_keys(secret, 1, a, a),
                                        watchdog_session_keys(secret, 1, b, b),
                                        watchdog_session_keys(other_secret, 1, a, b)};
    uint8_t keys[sizeof all / WATCHDOG_SECRET_BYTES][WATCHDOG_SECRET_BYTES];
    memcpy(keys, all, sizeof all);
    for (size_t i = 0; i < sizeof all / WATCHDOG_SECRET_BYTES; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], WATCHDOG_SECRET_BYTES);
}

/* ---- frames ---- */

static const struct watchdog_frame frame_sent = {.kind = WATCHDOG_SIGNAL,
                                                 .rank = 3,
                                                 .pid = 4711,
                                                 .number = -11,
                                                 .pid_namespace = 0x0123456789abcdef,
                                                 .start_time = UINT64_MAX,
                                                 .step = INT64_MAX,
                                                 .idle = 0.1,
                                                 .phase = PHASES - 1,
                                                 .successor = 2,
                                                 .text = "why"};

static bool read_frame(const uint8_t *wire, const uint8_t *key, uint64_t last)
{
    struct watchdog_frame got;
    uint64_t before = last;
    bool accepted = watchdog_frame_decode(wire, key, &last, &got);
    assert_int_equal(accepted, last > before);
    return accepted;
}

static void frame_with_a_flipped_bit_is_rejected(void **state)
{
    (void)state;
    uint8_t wire[WATCHDOG_FRAME_BYTES];
    uint64_t last = 4;
    struct watchdog_frame got = {0};
    watchdog_frame_encode(&frame_sent, 5, secret, wire);
    assert_true(watchdog_frame_decode(wire, secret, &last, &got));
    assert_true(last == 5);
    assert_memory_equal(&got, &frame_sent, sizeof got);
    assert_false(read_frame(wire, other_secret, 0));
    for (size_t bit = 0; bit < 8 * sizeof wire; bit++) {
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(read_frame(wire, secret, 0));
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void repeated_frame_is_rejected(void **state)
{
    (void)state;
    uint8_t wire[WATCHDOG_FRAME_BYTES];
    watchdog_frame_encode(&frame_sent, 5, secret, wire);
    assert_true(read_frame(wire, secret, 0)); /* frames may be missing but not repeated */
    assert_false(read_frame(wire, secret, 5));
    assert_false(read_frame(wire, secret, UINT64_MAX));
}

static bool is_accepted(struct watchdog_frame frame)
{
    uint8_t wire[WATCHDOG_FRAME_BYTES];
    struct watchdog_frame got;
    uint64_t last = 0;
    watchdog_frame_encode(&frame, 1, secret, wire);
    return watchdog_frame_decode(wire, secret, &last, &got);
}

#define WITH(field, value)                                                               \
    is_accepted((changed = frame_sent, changed.field = (value), changed))

/* Frames of a sender that knows the secret are checked, too. */
static void out_of_range_fields_are_rejected(void **state)
{
    (void)state;
    struct watchdog_frame changed;
    assert_true(is_accepted(frame_sent));
    assert_false(WITH(kind, 0));
    assert_false(WITH(kind, WATCHDOG_KINDS));
    assert_false(WITH(kind, -1));
    assert_false(WITH(rank, -1));
    assert_false(WITH(pid, 0));
    assert_false(WITH(pid, -1)); /* kill(-1) */
    assert_false(WITH(step, -1));
    assert_false(WITH(idle, (double)NAN));
    assert_false(WITH(idle, (double)INFINITY));
    assert_false(WITH(phase, PHASES));
    assert_false(WITH(phase, -1));
    assert_false(WITH(successor, -1));
    changed = frame_sent;
    memset(changed.text, 'x', sizeof changed.text);
    assert_false(is_accepted(changed));
}

/* ---- the coordinator ---- */

static struct watchdog *coordinator;
static struct watchdog_invitation invitation;

static void wake_coordinator(void)
{
    assert_int_equal(eventfd_write(coordinator->wake_event, 1), 0);
}

/* Starts the coordinator on the addresses of the invitation. */
static void start_coordinator_on_invitation(int max_connections, double pending_seconds)
{
    coordinator = watchdog_create(0, RANKS, "here", ".");
    assert_non_null(coordinator);
    coordinator->wake_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    coordinator->max_connections = max_connections;
    coordinator->pending_seconds = pending_seconds;
    coordinator->peers[0].confirmed = true;
    memcpy(coordinator->secret, secret, sizeof secret);
    memcpy(invitation.secret, secret, sizeof secret);
    invitation.network = watchdog_network_id("here");
    watchdog_listen(&invitation, coordinator->listeners);
    assert_true(invitation.count > 0);
    assert_int_equal(
        pthread_create(&coordinator->thread, NULL, watchdog_run, coordinator), 0);
}

static void start_coordinator(int max_connections, double pending_seconds)
{
    memset(&invitation, 0, sizeof invitation);
    assert_int_equal(watchdog_choose_addresses("", false, &invitation), STATUS_OK);
    start_coordinator_on_invitation(max_connections, pending_seconds);
}

static void stop_coordinator(void)
{
    atomic_store(&coordinator->closing, true);
    wake_coordinator();
    pthread_join(coordinator->thread, NULL);
    watchdog_free(coordinator);
}

static struct watchdog_frame frame_of(enum watchdog_kind kind, int rank)
{
    return (struct watchdog_frame){
        .kind = (int32_t)kind, .rank = rank, .pid = 100 + rank, .text = "here"};
}

static bool joins(int rank, struct watchdog_link *link, double seconds, char *reason)
{
    struct watchdog_frame join = frame_of(WATCHDOG_JOIN, rank);
    bool joined =
        watchdog_connect(&invitation, &join, seconds, link, reason, WATCHDOG_TEXT_SIZE);
    assert_int_equal(joined, link->socket >= 0);
    if (joined)
        assert_string_equal(link->frame.text, "here");
    return joined;
}

/* Joins, and closes the connection. */
static void join_and_close(int rank)
{
    struct watchdog_link link;
    char reason[WATCHDOG_TEXT_SIZE] = "";
    if (!joins(rank, &link, TIMEOUT_SECONDS, reason))
        fail_msg("rank %d: %s", rank, reason);
    watchdog_link_close(&link);
}

/* Waits for the coordinator's next heartbeat; by then it has read everything sent
 * before. */
static void wait_for_heartbeat(struct watchdog_link *link)
{
    struct pollfd polled = {.fd = link->socket, .events = POLLIN};
    int got;
    while ((got = watchdog_link_receive(link)) == 0)
        assert_int_equal(poll(&polled, 1, 1000 * TIMEOUT_SECONDS), 1);
    assert_int_equal(got, 1);
    assert_int_equal(link->frame.kind, WATCHDOG_ALIVE);
}

/* ---- outsiders ---- */

static int outsider_connects(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    assert_int_equal(invitation.addresses[0].family, AF_INET);
    to.sin_port = htons((uint16_t)invitation.addresses[0].port);
    memcpy(&to.sin_addr, invitation.addresses[0].bytes, sizeof to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void send_all(int to, const void *bytes, size_t size)
{
    assert_int_equal(send(to, bytes, size, MSG_NOSIGNAL), size);
}

/* Reads up to `size` bytes; fewer if the coordinator has closed the connection. */
static size_t receive_all(int from, void *bytes, size_t size)
{
    size_t got = 0;
    struct pollfd polled = {.fd = from, .events = POLLIN};
    while (got < size) {
        assert_int_equal(poll(&polled, 1, 1000 * TIMEOUT_SECONDS), 1);
        ssize_t more = recv(from, (char *)bytes + got, size - got, 0);
        if (more <= 0)
            break;
        got += (size_t)more;
    }
    return got;
}

static bool is_refused(int outsider)
{
    char byte;
    bool refused = receive_all(outsider, &byte, 1) == 0;
    close(outsider);
    return refused;
}

static bool bytes_are_refused(const void *bytes, size_t size)
{
    int outsider = outsider_connects();
    send_all(outsider, bytes, size);
    return is_refused(outsider);
}

static void write_hello(int rank, const uint8_t *key, uint8_t *wire)
{
    const struct watchdog_greeting hello = {
        .kind = WATCHDOG_HELLO, .rank = rank, .nonce = {42}};
    watchdog_greeting_encode(&hello, key, NULL, wire);
}

/* ---- joining ---- */

static void ranks_join_only_once(void **state)
{
    (void)state;
    struct watchdog_link link, second;
    char reason[WATCHDOG_TEXT_SIZE];
    uint8_t hello[WATCHDOG_GREETING_BYTES];
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    join_and_close(1);
    join_and_close(1); /* it has sent no frame after joining */
    join_and_close(3);
    assert_true(joins(2, &link, TIMEOUT_SECONDS, reason));
    struct watchdog_frame frame = frame_of(WATCHDOG_ALIVE, 2);
    watchdog_link_send(&link, &frame);
    wait_for_heartbeat(&link);
    wait_for_heartbeat(&link);
    write_hello(2, secret, hello);
    assert_true(bytes_are_refused(hello, sizeof hello));
    assert_false(joins(2, &second, 0.5, reason));
    frame.kind = WATCHDOG_BYE;
    watchdog_link_send(&link, &frame);
    wait_for_heartbeat(&link);
    watchdog_link_close(&link);
    stop_coordinator();
}

static void wrong_secret_is_refused(void **state)
{
    (void)state;
    struct watchdog_link link;
    char reason[WATCHDOG_TEXT_SIZE];
    uint8_t hello[WATCHDOG_GREETING_BYTES];
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    write_hello(1, other_secret, hello);
    assert_true(bytes_are_refused(hello, sizeof hello));
    memcpy(invitation.secret, other_secret, sizeof other_secret);
    assert_false(joins(1, &link, 0.5, reason));
    memcpy(invitation.secret, secret, sizeof secret);
    join_and_close(1);
    stop_coordinator();
}

static void invalid_ranks_are_refused(void **state)
{
    (void)state;
    static const int ranks[] = {0, RANKS, -1, INT32_MAX, INT32_MIN};
    uint8_t hello[WATCHDOG_GREETING_BYTES];
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        write_hello(ranks[i], secret, hello);
        assert_true(bytes_are_refused(hello, sizeof hello));
    }
    stop_coordinator();
}

static void connections_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    struct watchdog_link first, second;
    char reason[WATCHDOG_TEXT_SIZE];
    start_coordinator(1, TIMEOUT_SECONDS);
    assert_true(joins(1, &first, TIMEOUT_SECONDS, reason));
    assert_false(joins(2, &second, TIMEOUT_SECONDS, reason));
    assert_non_null(strstr(reason, "ulimit -n"));
    watchdog_link_close(&first);
    stop_coordinator();
}

/* All messages of a joining rank. */
struct transcript {
    uint8_t hello[WATCHDOG_GREETING_BYTES], challenge[WATCHDOG_GREETING_BYTES];
    uint8_t join[WATCHDOG_FRAME_BYTES], welcome[WATCHDOG_FRAME_BYTES];
};

static void write_join(struct transcript *record, int rank,
                       const struct watchdog_frame *join)
{
    struct watchdog_greeting hello, challenge;
    assert_true(
        watchdog_greeting_decode(record->hello, WATCHDOG_HELLO, secret, NULL, &hello));
    assert_true(watchdog_greeting_decode(record->challenge, WATCHDOG_CHALLENGE, secret,
                                         hello.nonce, &challenge));
    struct watchdog_keys keys =
        watchdog_session_keys(secret, rank, hello.nonce, challenge.nonce);
    watchdog_frame_encode(join, 1, keys.to_coordinator, record->join);
}

/* Returns the connection after reading the challenge. */
static int greet(struct transcript *record, int rank)
{
    int fd = outsider_connects();
    write_hello(rank, secret, record->hello);
    send_all(fd, record->hello, sizeof record->hello);
    assert_int_equal(receive_all(fd, record->challenge, sizeof record->challenge),
                     sizeof record->challenge);
    return fd;
}

static void record_join(struct transcript *record)
{
    struct watchdog_frame join = frame_of(WATCHDOG_JOIN, 1);
    int fd = greet(record, 1);
    write_join(record, 1, &join);
    send_all(fd, record->join, sizeof record->join);
    assert_int_equal(receive_all(fd, record->welcome, sizeof record->welcome),
                     sizeof record->welcome);
    close(fd);
}

static void replayed_messages_are_refused(void **state)
{
    (void)state;
    struct transcript record, again;
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    record_join(&record);
    assert_null(memmem(&record, sizeof record, secret, sizeof secret));
    int outsider = greet(&again, 1); /* the same hello, but another challenge */
    assert_memory_equal(again.hello, record.hello, sizeof record.hello);
    assert_memory_not_equal(again.challenge, record.challenge, sizeof record.challenge);
    send_all(outsider, record.join, sizeof record.join);
    assert_true(is_refused(outsider));
    outsider = greet(&again, 1); /* the coordinator's own frame, reflected */
    send_all(outsider, record.welcome, sizeof record.welcome);
    assert_true(is_refused(outsider));
    assert_true(bytes_are_refused(record.challenge, sizeof record.challenge));
    assert_true(bytes_are_refused(record.welcome, sizeof record.welcome));
    stop_coordinator();
}

static bool join_is_refused(struct watchdog_frame join)
{
    struct transcript record;
    int fd = greet(&record, 1);
    write_join(&record, 1, &join);
    send_all(fd, record.join, sizeof record.join);
    return is_refused(fd);
}

static void first_frame_must_be_a_join_of_that_rank(void **state)
{
    (void)state;
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    assert_true(join_is_refused(frame_of(WATCHDOG_JOIN, 2)));
    assert_true(join_is_refused(frame_of(WATCHDOG_ALIVE, 1)));
    assert_true(join_is_refused(frame_of(WATCHDOG_FAILED, 1)));
    assert_true(join_is_refused(frame_of(WATCHDOG_END, 1)));
    join_and_close(1);
    stop_coordinator();
}

/* ---- false coordinators ---- */

/* Starts a child process that accepts connections and echoes everything it receives, or
 * sends nothing. */
static pid_t fork_outsider(int listener, bool echoes)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    for (;;) {
        char bytes[WATCHDOG_FRAME_BYTES];
        int fd = accept(listener, NULL, NULL);
        ssize_t got;
        while (fd >= 0 && (got = recv(fd, bytes, sizeof bytes, 0)) > 0)
            if (echoes && send(fd, bytes, (size_t)got, MSG_NOSIGNAL) < 0)
                break;
    }
}

static struct watchdog_address address_of(const char *text, int port)
{
    struct watchdog_address address = {.family = AF_INET, .port = port};
    assert_int_equal(inet_pton(AF_INET, text, address.bytes), 1);
    return address;
}

/* An outsider listens at the first address of the invitation. */
static int listen_as_outsider(void)
{
    memset(&invitation, 0, sizeof invitation);
    invitation.addresses[0] = address_of("127.0.0.2", 0);
    invitation.count = 1;
    int listeners[WATCHDOG_MAX_ADDRESSES];
    watchdog_listen(&invitation, listeners);
    assert_int_equal(invitation.count, 1);
    fcntl(listeners[0], F_SETFL, 0); /* blocking */
    return listeners[0];
}

static void reflected_hello_is_refused(void **state)
{
    (void)state;
    struct watchdog_link link;
    char reason[WATCHDOG_TEXT_SIZE];
    int listener = listen_as_outsider();
    pid_t server = fork_outsider(listener, true);
    assert_false(joins(1, &link, TIMEOUT_SECONDS, reason));
    assert_string_equal(reason, "another program answers at its address");
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    close(listener);
    assert_false(joins(1, &link, TIMEOUT_SECONDS, reason));
    assert_string_equal(reason, "Connection refused");
}

/* An outsider at the first of two addresses sends nothing. */
static void silent_address_is_skipped(void **state)
{
    (void)state;
    int listener = listen_as_outsider();
    pid_t server = fork_outsider(listener, false);
    struct watchdog_address outsiders = invitation.addresses[0];
    invitation.addresses[0] = address_of("127.0.0.3", 0);
    start_coordinator_on_invitation(RANKS, TIMEOUT_SECONDS);
    invitation.addresses[1] = invitation.addresses[0];
    invitation.addresses[0] = outsiders;
    invitation.count = 2;
    join_and_close(1);
    stop_coordinator();
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    close(listener);
}

/* ---- floods ---- */

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void number_of_pending_connections_is_limited(void **state)
{
    (void)state;
    enum { SILENT = 300 };
    int outsiders[SILENT];
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    int before = open_descriptors();
    for (int i = 0; i < SILENT; i++)
        outsiders[i] = outsider_connects();
    for (int rank = 1; rank < RANKS; rank++)
        join_and_close(rank); /* after which all earlier ones have been accepted */
    assert_in_range(open_descriptors() - before - SILENT, 0,
                    WATCHDOG_MAX_PENDING + RANKS);
    assert_true(is_refused(outsiders[0])); /* the oldest first */
    for (int i = 1; i < SILENT; i++)
        close(outsiders[i]);
    stop_coordinator();
}

/* Half a hello, or a byte from time to time, counts as silence. */
static void late_join_is_dropped(void **state)
{
    (void)state;
    uint8_t hello[WATCHDOG_GREETING_BYTES];
    char byte;
    struct transcript record;
    start_coordinator(RANKS, 0.2);
    write_hello(1, secret, hello);
    int silent = outsider_connects(), half = outsider_connects();
    int slow = outsider_connects(), greeted = greet(&record, 2);
    send_all(half, hello, sizeof hello / 2);
    for (int i = 0; recv(slow, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN; i++) {
        if (send(slow, hello + i % 4, 1, MSG_NOSIGNAL) < 0)
            break;
        assert_true(i < 10 * TIMEOUT_SECONDS);
        poll(NULL, 0, 100);
    }
    close(slow);
    assert_true(is_refused(silent));
    assert_true(is_refused(half));
    assert_true(is_refused(greeted));
    join_and_close(1);
    stop_coordinator();
}

static void garbage_is_dropped(void **state)
{
    (void)state;
    static uint8_t garbage[1 << 16];
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    for (int value = 0; value < 256; value += 51) {
        memset(garbage, value, sizeof garbage);
        int outsider = outsider_connects();
        for (int i = 0;
             i < 20 && send(outsider, garbage, sizeof garbage, MSG_NOSIGNAL) > 0; i++)
            ;
        assert_true(is_refused(outsider));
    }
    join_and_close(1);
    stop_coordinator();
}

/* Starts a child process that connects repeatedly: some connections stay open, some are
 * reset, some send part of a hello with the wrong key. */
static pid_t flood(void)
{
    enum { HELD = 100 };
    int held[HELD];
    const struct linger reset = {.l_onoff = 1};
    uint8_t hello[WATCHDOG_GREETING_BYTES];
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    memset(held, -1, sizeof held);
    write_hello(1, other_secret, hello);
    for (unsigned i = 0;; i++) {
        int *at = &held[i % HELD];
        if (*at >= 0 && i % 3 == 0)
            setsockopt(*at, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(*at);
        *at = outsider_connects();
        if (i % 5 == 0)
            send(*at, hello, sizeof hello / (1 + i % 2), MSG_NOSIGNAL);
    }
}

static void ranks_join_during_a_flood(void **state)
{
    (void)state;
    pid_t floods[3];
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    for (int i = 0; i < 3; i++)
        floods[i] = flood();
    poll(NULL, 0, 200);
    for (int i = 0; i < 4; i++)
        for (int rank = 1; rank < RANKS; rank++)
            join_and_close(rank);
    for (int i = 0; i < 3; i++) {
        kill(floods[i], SIGKILL);
        waitpid(floods[i], NULL, 0);
    }
    stop_coordinator();
}

/* ---- after joining ---- */

static void port_is_closed_after_all_have_joined(void **state)
{
    (void)state;
    struct watchdog_link link, late;
    char reason[WATCHDOG_TEXT_SIZE];
    start_coordinator(RANKS, TIMEOUT_SECONDS);
    assert_true(joins(1, &link, TIMEOUT_SECONDS, reason));
    int silent = outsider_connects();
    atomic_store(&coordinator->all_joined, true);
    wake_coordinator();
    assert_true(is_refused(silent));
    assert_false(joins(2, &late, TIMEOUT_SECONDS, reason));
    assert_string_equal(reason, "Connection refused");
    wait_for_heartbeat(&link); /* joined connections stay */
    wait_for_heartbeat(&link);
    watchdog_link_close(&link);
    stop_coordinator();
}

/* ---- addresses ---- */

static bool all_loopback(void)
{
    static const uint8_t ipv6_loopback[16] = {[15] = 1};
    for (int i = 0; i < invitation.count; i++) {
        const struct watchdog_address *at = &invitation.addresses[i];
        if (at->family == AF_INET
                ? at->bytes[0] != 127
                : memcmp(at->bytes, ipv6_loopback, sizeof ipv6_loopback) != 0)
            return false;
    }
    return invitation.count > 0;
}

static enum status choose(const char *interface, bool multi_host)
{
    memset(&invitation, 0, sizeof invitation);
    return watchdog_choose_addresses(interface, multi_host, &invitation);
}

static void chooses_addresses_by_interface(void **state)
{
    (void)state;
    assert_true(choose("", false) == STATUS_OK && all_loopback());
    assert_true(choose("lo", true) == STATUS_OK && all_loopback());
    assert_true(choose(" 127.0.0.0/8", true) == STATUS_OK && all_loopback());
    assert_int_equal(invitation.count, 1);
    assert_true(choose("127.0.0.1", true) == STATUS_OK && all_loopback());
    assert_true(choose("lo, 127.1.2.3/8", true) == STATUS_OK && all_loopback());
    assert_int_equal(choose("0.0.0.0/0", true), STATUS_OK);
    assert_int_equal(choose("", true), STATUS_OK);
    int all = invitation.count;
    setenv("OMPI_MCA_btl_tcp_if_include", "nosuch,lo", 1);
    assert_true(choose("", true) == STATUS_OK && all_loopback());
    setenv("OMPI_MCA_btl_tcp_if_include", "nosuch", 1);
    assert_int_equal(choose("", true), STATUS_OK);
    assert_int_equal(invitation.count, all);
    unsetenv("OMPI_MCA_btl_tcp_if_include");
    setenv("HYDRA_IFACE", "lo", 1);
    assert_true(choose("", true) == STATUS_OK && all_loopback());
    unsetenv("HYDRA_IFACE");
}

static void unknown_interfaces_are_refused(void **state)
{
    (void)state;
    static const char *const invalid[] = {"nosuch",       "l",
                                          "lo0",          "lo,nosuch",
                                          "127.0.0.9",    "1.2.3.4/32",
                                          "127.0.0.1/33", "127.0.0.1/-1",
                                          "127.0.0.1/x",  "127.0.0.1/",
                                          "127.0.0/8",    "::2",
                                          "/8",           "2001:db8::/32"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        assert_int_equal(choose(invalid[i], true), STATUS_MISUSE);
        assert_non_null(strstr(status_message(), "lo 127.0.0.1"));
    }
    assert_int_equal(choose(",", true), STATUS_MISUSE);
    char longest[OPTIONS_TEXT];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(choose(longest, true), STATUS_MISUSE);
}

/* Each listener is bound to its address only. */
static void listeners_are_bound_to_the_chosen_addresses(void **state)
{
    (void)state;
    int listeners[WATCHDOG_MAX_ADDRESSES];
    assert_int_equal(choose("", false), STATUS_OK);
    watchdog_listen(&invitation, listeners);
    assert_true(all_loopback());
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++) {
        struct sockaddr_in6 local;
        struct sockaddr_in ipv4;
        socklen_t size = sizeof local;
        if (i >= invitation.count) {
            assert_int_equal(listeners[i], -1);
            continue;
        }
        const struct watchdog_address *address = &invitation.addresses[i];
        assert_int_equal(getsockname(listeners[i], (struct sockaddr *)&local, &size), 0);
        memcpy(&ipv4, &local, sizeof ipv4);
        assert_int_equal(local.sin6_family, address->family);
        assert_int_equal(ntohs(local.sin6_port), address->port);
        if (address->family == AF_INET6)
            assert_memory_equal(&local.sin6_addr, address->bytes, 16);
        else
            assert_memory_equal(&ipv4.sin_addr, address->bytes, 4);
        close(listeners[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeting_with_a_flipped_bit_is_rejected),
        cmocka_unit_test(challenge_is_bound_to_one_hello),
        cmocka_unit_test(keys_differ_by_connection_and_direction),
        cmocka_unit_test(frame_with_a_flipped_bit_is_rejected),
        cmocka_unit_test(repeated_frame_is_rejected),
        cmocka_unit_test(out_of_range_fields_are_rejected),
        cmocka_unit_test(ranks_join_only_once),
        cmocka_unit_test(wrong_secret_is_refused),
        cmocka_unit_test(invalid_ranks_are_refused),
        cmocka_unit_test(connections_beyond_the_limit_are_refused),
        cmocka_unit_test(replayed_messages_are_refused),
        cmocka_unit_test(first_frame_must_be_a_join_of_that_rank),
        cmocka_unit_test(reflected_hello_is_refused),
        cmocka_unit_test(silent_address_is_skipped),
        cmocka_unit_test(number_of_pending_connections_is_limited),
        cmocka_unit_test(late_join_is_dropped),
        cmocka_unit_test(garbage_is_dropped),
        cmocka_unit_test(ranks_join_during_a_flood),
        cmocka_unit_test(port_is_closed_after_all_have_joined),
        cmocka_unit_test(chooses_addresses_by_interface),
        cmocka_unit_test(unknown_interfaces_are_refused),
        cmocka_unit_test(listeners_are_bound_to_the_chosen_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
