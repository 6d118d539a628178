/* Shared by watchdog*.c.
 *
 *     watchdog.c          opening and closing; what others call
 *     watchdog_thread.c   the thread: heartbeats, deaths, the end
 *     watchdog_listen.c   on which addresses rank 0 listens
 *     watchdog_connect.c  how another rank connects to it
 *     watchdog_join.c     how rank 0 admits those who connect
 *     watchdog_wire.c     frames and greetings as bytes, and their authentication
 *     watchdog_link.c     sockets that never wait
 *     watchdog_judge.c    who hangs
 *     watchdog_report.c   the block "root cause", on stderr and as a file
 *     watchdog_words.c    crash messages of this process: fatal signals, exit
 *     watchdog_process.c  processes of this host, by /proc
 *
 * Rank 0 is the hub; every other rank has one link, to it. A rank without a link, for it
 * is the only one or can't reach rank 0, is a hub for itself alone.
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

enum { WATCHDOG_HOST = 128, WATCHDOG_TEXT = 384, WATCHDOG_COMMAND = 4096 };

/* ---- processes ---- */

/* What tells a process from all others: a pid means something in its place only. */
struct watchdog_process {
    int32_t rank, pid;
    uint64_t place; /* kernel and pid namespace; 0: not known */
    uint64_t born;  /* start time, clock ticks since boot */
    char host[WATCHDOG_HOST];
};

/* What /proc says of a process. */
struct watchdog_proc {
    char state;    /* 'R', 'S', 'T', 'Z' ...; 0: it is not there, or elsewhere */
    int exit_code; /* as waitpid gives it, once it is ending; 0: not known */
};

/* Ranks with equal values reach each other by the loopback addresses: a hash of host,
 * boot and network namespace. 0: not known. */
uint64_t watchdog_network(const char *host);
void watchdog_process_self(struct watchdog_process *out, int rank, const char *host);
struct watchdog_proc watchdog_process_look(const struct watchdog_process *process);
/* SIGKILL, if it is on this host and still the same process. */
void watchdog_process_kill(const struct watchdog_process *process);
/* The same for one on another host, where srun has started all `ranks`: Slurm is asked to
 * end the step. Doesn't wait. mpirun does so by itself. */
void watchdog_process_kill_far(const struct watchdog_process *process, int ranks);

/* ---- the wire (see watchdog.h for the protocol) ---- */

enum watchdog_kind {
    WATCHDOG_JOIN = 1, /* the first frame of a rank; text: host */
    WATCHDOG_WELCOME,  /* rank 0's answer; text: host */
    WATCHDOG_FULL,     /* or this one: it may hold no more connections */
    WATCHDOG_ALIVE,    /* rank 0's text: the last checkpoint */
    WATCHDOG_SIGNAL,   /* crash message; number: the signal */
    WATCHDOG_EXIT,     /* crash message; number: the exit code */
    WATCHDOG_FAILED,   /* crash message; text: why */
    WATCHDOG_BYE,      /* all ranks have agreed to leave */
    WATCHDOG_END,      /* leave at once; number: kill the process described */
    WATCHDOG_KINDS
};

struct watchdog_frame {
    int32_t kind; /* enum watchdog_kind */
    int32_t rank, pid;
    int32_t number;
    uint64_t place, born;
    int64_t step;
    double still;  /* seconds since anything has moved */
    int32_t phase; /* enum phase */
    int32_t heir;  /* ALIVE of rank 0: who reports when rank 0 can't */
    char text[WATCHDOG_TEXT];
};

enum watchdog_greeting_kind { WATCHDOG_HELLO = 1, WATCHDOG_CHALLENGE };

enum {
    WATCHDOG_SECRET =
        32, /* bytes of the run's key, and of the two keys of a connection */
    WATCHDOG_NONCE = 16,
    WATCHDOG_TAG = 16,
    WATCHDOG_GREETING_BYTES = 32 + WATCHDOG_TAG,
    WATCHDOG_FRAME_BYTES = 64 + WATCHDOG_TEXT + WATCHDOG_TAG
};

struct watchdog_greeting {
    int32_t kind; /* enum watchdog_greeting_kind */
    int32_t rank; /* of the one that connects, both ways */
    uint8_t nonce[WATCHDOG_NONCE];
};

/* The phase and step of now; all else as given. Safe in a signal handler. */
void watchdog_frame_fill(struct watchdog_frame *frame, enum watchdog_kind kind,
                         const struct watchdog_process *self);
/* As strncpy, and always ends with a null. Safe in a signal handler. */
void watchdog_copy(char *to, size_t size, const char *from);

/* Unpredictable bytes of the system. False, with errno, if it has none to give. */
bool watchdog_random(void *bytes, size_t size);

/* wire[WATCHDOG_GREETING_BYTES], authenticated with the run's secret; an answer is also
 * bound to the nonce that it answers (NULL: none). Reading is false unless all of it is
 * right. */
void watchdog_greeting_write(const struct watchdog_greeting *greeting,
                             const uint8_t *secret, const uint8_t *answered,
                             uint8_t *wire);
bool watchdog_greeting_read(const uint8_t *wire, enum watchdog_greeting_kind kind,
                            const uint8_t *secret, const uint8_t *answered,
                            struct watchdog_greeting *greeting);

/* The keys of a connection, one for each direction, from the run's secret, the rank and
 * both nonces. */
struct watchdog_keys {
    uint8_t to_hub[WATCHDOG_SECRET], from_hub[WATCHDOG_SECRET];
};
struct watchdog_keys watchdog_session_keys(const uint8_t *secret, int32_t rank,
                                           const uint8_t *hello,
                                           const uint8_t *challenge);

/* wire[WATCHDOG_FRAME_BYTES]. `counter` is of this connection and direction, and grows.
 * Writing is safe in a signal handler. Reading is false unless the tag is right, the
 * counter is above *last, which then becomes it, and every field is within its range;
 * frame->text then ends with a null. */
void watchdog_frame_write(const struct watchdog_frame *frame, uint64_t counter,
                          const uint8_t *key, uint8_t *wire);
bool watchdog_frame_read(const uint8_t *wire, const uint8_t *key, uint64_t *last,
                         struct watchdog_frame *frame);

/* ---- links ---- */

struct watchdog_link {
    int socket; /* -1: none */
    size_t filled, unsent;
    uint8_t send_key[WATCHDOG_SECRET], receive_key[WATCHDOG_SECRET];
    _Atomic uint64_t sent; /* counter of the last frame; a signal handler sends, too */
    uint64_t received;
    uint8_t in[WATCHDOG_FRAME_BYTES];  /* `filled` bytes of what is coming */
    uint8_t out[WATCHDOG_FRAME_BYTES]; /* its last `unsent` bytes */
    struct watchdog_frame frame;       /* the last one received */
};

/* Never waits; what doesn't fit is kept, and while it is, frames are dropped. */
void watchdog_link_send(struct watchdog_link *link, const struct watchdog_frame *frame);
/* For signal handlers: once, past what is kept. True if anything was sent. */
bool watchdog_link_send_now(struct watchdog_link *link,
                            const struct watchdog_frame *frame);
/* Never waits. 1: link->in holds `size` bytes; 0: not yet; -1: the other end is gone
 * (errno, or 0 for a plain end). */
int watchdog_link_fill(struct watchdog_link *link, size_t size);
/* The same for a frame, into link->frame; -1 with EPROTO if it is not authentic. */
int watchdog_link_receive(struct watchdog_link *link);
void watchdog_link_close(struct watchdog_link *link);

/* ---- how the ranks come together ---- */

enum { WATCHDOG_ADDRESSES = 16 };
struct watchdog_address {
    int32_t family; /* AF_INET, AF_INET6 */
    int32_t port;
    int32_t loopback;
    uint8_t bytes[16];
};

/* What rank 0 tells the others by MPI. */
struct watchdog_invitation {
    uint8_t secret[WATCHDOG_SECRET]; /* of the run; never sent over TCP */
    uint64_t network;                /* rank 0's watchdog_network */
    int32_t count;                   /* 0: rank 0 can't listen */
    struct watchdog_address addresses[WATCHDOG_ADDRESSES];
    char command[WATCHDOG_COMMAND];
    char reason[WATCHDOG_TEXT]; /* why it can't listen */
};

/* The addresses to listen on: those that `interface` names; if it is empty, loopback ones
 * unless the ranks are `spread` over several hosts; then those that MPI has been told to
 * use; then any. Fills addresses and count, or reason. STATUS_MISUSE if `interface` names
 * nothing of this host. */
enum status watchdog_choose(const char *interface, bool spread,
                            struct watchdog_invitation *invitation);
/* Listens on each, at a port of the system's choice, and leaves out those where it can't:
 * listeners[0..count), the others -1. With none left, there is a reason. */
void watchdog_listen(struct watchdog_invitation *invitation,
                     int listeners[WATCHDOG_ADDRESSES]);
/* The addresses offered, as text. Returns it. */
const char *watchdog_addresses_text(const struct watchdog_invitation *invitation,
                                    char *text, size_t size);

/* Connects to rank 0 and joins with that frame; link->frame is the welcome. False after
 * `seconds`, with a reason. */
bool watchdog_connect(const struct watchdog_invitation *invitation,
                      const struct watchdog_frame *join, double seconds,
                      struct watchdog_link *link, char *reason, size_t size);
/* 0 if rank 0 can be reached from `host`, this one; else errno. Sends nothing. */
int watchdog_try(const struct watchdog_invitation *invitation, const char *host,
                 double seconds);

/* ---- members and judgement ---- */

/* A rank as its hub sees it, or rank 0 as the others see it. */
struct watchdog_member {
    struct watchdog_process process;
    struct watchdog_link link;
    bool known; /* it is watched: its frames come, or have come */
    bool left;  /* it has said goodbye */
    enum phase phase;
    int64_t step;
    double still; /* when it was last heard */
    double heard; /* clock_seconds */
};

enum watchdog_reason { /* of those found at one time, the later is rather the root */
                       CAUSE_NONE,
                       CAUSE_FAILED, /* it said that it ends all ranks */
                       CAUSE_EXIT,   /* it said that it leaves */
                       CAUSE_LOST,   /* its connection has ended without a word */
                       CAUSE_SIGNAL, /* it said that a signal has come */
                       CAUSE_ALL_WAIT,
                       CAUSE_HANGS,
                       CAUSE_UNHEARD,
                       CAUSE_ORPHANED, /* the launcher is gone, and takes its ranks along */
};

struct watchdog_cause {
    enum watchdog_reason reason;
    const struct watchdog_member *member; /* ALL_WAIT: the hub's own */
    int number;                           /* signal, exit code, pid; 0: not known */
    double seconds;                       /* HANGS, UNHEARD, ALL_WAIT */
    char text[WATCHDOG_TEXT];
};

/* Looks for a rank that hangs at the time `now`. `ranks` is the size of the run. */
struct watchdog_cause watchdog_judge(const struct watchdog_member *members, int count,
                                     int ranks, double now, double hang_seconds);

/* ---- the watchdog ---- */

/* At most so many connections that have not joined: a flood must not take descriptors
 * that the training needs. */
enum { WATCHDOG_PENDING = 32 };
struct watchdog_pending {
    struct watchdog_link link;
    int32_t rank; /* 0: it has not sent a right hello yet */
    double since; /* clock_seconds, when it was accepted */
};

struct watchdog {
    int rank, ranks;
    pid_t launcher; /* the parent; 0: nobody in particular */
    bool hub;
    struct watchdog_process self;
    uint8_t secret[WATCHDOG_SECRET];
    double hang_seconds;
    char *directory;
    char command[WATCHDOG_COMMAND];
    char checkpoint[WATCHDOG_TEXT]; /* "": none; under `lock` */
    pthread_mutex_t lock;

    int room; /* how many ranks the hub may hold a connection to */
    int wake; /* eventfd */
    pthread_t thread;
    bool started;
    atomic_bool news;     /* to be sent at once, not at the next tick */
    atomic_bool gathered; /* every rank has joined or given up: no more listening */
    atomic_bool closing;

    /* The thread's. Hub: [ranks], the first is its own; alone: its own; else rank 0's. */
    struct watchdog_member *members;
    int count;
    int listeners[WATCHDOG_ADDRESSES]; /* -1: none */
    struct watchdog_pending *pending; /* [WATCHDOG_PENDING] of the hub of several ranks */
    double pending_seconds; /* a connection that has not joined then is closed */
    int32_t heir;
    double ticked;       /* clock_seconds of the last tick */
    uint64_t heartbeats; /* of phase_state, then */
    double moved;        /* clock_seconds: when they last changed */
    struct watchdog_member mine;

    /* Crash message of the hub's own process. */
    struct watchdog_frame words;
    atomic_bool spoken, told;
};

/* A watchdog of its own size, not yet connected or started; NULL without memory. */
struct watchdog *watchdog_create(int rank, int ranks, const char *host,
                                 const char *directory);
void watchdog_free(struct watchdog *watchdog); /* NULL is fine */

void *watchdog_run(void *watchdog);

/* A frame of this process as it is now: its state, and its host or last checkpoint. */
void watchdog_describe(struct watchdog *watchdog, enum watchdog_kind kind,
                       struct watchdog_frame *frame);

/* ---- joining: the hub's side, on its thread ---- */

/* A connection can be accepted now. */
bool watchdog_can_accept(const struct watchdog *watchdog, double now);
void watchdog_accept(struct watchdog *watchdog, int *listener);
void watchdog_pending_read(struct watchdog *watchdog, struct watchdog_pending *pending);
void watchdog_pending_expire(struct watchdog *watchdog, double now);
/* Closes the listeners and all that has not joined. */
void watchdog_stop_listening(struct watchdog *watchdog);

/* ---- the report ---- */

/* The block into text. Returns its length. */
size_t watchdog_block(const struct watchdog_cause *cause, double now,
                      const char *checkpoint, const char *command, char *text,
                      size_t size);

/* Prints, then writes the file; waits no longer than a second for either. */
void watchdog_tell(struct watchdog *watchdog, const char *text);

/* The same where several ranks have found it out, each for itself: only the first to
 * create the file prints. When the file can't be made, `fallback` does. */
void watchdog_tell_once(struct watchdog *watchdog, const char *text, bool fallback);

/* True if the file is known to have been removed; false also when its file system doesn't
 * answer within a moment. */
bool watchdog_is_gone(const char *path);

void watchdog_print(const char *text);
const char *watchdog_signal_name(int number);

/* ---- crash messages ---- */

/* From now on what ends this process is sent to the hub. One watchdog per process. */
void watchdog_words_begin(struct watchdog *watchdog);
void watchdog_words_end(void);
/* Seconds since a signal has asked this process to stop; 0: none has. */
double watchdog_stopping_seconds(void);

#endif
