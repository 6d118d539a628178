/* comm: the ranks of one run. Only src/comm includes mpi.h.
 *
 * "Collective": every rank calls it, in the same order. "Not collective": any rank, at
 * any time. A process started without mpirun or srun is rank 0 of 1.
 *
 * A failure of MPI is STATUS_FAILED with MPI's message where a function returns a status.
 * A function that returns a value or nothing ends all ranks instead, with one line on
 * stderr (see comm_abort).
 */
#ifndef TUTTI_COMM_COMM_H
#define TUTTI_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct comm; /* all ranks of the run; one per process */

/* Starts MPI. Mutes the log on all ranks but 0. An srun launch without PMI (N processes
 * that would each be rank 0 of 1) is STATUS_MISUSE with the cure in the message, and the
 * log is muted on all of these processes but the first. Once per process. Collective. */
enum status comm_open(int *argc, char ***argv, struct comm **out);

/* A communicator of this rank alone, for results that are compared with those of all
 * ranks. Freed with comm_self_free. Neither is collective. */
enum status comm_self(const struct comm *comm, struct comm **out);
void comm_self_free(struct comm *self); /* NULL is fine */

/* Ends MPI. NULL is fine. Collective. */
void comm_close(struct comm *comm);

/* Registers `report`, which comm_abort calls with status_message() before it ends all
 * ranks; NULL: none. The watchdog reports the root cause this way. Not collective. */
void comm_on_abort(void (*report)(const char *message));

/* Ends all ranks at once by MPI_Abort. For a failure on one rank that the others cannot
 * learn of: they wait in a collective that this rank can no longer join, so a status
 * returned here would leave them waiting for ever. Everywhere else a rank returns a
 * status and the ranks agree on it (comm_agree). Used only
 *   - when MPI itself fails in a function that has no status to return,
 *   - when memory runs out between two halves of a collective,
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

/* values[i] := sum of values[i] over all ranks, the same on every rank; in pieces of at
 * most `piece` elements (0: a default). Integer sums don't depend on the order of the
 * additions. The caller makes sure that they don't overflow. Collective. */
enum status comm_sum_i64(struct comm *comm, int64_t *values, size_t count, size_t piece);

/* Memory for vectors that are summed over the ranks, `bytes` per rank, zeroed; with flags
 * for `sums` sums (comm_sum_init). Ranks of a node read each other's part directly, so
 * their sums need no messages. On a node that can't provide the shared memory it is
 * private, which is only slower. Collective. */
struct comm_memory;
enum status comm_memory_create(struct comm *comm, size_t bytes, size_t sums,
                               struct comm_memory **out);
void comm_memory_free(struct comm_memory *memory); /* NULL is fine */
void *comm_memory_block(const struct comm_memory *memory);

/* A nonblocking sum over the ranks (allreduce). Initialised once for one vector, then
 * started and completed any number of times, by all ranks in the same order. Between
 * comm_sum_start and completion the vector must not be touched. It progresses only inside
 * comm_sum_progress and comm_sum_wait, so call the former every millisecond or so.
 *
 * Two levels: the ranks of a node first reduce the vector among themselves, so that each
 * holds the node's sum of one part; ranks that hold the same part on different nodes then
 * sum it; and the parts are gathered on each node. Both levels halve over a circulant
 * graph (Traeff, 2024): 2 ceil(log2 n) rounds per level for any number n of ranks, each
 * element sent 2 (n - 1) / n times. So a node's network link carries a vector twice,
 * however many ranks the node has. */
struct comm_sum;
enum comm_type { COMM_I64, COMM_F32 };

/* `values` is borrowed. It lies in `memory`, or anywhere if `memory` is NULL. At most
 * INT_MAX elements (STATUS_MISUSE). The bits of a float sum depend on the number of
 * ranks. Not collective, but all ranks initialise their sums in the same order. */
enum status comm_sum_init(struct comm *comm, struct comm_memory *memory,
                          enum comm_type type, void *values, size_t count,
                          struct comm_sum **out);
void comm_sum_free(struct comm_sum *sum); /* NULL is fine; the sum must not be running */

enum status comm_sum_start(struct comm_sum *sum);
/* True once the sum is complete, or has failed (comm_sum_wait returns the failure). Not
 * collective. */
bool comm_sum_progress(struct comm_sum *sum);
/* Returns when the sum is complete. */
enum status comm_sum_wait(struct comm_sum *sum);

int64_t comm_max_i64(struct comm *comm, int64_t value); /* Collective. */

/* Rank 0's bytes to all ranks; `size` is the same on all ranks and may exceed 2^31.
 * Collective. */
enum status comm_broadcast(struct comm *comm, void *bytes, size_t size);

/* Concatenates the bytes of all ranks on rank 0, in rank order: *all (malloc, the caller
 * frees) and *sizes (one per rank, malloc, the caller frees); both NULL on other ranks.
 * Collective. */
enum status comm_gather(struct comm *comm, const void *bytes, size_t size, uint8_t **all,
                        size_t **sizes);

void comm_barrier(struct comm *comm); /* Collective. */

/* A counter shared by all ranks, for handing out work: comm_counter_next adds `step` (>
 * 0) and returns the value before; the first is 0. Opening and closing are collective,
 * the rest is not. No other collective is allowed in between, as rank 0 would not answer
 * inside it.
 *
 * On rank 0's node comm_counter_next is an atomic addition in shared memory: less than
 * 1 us, whatever rank 0 does. On other nodes, and without shared memory, rank 0 answers
 * when it next calls a function of the counter. So take several items a step, and call
 * comm_counter_serve between items: it is cheap, and a no-op on all ranks but 0. On
 * closing, rank 0 answers until all other ranks are closing, too.
 */
struct comm_counter;
enum status comm_counter_open(struct comm *comm, struct comm_counter **out);
int64_t comm_counter_next(struct comm_counter *counter, int64_t step);
void comm_counter_serve(struct comm_counter *counter);
void comm_counter_close(struct comm_counter *counter); /* NULL is fine */

/* "Open MPI v4.1.4" or another library's version, for provenance. Not collective. */
const char *comm_library(void);

#endif
