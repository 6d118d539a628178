/* sharded: a sharded optimizer for comparison, which the program does not have. The
 * rounds of the allreduce stop after the reduce-scatter; each rank updates the weights of
 * its part; then the remaining rounds allgather the weights, in float32. */
#include <mpi.h>
#include <stdlib.h>

#include "scaling.h"
#include "comm/buckets.h"
#include "comm/allreduce_schedule.h"

enum { REQUESTS = 2 * ROUND_RANGES, GATHER_TAGS = 1 << 14 };

struct half { /* reduce-scatter or allgather of one bucket */
    const struct allreduce_round *rounds;
    size_t at, end;
    char *values, *received;
    size_t width;
    int tag;
    MPI_Request requests[REQUESTS];
};

struct bucket {
    struct allreduce_round *rounds;
    size_t first, count;
    size_t round_count, adding; /* all rounds; the reducing ones, which come first */
    void *received;
    struct half half;
};

struct sharded {
    struct bucket *buckets;
    size_t count, elements, started, all;
    int64_t *values;
    float *weights;
};

/* ---- one half ---- */

static void post(struct half *half)
{
    const struct allreduce_round *round = &half->rounds[half->at];
    char *room = half->received;
    for (int i = 0; i < ROUND_RANGES; i++) {
        const struct allreduce_range *in = &round->receive[i], *out = &round->send[i];
        char *to = round->adds ? room : half->values + in->first * half->width;
        half->requests[2 * i] = half->requests[2 * i + 1] = MPI_REQUEST_NULL;
        if (in->count)
            MPI_Irecv(to, (int)(in->count * half->width), MPI_BYTE, round->from,
                      half->tag, MPI_COMM_WORLD, &half->requests[2 * i]);
        if (out->count)
            MPI_Isend(half->values + out->first * half->width,
                      (int)(out->count * half->width), MPI_BYTE, round->to, half->tag,
                      MPI_COMM_WORLD, &half->requests[2 * i + 1]);
        room += in->count * half->width;
    }
}

static void add(const struct half *half)
{
    const struct allreduce_round *round = &half->rounds[half->at];
    const int64_t *from = (const int64_t *)(const void *)half->received;
    for (int i = 0; round->adds && i < ROUND_RANGES; i++) {
        int64_t *to = (int64_t *)(void *)half->values + round->receive[i].first;
        for (size_t j = 0; j < round->receive[i].count; j++)
            to[j] += *from++;
    }
}

static void start(struct half *half)
{
    if (half->at < half->end)
        post(half);
}

static bool move(struct half *half)
{
    while (half->at < half->end) {
        int through = 0;
        MPI_Testall(REQUESTS, half->requests, &through, MPI_STATUSES_IGNORE);
        if (!through)
            return false;
        add(half);
        if (++half->at < half->end)
            post(half);
    }
    return true;
}

/* ---- all buckets ---- */

static void plan(struct comm *comm, struct bucket *bucket, const int *host_of)
{
    size_t most = 0;
    scaling_must(allreduce_schedule_plan(comm_rank(comm), comm_size(comm), host_of,
                                         bucket->count, &bucket->rounds,
                                         &bucket->round_count));
    for (size_t k = 0; k < bucket->round_count && bucket->rounds[k].adds; k++) {
        const struct allreduce_range *parts = bucket->rounds[k].receive;
        size_t count = parts[0].count + parts[1].count;
        most = count > most ? count : most;
        bucket->adding = k + 1;
    }
    bucket->received = malloc(most * sizeof(int64_t) + 1);
    if (!bucket->received)
        scaling_fail("out of memory", "sharded");
}

static int *find_hosts(struct comm *comm)
{
    MPI_Comm host;
    int lowest = comm_rank(comm), *host_of;
    host_of = calloc((size_t)comm_size(comm), sizeof *host_of);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Bcast(&lowest, 1, MPI_INT, 0, host);
    MPI_Comm_free(&host);
    MPI_Allgather(&lowest, 1, MPI_INT, host_of, 1, MPI_INT, MPI_COMM_WORLD);
    return host_of;
}

struct sharded *sharded_create(struct comm *comm, void *values, void *weights,
                               size_t count, size_t bucket)
{
    struct sharded *sharded = calloc(1, sizeof *sharded);
    int *host_of = find_hosts(comm);
    sharded->elements = bucket ? bucket : DEFAULT_BUCKET_ELEMENTS;
    sharded->count = (count + sharded->elements - 1) / sharded->elements;
    sharded->started = sharded->count;
    sharded->all = count;
    sharded->values = values;
    sharded->weights = weights;
    sharded->buckets = calloc(sharded->count, sizeof *sharded->buckets);
    for (size_t i = 0; i < sharded->count; i++) {
        struct bucket *next = &sharded->buckets[i];
        next->first = i * sharded->elements;
        next->count = count - next->first < sharded->elements ? count - next->first
                                                              : sharded->elements;
        plan(comm, next, host_of);
    }
    free(host_of);
    return sharded;
}

void sharded_free(struct sharded *sharded)
{
    for (size_t i = 0; sharded && i < sharded->count; i++) {
        free(sharded->buckets[i].rounds);
        free(sharded->buckets[i].received);
    }
    if (sharded)
        free(sharded->buckets);
    free(sharded);
}

void sharded_complete(struct sharded *sharded, size_t first)
{
    while (sharded->started > 0 &&
           sharded->buckets[sharded->started - 1].first >= first) {
        struct bucket *bucket = &sharded->buckets[--sharded->started];
        bucket->half = (struct half){.rounds = bucket->rounds,
                                     .end = bucket->adding,
                                     .values = (char *)(sharded->values + bucket->first),
                                     .received = bucket->received,
                                     .width = sizeof(int64_t),
                                     .tag = (int)sharded->started};
        start(&bucket->half);
    }
}

void sharded_move(struct sharded *sharded)
{
    for (size_t i = sharded->count; i > sharded->started; i--)
        move(&sharded->buckets[i - 1].half);
}

static void finish(struct sharded *sharded)
{
    for (size_t left = 1; left > 0;) {
        left = 0;
        for (size_t i = sharded->count; i > 0; i--)
            left += !move(&sharded->buckets[i - 1].half);
    }
}

void sharded_reduce(struct sharded *sharded)
{
    sharded_complete(sharded, 0);
    finish(sharded);
    sharded->started = sharded->count;
}

double sharded_own(const struct sharded *sharded, bool check)
{
    size_t own = 0;
    for (size_t i = 0; i < sharded->count; i++) {
        const struct bucket *bucket = &sharded->buckets[i];
        const struct allreduce_range all[ROUND_RANGES] = {{0, bucket->count}, {0, 0}};
        const struct allreduce_range *parts =
            bucket->round_count ? bucket->rounds[bucket->adding].send : all;
        for (int p = 0; p < ROUND_RANGES; p++) {
            size_t from = bucket->first + parts[p].first;
            for (size_t j = from; check && j < from + parts[p].count; j++)
                sharded->weights[j] = (float)sharded->values[j];
            own += parts[p].count;
        }
    }
    return (double)own / (double)sharded->all;
}

void sharded_gather(struct sharded *sharded)
{
    for (size_t i = sharded->count; i-- > 0;) {
        struct bucket *bucket = &sharded->buckets[i];
        bucket->half = (struct half){.rounds = bucket->rounds,
                                     .at = bucket->adding,
                                     .end = bucket->round_count,
                                     .values = (char *)(sharded->weights + bucket->first),
                                     .width = sizeof(float),
                                     .tag = GATHER_TAGS + (int)i};
        start(&bucket->half);
    }
    finish(sharded);
}
