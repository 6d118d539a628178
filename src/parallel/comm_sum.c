/* comm_sum: a sum over the ranks that goes on in the background of computation.
 *
 * A sum is a list of rounds (rounds.h); in each at most two messages leave and two
 * arrive. When all of a round's messages are through, what came is added, and the next
 * round begins. Nothing happens between the calls: MPI moves messages only while it is
 * called. Several sums may be under way at once, each with messages of its own tag.
 */
#include <limits.h>
#include <stdlib.h>

#include "comm_internal.h"
#include "rounds.h"

enum { REQUESTS = 2 * ROUND_PARTS, TAGS = 1 << 15 }; /* every MPI has so many tags */

struct comm_sum {
    struct comm *comm;
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

/* The most that any round adds. */
static size_t most_received(const struct comm_sum *sum)
{
    size_t most = 0;
    for (size_t k = 0; k < sum->round_count; k++) {
        const struct part *parts = sum->rounds[k].receive;
        if (sum->rounds[k].adds && parts[0].count + parts[1].count > most)
            most = parts[0].count + parts[1].count;
    }
    return most;
}

enum status comm_sum_plan(struct comm *comm, enum comm_type type, void *values,
                          size_t count, struct comm_sum **out)
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
    enum status status = rounds_plan(comm->rank, comm->size, comm->host_of, count,
                                     &sum->rounds, &sum->round_count);
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

/* Begins the messages of the round under way. */
static void post(struct comm_sum *sum)
{
    const struct round *round = &sum->rounds[sum->at];
    char *room = sum->received;
    for (int i = 0; i < ROUND_PARTS; i++) {
        const struct part *in = &round->receive[i], *out = &round->send[i];
        MPI_Request *request = &sum->requests[2 * i];
        request[0] = request[1] = MPI_REQUEST_NULL;
        if (in->count)
            note(sum, MPI_Irecv(round->adds ? room : sum->values + in->first * width(sum),
                                (int)in->count, datatype(sum), round->from, sum->tag,
                                sum->comm->sums, &request[0]));
        if (out->count)
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

/* Adds what the round under way has brought. */
static void add_received(struct comm_sum *sum)
{
    const struct round *round = &sum->rounds[sum->at];
    const char *from = sum->received;
    for (int i = 0; round->adds && i < ROUND_PARTS; i++) {
        const struct part *part = &round->receive[i];
        char *to = sum->values + part->first * width(sum);
        if (sum->type == COMM_I64)
            add_i64((int64_t *)(void *)to, (const int64_t *)(const void *)from,
                    part->count);
        else
            add_f32((float *)(void *)to, (const float *)(const void *)from, part->count);
        from += part->count * width(sum);
    }
}

enum status comm_sum_start(struct comm_sum *sum)
{
    sum->at = 0;
    sum->code = MPI_SUCCESS;
    if (sum->round_count > 0)
        post(sum);
    return comm_check(sum->code, "sum over the ranks");
}

bool comm_sum_move(struct comm_sum *sum)
{
    while (sum->at < sum->round_count && sum->code == MPI_SUCCESS) {
        int through = 0;
        note(sum, MPI_Testall(REQUESTS, sum->requests, &through, MPI_STATUSES_IGNORE));
        if (!through)
            return false;
        add_received(sum);
        if (++sum->at < sum->round_count)
            post(sum);
    }
    return true;
}

enum status comm_sum_finish(struct comm_sum *sum)
{
    while (!comm_sum_move(sum))
        ;
    return comm_check(sum->code, "sum over the ranks");
}
