/* comm_allreduce: a nonblocking sum of a vector over the ranks, through shared memory
 * within a node and by messages between nodes. The rounds are described in
 * allreduce_schedule.h; comm_allreduce.c argues that they are correct.
 */
#ifndef TUTTI_COMM_COMM_ALLREDUCE_H
#define TUTTI_COMM_COMM_ALLREDUCE_H

#include "comm.h"

/* Memory for vectors that are summed over the ranks: `bytes` per rank, zeroed, for
 * `allreduces` allreduces; both arguments are the same on all ranks. The ranks of a node
 * read each other's part directly instead of exchanging messages. A node that can't
 * provide shared memory uses private memory, which is only slower. The memory must
 * outlive its allreduces. Collective. */
struct comm_memory;
enum status comm_memory_create(struct comm *comm, size_t bytes, size_t allreduces,
                               struct comm_memory **out);
void comm_memory_free(struct comm_memory *memory); /* NULL is fine */
void *comm_memory_block(const struct comm_memory *memory);

/* Initialised once for one vector, then started and completed any number of times, by all
 * ranks in the same order. Several may be under way at once. Between
 * comm_allreduce_start and completion the vector must not be touched. It progresses only
 * inside comm_allreduce_progress and comm_allreduce_wait, so call the former every
 * millisecond or so. After a failure the vector is undefined, and other ranks may still
 * read it: end the run. */
struct comm_allreduce;
enum comm_type { COMM_I64, COMM_F32 };

/* Largest number of allreduces that may exist at once. */
enum { COMM_ALLREDUCES_MAX = 1 << 15 };

/* `values` is borrowed; it must be written with ordinary, not nontemporal, stores. It
 * lies in `memory`, at the same offset on all ranks, or anywhere if `memory` is NULL.
 * Type and count are the same on all ranks; at most INT_MAX elements (STATUS_MISUSE).
 * Allreduces in excess of the number that `memory` was created for use messages only. The
 * bits of a float sum depend on the number of ranks. Ordered. */
enum status comm_allreduce_init(struct comm *comm, struct comm_memory *memory,
                                enum comm_type type, void *values, size_t count,
                                struct comm_allreduce **out);
/* NULL is fine; it must not be running. Not collective. */
void comm_allreduce_free(struct comm_allreduce *sum);

/* values[i] := sum of values[i] over all ranks, the same on every rank, once complete.
 * Ordered. */
enum status comm_allreduce_start(struct comm_allreduce *sum);
/* True once it is complete, or has failed (comm_allreduce_wait returns the failure). Not
 * collective. */
bool comm_allreduce_progress(struct comm_allreduce *sum);
/* Returns once it is complete. Progresses no other allreduce. Collective. */
enum status comm_allreduce_wait(struct comm_allreduce *sum);

#endif
