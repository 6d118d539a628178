/* comm: the ranks of one run. The only unit that knows MPI.
 *
 * "Collective": every rank calls it, in the same order. "Not collective": any rank, any
 * time. A process started without mpirun or srun is rank 0 of 1.
 *
 * A failure of MPI itself is STATUS_FAILED with MPI's words where a function returns a
 * status; where it returns a value or nothing, it ends all ranks with a line on stderr.
 */
#ifndef TUTTI_COMM_COMM_H
#define TUTTI_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct comm; /* the world; one per process */

/* Starts MPI. Collective. Mutes the log on all ranks but 0. An srun launch whose PMI is
 * missing (N processes that would each be rank 0 of 1) is refused with the cure, and the
 * log is muted on all of them but the first. Once in a process's life. */
enum status comm_open(int *argc, char ***argv, struct comm **out);

/* This rank as if it were the only one, for what is to be compared with all of them.
 * Freed with comm_self_free. Neither is collective. */
enum status comm_self(const struct comm *comm, struct comm **out);
void comm_self_free(struct comm *alone); /* NULL is fine */

/* Ends MPI. Collective. NULL is fine. */
void comm_close(struct comm *comm);

/* Calls `report` with status_message() before comm_abort ends all ranks; NULL: nothing is
 * called. The watchdog reports the root cause in this way. Not collective. */
void comm_on_abort(void (*report)(const char *message));

/* Ends all ranks at once, for a fault that the others cannot learn of by a collective. */
void comm_abort(struct comm *comm, int code) __attribute__((noreturn));

int comm_rank(const struct comm *comm);
int comm_size(const struct comm *comm);
const char *comm_host(const struct comm *comm);

/* Agrees on an outcome: every rank returns the same status, the worst that any rank gave
 * (STATUS_FAILED before STATUS_MISUSE before STATUS_STOPPED). The lowest such rank's
 * message becomes status_message on every rank, with "rank N (HOST): " in front when
 * there are several ranks and not all of them gave this status and this message. With
 * STATUS_OK the messages stay as they are. Collective. */
enum status comm_agree(struct comm *comm, enum status mine);

/* Element-wise sum over ranks, in place, same result on every rank; in pieces of at most
 * `bucket` elements (0: a default). Integer sums don't depend on order; the caller sees
 * to it that they don't overflow. Collective. */
enum status comm_sum_i64(struct comm *comm, int64_t *values, size_t count, size_t bucket);
/* The float sum is MPI's own: its bits may depend on the number of ranks. Collective. */
enum status comm_sum_f32(struct comm *comm, float *values, size_t count, size_t bucket);

/* Memory for vectors that are summed over the ranks: where the host gives shared memory,
 * its ranks see each other's, and a sum needs no messages among them; else it is private
 * memory, which is only slower. Zeroed. For `sums` planned sums. Collective. */
struct comm_memory;
enum status comm_memory_create(struct comm *comm, size_t bytes, size_t sums,
                               struct comm_memory **out);
void comm_memory_free(struct comm_memory *memory); /* NULL is fine */
void *comm_memory_block(const struct comm_memory *memory);

/* A sum that goes on while the caller computes. Planned once for one block of memory,
 * then started and finished any number of times, by all ranks in the same order; between
 * start and finish the block must be left alone. It moves only inside comm_sum_move and
 * comm_sum_finish, so call the former every millisecond or so.
 *
 * The ranks of a host first share out the block among themselves, each summing a part of
 * it; ranks with the same part on different hosts then sum it up; and back. Both by
 * halving over a circulant graph (Traeff, 2024): 2 ceil(log2 n) rounds a level for any
 * number n, each element sent 2 (n - 1) / n times; so a host's link carries a block twice
 * however many ranks the host has. */
struct comm_sum;
enum comm_type { COMM_I64, COMM_F32 };

/* The values are borrowed; they lie in `memory`, or anywhere if it is NULL. Not
 * collective, but all ranks do it in the same order. */
enum status comm_sum_plan(struct comm *comm, struct comm_memory *memory,
                          enum comm_type type, void *values, size_t count,
                          struct comm_sum **out);
void comm_sum_free(struct comm_sum *sum); /* NULL is fine; no sum may be under way */

enum status comm_sum_start(struct comm_sum *sum);
/* True when the sum is complete. Not collective. */
bool comm_sum_move(struct comm_sum *sum);
/* Waits. */
enum status comm_sum_finish(struct comm_sum *sum);

int64_t comm_max_i64(struct comm *comm, int64_t value); /* Collective. */

/* Rank 0's bytes to all; same `size` on all ranks, may exceed 2^31. Collective. */
enum status comm_broadcast(struct comm *comm, void *bytes, size_t size);

/* Each rank's bytes, concatenated in rank order, on rank 0: *all (malloc, the caller
 * frees; NULL on other ranks) and *sizes (one per rank; likewise). Collective. */
enum status comm_gather(struct comm *comm, const void *bytes, size_t size, uint8_t **all,
                        size_t **sizes);

void comm_barrier(struct comm *comm); /* Collective. */

/* A counter shared by all ranks, for handing out work: comm_next adds `step` (> 0) and
 * returns the value before; the first is 0. Opening and closing are collective, the rest
 * is not; and there may be no other collective in between, in which rank 0 would not
 * answer.
 *
 * On rank 0's host comm_next is an atomic addition in shared memory: below 1 us, whatever
 * rank 0 does. On other hosts, or where a host has no shared memory to give, it is
 * answered when rank 0 next calls into the counter. So take several items a step, and
 * call comm_counter_serve between the items: it is cheap, and does nothing but on rank 0.
 * When closing, rank 0 answers until all others are closing too.
 */
struct comm_counter;
enum status comm_counter_open(struct comm *comm, struct comm_counter **out);
int64_t comm_next(struct comm_counter *counter, int64_t step);
void comm_counter_serve(struct comm_counter *counter);
void comm_counter_close(struct comm_counter *counter); /* NULL is fine */

/* "Open MPI v4.1.4" or another library's version, for provenance. Not collective. */
const char *comm_library(void);

#endif
