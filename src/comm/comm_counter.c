/* comm_counter: an atomic integer in shared memory for the ranks of rank 0's node;
 * for all others, requests to rank 0.
 *
 * It is not an MPI window: Open MPI 4.1 creates windows in /dev/shm, and if there is no
 * space, the rank that fails returns at once while the others wait for ever. comm_memory
 * falls back to private memory on all ranks of a node, and messages need no shared
 * memory.
 */
#include <stdlib.h>

#include "comm_counter.h"
#include "comm_internal.h"
#include "base/phase.h"

static const int64_t close_request = -1; /* sent on closing, instead of an increment */

struct comm_counter {
    struct comm_memory *memory;
    _Atomic int64_t *value; /* rank 0's; NULL: accessed by requests to rank 0 */
    int requesters;         /* on rank 0: ranks that may still send a request */
};

/* Rank 0's integer, or NULL if this rank can't address it. */
static _Atomic int64_t *find_value(const struct comm *comm,
                                   const struct comm_memory *memory)
{
    void *block = comm_memory_block(memory);
    if (comm->rank == 0)
        return block;
    if (comm->node_of[comm->rank] != 0 || !memory->map)
        return NULL;
    return (_Atomic int64_t *)(void *)comm_memory_peer(memory, 0, block);
}

enum status comm_counter_open(struct comm *comm, struct comm_counter **out)
{
    *out = NULL;
    struct comm_counter *counter = calloc(1, sizeof *counter);
    enum status status = comm_agree(
        comm, counter ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory"));
    if (status == STATUS_OK)
        status = comm_agree(
            comm, comm_memory_create(comm, sizeof *counter->value, 0, &counter->memory));
    if (status != STATUS_OK) {
        if (counter)
            comm_memory_free(counter->memory);
        free(counter);
        return status;
    }
    counter->value = find_value(comm, counter->memory);
    if (comm->rank == 0)
        counter->requesters = comm->size - (counter->memory->map ? comm->local_size : 1);
    *out = counter;
    return STATUS_OK;
}

/* Rank 0 receives one request, waiting for it if none has arrived, and replies. */
static void serve_request(struct comm_counter *counter)
{
    int64_t increment, previous;
    MPI_Status from;
    comm_check_or_abort(MPI_Recv(&increment, 1, MPI_INT64_T, MPI_ANY_SOURCE,
                                 COUNTER_REQUEST_TAG, MPI_COMM_WORLD, &from),
                        "update a counter");
    if (increment == close_request) {
        counter->requesters--;
        return;
    }
    previous = atomic_fetch_add(counter->value, increment);
    comm_check_or_abort(MPI_Send(&previous, 1, MPI_INT64_T, from.MPI_SOURCE,
                                 COUNTER_REPLY_TAG, MPI_COMM_WORLD),
                        "update a counter");
}

void comm_counter_serve(struct comm_counter *counter)
{
    int pending = counter->requesters > 0;
    while (pending) {
        comm_check_or_abort(MPI_Iprobe(MPI_ANY_SOURCE, COUNTER_REQUEST_TAG,
                                       MPI_COMM_WORLD, &pending, MPI_STATUS_IGNORE),
                            "look for messages");
        if (pending)
            serve_request(counter);
        pending = pending && counter->requesters > 0;
    }
}

static void send_request(const int64_t *increment)
{
    comm_check_or_abort(
        MPI_Send(increment, 1, MPI_INT64_T, 0, COUNTER_REQUEST_TAG, MPI_COMM_WORLD),
        "update a counter");
}

int64_t comm_counter_fetch_add(struct comm_counter *counter, int64_t increment)
{
    int64_t previous;
    comm_counter_serve(counter);
    if (counter->value)
        return atomic_fetch_add(counter->value, increment);
    enum phase phase = phase_enter(PHASE_WAIT);
    send_request(&increment);
    comm_check_or_abort(MPI_Recv(&previous, 1, MPI_INT64_T, 0, COUNTER_REPLY_TAG,
                                 MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                        "update a counter");
    phase_enter(phase);
    return previous;
}

void comm_counter_close(struct comm_counter *counter)
{
    if (!counter)
        return;
    enum phase phase = phase_enter(PHASE_WAIT);
    while (counter->requesters > 0)
        serve_request(counter);
    if (!counter->value)
        send_request(&close_request);
    phase_enter(phase);
    comm_memory_free(counter->memory);
    free(counter);
}
