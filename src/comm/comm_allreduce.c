/* comm_allreduce: see the header.
 *
 * A sum is a list of rounds (allreduce_schedule.h); in each a rank sends at most two
 * ranges of its vector to one rank and receives at most two from another. When all inputs
 * of a round have arrived they are combined with the vector, and the next round begins.
 * No progress is made between calls: messages advance only inside MPI calls. Several sums
 * may be under way at once, each with its own message tag and its own progress counters.
 *
 * Ranks of the same node exchange no messages: the receiver reads the sender's vector in
 * place. Each rank has one progress counter per sum, which only this rank writes and
 * which never decreases. It reaches base + k once the rank has combined the inputs of k
 * rounds of the current sum; `base` grows by round_count + 1 from one sum to the next,
 * so no value occurs twice. In round k a rank reads from a peer after the peer's counter
 * has reached base + k, and a sum is done on a rank only when the counters of all ranks
 * that read its vector show that they have finished reading.
 *
 * Why this is correct, for ranks q and r of a node, where r reads from q in round k. Rule
 * numbers refer to allreduce_schedule.h.
 *
 * 1. r reads nothing too early. The counter is stored with release after q's writes and
 *    is loaded with acquire before r's reads, so r sees all that q wrote up to round
 *    k - 1 or, for k = 0, what q's caller wrote before comm_allreduce_start.
 * 2. q overwrites nothing too early, although it may run ahead of r.
 *    - What q sends in an adding round k, q does not write in round k (rule 3). It writes
 *      it next when it receives the total (rule 4). The total contains q's addend, so it
 *      was formed after r had read that addend, and the chain of release stores and
 *      acquire loads, and of messages, from r to the sender of the total orders the read
 *      before the write.
 *    - An element that q sends in any other round is final: no later round writes it
 *      (rule 4).
 *    - The input of the next sum is written by q's caller after COMM_ALLREDUCE_DRAIN,
 *      which has loaded with acquire, for every round of this sum, a value of the
 *      reader's counter that was stored with release after its reads.
 * 3. A weak memory model adds no other behaviour. Each counter has one writer and never
 *    decreases, and ranks only test whether a counter is at least some value. So a stale
 *    load merely delays a rank. By 1 and 2, any two conflicting accesses to a vector are
 *    ordered by a release store and an acquire load that reads it or a later store of the
 *    same rank. The accesses are made by processes that share memory; lock-free atomics
 *    behave there as they do between threads. The counters are zero before any rank loads
 *    them, by the barrier of comm_memory_create. Nontemporal stores would not be ordered
 *    by a release store on x86; the header forbids them.
 * 4. Messages. The inputs of a round are combined only after the round's own messages
 *    have been sent, so no buffer is overwritten while it is being sent. A message that
 *    replaces a range is received in place, completely before the counter is stored. Two
 *    ranks post the messages of a sum in the same order, and each sum has its own tag, so
 *    MPI matches them.
 * 5. No deadlock. Round k needs only that other ranks have finished k rounds, and
 *    COMM_ALLREDUCE_DRAIN only rounds of the same sum; so by induction every rank
 *    finishes. All ranks start and wait for their sums in the same order, and a rank that
 *    waits for one need not progress the others.
 * 6. No rank is more than one sum ahead of another: completing a sum takes a contribution
 *    of every rank. So three consecutive sums exercise every effect of reusing a vector.
 *
 * tests/test_allreduce_protocol.c checks 1, 2, 4, 5 and 6 on this code, one sum at a
 * time, over all interleavings of the transitions of up to six ranks (three consecutive
 * sums for up to five).
 */
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "comm_internal.h"

/* Processes share the counters, so the atomics must be lock-free. MPI guarantees tags
 * below 2^15. */
_Static_assert(ATOMIC_LONG_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "progress counters are atomic without locks");
_Static_assert(COMM_ALLREDUCES_MAX <= 1 << 15, "each has its own tag");

static size_t element_size(const struct comm_allreduce *sum)
{
    return sum->type == COMM_I64 ? sizeof(int64_t) : sizeof(float);
}

static MPI_Datatype datatype(const struct comm_allreduce *sum)
{
    return sum->type == COMM_I64 ? MPI_INT64_T : MPI_FLOAT;
}

/* True if this rank and `rank` read each other's memory. */
static bool same_node(const struct comm_allreduce *sum, int rank)
{
    const struct comm *comm = sum->comm;
    return sum->memory && comm->node_of[rank] == comm->node_of[comm->rank];
}

/* ---- set-up ---- */

/* The largest number of elements that a round receives by message and adds. */
static size_t receive_buffer_length(const struct comm_allreduce *sum)
{
    size_t largest = 0;
    for (size_t k = 0; k < sum->round_count; k++) {
        const struct allreduce_round *round = &sum->rounds[k];
        size_t count = round->receive[0].count + round->receive[1].count;
        if (round->adds && !same_node(sum, round->from) && count > largest)
            largest = count;
    }
    return largest;
}

/* Plans the rounds and allocates the receive buffer. */
static enum status plan(struct comm_allreduce *sum, size_t count)
{
    const struct comm *comm = sum->comm;
    enum status status = allreduce_schedule_plan(comm->rank, comm->size, comm->node_of,
                                                 count, &sum->rounds, &sum->round_count);
    if (status != STATUS_OK)
        return status;
    sum->receive_buffer = malloc(receive_buffer_length(sum) * element_size(sum) + 1);
    return sum->receive_buffer
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "no memory for an allreduce of %zu elements",
                             count);
}

enum status comm_allreduce_init(struct comm *comm, struct comm_memory *memory,
                                enum comm_type type, void *values, size_t count,
                                struct comm_allreduce **out)
{
    *out = NULL;
    if (count > INT_MAX) /* the type of MPI's counts */
        return status_fail(STATUS_MISUSE, "an allreduce of %zu elements (at most %d)",
                           count, INT_MAX);
    struct comm_allreduce *sum = calloc(1, sizeof *sum);
    if (!sum)
        return status_fail(STATUS_FAILED, "out of memory");
    *sum = (struct comm_allreduce){.comm = comm,
                                   .type = type,
                                   .values = values,
                                   .tag = comm->allreduce_count++ % COMM_ALLREDUCES_MAX,
                                   .state = COMM_ALLREDUCE_DONE};
    if (memory && memory->map && memory->slots_used < memory->slots) {
        sum->memory = memory;
        sum->slot = memory->slots_used++;
    }
    enum status status = plan(sum, count);
    if (status == STATUS_OK)
        *out = sum;
    else
        comm_allreduce_free(sum);
    return status;
}

void comm_allreduce_free(struct comm_allreduce *sum)
{
    if (!sum)
        return;
    free(sum->rounds);
    free(sum->receive_buffer);
    free(sum);
}

/* ---- progress counters ---- */

static _Atomic uint64_t *progress_counter(const struct comm_allreduce *sum, int rank)
{
    return comm_memory_counter(sum->memory, sum->comm->local_rank_of[rank], sum->slot);
}

/* True once `rank`, on the same node, has combined the inputs of `rounds` rounds. */
static bool has_finished(const struct comm_allreduce *sum, int rank, size_t rounds)
{
    return atomic_load_explicit(progress_counter(sum, rank), memory_order_acquire) >=
           sum->base + rounds;
}

static void publish_progress(const struct comm_allreduce *sum)
{
    if (sum->memory)
        atomic_store_explicit(progress_counter(sum, sum->comm->rank),
                              sum->base + sum->round, memory_order_release);
}

/* ---- rounds ---- */

static void record_error(struct comm_allreduce *sum, int error)
{
    if (sum->error == MPI_SUCCESS)
        sum->error = error;
}

static void post_messages(struct comm_allreduce *sum)
{
    const struct allreduce_round *round = &sum->rounds[sum->round];
    bool from_node = same_node(sum, round->from), to_node = same_node(sum, round->to);
    char *message = sum->receive_buffer;
    for (int i = 0; i < ROUND_RANGES; i++) {
        const struct allreduce_range *in = &round->receive[i], *out = &round->send[i];
        MPI_Request *request = &sum->requests[2 * i];
        request[0] = request[1] = MPI_REQUEST_NULL;
        if (in->count && !from_node)
            record_error(
                sum, MPI_Irecv(round->adds ? message
                                           : sum->values + in->first * element_size(sum),
                               (int)in->count, datatype(sum), round->from, sum->tag,
                               sum->comm->allreduce_comm, &request[0]));
        if (out->count && !to_node)
            record_error(sum,
                         MPI_Isend(sum->values + out->first * element_size(sum),
                                   (int)out->count, datatype(sum), round->to, sum->tag,
                                   sum->comm->allreduce_comm, &request[1]));
        message += in->count * element_size(sum);
    }
}

static void begin_round(struct comm_allreduce *sum)
{
    bool more = sum->round < sum->round_count;
    if (more)
        post_messages(sum);
    sum->state = more ? COMM_ALLREDUCE_RECEIVE : COMM_ALLREDUCE_DRAIN;
}

/* True once all inputs of this round have arrived. */
static bool inputs_have_arrived(struct comm_allreduce *sum)
{
    int complete = 0, from = sum->rounds[sum->round].from;
    MPI_Status
        ignored[COMM_ALLREDUCE_REQUESTS]; /* gcc warns of MPICH's MPI_STATUSES_IGNORE */
    if (same_node(sum, from) && !has_finished(sum, from, sum->round))
        return false;
    record_error(sum,
                 MPI_Testall(COMM_ALLREDUCE_REQUESTS, sum->requests, &complete, ignored));
    return complete;
}

static void add_i64(int64_t *restrict to, const int64_t *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

static void add_f32(float *restrict to, const float *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

static void combine_range(const struct comm_allreduce *sum, char *to, const char *from,
                          size_t count)
{
    if (!sum->rounds[sum->round].adds)
        memcpy(to, from, count * element_size(sum));
    else if (sum->type == COMM_I64)
        add_i64((int64_t *)(void *)to, (const int64_t *)(const void *)from, count);
    else
        add_f32((float *)(void *)to, (const float *)(const void *)from, count);
}

/* Adds or copies the inputs of this round to the vector. Messages that replace elements
 * have been received in place. */
static void combine(struct comm_allreduce *sum)
{
    const struct allreduce_round *round = &sum->rounds[sum->round];
    const char *message = sum->receive_buffer;
    bool from_node = same_node(sum, round->from);
    for (int i = 0; i < ROUND_RANGES; i++) {
        const struct allreduce_range *range = &round->receive[i];
        char *to = sum->values + range->first * element_size(sum);
        if (from_node && range->count)
            combine_range(
                sum, to,
                comm_memory_peer(sum->memory, sum->comm->local_rank_of[round->from], to),
                range->count);
        else if (round->adds)
            combine_range(sum, to, message, range->count);
        message += range->count * element_size(sum);
    }
}

/* True once the ranks of this node have finished reading this rank's vector. */
static bool is_drained(const struct comm_allreduce *sum)
{
    for (size_t k = 0; k < sum->round_count; k++) {
        int to = sum->rounds[k].to;
        if (same_node(sum, to) && !has_finished(sum, to, k + 1))
            return false;
    }
    return true;
}

/* ---- the sum ---- */

enum status comm_allreduce_start(struct comm_allreduce *sum)
{
    sum->round = 0;
    sum->error = MPI_SUCCESS;
    sum->base += sum->round_count + 1;
    publish_progress(sum);
    begin_round(sum);
    return comm_check(sum->error, "allreduce");
}

bool comm_allreduce_advance(struct comm_allreduce *sum)
{
    switch (sum->state) {
    case COMM_ALLREDUCE_RECEIVE:
        if (!inputs_have_arrived(sum))
            return false;
        sum->state = COMM_ALLREDUCE_COMBINE;
        return true;
    case COMM_ALLREDUCE_COMBINE:
        combine(sum);
        sum->state = COMM_ALLREDUCE_PUBLISH;
        return true;
    case COMM_ALLREDUCE_PUBLISH:
        sum->round++;
        publish_progress(sum);
        begin_round(sum);
        return true;
    case COMM_ALLREDUCE_DRAIN:
        if (!is_drained(sum))
            return false;
        sum->state = COMM_ALLREDUCE_DONE;
        return true;
    case COMM_ALLREDUCE_DONE:
        break;
    }
    return false;
}

bool comm_allreduce_progress(struct comm_allreduce *sum)
{
    bool advanced = true;
    while (advanced && sum->error == MPI_SUCCESS)
        advanced = comm_allreduce_advance(sum);
    return sum->state == COMM_ALLREDUCE_DONE || sum->error != MPI_SUCCESS;
}

enum status comm_allreduce_wait(struct comm_allreduce *sum)
{
    while (!comm_allreduce_progress(sum))
        sched_yield(); /* the rank that is waited for may need this core */
    return comm_check(sum->error, "allreduce");
}
