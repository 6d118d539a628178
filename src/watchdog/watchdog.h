/* watchdog: detects within seconds that a rank has died or hangs, reports once which one
 * and why, and ends all others.
 *
 * MPI does none of this: the other ranks wait in a collective for ever. So every rank
 * runs a small thread that holds a TCP connection to the thread of rank 0, the
 * coordinator. The kernel closes the connection when the process dies, however it dies.
 * Once a second each side sends a heartbeat with phase, step and time since the last
 * progress. On a fatal signal or an exit a process first sends a crash message. Once
 * open, the watchdog doesn't use MPI and costs the training thread no time.
 *
 * One process prints the report on stderr and writes it to run.dir/root-cause.txt:
 *
 *     tutti: root cause: rank 2 (n2, pid 4711) was killed by signal 9 (SIGKILL)
 *       last seen      step 31, forward, 0.2 s ago
 *       checkpoint     runs/run/checkpoints/step-00000030.h5
 *       resume with    mpirun -n 4 tutti train my.conf --resume
 *
 * A checkpoint that has since been removed is marked as such. A root-cause.txt that is
 * not a report of the watchdog, or not a regular file, is left alone.
 *
 * Then every rank exits with code 1. A rank that is stopped (SIGSTOP) gets SIGKILL from a
 * rank on its host. If it is the only rank there, it is killed by mpirun, or by Slurm,
 * which the watchdog asks to end the step (scancel).
 *
 * A rank hangs if it makes no progress for `hang_timeout` and does not wait for others
 * (PHASE_WAIT); the time before its first step and PHASE_END are exempt. A process that
 * sends no heartbeat for `hang_timeout` is silent, in whatever phase. A rank in
 * PHASE_WAIT is never the root cause while any rank is in another phase; if all ranks
 * have waited for twice `hang_timeout`, the report says that they wait for each other.
 * Time during which this process itself was not running (a suspended job) is not counted
 * against any rank.
 *
 * If rank 0 is gone, every other rank notices by itself, and the first to create
 * root-cause.txt reports; if the file can't be created, the successor does: the lowest
 * rank on a host other than rank 0's, or else the lowest of the other ranks. A process
 * that is killed about a second or more after a request to stop
 * (watchdog_record_stop_request) was killed because the job ended and is not a root
 * cause: one line says how to resume. If the launcher is gone, the report says so,
 * possibly in the file only, as the launcher would have forwarded stderr.
 *
 * The port. Rank 0 listens only until all ranks have joined, on the addresses that
 * watchdog_request.interface selects. Without it: on loopback addresses if all ranks are
 * on its host; else on those that MPI was told to use (btl_tcp_if_include and the like);
 * else on all addresses of its host. Each rank makes one connection; none is made later.
 * The run's secret, 256 random bits, is broadcast through MPI and never sent over these
 * connections: both sides prove that they know it. Rank r connects, and
 *
 *     r -> 0   hello      nonce Nr, tag(secret: hello)
 *     0 -> r   challenge  nonce N0, tag(secret: challenge, Nr)
 *     r -> 0   frame 1    "join"     under key(secret: to rank 0, r, Nr, N0)
 *     0 -> r   frame 1    "welcome"  under key(secret: from rank 0, r, Nr, N0)
 *
 * and from then on both send only frames. A tag is keyed BLAKE2s (blake2s.h). Integers
 * are little-endian. A greeting (hello, challenge) has 48 bytes, a frame 464:
 *
 *     0          8     12    16                32                48
 *     | tutti-w2 | kind | r   | nonce           | tag             |
 *
 *     0         8      12     16    20       24              32           40     48
 *     | counter | kind | rank | pid | number | pid namespace | start time | step | ...
 *     48             56      60          64          448   464
 *     | idle seconds | phase | successor | text, \0   | tag |
 *
 * A replayed hello gets a new challenge, which can't be answered without the
 * secret; a reflected one has the wrong kind. Frames can't be forged, changed, repeated
 * or moved to another connection: the counter grows, and each connection and direction
 * has its own key. They are not encrypted: whoever can read the network sees hosts,
 * steps and crash messages, and whoever can cut it can end the run.
 *
 * A connection that has not joined after 5 s is closed, and there are never more than 32
 * of them, so other programs can neither exhaust descriptors nor keep ranks out.
 */
#ifndef TUTTI_WATCHDOG_WATCHDOG_H
#define TUTTI_WATCHDOG_WATCHDOG_H

#include <stddef.h>

#include "base/status.h"
#include "comm/comm.h"

struct watchdog;

/* The strings are copied. */
struct watchdog_request {
    double hang_timeout;   /* seconds; 0: hangs are not detected */
    const char *directory; /* run.dir, for root-cause.txt */
    const char *command;   /* resumes the run; rank 0's is used. An optional second
                              line is an alternative */
    const char *interface; /* run.interface: names, addresses and subnets of rank 0's
                              host, separated by commas; NULL, "": automatic */
};

/* Starts the thread, connects it to rank 0's and removes the root-cause.txt of an earlier
 * run, whose directory run_directory_check has already accepted. Ranks that can't reach
 * rank 0 only cause a warning: they continue and watch only themselves. So do all ranks
 * if the system provides no random numbers for the secret. STATUS_MISUSE if rank 0's host
 * has nothing that matches `interface`. One watchdog at a time per process.
 * Collective. */
enum status watchdog_open(struct comm *comm, const struct watchdog_request *request,
                          struct watchdog **out);

/* Tests whether this rank could connect to rank 0 in watchdog_open: *error is 0 or an
 * errno. addresses[size]: the addresses that rank 0 would listen on, as text. Fails as
 * watchdog_open does. Collective. */
enum status watchdog_probe(struct comm *comm, const char *interface, int *error,
                           char *addresses, size_t size);

/* Sets the newest checkpoint, for the report; rank 0 passes it on to the others. NULL is
 * fine for `watchdog`. On rank 0, from any thread. */
void watchdog_checkpoint(struct watchdog *watchdog, const char *path);

/* Records that this process was asked to stop by a signal that launchers send before they
 * kill (SIGTERM, SIGINT). Safe in a signal handler. */
void watchdog_record_stop_request(void);

/* Sends a goodbye, so that the end of this process is not reported as a death, and stops
 * the thread. Called by every rank that has agreed on an outcome with the others, before
 * it exits. NULL is fine. */
void watchdog_close(struct watchdog *watchdog);

#endif
