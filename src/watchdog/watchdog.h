/* watchdog: notices within seconds that a rank has died or hangs, says once which one and
 * why, and ends all the others.
 *
 * MPI itself does neither: a collective waits for ever. So every rank runs a small thread
 * that holds a TCP connection to rank 0's: the kernel closes it when the process dies,
 * whatever kills it, and once a second a few bytes go both ways that tell phase, step and
 * whether anything moves. A fatal signal and an exit send their name first. Nothing here
 * needs MPI once it stands, or takes the training's time.
 *
 * What is printed, by one process, on stderr, and written to run.dir/root-cause.txt:
 *
 *     tutti: root cause: rank 2 (n2, pid 4711) was killed by signal 9 (SIGKILL)
 *       last seen      step 31, forward, 0.2 s ago
 *       checkpoint     runs/run/checkpoints/step-00000030.h5
 *       resume with    mpirun -n 4 tutti train my.conf --resume
 *
 * A checkpoint that was removed meanwhile is marked as such. A root-cause.txt that is no
 * report of the watchdog, or no file, is left alone.
 *
 * Then every rank leaves with exit code 1; one that is stopped gets SIGKILL from a rank
 * of its host, and when it is alone there, from mpirun, or from Slurm, which is asked to
 * end the step (scancel).
 *
 * A rank that neither moves nor waits for others (PHASE_WAIT) for `hang_seconds` hangs,
 * except before its first step and in PHASE_END; so does a process that sends nothing for
 * so long, in whatever phase. A rank that does wait is never the root cause while another
 * does not; when all wait for each other for twice as long, that is said. A process that
 * has not run itself (a suspended job) blames nobody for that time.
 *
 * When rank 0 is the one that has gone, the others notice each for itself, and the one
 * that creates root-cause.txt first tells; without such a file, the lowest rank of
 * another host. A process killed a second or more after it was asked to stop
 * (watchdog_stopping) is the end of a job and no root cause: one line says where to go
 * on. When the launcher itself is gone, that is said; perhaps in the file only, for the
 * launcher would have printed it.
 *
 * The port. Rank 0 listens only while the ranks come together, on the addresses that
 * watchdog_request.interface names; without it, on loopback addresses if all ranks are on
 * its host; else on those that MPI was told to use (btl_tcp_if_include and the like);
 * else on all of its host. Each rank makes one connection; there are no others later.
 * The run's secret, 256 random bits, reaches the ranks by MPI, and is never sent over
 * TCP: both sides prove that they have it. Rank r connects, and
 *
 *     r -> 0   hello      nonce Nr, tag(secret: hello)
 *     0 -> r   challenge  nonce N0, tag(secret: challenge, Nr)
 *     r -> 0   frame 1    "join"     under key(secret: to rank 0, r, Nr, N0)
 *     0 -> r   frame 1    "welcome"  under key(secret: from rank 0, r, Nr, N0)
 *
 * and from then on only frames. A tag is keyed BLAKE2s (blake2s.h). Numbers are
 * little-endian; a greeting (hello, challenge) has 48 bytes, a frame 464:
 *
 *     0          8     12    16                32                48
 *     | tutti-w2 | kind | r   | nonce           | tag             |
 *
 *     0         8      12     16    20       24      32     40     48
 *     | counter | kind | rank | pid | number | place | born | step | ...
 *     48                56      60     64          448   464
 *     | seconds at rest | phase | heir | text, \0   | tag |
 *
 * A replayed hello gets a new challenge, which needs the secret to be answered; a
 * reflected one is of the wrong kind; frames can't be forged, changed, repeated or moved
 * to another connection (the counter grows, each connection and direction has its own
 * key). They are not encrypted: whoever can read the network sees hosts, steps and crash
 * messages, and whoever can cut it can end the run.
 *
 * A connection that has not joined after 5 s is closed, and there are never more than 32
 * of them, so that strangers can neither use up descriptors nor keep ranks out.
 */
#ifndef TUTTI_WATCHDOG_WATCHDOG_H
#define TUTTI_WATCHDOG_WATCHDOG_H

#include <stddef.h>

#include "base/status.h"
#include "comm/comm.h"

struct watchdog;

struct watchdog_request {
    double hang_seconds;   /* 0: hangs are not looked for */
    const char *directory; /* run.dir: root-cause.txt goes there; copied */
    const char *command;   /* that continues the run; rank 0's counts; copied. A second
                              line is another way to do it */
    const char *interface; /* run.interface: names, addresses and subnets of rank 0's
                              host, with commas between them; NULL, "": automatic */
};

/* Starts the thread and connects it; a root-cause.txt of an earlier run is removed. Some
 * ranks that can't reach rank 0 are a warning: they go on watched by nobody but
 * themselves; so do all if the system has no random numbers for the secret. STATUS_MISUSE
 * if rank 0's host has nothing of the name `interface`. One watchdog at a time in a
 * process. Collective. */
enum status watchdog_open(struct comm *comm, const struct watchdog_request *request,
                          struct watchdog **out);

/* Whether this rank could connect to rank 0 in watchdog_open: *error is 0 or an errno.
 * addresses[size]: those that rank 0 would listen on, as text. Failures as there.
 * Collective. */
enum status watchdog_probe(struct comm *comm, const char *interface, int *error,
                           char *addresses, size_t size);

/* The newest checkpoint, for the block; the others learn it from rank 0. NULL is fine.
 * From any thread of rank 0. */
void watchdog_checkpoint(struct watchdog *watchdog, const char *path);

/* This process has been asked to stop by a signal that launchers send before they kill
 * (SIGTERM, SIGINT). For signal handlers. */
void watchdog_stopping(void);

/* Says goodbye, so that the end of this process is no death. Every rank that has agreed
 * on an outcome with the others calls it before it leaves. NULL is fine. */
void watchdog_close(struct watchdog *watchdog);

#endif
