/* comm_sum: a nonblocking sum over the ranks, through shared memory and by messages.
 *
 * A sum is a list of rounds (allreduce_schedule.h); in each a rank sends at most two
 * parts of its vector to one rank and receives at most two from another. When all inputs
 * of a round have arrived they are combined with the vector, and the next round begins.
 * Nothing happens between calls: MPI moves messages only while it is called. Several sums
 * may be under way at once, each with its own message tag and its own progress flags.
 *
 * Ranks of the same node exchange no messages: the receiver reads the sender's vector
 * where it lies. Each rank has one progress flag per sum, a counter that only this rank
 * writes and that only grows. It is begin + k once the rank has combined the inputs of k
 * rounds of the sum under way; `begin` grows by round_count + 1 from one sum to the next,
 * so no value occurs twice. In round k a rank reads from a peer after the peer's flag has
 * reached begin + k, and a sum is done only when the flags of all its readers show that
 * they have read.
 *
 * Why this is correct, for ranks q and r of a node, where r reads from q in round k:
 *
 * 1. r reads nothing too early. The flag is stored with release after q's writes and is
 *    loaded with acquire before r's reads, so r sees all that q wrote up to round k - 1
 *    or, for k = 0, what q's caller wrote before comm_sum_start.
 * 2. q overwrites nothing too early, although it may run ahead of r.
 *    - A block that q sends in a reduce round is not among those that q still reduces
 *      afterwards. q writes it next when it receives it in the mirrored gather round,
 *      whose sender is r. By then r's flag shows that r has passed round k.
 *    - A block that q sends in a gather round is final: no later round writes it.
 *    - The input of the next sum is written by q's caller after COMM_SUM_DRAIN, which
 *      has loaded with acquire, for every round of this sum, a value of the reader's flag
 *      that was stored with release after its reads.
 * 3. Weak memory adds no other behaviour. Each flag has one writer and only grows, and
 *    ranks only test whether a flag is at least some value. So a stale load merely delays
 *    a rank. By 1 and 2, any two conflicting accesses to a vector are ordered by a
 *    release store and an acquire load that reads it or a later store of the same rank.
 * 4. No deadlock. Round k needs only that other ranks have finished k rounds, and
 *    COMM_SUM_DRAIN only rounds of the same sum; so by induction every rank finishes, as
 *    all start their sums in the same order.
 * 5. No rank is more than one sum ahead of another: completing a sum takes a contribution
 *    of every rank. So three sums in a row show all that reuse of a vector can do.
 *
 * tests/test_sum_protocol.c checks 1, 2, 4 and 5 on this code, over all interleavings of
 * the steps of up to six ranks.
 */
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "comm_internal.h"

enum { TAGS = 1 << 15 }; /* MPI guarantees at least 2^15 */

static size_t width(const struct comm_sum *sum)
{
    return sum->type == COMM_I64 ? sizeof(int64_t) : sizeof(float);
}

static MPI_Datatype datatype(const struct comm_sum *sum)
{
    return sum->type == COMM_I64 ? MPI_INT64_T : MPI_FLOAT;
}

/* True if this rank and `rank` read each other's memory. */
static bool same_node(const struct comm_sum *sum, int rank)
{
    const struct comm *comm = sum->comm;
    return sum->memory && comm->node_of[rank] == comm->node_of[comm->rank];
}

/* ---- set-up ---- */

/* The largest number of elements that a round receives by message and adds. */
static size_t largest_received(const struct comm_sum *sum)
{
    size_t largest = 0;
    for (size_t k = 0; k < sum->round_count; k++) {
        const struct round *round = &sum->rounds[k];
        size_t count = round->receive[0].count + round->receive[1].count;
        if (round->adds && !same_node(sum, round->from) && count > largest)
            largest = count;
    }
    return largest;
}

/* Plans the rounds and allocates what they need. */
static enum status plan(struct comm_sum *sum, size_t count)
{
    const struct comm *comm = sum->comm;
    enum status status = allreduce_schedule_plan(comm->rank, comm->size, comm->node_of,
                                                 count, &sum->rounds, &sum->round_count);
    if (status != STATUS_OK)
        return status;
    sum->received = malloc(largest_received(sum) * width(sum) + 1);
    return sum->received
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "no memory for a sum of %zu elements", count);
}

enum status comm_sum_init(struct comm *comm, struct comm_memory *memory,
                          enum comm_type type, void *values, size_t count,
                          struct comm_sum **out)
{
    *out = NULL;
    if (count > INT_MAX) /* MPI's counts are int */
        return status_fail(STATUS_MISUSE, "a sum of %zu elements at once (at most %d)",
                           count, INT_MAX);
    struct comm_sum *sum = calloc(1, sizeof *sum);
    if (!sum)
        return status_fail(STATUS_FAILED, "out of memory");
    *sum = (struct comm_sum){.comm = comm,
                             .type = type,
                             .values = values,
                             .tag = comm->sum_count++ % TAGS,
                             .stage = COMM_SUM_DONE};
    if (memory && memory->map && memory->slots_used < memory->slots) {
        sum->memory = memory;
        sum->slot = memory->slots_used++;
    }
    enum status status = plan(sum, count);
    if (status == STATUS_OK)
        *out = sum;
    else
        comm_sum_free(sum);
    return status;
}

void comm_sum_free(struct comm_sum *sum)
{
    if (!sum)
        return;
    free(sum->rounds);
    free(sum->received);
    free(sum);
}

/* ---- progress flags ---- */

static _Atomic uint64_t *flag_of(const struct comm_sum *sum, int rank)
{
    return comm_memory_flag(sum->memory, sum->comm->local_rank_of[rank], sum->slot);
}

/* True once `rank`, of the same node, has combined the inputs of that many rounds. */
static bool has_finished(const struct comm_sum *sum, int rank, size_t rounds)
{
    return atomic_load_explicit(flag_of(sum, rank), memory_order_acquire) >=
           sum->begin + rounds;
}

static void publish(const struct comm_sum *sum)
{
    if (sum->memory)
        atomic_store_explicit(flag_of(sum, sum->comm->rank), sum->begin + sum->at,
                              memory_order_release);
}

/* ---- rounds ---- */

static void keep_failure(struct comm_sum *sum, int code)
{
    if (sum->code == MPI_SUCCESS)
        sum->code = code;
}

static void post_messages(struct comm_sum *sum)
{
    const struct round *round = &sum->rounds[sum->at];
    bool from_node = same_node(sum, round->from), to_node = same_node(sum, round->to);
    char *received = sum->received;
    for (int i = 0; i < ROUND_PARTS; i++) {
        const struct part *in = &round->receive[i], *out = &round->send[i];
        MPI_Request *request = &sum->requests[2 * i];
        request[0] = request[1] = MPI_REQUEST_NULL;
        if (in->count && !from_node)
            keep_failure(
                sum,
                MPI_Irecv(round->adds ? received : sum->values + in->first * width(sum),
                          (int)in->count, datatype(sum), round->from, sum->tag,
                          sum->comm->sum_comm, &request[0]));
        if (out->count && !to_node)
            keep_failure(sum, MPI_Isend(sum->values + out->first * width(sum),
                                        (int)out->count, datatype(sum), round->to,
                                        sum->tag, sum->comm->sum_comm, &request[1]));
        received += in->count * width(sum);
    }
}

static void begin_round(struct comm_sum *sum)
{
    bool more = sum->at < sum->round_count;
    if (more)
        post_messages(sum);
    sum->stage = more ? COMM_SUM_RECEIVE : COMM_SUM_DRAIN;
}

/* True once all inputs of this round have arrived. */
static bool has_received(struct comm_sum *sum)
{
    int complete = 0, from = sum->rounds[sum->at].from;
    MPI_Status ignored[COMM_SUM_REQUESTS]; /* gcc warns of MPICH's MPI_STATUSES_IGNORE */
    if (same_node(sum, from) && !has_finished(sum, from, sum->at))
        return false;
    keep_failure(sum, MPI_Testall(COMM_SUM_REQUESTS, sum->requests, &complete, ignored));
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

static void combine_part(const struct comm_sum *sum, char *to, const char *from,
                         size_t count)
{
    if (!sum->rounds[sum->at].adds)
        memcpy(to, from, count * width(sum));
    else if (sum->type == COMM_I64)
        add_i64((int64_t *)(void *)to, (const int64_t *)(const void *)from, count);
    else
        add_f32((float *)(void *)to, (const float *)(const void *)from, count);
}

/* The inputs of this round into the vector. A message that replaces a part has been
 * received in place. */
static void combine(struct comm_sum *sum)
{
    const struct round *round = &sum->rounds[sum->at];
    const char *received = sum->received;
    bool from_node = same_node(sum, round->from);
    for (int i = 0; i < ROUND_PARTS; i++) {
        const struct part *part = &round->receive[i];
        char *to = sum->values + part->first * width(sum);
        if (from_node && part->count)
            combine_part(
                sum, to,
                comm_memory_peer(sum->memory, sum->comm->local_rank_of[round->from], to),
                part->count);
        else if (round->adds)
            combine_part(sum, to, received, part->count);
        received += part->count * width(sum);
    }
}

/* True once the ranks of this node have read all that they read of this rank's vector. */
static bool is_drained(const struct comm_sum *sum)
{
    for (size_t k = 0; k < sum->round_count; k++) {
        int to = sum->rounds[k].to;
        if (same_node(sum, to) && !has_finished(sum, to, k + 1))
            return false;
    }
    return true;
}

/* ---- the sum ---- */

enum status comm_sum_start(struct comm_sum *sum)
{
    sum->at = 0;
    sum->code = MPI_SUCCESS;
    sum->begin += sum->round_count + 1;
    publish(sum);
    begin_round(sum);
    return comm_check(sum->code, "sum over the ranks");
}

bool comm_sum_step(struct comm_sum *sum)
{
    switch (sum->stage) {
    case COMM_SUM_RECEIVE:
        if (!has_received(sum))
            return false;
        sum->stage = COMM_SUM_COMBINE;
        return true;
    case COMM_SUM_COMBINE:
        combine(sum);
        sum->stage = COMM_SUM_PUBLISH;
        return true;
    case COMM_SUM_PUBLISH:
        sum->at++;
        publish(sum);
        begin_round(sum);
        return true;
    case COMM_SUM_DRAIN:
        if (!is_drained(sum))
            return false;
        sum->stage = COMM_SUM_DONE;
        return true;
    case COMM_SUM_DONE:
        break;
    }
    return false;
}

bool comm_sum_progress(struct comm_sum *sum)
{
    bool moves = true;
    while (moves && sum->code == MPI_SUCCESS)
        moves = comm_sum_step(sum);
    return sum->stage == COMM_SUM_DONE || sum->code != MPI_SUCCESS;
}

enum status comm_sum_wait(struct comm_sum *sum)
{
    while (!comm_sum_progress(sum))
        sched_yield(); /* the rank that is waited for may need this core */
    return comm_check(sum->code, "sum over the ranks");
}
