/* comm_counter: an atomic number for those who share memory with rank 0, and for the
 * others a question to it.
 *
 * It is no window of MPI's: Open MPI 4.1 makes one in /dev/shm, and when there is no room
 * the rank that fails to returns at once, while the others wait for it for ever. Memory
 * from comm_memory is agreed upon, and messages need none.
 */
#include <stdlib.h>

#include "comm_internal.h"
#include "base/phase.h"

enum { ASK_TAG = 2, ANSWER_TAG = 3 };

static const int64_t no_more = -1; /* asked in place of a step: the last of a rank */

struct comm_counter {
    struct comm_memory *memory;
    _Atomic int64_t *value; /* rank 0's; NULL: it is asked */
    int asking;             /* rank 0: how many ranks may still ask */
};

/* Where this rank finds rank 0's number, if it does. */
static _Atomic int64_t *find_value(const struct comm *comm,
                                   const struct comm_memory *memory)
{
    void *mine = comm_memory_block(memory);
    if (comm->rank == 0)
        return mine;
    if (comm->host_of[comm->rank] != 0 || !memory->map)
        return NULL;
    return (_Atomic int64_t *)(void *)comm_memory_peer(memory, 0, mine);
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
        counter->asking = comm->size - (counter->memory->map ? comm->places : 1);
    *out = counter;
    return STATUS_OK;
}

/* Rank 0 takes one question, which has come or is waited for, and answers it. */
static void answer(struct comm_counter *counter)
{
    int64_t step, before;
    MPI_Status from;
    comm_check_or_abort(
        MPI_Recv(&step, 1, MPI_INT64_T, MPI_ANY_SOURCE, ASK_TAG, MPI_COMM_WORLD, &from),
        "count");
    if (step == no_more) {
        counter->asking--;
        return;
    }
    before = atomic_fetch_add(counter->value, step);
    comm_check_or_abort(
        MPI_Send(&before, 1, MPI_INT64_T, from.MPI_SOURCE, ANSWER_TAG, MPI_COMM_WORLD),
        "count");
}

void comm_counter_serve(struct comm_counter *counter)
{
    int waiting = counter->asking > 0;
    while (waiting) {
        comm_check_or_abort(MPI_Iprobe(MPI_ANY_SOURCE, ASK_TAG, MPI_COMM_WORLD, &waiting,
                                       MPI_STATUS_IGNORE),
                            "look for messages");
        if (waiting)
            answer(counter);
        waiting = waiting && counter->asking > 0;
    }
}

static void ask(const int64_t *step)
{
    comm_check_or_abort(MPI_Send(step, 1, MPI_INT64_T, 0, ASK_TAG, MPI_COMM_WORLD),
                        "count");
}

int64_t comm_counter_next(struct comm_counter *counter, int64_t step)
{
    int64_t before;
    comm_counter_serve(counter);
    if (counter->value)
        return atomic_fetch_add(counter->value, step);
    enum phase phase = phase_enter(PHASE_WAIT);
    ask(&step);
    comm_check_or_abort(MPI_Recv(&before, 1, MPI_INT64_T, 0, ANSWER_TAG, MPI_COMM_WORLD,
                                 MPI_STATUS_IGNORE),
                        "count");
    phase_enter(phase);
    return before;
}

void comm_counter_close(struct comm_counter *counter)
{
    if (!counter)
        return;
    enum phase phase = phase_enter(PHASE_WAIT);
    while (counter->asking > 0)
        answer(counter);
    if (!counter->value)
        ask(&no_more);
    phase_enter(phase);
    comm_memory_free(counter->memory);
    free(counter);
}
