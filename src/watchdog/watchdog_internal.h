/* Shared by the sources of watchdog.
 *
 *     watchdog.c  opening and closing; the public functions
 *     thread.c    the thread: poll loop, heartbeats, hang detection
 *     state.c     the state of this process, and sending it
 *     receive.c   the frames of other ranks
 *     shutdown.c  reports the root cause and ends the ranks
 *     listen.c    the addresses on which rank 0 listens
 *     connect.c   how another rank connects to it
 *     join.c      how rank 0 admits connections
 *     wire.c      frames and greetings as bytes, and their authentication
 *     link.c      nonblocking connections
 *     hang.c      the hang detector
 *     report.c    the root-cause report, on stderr and in the file
 *     crash.c     the crash handler of this process: fatal signals, exit, abort
 *     process.c   processes of this host, through /proc
 *
 * Rank 0 is the coordinator; every other rank has one connection, to it. A rank without a
 * connection, as the only rank or because it can't reach rank 0, coordinates only itself.
 */
#ifndef TUTTI_WATCHDOG_WATCHDOG_INTERNAL_H
#define TUTTI_WATCHDOG_WATCHDOG_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "watchdog.h"
#include "base/phase.h"

enum { WATCHDOG_HOST_SIZE = 128, WATCHDOG_TEXT_SIZE = 384, WATCHDOG_COMMAND_SIZE = 4096 };

/* ---- processes ---- */

/* Identifies a process across all hosts: a pid is unique only in its namespace and only
 * until it is reused. */
struct watchdog_process {
    int32_t rank, pid;
    uint64_t pid_namespace; /* hash of boot and pid namespace; 0: unknown */
    uint64_t start_time;    /* clock ticks since boot */
    char host[WATCHDOG_HOST_SIZE];
};

/* The state of a process in /proc. */
struct watchdog_proc {
    char state;    /* 'R', 'S', 'T', 'Z' ...; 0: no such process on this host */
    int exit_code; /* encoded as by waitpid, once the process is exiting; 0: unknown */
};

/* A hash of host, boot and network namespace: ranks with equal values reach each other on
 * loopback addresses. 0: unknown. */
uint64_t watchdog_network_id(const char *host);
void watchdog_process_self(struct watchdog_process *out, int rank, const char *host);
struct watchdog_proc watchdog_process_query(const struct watchdog_process *process);
/* Sends SIGKILL if the process is on this host and the pid has not been reused. */
void watchdog_process_kill(const struct watchdog_process *process);
/* If the process is on another host and srun started all `ranks` in one step, asks Slurm
 * to end that step, without waiting. mpirun ends its ranks by itself. */
void watchdog_process_kill_remote(const struct watchdog_process *process, int ranks);

/* ---- wire format (see watchdog.h for the protocol) ---- */

enum watchdog_kind {
    WATCHDOG_JOIN = 1, /* first frame of a rank; text: host */
    WATCHDOG_WELCOME,  /* rank 0's reply; text: host */
    WATCHDOG_FULL,     /* rank 0's reply if it may hold no more connections */
    WATCHDOG_ALIVE,    /* heartbeat; rank 0's text: the last checkpoint */
    WATCHDOG_SIGNAL,   /* crash message; number: the signal */
    WATCHDOG_EXIT,     /* crash message; number: the exit code */
    WATCHDOG_FAILED,   /* crash message; text: why the rank ends all ranks */
    WATCHDOG_BYE,      /* all ranks have agreed to end */
    WATCHDOG_END,      /* exit at once; number: first kill the process described */
    WATCHDOG_KINDS
};

struct watchdog_frame {
    int32_t kind; /* enum watchdog_kind */
    int32_t rank, pid;
    int32_t number;
    uint64_t pid_namespace, start_time;
    int64_t step;
    double idle;       /* seconds since the last progress */
    int32_t phase;     /* enum phase */
    int32_t successor; /* from rank 0: the rank that reports if rank 0 can't */
    char text[WATCHDOG_TEXT_SIZE];
};

enum watchdog_greeting_kind { WATCHDOG_HELLO = 1, WATCHDOG_CHALLENGE };

enum {
    WATCHDOG_SECRET_BYTES = 32, /* of the run's secret, and of the keys of a connection */
    WATCHDOG_NONCE_BYTES = 16,
    WATCHDOG_TAG_BYTES = 16,
    WATCHDOG_GREETING_BYTES = 32 + WATCHDOG_TAG_BYTES,
    WATCHDOG_FRAME_BYTES = 64 + WATCHDOG_TEXT_SIZE + WATCHDOG_TAG_BYTES
};

struct watchdog_greeting {
    int32_t kind; /* enum watchdog_greeting_kind */
    int32_t rank; /* the rank that connects, in both directions */
    uint8_t nonce[WATCHDOG_NONCE_BYTES];
};

/* Fills in this process, its current phase and step, and `kind`; leaves the rest. Safe in
 * a signal handler. */
void watchdog_frame_fill(struct watchdog_frame *frame, enum watchdog_kind kind,
                         const struct watchdog_process *self);
/* Copies at most size - 1 bytes and terminates with a null. Safe in a signal handler. */
void watchdog_copy_text(char *to, size_t size, const char *from);

/* Fills `bytes` with random bytes from the kernel. False, with errno set, if that
 * fails. */
bool watchdog_random_bytes(void *bytes, size_t size);

/* wire[WATCHDOG_GREETING_BYTES], authenticated with the run's secret. A reply is also
 * bound to the nonce that it answers (NULL: none). Decoding returns false unless kind and
 * tag are right. */
void watchdog_greeting_encode(const struct watchdog_greeting *greeting,
                              const uint8_t *secret, const uint8_t *answered_nonce,
                              uint8_t *wire);
bool watchdog_greeting_decode(const uint8_t *wire, enum watchdog_greeting_kind kind,
                              const uint8_t *secret, const uint8_t *answered_nonce,
                              struct watchdog_greeting *greeting);

/* The keys of a connection, one per direction, derived from the run's secret, the rank
 * and both nonces. */
struct watchdog_keys {
    uint8_t to_coordinator[WATCHDOG_SECRET_BYTES],
        from_coordinator[WATCHDOG_SECRET_BYTES];
};
struct watchdog_keys watchdog_session_keys(const uint8_t *secret, int32_t rank,
                                           const uint8_t *hello,
                                           const uint8_t *challenge);

/* wire[WATCHDOG_FRAME_BYTES]. `counter` counts the frames of one connection and
 * direction. Encoding is safe in a signal handler. Decoding returns false unless the tag
 * is right, the counter exceeds *last (which it then replaces) and every field is within
 * its range; frame->text is then null-terminated. */
void watchdog_frame_encode(const struct watchdog_frame *frame, uint64_t counter,
                           const uint8_t *key, uint8_t *wire);
bool watchdog_frame_decode(const uint8_t *wire, const uint8_t *key, uint64_t *last,
                           struct watchdog_frame *frame);

/* ---- links: nonblocking connections ---- */

struct watchdog_link {
    int socket;            /* -1: none */
    size_t filled, unsent; /* bytes */
    uint8_t send_key[WATCHDOG_SECRET_BYTES], receive_key[WATCHDOG_SECRET_BYTES];
    _Atomic uint64_t send_counter;    /* of the last frame; a signal handler sends, too */
    uint64_t receive_counter;         /* of the last frame */
    uint8_t in[WATCHDOG_FRAME_BYTES]; /* `filled` bytes of an incoming frame */
    uint8_t out[WATCHDOG_FRAME_BYTES]; /* the last `unsent` bytes are still to be sent */
    struct watchdog_frame frame;       /* the last one received */
};

/* Never blocks. Bytes that the socket doesn't accept are kept; further frames are dropped
 * until they have been sent. */
void watchdog_link_send(struct watchdog_link *link, const struct watchdog_frame *frame);
/* For signal handlers: a single attempt, which doesn't send the kept bytes first. True if
 * anything was sent. */
bool watchdog_link_try_send(struct watchdog_link *link,
                            const struct watchdog_frame *frame);
/* Never blocks. 1: link->in holds `size` bytes; 0: not yet; -1: the connection is closed
 * (errno, or 0 if the other end closed it). */
int watchdog_link_fill(struct watchdog_link *link, size_t size);
/* The same for a frame, into link->frame; -1 with EPROTO if it is not authentic. */
int watchdog_link_receive(struct watchdog_link *link);
void watchdog_link_close(struct watchdog_link *link);

/* ---- connecting ---- */

enum { WATCHDOG_MAX_ADDRESSES = 16 };
struct watchdog_address {
    int32_t family; /* AF_INET, AF_INET6 */
    int32_t port;
    int32_t loopback;
    uint8_t bytes[16];
};

/* Broadcast by rank 0 over MPI. */
struct watchdog_invitation {
    uint8_t secret[WATCHDOG_SECRET_BYTES]; /* of the run; never sent over TCP */
    uint64_t network;                      /* rank 0's watchdog_network_id */
    int32_t count;                         /* 0: rank 0 can't listen */
    struct watchdog_address addresses[WATCHDOG_MAX_ADDRESSES];
    char command[WATCHDOG_COMMAND_SIZE];
    char reason[WATCHDOG_TEXT_SIZE]; /* why rank 0 can't listen */
};

/* Chooses the addresses to listen on: those that `interface` matches; if it is empty,
 * loopback addresses unless the ranks run on several hosts (`multi_host`); else those
 * that MPI was told to use; else all. Sets count and addresses, or reason. STATUS_MISUSE
 * if `interface` matches nothing on this host. */
enum status watchdog_choose_addresses(const char *interface, bool multi_host,
                                      struct watchdog_invitation *invitation);
/* Listens on each address, on a port chosen by the kernel, and removes the addresses for
 * which this fails. Sets listeners[0..count), and the others to -1. If none remains, sets
 * reason. */
void watchdog_listen(struct watchdog_invitation *invitation,
                     int listeners[WATCHDOG_MAX_ADDRESSES]);
/* The addresses as text. Returns text. */
const char *watchdog_addresses_text(const struct watchdog_invitation *invitation,
                                    char *text, size_t size);

/* Connects to rank 0 and joins with the frame `join`; link->frame is then the welcome.
 * False if this fails or takes longer than `seconds`, with a reason in reason[size]. */
bool watchdog_connect(const struct watchdog_invitation *invitation,
                      const struct watchdog_frame *join, double seconds,
                      struct watchdog_link *link, char *reason, size_t size);
/* 0 if rank 0 can be reached from this host, `host`; else an errno. Sends nothing. */
int watchdog_try_connect(const struct watchdog_invitation *invitation, const char *host,
                         double seconds);

/* ---- peers and the hang detector ---- */

/* A rank as the coordinator sees it, or rank 0 as the other ranks see it. */
struct watchdog_peer {
    struct watchdog_process process;
    struct watchdog_link link;
    bool confirmed;    /* it has sent a frame after joining */
    bool bye_received; /* its goodbye has arrived */
    enum phase phase;
    int64_t step;
    double idle;           /* seconds, at the last heartbeat */
    double last_heartbeat; /* clock_seconds */
};

/* In increasing order: of several causes found at once, the largest is the likeliest root
 * cause. */
enum watchdog_reason {
    CAUSE_NONE,
    CAUSE_FAILED, /* it sent a message that it ends all ranks */
    CAUSE_EXIT,   /* it sent a message that it exits */
    CAUSE_LOST,   /* its connection was closed without a crash message */
    CAUSE_SIGNAL, /* it sent a message that it got a fatal signal */
    CAUSE_ALL_WAIT,
    CAUSE_HANG,
    CAUSE_SILENT,
    CAUSE_ORPHANED, /* the launcher is gone, which ends its ranks */
};

struct watchdog_cause {
    enum watchdog_reason reason;
    const struct watchdog_peer *peer; /* ALL_WAIT: the coordinator's own */
    int number;                       /* signal, exit code or pid; 0: unknown */
    double seconds;                   /* HANG, SILENT, ALL_WAIT */
    char text[WATCHDOG_TEXT_SIZE];
};

/* Finds a rank that hangs at time `now`. `ranks` is the size of the run. */
struct watchdog_cause watchdog_find_hang(const struct watchdog_peer *peers, int count,
                                         int ranks, double now, double hang_timeout);

/* ---- the watchdog ---- */

/* Maximum number of connections that have not joined: a flood must not take descriptors
 * that the training needs. */
enum { WATCHDOG_MAX_PENDING = 32 };
struct watchdog_pending {
    struct watchdog_link link;
    int32_t rank;       /* 0: no valid hello yet */
    double accepted_at; /* clock_seconds */
};

struct watchdog {
    int rank, ranks;
    pid_t launcher_pid; /* the parent process; 0: irrelevant */
    bool is_coordinator;
    struct watchdog_process self;
    uint8_t secret[WATCHDOG_SECRET_BYTES];
    double hang_timeout;
    char *directory;
    char command[WATCHDOG_COMMAND_SIZE];
    char checkpoint[WATCHDOG_TEXT_SIZE]; /* "": none; guarded by `lock` */
    pthread_mutex_t lock;

    int max_connections; /* of ranks, to the coordinator */
    int wake_event;      /* eventfd */
    pthread_t thread;
    bool thread_started;
    atomic_bool heartbeat_requested; /* send a heartbeat at once, not at the next tick */
    atomic_bool all_joined; /* every rank has joined or given up: stop listening */
    atomic_bool closing;

    /* Owned by the thread. Peers: the coordinator has [ranks], of which the first is
     * itself; any other rank has one, rank 0; a rank alone has one, itself. */
    struct watchdog_peer *peers;
    int peer_count;
    int listeners[WATCHDOG_MAX_ADDRESSES]; /* -1: none */
    struct watchdog_pending *pending; /* [WATCHDOG_MAX_PENDING]; NULL unless listening */
    double pending_seconds;           /* until a pending connection is closed */
    int32_t successor;
    double last_tick;     /* clock_seconds */
    uint64_t progress;    /* of phase_state, when it last changed */
    double last_progress; /* clock_seconds of that change */
    struct watchdog_peer self_state;

    /* Crash message of this process. */
    struct watchdog_frame crash_message;
    atomic_bool crash_sent; /* to rank 0, or to the thread if this is the coordinator */
    atomic_bool reported;
};

/* Neither connected nor started; NULL if out of memory. */
struct watchdog *watchdog_create(int rank, int ranks, const char *host,
                                 const char *directory);
void watchdog_free(struct watchdog *watchdog); /* NULL is fine */

void *watchdog_run(void *argument); /* the struct watchdog */

/* Updates the state of this process in `self_state` (on the coordinator also in
 * peers[0]); the states of other peers are updated by their frames. */
void watchdog_update_self(struct watchdog *watchdog, double now);
/* A frame with the current state of this process, and its host or the last checkpoint. */
void watchdog_frame_init(struct watchdog *watchdog, enum watchdog_kind kind,
                         struct watchdog_frame *frame);
void watchdog_send_to_all(struct watchdog *watchdog, const struct watchdog_frame *frame);

/* ---- joining: the coordinator's side, on its thread ---- */

/* True if a connection can be accepted now. */
bool watchdog_can_accept(const struct watchdog *watchdog, double now);
void watchdog_accept(struct watchdog *watchdog, int *listener);
void watchdog_pending_receive(struct watchdog *watchdog,
                              struct watchdog_pending *pending);
void watchdog_pending_expire(struct watchdog *watchdog, double now);
/* Closes the listeners and all pending connections. */
void watchdog_stop_listening(struct watchdog *watchdog);

/* ---- receiving, on the thread ---- */

/* Replaces *root by `other` if that is the likelier root cause. */
void watchdog_update_root_cause(struct watchdog_cause *root,
                                const struct watchdog_cause *other);
/* The cause that a crash message names. */
struct watchdog_cause watchdog_crash_cause(const struct watchdog_peer *peer,
                                           const struct watchdog_frame *frame);
/* Reads all frames of a connection, and its end. Stores a cause that it finds in *root.
 * Ends this process on WATCHDOG_END from rank 0. */
void watchdog_peer_receive(struct watchdog *watchdog, struct watchdog_peer *peer,
                           struct watchdog_cause *root);

/* ---- ending the run, on the thread ---- */

/* True, with the cause, if the launcher is gone. A dying launcher ends its ranks one
 * after the other, in any order. */
bool watchdog_check_launcher(const struct watchdog *watchdog,
                             struct watchdog_cause *cause);
/* Reports the cause and ends the ranks, or on a rank other than the coordinator only this
 * one. Doesn't return: it ends this process with _exit, as the main thread may be blocked
 * in MPI or hang. */
void watchdog_end_run(struct watchdog *watchdog, const struct watchdog_cause *cause)
    __attribute__((noreturn));
/* Ends this process because of WATCHDOG_END from rank 0. */
void watchdog_end_process(struct watchdog *watchdog, const struct watchdog_frame *frame)
    __attribute__((noreturn));

/* ---- the report ---- */

/* Writes the report to text[size] and returns its length. */
size_t watchdog_format_report(const struct watchdog_cause *cause, double now,
                              const char *checkpoint, const char *command, char *text,
                              size_t size);

/* Prints the text, then writes it to the file; waits at most a second for each. */
void watchdog_report(struct watchdog *watchdog, const char *text);

/* The same for a cause that several ranks have found independently: only the first to
 * create the file prints; if the file can't be created, only the rank with `fallback`. */
void watchdog_report_once(struct watchdog *watchdog, const char *text, bool fallback);

/* True if the file is known to be gone; false also if its file system doesn't respond
 * within 0.2 s. */
bool watchdog_path_is_missing(const char *path);

void watchdog_print(const char *text);

/* ---- the crash handler ---- */

/* Makes this process send a crash message to the coordinator when it ends. One watchdog
 * per process. */
void watchdog_crash_handler_install(struct watchdog *watchdog);
void watchdog_crash_handler_remove(void);
/* Seconds since a signal asked this process to stop; 0: none has. */
double watchdog_seconds_since_stop_request(void);

#endif
