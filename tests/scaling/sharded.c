/* sharded: a sharded optimizer for comparison, which the program does not have. The
 * rounds of the allreduce stop after the reduce-scatter; each rank updates the weights of
 * its part; then the remaining rounds allgather the weights, in float32. */
#include <mpi.h>
#include <stdlib.h>

#include "scaling.h"
#include "comm/buckets.h"
#include "comm/allreduce_schedule.h"

enum { REQUESTS = 2 * ROUND_RANGES, GATHER_TAGS = 1 << 14 };

struct collective { /* reduce-scatter or allgather of one bucket */
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
    size_t round_count,
        reduce_rounds; /* all rounds; the reducing ones, which come first */
    void *received;
    struct collective collective;
};

struct sharded {
    struct bucket *buckets;
    size_t count, bucket_elements, started, total;
    int64_t *values;
    float *weights;
};

/* ---- one collective ---- */

static void post(struct collective *collective)
{
    const struct allreduce_round *round = &collective->rounds[collective->at];
    char *buffer = collective->received;
    for (int i = 0; i < ROUND_RANGES; i++) {
        const struct allreduce_range *in = &round->receive[i], *out = &round->send[i];
        char *to =
            round->adds ? buffer : collective->values + in->first * collective->width;
        collective->requests[2 * i] = collective->requests[2 * i + 1] = MPI_REQUEST_NULL;
        if (in->count)
            MPI_Irecv(to, (int)(in->count * collective->width), MPI_BYTE, round->from,
                      collective->tag, MPI_COMM_WORLD, &collective->requests[2 * i]);
        if (out->count)
            MPI_Isend(collective->values + out->first * collective->width,
                      (int)(out->count * collective->width), MPI_BYTE, round->to,
                      collective->tag, MPI_COMM_WORLD, &collective->requests[2 * i + 1]);
        buffer += in->count * collective->width;
    }
}

static void add(const struct collective *collective)
{
    const struct allreduce_round *round = &collective->rounds[collective->at];
    const int64_t *from = (const int64_t *)(const void *)collective->received;
    for (int i = 0; round->adds && i < ROUND_RANGES; i++) {
        int64_t *to = (int64_t *)(void *)collective->values + round->receive[i].first;
        for (size_t j = 0; j < round->receive[i].count; j++)
            to[j] += *from++;
    }
}

static void start(struct collective *collective)
{
    if (collective->at < collective->end)
        post(collective);
}

static bool progress(struct collective *collective)
{
    while (collective->at < collective->end) {
        int done = 0;
        MPI_Testall(REQUESTS, collective->requests, &done, MPI_STATUSES_IGNORE);
        if (!done)
            return false;
        add(collective);
        if (++collective->at < collective->end)
            post(collective);
    }
    return true;
}

/* ---- all buckets ---- */

static void plan_bucket(struct comm *comm, struct bucket *bucket, const int *node_of)
{
    size_t max_count = 0;
    scaling_require_ok(allreduce_schedule_plan(comm_rank(comm), comm_size(comm), node_of,
                                               bucket->count, &bucket->rounds,
                                               &bucket->round_count));
    for (size_t k = 0; k < bucket->round_count && bucket->rounds[k].adds; k++) {
        const struct allreduce_range *parts = bucket->rounds[k].receive;
        size_t count = parts[0].count + parts[1].count;
        max_count = count > max_count ? count : max_count;
        bucket->reduce_rounds = k + 1;
    }
    bucket->received = malloc(max_count * sizeof(int64_t) + 1);
    if (!bucket->received)
        scaling_fail("out of memory", "sharded");
}

static int *find_nodes(struct comm *comm)
{
    MPI_Comm host;
    int lowest = comm_rank(comm), *node_of;
    node_of = calloc((size_t)comm_size(comm), sizeof *node_of);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Bcast(&lowest, 1, MPI_INT, 0, host);
    MPI_Comm_free(&host);
    MPI_Allgather(&lowest, 1, MPI_INT, node_of, 1, MPI_INT, MPI_COMM_WORLD);
    return node_of;
}

struct sharded *sharded_create(struct comm *comm, void *values, void *weights,
                               size_t count, size_t bucket)
{
    struct sharded *sharded = calloc(1, sizeof *sharded);
    int *node_of = find_nodes(comm);
    sharded->bucket_elements = bucket ? bucket : DEFAULT_BUCKET_ELEMENTS;
    sharded->count = (count + sharded->bucket_elements - 1) / sharded->bucket_elements;
    sharded->started = sharded->count;
    sharded->total = count;
    sharded->values = values;
    sharded->weights = weights;
    sharded->buckets = calloc(sharded->count, sizeof *sharded->buckets);
    for (size_t i = 0; i < sharded->count; i++) {
        struct bucket *next = &sharded->buckets[i];
        next->first = i * sharded->bucket_elements;
        next->count = count - next->first < sharded->bucket_elements
                          ? count - next->first
                          : sharded->bucket_elements;
        plan_bucket(comm, next, node_of);
    }
    free(node_of);
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

void sharded_ready(struct sharded *sharded, size_t first)
{
    while (sharded->started > 0 &&
           sharded->buckets[sharded->started - 1].first >= first) {
        struct bucket *bucket = &sharded->buckets[--sharded->started];
        bucket->collective =
            (struct collective){.rounds = bucket->rounds,
                                .end = bucket->reduce_rounds,
                                .values = (char *)(sharded->values + bucket->first),
                                .received = bucket->received,
                                .width = sizeof(int64_t),
                                .tag = (int)sharded->started};
        start(&bucket->collective);
    }
}

void sharded_progress(struct sharded *sharded)
{
    for (size_t i = sharded->count; i > sharded->started; i--)
        progress(&sharded->buckets[i - 1].collective);
}

static void wait_all(struct sharded *sharded)
{
    for (size_t left = 1; left > 0;) {
        left = 0;
        for (size_t i = sharded->count; i > 0; i--)
            left += !progress(&sharded->buckets[i - 1].collective);
    }
}

void sharded_reduce(struct sharded *sharded)
{
    sharded_ready(sharded, 0);
    wait_all(sharded);
    sharded->started = sharded->count;
}

double sharded_owned_fraction(const struct sharded *sharded, bool check)
{
    size_t own = 0;
    for (size_t i = 0; i < sharded->count; i++) {
        const struct bucket *bucket = &sharded->buckets[i];
        const struct allreduce_range all[ROUND_RANGES] = {{0, bucket->count}, {0, 0}};
        const struct allreduce_range *parts =
            bucket->round_count ? bucket->rounds[bucket->reduce_rounds].send : all;
        for (int p = 0; p < ROUND_RANGES; p++) {
            size_t from = bucket->first + parts[p].first;
            for (size_t j = from; check && j < from + parts[p].count; j++)
                sharded->weights[j] = (float)sharded->values[j];
            own += parts[p].count;
        }
    }
    return (double)own / (double)sharded->total;
}

void sharded_gather(struct sharded *sharded)
{
    for (size_t i = sharded->count; i-- > 0;) {
        struct bucket *bucket = &sharded->buckets[i];
        bucket->collective =
            (struct collective){.rounds = bucket->rounds,
                                .at = bucket->reduce_rounds,
                                .end = bucket->round_count,
                                .values = (char *)(sharded->weights + bucket->first),
                                .width = sizeof(float),
                                .tag = GATHER_TAGS + (int)i};
        start(&bucket->collective);
    }
    wait_all(sharded);
}
