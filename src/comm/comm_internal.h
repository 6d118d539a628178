/* Shared by the sources of comm.
 *
 *     comm.c              failures of MPI, communicators, ranks and hosts
 *     comm_open.c         starting MPI; which ranks share a node
 *     comm_agree.c        one outcome for all ranks
 *     comm_collectives.c  blocking sums, broadcast, gather, barrier
 *     comm_memory.c       memory that the ranks of a node share
 *     comm_allreduce.c    nonblocking sums, through that memory and by messages
 *     comm_counter.c      a counter shared by all ranks
 *     comm_clock_offset.c offsets between the clocks
 *
 * While a rank waits for others it is in PHASE_WAIT, so that the watchdog doesn't report
 * it as hung and the waiting time is measured. Exception: comm_allreduce_wait, whose
 * caller enters the appropriate phase.
 */
#ifndef TUTTI_COMM_COMM_INTERNAL_H
#define TUTTI_COMM_COMM_INTERNAL_H

#include <mpi.h>
#include <stdatomic.h>

#include "comm.h"
#include "comm_allreduce.h"
#include "allreduce_schedule.h"

/* Tags of messages on MPI_COMM_WORLD; comm_allreduce has a communicator of its own. */
enum { GATHER_TAG = 1, COUNTER_REQUEST_TAG, COUNTER_REPLY_TAG, CLOCK_OFFSET_TAG };

struct comm {
    int rank, size;
    char host[MPI_MAX_PROCESSOR_NAME];
    /* [size]: the lowest rank that shares memory with each rank; it identifies the node,
     * also for the two levels of the allreduce. */
    int *node_of;
    int *local_rank_of;         /* [size]: number of lower ranks on the same node */
    int local_rank, local_size; /* this rank's; number of ranks on this node */
    MPI_Comm node_comm;         /* the ranks of this node, by rank */
    MPI_Comm allreduce_comm;    /* all ranks, for comm_allreduce's messages */
    int allreduce_count;        /* initialised so far; tag = this % COMM_ALLREDUCES_MAX */
    int memory_count;           /* comm_memory created so far: each has its own name */
};

struct comm_memory {
    char *map; /* of all ranks of the node, one stride each; NULL: private memory */
    size_t stride, size;
    char *block;       /* this rank's */
    size_t slots;      /* progress counters per rank, one per allreduce */
    size_t slots_used; /* by comm_allreduce_init */
};

/* The progress counter of the rank at `local_rank` for the allreduce in that slot. */
_Atomic uint64_t *comm_memory_counter(const struct comm_memory *memory, int local_rank,
                                      size_t slot);
/* The address in the block of the rank at `local_rank` that corresponds to `address` in
 * this rank's block. */
char *comm_memory_peer(const struct comm_memory *memory, int local_rank,
                       const void *address);

/* ---- comm_allreduce as a state machine; tests/test_allreduce_protocol.c drives it one
 * transition at a time, and saves and restores all members that change during a sum: add
 * new ones to its capture() ---- */

enum comm_allreduce_state {
    COMM_ALLREDUCE_RECEIVE, /* waits for inputs to arrive, and messages to be sent */
    COMM_ALLREDUCE_COMBINE, /* adds or copies them to this rank's vector */
    COMM_ALLREDUCE_PUBLISH, /* raises the progress counter, begins the next round */
    COMM_ALLREDUCE_DRAIN, /* waits until the node's ranks have read this rank's vector */
    COMM_ALLREDUCE_DONE   /* the caller may read and write the vector */
};

enum { COMM_ALLREDUCE_REQUESTS = 2 * ROUND_RANGES };

struct comm_allreduce {
    struct comm *comm;
    const struct comm_memory *memory; /* NULL: only messages */
    size_t slot;                      /* of the progress counters */
    enum comm_type type;
    char *values;
    struct allreduce_round *rounds;
    size_t round_count;
    char *receive_buffer; /* received messages, before they are added */
    int tag;
    /* of the current sum */
    enum comm_allreduce_state state;
    size_t round;  /* number of the current round */
    uint64_t base; /* value of the progress counter before round 0 */
    MPI_Request requests[COMM_ALLREDUCE_REQUESTS];
    int error; /* of the first MPI call that failed */
};

/* Performs the transition out of the current state. False if it has to wait, or if the
 * sum is done. */
bool comm_allreduce_advance(struct comm_allreduce *sum);

/* ---- failures ---- */

/* STATUS_FAILED with MPI's message: "MPI can't WHAT: ...". */
enum status comm_check(int code, const char *what);
/* For functions that return no status: calls comm_abort if `code` is an error. */
void comm_check_or_abort(int code, const char *what);

#endif
