/* team: the threads of a rank that compute together.
 *
 * team_run starts a body on all threads of a team (an OpenMP parallel region: OMP_PLACES
 * and OMP_PROC_BIND apply). Every thread runs the same code on its own share of the data,
 * as ranks do:
 *
 *     struct team_share share = team_share(rows, 1);
 *     for (size_t i = share.first; i < share.end; i++)
 *         ...
 *     team_barrier(); // before the results of other threads are read
 *
 * Outside a body a thread is alone: its share is everything, and the barrier does
 * nothing. So the same function serves one thread and many. Only thread 0, the caller of
 * team_run, may call MPI, report progress and enter phases. One thread needs no OpenMP
 * region, so other programs may call the library from within their own parallel regions.
 *
 * A body may call team_run with one thread only. A result must not depend on the number
 * of threads: a share decides only which thread computes an element, never in which order
 * it is computed.
 */
#ifndef TUTTI_BASE_TEAM_H
#define TUTTI_BASE_TEAM_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Runs body(context) on `threads` threads and waits for all of them. */
void team_run(int threads, void (*body)(void *context), void *context);

/* Of the calling thread's team: 0 <= team_thread() < team_size(). */
int team_thread(void);
int team_size(void);

/* Waits for all threads of the team; their writes before it are visible after it. */
void team_barrier(void);

/* The calling thread's share of `count` elements: contiguous, in the order of the
 * threads, with boundaries at multiples of `unit`; may be empty. team_share_of: of any
 * thread. */
struct team_share {
    size_t first, end;
};
struct team_share team_share(size_t count, size_t unit);
struct team_share team_share_of(size_t count, size_t unit, int thread, int threads);

/* The number of threads for train.threads: `setting`, or if that is 0 the first number of
 * OMP_NUM_THREADS, else SLURM_CPUS_PER_TASK, else 1, and within a parallel region 1; at
 * most TEAM_THREADS_MAX. */
enum { TEAM_THREADS_MAX = 1024 };
int team_threads(int64_t setting);

/* The cores that the threads of this process may use: those of OpenMP's places, if
 * OMP_PLACES or OMP_PROC_BIND is set (the main thread is then bound to the first place),
 * or else those of the calling thread. Empty on an error. */
void team_cores(cpu_set_t *cores);

/* Allows the calling thread to run on all of team_cores(). To be called first by a thread
 * that is not part of a team: it inherits the binding of its creator, and the main thread
 * may be bound to a single core. */
void team_unbind(void);

/* Starts the threads, each bound to its place if OpenMP has places. STATUS_MISUSE if
 * OpenMP does not give that many (OMP_THREAD_LIMIT). If the system refuses to create a
 * thread, OpenMP ends the process. */
enum status team_check(int threads);

#endif
