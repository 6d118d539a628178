/* comm: the ranks of one run, and blocking collectives. Only src/comm includes mpi.h.
 *
 * Terms used in the comments of all functions that involve other ranks:
 *
 *   "Collective"      every rank calls it, in the same order, and may wait for the others
 *   "Ordered"         every rank calls it, in the same order, without waiting
 *   "Not collective"  any rank may call it alone
 *
 * All are called from the main thread (MPI_THREAD_FUNNELED). A process started without
 * mpirun or srun is rank 0 of 1. A node is a set of ranks that share memory
 * (MPI_COMM_TYPE_SHARED).
 *
 * A function that returns a status reports an MPI error as STATUS_FAILED with MPI's
 * message. The status may differ between ranks unless documented otherwise; ranks that
 * continue together pass it to comm_agree. A function that returns a value or nothing
 * aborts all ranks instead, with one line on stderr (see comm_abort).
 */
#ifndef TUTTI_COMM_COMM_H
#define TUTTI_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct comm; /* all ranks of the run; one per process, apart from those of comm_self */

/* Starts MPI. Mutes the log on all ranks but 0. An srun launch without PMI (N processes
 * that would each be rank 0 of 1) is STATUS_MISUSE with the remedy in the message, and
 * the log is muted on all of these processes but the first. Once per process.
 * Collective. */
enum status comm_open(int *argc, char ***argv, struct comm **out);

/* A communicator that contains only this rank, for reference results that are compared
 * with those of all ranks. Freed with comm_self_free. Neither is collective. */
enum status comm_self(const struct comm *comm, struct comm **out);
void comm_self_free(struct comm *self); /* NULL is fine */

/* Ends MPI. NULL is fine. Collective. */
void comm_close(struct comm *comm);

/* Registers `report`, which comm_abort calls with status_message() before it ends all
 * ranks; NULL: none. The watchdog reports the root cause this way. Not collective. */
void comm_on_abort(void (*report)(const char *message));

/* Ends all ranks at once by MPI_Abort. For a failure on one rank that can't be
 * communicated to the others: they wait in a collective that this rank can no longer
 * join, so if it returned a status they would wait for ever. Everywhere else a rank
 * returns a status and the ranks agree on it (comm_agree). Used only
 *   - when MPI itself fails in a function that has no status to return,
 *   - when memory runs out on a rank before a collective that the others have entered,
 *   - for a rank that fails outside any collective while the others are inside one.
 * Not collective. */
void comm_abort(struct comm *comm, int code) __attribute__((noreturn));

int comm_rank(const struct comm *comm);
int comm_size(const struct comm *comm);
const char *comm_host(const struct comm *comm);

/* Agrees on an outcome: every rank returns the worst status that any rank passed
 * (STATUS_FAILED, then STATUS_MISUSE, then STATUS_STOPPED). The message of the lowest
 * such rank becomes status_message() on every rank, with the prefix "rank N (HOST): "
 * unless there is one rank or all ranks passed this status with this message. With
 * STATUS_OK the messages stay as they are. Collective. */
enum status comm_agree(struct comm *comm, enum status mine);

/* values[i] := sum of values[i] over all ranks, the same on every rank; in chunks of at
 * most `chunk` elements (0: a default). Integer sums don't depend on the order of the
 * additions. The caller makes sure that they don't overflow. Collective. */
enum status comm_allreduce_i64(struct comm *comm, int64_t *values, size_t count,
                               size_t chunk);

int64_t comm_max_i64(struct comm *comm, int64_t value); /* Collective. */

/* Broadcasts rank 0's bytes; `size` is the same on all ranks and may exceed 2^31.
 * Collective. */
enum status comm_broadcast(struct comm *comm, void *bytes, size_t size);

/* Concatenates the bytes of all ranks on rank 0, in rank order: *all (malloc, the caller
 * frees) and *sizes (one per rank, malloc, the caller frees); both NULL on other ranks.
 * Collective. */
enum status comm_gather(struct comm *comm, const void *bytes, size_t size, uint8_t **all,
                        size_t **sizes);

void comm_barrier(struct comm *comm); /* Collective. */

/* "Open MPI v4.1.4" or another library's version, for provenance. Not collective. */
const char *comm_library_version(void);

#endif
