/* watch: notices within seconds that a rank has died or hangs, says once which one and
 * why, and ends all the others.
 *
 * MPI itself does neither: a collective waits for ever. So every rank runs a small thread
 * that holds a TCP connection to rank 0's: the kernel closes it when the process dies,
 * whatever kills it, and once a second a few bytes go both ways that tell phase, step and
 * whether anything moves. A fatal signal and an exit send their name first. Nothing here
 * needs MPI or takes the training's time.
 *
 * What is printed, by one process, on stderr, and written to run.dir/root-cause.txt:
 *
 *     tutti: root cause: rank 2 (n2, pid 4711) was killed by signal 9 (SIGKILL)
 *       last seen      step 31, forward, 0.2 s ago
 *       checkpoint     runs/run/checkpoints/step-00000030.h5
 *       go on with     mpirun -n 4 tutti train my.conf --resume
 *
 * A rank that neither moves nor waits for others (PHASE_WAIT) for `hang_seconds` hangs;
 * so does a process that sends nothing for so long. A rank that does wait is never the
 * root cause while another does not.
 */
#ifndef TUTTI_WATCH_H
#define TUTTI_WATCH_H

#include "tutti/comm.h"
#include "tutti/status.h"

struct watch;

struct watch_request {
    double hang_seconds; /* 0: hangs are not looked for */
    const char *directory; /* run.dir: root-cause.txt goes there; copied */
    const char *command;   /* that continues the run; copied */
};

/* Starts the thread and connects it. A rank that can't reach rank 0 is a warning: the run
 * goes on unwatched. With one rank there is no connection, but fatal signals are still
 * told. Collective. */
enum status watch_open(struct comm *comm, const struct watch_request *request,
                       struct watch **out);

/* The newest checkpoint, for the block. Rank 0. */
void watch_checkpoint(struct watch *watch, const char *path);

/* Says goodbye, so that the end of this process is no death. Every rank that has agreed
 * on an outcome with the others calls it before it leaves. NULL is fine. */
void watch_close(struct watch *watch);

#endif
