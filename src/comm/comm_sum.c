/* comm_sum: a sum over the ranks that goes on in the background of computation.
 *
 * A sum is a list of rounds (allreduce_schedule.h); in each at most two messages leave
 * and two arrive. When all of a round's messages are through, what came is added, and the
 * next round begins. Nothing happens between the calls: MPI moves messages only while it
 * is called. Several sums may be under way at once, each with messages of its own tag.
 *
 * A rank of the same host whose memory is seen sends no message: what it would send is
 * read where it lies, as soon as the rank's mark says that it has come to this round.
 * That it lies there untouched for long enough follows from the rounds: a block that was
 * given away in the first half comes back in the second only when it has been added, and
 * a sum is complete only when those who read the final blocks are through with them too.
 */
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "comm_internal.h"
#include "allreduce_schedule.h"

enum { REQUESTS = 2 * ROUND_PARTS, TAGS = 1 << 15 }; /* every MPI has so many tags */

struct comm_sum {
    struct comm *comm;
    const struct comm_memory *memory; /* NULL: no other rank's is seen */
    size_t slot;                      /* of the marks */
    uint64_t begun;                   /* the mark at the beginning of the sum under way */
    enum comm_type type;
    char *values;
    struct round *rounds;
    size_t round_count;
    char *received; /* what is to be added */
    int tag;
    size_t at; /* the round under way; round_count: complete */
    MPI_Request requests[REQUESTS];
    int code; /* of the first call that failed */
};

static size_t width(const struct comm_sum *sum)
{
    return sum->type == COMM_I64 ? sizeof(int64_t) : sizeof(float);
}

static MPI_Datatype datatype(const struct comm_sum *sum)
{
    return sum->type == COMM_I64 ? MPI_INT64_T : MPI_FLOAT;
}

/* Is its memory seen? */
static bool is_near(const struct comm_sum *sum, int rank)
{
    const struct comm *comm = sum->comm;
    return sum->memory && comm->host_of[rank] == comm->host_of[comm->rank];
}

/* The most that any round has to keep until it is added. */
static size_t most_received(const struct comm_sum *sum)
{
    size_t most = 0;
    for (size_t k = 0; k < sum->round_count; k++) {
        const struct round *round = &sum->rounds[k];
        size_t count = round->receive[0].count + round->receive[1].count;
        if (round->adds && !is_near(sum, round->from) && count > most)
            most = count;
    }
    return most;
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
        return status_fail(STATUS_FAILED, "no memory to plan a sum");
    *sum = (struct comm_sum){
        .comm = comm, .type = type, .values = values, .tag = comm->sum_count++ % TAGS};
    if (memory && memory->map && memory->used < memory->slots) {
        sum->memory = memory;
        sum->slot = memory->used++;
    }
    enum status status = allreduce_schedule_plan(comm->rank, comm->size, comm->host_of,
                                                 count, &sum->rounds, &sum->round_count);
    sum->at = sum->round_count;
    if (status == STATUS_OK) {
        sum->received = malloc(most_received(sum) * width(sum) + 1);
        if (!sum->received)
            status =
                status_fail(STATUS_FAILED, "no memory for a sum of %zu elements", count);
    }
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

static void note(struct comm_sum *sum, int code)
{
    if (sum->code == MPI_SUCCESS)
        sum->code = code;
}

static _Atomic uint64_t *mark_of(const struct comm_sum *sum, int rank)
{
    return comm_memory_mark(sum->memory, sum->comm->place_of[rank], sum->slot);
}

/* Has the rank, whose memory is seen, made so many rounds of the sum under way? */
static bool has_made(const struct comm_sum *sum, int rank, size_t rounds)
{
    return atomic_load_explicit(mark_of(sum, rank), memory_order_acquire) >=
           sum->begun + rounds;
}

/* Tells the others how many rounds this rank has made. */
static void tell(const struct comm_sum *sum, size_t rounds)
{
    if (sum->memory)
        atomic_store_explicit(mark_of(sum, sum->comm->rank), sum->begun + rounds,
                              memory_order_release);
}

/* Begins the messages of the round under way. */
static void post(struct comm_sum *sum)
{
    const struct round *round = &sum->rounds[sum->at];
    bool from_near = is_near(sum, round->from), to_near = is_near(sum, round->to);
    char *room = sum->received;
    for (int i = 0; i < ROUND_PARTS; i++) {
        const struct part *in = &round->receive[i], *out = &round->send[i];
        MPI_Request *request = &sum->requests[2 * i];
        request[0] = request[1] = MPI_REQUEST_NULL;
        if (in->count && !from_near)
            note(sum, MPI_Irecv(round->adds ? room : sum->values + in->first * width(sum),
                                (int)in->count, datatype(sum), round->from, sum->tag,
                                sum->comm->sums, &request[0]));
        if (out->count && !to_near)
            note(sum, MPI_Isend(sum->values + out->first * width(sum), (int)out->count,
                                datatype(sum), round->to, sum->tag, sum->comm->sums,
                                &request[1]));
        room += in->count * width(sum);
    }
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

static void take(const struct comm_sum *sum, bool adds, char *to, const char *from,
                 size_t count)
{
    if (!adds)
        memcpy(to, from, count * width(sum));
    else if (sum->type == COMM_I64)
        add_i64((int64_t *)(void *)to, (const int64_t *)(const void *)from, count);
    else
        add_f32((float *)(void *)to, (const float *)(const void *)from, count);
}

/* What the round under way has brought: into its place. */
static void take_received(struct comm_sum *sum)
{
    const struct round *round = &sum->rounds[sum->at];
    const char *room = sum->received;
    bool near = is_near(sum, round->from);
    for (int i = 0; i < ROUND_PARTS; i++) {
        const struct part *part = &round->receive[i];
        char *to = sum->values + part->first * width(sum);
        if (near && part->count)
            take(sum, round->adds, to,
                 comm_memory_peer(sum->memory, sum->comm->place_of[round->from], to),
                 part->count);
        else if (round->adds)
            take(sum, true, to, room, part->count);
        room += part->count * width(sum);
    }
}

enum status comm_sum_start(struct comm_sum *sum)
{
    sum->at = 0;
    sum->code = MPI_SUCCESS;
    sum->begun += sum->round_count + 1;
    tell(sum, 0);
    if (sum->round_count > 0)
        post(sum);
    return comm_check(sum->code, "sum over the ranks");
}

/* Is everything there that the round under way needs? */
static bool is_there(struct comm_sum *sum)
{
    int through = 0;
    int from = sum->rounds[sum->at].from;
    MPI_Status ignored[REQUESTS]; /* gcc warns of MPICH's MPI_STATUSES_IGNORE */
    if (is_near(sum, from) && !has_made(sum, from, sum->at))
        return false;
    note(sum, MPI_Testall(REQUESTS, sum->requests, &through, ignored));
    return through;
}

/* Have those who read this rank's memory read all of it? */
static bool is_read(const struct comm_sum *sum)
{
    for (size_t k = 0; k < sum->round_count; k++) {
        int to = sum->rounds[k].to;
        if (is_near(sum, to) && !has_made(sum, to, k + 1))
            return false;
    }
    return true;
}

bool comm_sum_progress(struct comm_sum *sum)
{
    while (sum->at < sum->round_count && sum->code == MPI_SUCCESS) {
        if (!is_there(sum))
            return false;
        take_received(sum);
        tell(sum, ++sum->at);
        if (sum->at < sum->round_count)
            post(sum);
    }
    return sum->code != MPI_SUCCESS || is_read(sum);
}

enum status comm_sum_wait(struct comm_sum *sum)
{
    while (!comm_sum_progress(sum))
        sched_yield(); /* the one that is waited for may want this core */
    return comm_check(sum->code, "sum over the ranks");
}
