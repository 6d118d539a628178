/* What the files of the watch share.
 *
 *     watch.c          opening and closing; what others call
 *     watch_thread.c   the thread: who says what to whom, and when
 *     watch_link.c     sockets: listening, connecting, frames
 *     watch_judge.c    who hangs
 *     watch_report.c   the block "root cause", on stderr and as a file
 *     watch_words.c    last words of this process: fatal signals, exit
 *     watch_process.c  processes of this host, by /proc
 *
 * Rank 0 is the hub; every other rank has one link, to it. A rank without a link, for it
 * is the only one or can't reach rank 0, is a hub for itself alone.
 */
#ifndef TUTTI_PARALLEL_WATCH_INTERNAL_H
#define TUTTI_PARALLEL_WATCH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tutti/phase.h"
#include "tutti/watch.h"

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

uint64_t watch_kernel(void); /* a hash of the boot; 0: not known */
void watch_process_self(struct watch_process *out, int rank, const char *host);
struct watch_proc watch_process_look(const struct watch_process *process);
/* SIGKILL, if it is on this host and still the same process. */
void watch_process_kill(const struct watch_process *process);
/* The same for one on another host, where srun has started all `ranks`: Slurm is asked to
 * end the step. Doesn't wait. mpirun does so by itself. */
void watch_process_kill_far(const struct watch_process *process, int ranks);

/* ---- frames ---- */

enum watch_kind {
    WATCH_HELLO = 1, /* text: host */
    WATCH_WELCOME,   /* text: host */
    WATCH_ALIVE,     /* rank 0's text: the last checkpoint */
    WATCH_SIGNAL,    /* last words; number: the signal */
    WATCH_EXIT,      /* last words; number: the exit code */
    WATCH_FAILED,    /* last words; text: why */
    WATCH_BYE,       /* all ranks have agreed to leave */
    WATCH_END,       /* leave at once; number: kill the process told of */
    WATCH_KINDS
};

/* All of one size; all hosts of a run have one byte order, as MPI demands here too. */
struct watch_frame {
    uint64_t token; /* of the run */
    int32_t kind;   /* enum watch_kind */
    int32_t rank, pid;
    int32_t number;
    uint64_t place, born;
    int64_t step;
    double still;  /* seconds since anything has moved */
    int32_t phase; /* enum phase */
    int32_t heir;  /* ALIVE of rank 0: who speaks when rank 0 can't */
    char text[WATCH_TEXT];
};

/* The phase and step of now; all else as given. Safe in a signal handler. */
void watch_frame_fill(struct watch_frame *frame, enum watch_kind kind, uint64_t token,
                      const struct watch_process *self);
/* As strncpy, and always ends with a null. Safe in a signal handler. */
void watch_copy(char *to, size_t size, const char *from);

/* ---- links ---- */

struct watch_link {
    int socket; /* -1: none */
    size_t filled, unsent;
    struct watch_frame in, out; /* in: `filled` bytes; out: its last `unsent` bytes */
};

enum { WATCH_ADDRESSES = 16 };
struct watch_address {
    int32_t family; /* AF_INET, AF_INET6 */
    uint8_t bytes[16];
    int32_t loopback;
};

/* What rank 0 tells the others by MPI, to be found by. */
struct watch_invitation {
    uint64_t token, kernel;
    int32_t port; /* 0: rank 0 can't listen */
    int32_t count;
    struct watch_address addresses[WATCH_ADDRESSES];
    char command[WATCH_COMMAND];
    char reason[WATCH_TEXT]; /* why it can't listen */
};

/* A socket that listens on all interfaces, or -1 with a reason. Fills port and addresses.
 */
int watch_listen(int ranks, struct watch_invitation *invitation);

/* Connects and says hello; waits for the answer. False after `seconds`, with a reason. */
bool watch_connect(const struct watch_invitation *invitation,
                   const struct watch_frame *hello, double seconds,
                   struct watch_link *link, struct watch_frame *welcome, char *reason,
                   size_t size);

/* Never waits; what doesn't fit is kept, and while it is, frames are dropped. */
void watch_link_send(struct watch_link *link, const struct watch_frame *frame);
/* 1: link->in is a frame; 0: not yet; -1: the other end is gone (errno, or 0 for a plain
 * end), or speaks another language. */
int watch_link_receive(struct watch_link *link, uint64_t token);
void watch_link_close(struct watch_link *link);

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

struct watch {
    int rank, ranks;
    pid_t launcher; /* the parent; 0: nobody in particular */
    bool hub;
    struct watch_process self;
    uint64_t token;
    double hang_seconds;
    char *directory;
    char command[WATCH_COMMAND];
    char checkpoint[WATCH_TEXT]; /* "": none; under `lock` */
    pthread_mutex_t lock;

    int room;     /* how many ranks the hub may hold a connection to */
    int listener; /* -1: none */
    int wake;     /* eventfd */
    pthread_t thread;
    bool started;
    atomic_bool news; /* to be said at once, not at the next tick */
    atomic_bool closing;

    /* The thread's. Hub: [ranks], the first is its own; alone: its own; else rank 0's. */
    struct watch_member *members;
    int count;
    struct watch_member *strangers; /* accepted, not yet known by name */
    int32_t heir;
    double ticked;  /* clock_seconds of the last tick */
    uint64_t moves; /* of phase_state, then */
    double moved;   /* clock_seconds: when they last changed */
    struct watch_member mine;

    /* Last words of the hub's own process. */
    struct watch_frame words;
    atomic_bool spoken, told;
};

enum { WATCH_STRANGERS = 256 };

void *watch_run(void *watch);

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

/* ---- last words ---- */

/* From now on what ends this process is said to the hub. One watch per process. */
void watch_words_begin(struct watch *watch);
void watch_words_end(void);
/* Seconds since a signal has asked this process to stop; 0: none has. */
double watch_stopping_seconds(void);

#endif
