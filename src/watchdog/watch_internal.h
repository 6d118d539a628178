/* Shared by watch*.c.
 *
 *     watch.c          opening and closing; what others call
 *     watch_thread.c   the thread: heartbeats, deaths, the end
 *     watch_listen.c   on which addresses rank 0 listens
 *     watch_connect.c  how another rank connects to it
 *     watch_join.c     how rank 0 admits those who connect
 *     watch_wire.c     frames and greetings as bytes, and their authentication
 *     watch_link.c     sockets that never wait
 *     watch_judge.c    who hangs
 *     watch_report.c   the block "root cause", on stderr and as a file
 *     watch_words.c    crash messages of this process: fatal signals, exit
 *     watch_process.c  processes of this host, by /proc
 *
 * Rank 0 is the hub; every other rank has one link, to it. A rank without a link, for it
 * is the only one or can't reach rank 0, is a hub for itself alone.
 */
#ifndef TUTTI_WATCHDOG_WATCH_INTERNAL_H
#define TUTTI_WATCHDOG_WATCH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "watch.h"
#include "base/phase.h"

enum { WATCH_HOST = 128, WATCH_TEXT = 384, WATCH_COMMAND = 4096 };

/* ---- processes ---- */

/* What tells a process from all others: a pid means something in its place only. */
struct watch_process {
    int32_t rank, pid;
    uint64_t place; /* kernel and pid namespace; 0: not known */
    uint64_t born;  /* start time, clock ticks since boot */
    char host[WATCH_HOST];
};

/* What /proc says of a process. */
struct watch_proc {
    char state;    /* 'R', 'S', 'T', 'Z' ...; 0: it is not there, or elsewhere */
    int exit_code; /* as waitpid gives it, once it is ending; 0: not known */
};

/* Ranks with equal values reach each other by the loopback addresses: a hash of host, boot
 * and network namespace. 0: not known. */
uint64_t watch_network(const char *host);
void watch_process_self(struct watch_process *out, int rank, const char *host);
struct watch_proc watch_process_look(const struct watch_process *process);
/* SIGKILL, if it is on this host and still the same process. */
void watch_process_kill(const struct watch_process *process);
/* The same for one on another host, where srun has started all `ranks`: Slurm is asked to
 * end the step. Doesn't wait. mpirun does so by itself. */
void watch_process_kill_far(const struct watch_process *process, int ranks);

/* ---- the wire (see watch.h for the protocol) ---- */

enum watch_kind {
    WATCH_JOIN = 1, /* the first frame of a rank; text: host */
    WATCH_WELCOME,  /* rank 0's answer; text: host */
    WATCH_FULL,     /* or this one: it may hold no more connections */
    WATCH_ALIVE,    /* rank 0's text: the last checkpoint */
    WATCH_SIGNAL,   /* crash message; number: the signal */
    WATCH_EXIT,     /* crash message; number: the exit code */
    WATCH_FAILED,   /* crash message; text: why */
    WATCH_BYE,      /* all ranks have agreed to leave */
    WATCH_END,      /* leave at once; number: kill the process described */
    WATCH_KINDS
};

struct watch_frame {
    int32_t kind; /* enum watch_kind */
    int32_t rank, pid;
    int32_t number;
    uint64_t place, born;
    int64_t step;
    double still;  /* seconds since anything has moved */
    int32_t phase; /* enum phase */
    int32_t heir;  /* ALIVE of rank 0: who reports when rank 0 can't */
    char text[WATCH_TEXT];
};

enum watch_greeting_kind { WATCH_HELLO = 1, WATCH_CHALLENGE };

enum {
    WATCH_SECRET = 32, /* bytes of the run's key, and of the two keys of a connection */
    WATCH_NONCE = 16,
    WATCH_TAG = 16,
    WATCH_GREETING_BYTES = 32 + WATCH_TAG,
    WATCH_FRAME_BYTES = 64 + WATCH_TEXT + WATCH_TAG
};

struct watch_greeting {
    int32_t kind; /* enum watch_greeting_kind */
    int32_t rank; /* of the one that connects, both ways */
    uint8_t nonce[WATCH_NONCE];
};

/* The phase and step of now; all else as given. Safe in a signal handler. */
void watch_frame_fill(struct watch_frame *frame, enum watch_kind kind,
                      const struct watch_process *self);
/* As strncpy, and always ends with a null. Safe in a signal handler. */
void watch_copy(char *to, size_t size, const char *from);

/* Unpredictable bytes of the system. False, with errno, if it has none to give. */
bool watch_random(void *bytes, size_t size);

/* wire[WATCH_GREETING_BYTES], authenticated with the run's secret; an answer is also bound
 * to the nonce that it answers (NULL: none). Reading is false unless all of it is right. */
void watch_greeting_write(const struct watch_greeting *greeting, const uint8_t *secret,
                          const uint8_t *answered, uint8_t *wire);
bool watch_greeting_read(const uint8_t *wire, enum watch_greeting_kind kind,
                         const uint8_t *secret, const uint8_t *answered,
                         struct watch_greeting *greeting);

/* The keys of a connection, one for each direction, from the run's secret, the rank and
 * both nonces. */
struct watch_keys {
    uint8_t to_hub[WATCH_SECRET], from_hub[WATCH_SECRET];
};
struct watch_keys watch_session_keys(const uint8_t *secret, int32_t rank,
                                     const uint8_t *hello, const uint8_t *challenge);

/* wire[WATCH_FRAME_BYTES]. `counter` is of this connection and direction, and grows.
 * Writing is safe in a signal handler. Reading is false unless the tag is right, the
 * counter is above *last, which then becomes it, and every field is within its range;
 * frame->text then ends with a null. */
void watch_frame_write(const struct watch_frame *frame, uint64_t counter,
                       const uint8_t *key, uint8_t *wire);
bool watch_frame_read(const uint8_t *wire, const uint8_t *key, uint64_t *last,
                      struct watch_frame *frame);

/* ---- links ---- */

struct watch_link {
    int socket; /* -1: none */
    size_t filled, unsent;
    uint8_t send_key[WATCH_SECRET], receive_key[WATCH_SECRET];
    _Atomic uint64_t sent; /* counter of the last frame; a signal handler sends, too */
    uint64_t received;
    uint8_t in[WATCH_FRAME_BYTES];  /* `filled` bytes of what is coming */
    uint8_t out[WATCH_FRAME_BYTES]; /* its last `unsent` bytes */
    struct watch_frame frame;       /* the last one received */
};

/* Never waits; what doesn't fit is kept, and while it is, frames are dropped. */
void watch_link_send(struct watch_link *link, const struct watch_frame *frame);
/* For signal handlers: once, past what is kept. True if anything was sent. */
bool watch_link_send_now(struct watch_link *link, const struct watch_frame *frame);
/* Never waits. 1: link->in holds `size` bytes; 0: not yet; -1: the other end is gone
 * (errno, or 0 for a plain end). */
int watch_link_fill(struct watch_link *link, size_t size);
/* The same for a frame, into link->frame; -1 with EPROTO if it is not authentic. */
int watch_link_receive(struct watch_link *link);
void watch_link_close(struct watch_link *link);

/* ---- how the ranks come together ---- */

enum { WATCH_ADDRESSES = 16 };
struct watch_address {
    int32_t family; /* AF_INET, AF_INET6 */
    int32_t port;
    int32_t loopback;
    uint8_t bytes[16];
};

/* What rank 0 tells the others by MPI. */
struct watch_invitation {
    uint8_t secret[WATCH_SECRET]; /* of the run; never sent over TCP */
    uint64_t network;             /* rank 0's watch_network */
    int32_t count;                /* 0: rank 0 can't listen */
    struct watch_address addresses[WATCH_ADDRESSES];
    char command[WATCH_COMMAND];
    char reason[WATCH_TEXT]; /* why it can't listen */
};

/* The addresses to listen on: those that `interface` names; if it is empty, loopback ones
 * unless the ranks are `spread` over several hosts; then those that MPI has been told to
 * use; then any. Fills addresses and count, or reason. STATUS_MISUSE if `interface` names
 * nothing of this host. */
enum status watch_choose(const char *interface, bool spread,
                         struct watch_invitation *invitation);
/* Listens on each, at a port of the system's choice, and leaves out those where it can't:
 * listeners[0..count), the others -1. With none left, there is a reason. */
void watch_listen(struct watch_invitation *invitation, int listeners[WATCH_ADDRESSES]);
/* The addresses offered, as text. Returns it. */
const char *watch_addresses_text(const struct watch_invitation *invitation, char *text,
                                 size_t size);

/* Connects to rank 0 and joins with that frame; link->frame is the welcome. False after
 * `seconds`, with a reason. */
bool watch_connect(const struct watch_invitation *invitation,
                   const struct watch_frame *join, double seconds,
                   struct watch_link *link, char *reason, size_t size);
/* 0 if rank 0 can be reached from `host`, this one; else errno. Sends nothing. */
int watch_try(const struct watch_invitation *invitation, const char *host,
              double seconds);

/* ---- members and judgement ---- */

/* A rank as its hub sees it, or rank 0 as the others see it. */
struct watch_member {
    struct watch_process process;
    struct watch_link link;
    bool known; /* it is watched: its frames come, or have come */
    bool left;  /* it has said goodbye */
    enum phase phase;
    int64_t step;
    double still; /* when it was last heard */
    double heard; /* clock_seconds */
};

enum watch_reason { /* of those found at one time, the later is rather the root */
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

struct watch_cause {
    enum watch_reason reason;
    const struct watch_member *member; /* ALL_WAIT: the hub's own */
    int number;                        /* signal, exit code, pid; 0: not known */
    double seconds;                    /* HANGS, UNHEARD, ALL_WAIT */
    char text[WATCH_TEXT];
};

/* Looks for a rank that hangs at the time `now`. `ranks` is the size of the run. */
struct watch_cause watch_judge(const struct watch_member *members, int count, int ranks,
                               double now, double hang_seconds);

/* ---- the watch ---- */

/* At most so many connections that have not joined: a flood must not take descriptors that
 * the training needs. */
enum { WATCH_PENDING = 32 };
struct watch_pending {
    struct watch_link link;
    int32_t rank; /* 0: it has not sent a right hello yet */
    double since; /* clock_seconds, when it was accepted */
};

struct watch {
    int rank, ranks;
    pid_t launcher; /* the parent; 0: nobody in particular */
    bool hub;
    struct watch_process self;
    uint8_t secret[WATCH_SECRET];
    double hang_seconds;
    char *directory;
    char command[WATCH_COMMAND];
    char checkpoint[WATCH_TEXT]; /* "": none; under `lock` */
    pthread_mutex_t lock;

    int room; /* how many ranks the hub may hold a connection to */
    int wake; /* eventfd */
    pthread_t thread;
    bool started;
    atomic_bool news;     /* to be sent at once, not at the next tick */
    atomic_bool gathered; /* every rank has joined or given up: no more listening */
    atomic_bool closing;

    /* The thread's. Hub: [ranks], the first is its own; alone: its own; else rank 0's. */
    struct watch_member *members;
    int count;
    int listeners[WATCH_ADDRESSES]; /* -1: none */
    struct watch_pending *pending;  /* [WATCH_PENDING] of the hub of several ranks */
    double pending_seconds;         /* a connection that has not joined then is closed */
    int32_t heir;
    double ticked;  /* clock_seconds of the last tick */
    uint64_t moves; /* of phase_state, then */
    double moved;   /* clock_seconds: when they last changed */
    struct watch_member mine;

    /* Crash message of the hub's own process. */
    struct watch_frame words;
    atomic_bool spoken, told;
};

/* A watch of its own size, not yet connected or started; NULL without memory. */
struct watch *watch_create(int rank, int ranks, const char *host, const char *directory);
void watch_free(struct watch *watch); /* NULL is fine */

void *watch_run(void *watch);

/* A frame of this process as it is now: its state, and its host or last checkpoint. */
void watch_describe(struct watch *watch, enum watch_kind kind, struct watch_frame *frame);

/* ---- joining: the hub's side, on its thread ---- */

/* A connection can be accepted now. */
bool watch_can_accept(const struct watch *watch, double now);
void watch_accept(struct watch *watch, int *listener);
void watch_pending_read(struct watch *watch, struct watch_pending *pending);
void watch_pending_expire(struct watch *watch, double now);
/* Closes the listeners and all that has not joined. */
void watch_stop_listening(struct watch *watch);

/* ---- the report ---- */

/* The block into text. Returns its length. */
size_t watch_block(const struct watch_cause *cause, double now, const char *checkpoint,
                   const char *command, char *text, size_t size);

/* Prints, then writes the file; waits no longer than a second for either. */
void watch_tell(struct watch *watch, const char *text);

/* The same where several ranks have found it out, each for itself: only the first to
 * create the file prints. When the file can't be made, `fallback` does. */
void watch_tell_once(struct watch *watch, const char *text, bool fallback);

/* True if the file is known to have been removed; false also when its file system doesn't
 * answer within a moment. */
bool watch_is_gone(const char *path);

void watch_print(const char *text);
const char *watch_signal_name(int number);

/* ---- crash messages ---- */

/* From now on what ends this process is sent to the hub. One watch per process. */
void watch_words_begin(struct watch *watch);
void watch_words_end(void);
/* Seconds since a signal has asked this process to stop; 0: none has. */
double watch_stopping_seconds(void);

#endif
