/* ranks: 1 2 3 4
 * comm_allreduce and buckets: nonblocking allreduces, several in flight, repeated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "ranks.h"
#include "comm/buckets.h"

enum { SUMS = 6, ROUNDS = 5 };
static const size_t counts[SUMS] = {0, 1, 3, 1000, 70001, 400000};

/* Small enough that float sums are exact in any order. */
static int64_t addend(int rank, int round, size_t i)
{
    return (int64_t)((i * 7 + (size_t)round * 13) % 1001) * (rank + 1) - 500;
}

static int64_t total(int ranks, int round, size_t i)
{
    int64_t sum = 0;
    for (int r = 0; r < ranks; r++)
        sum += addend(r, round, i);
    return sum;
}

static void fill(struct comm *comm, enum comm_type type, void *values, size_t count,
                 int round)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = addend(comm_rank(comm), round, i);
        if (type == COMM_I64)
            ((int64_t *)values)[i] = value;
        else
            ((float *)values)[i] = (float)value;
    }
}

static void expect_totals(struct comm *comm, enum comm_type type, const void *values,
                          size_t count, int round)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t expected = total(comm_size(comm), round, i);
        wrong += type == COMM_I64 ? ((const int64_t *)values)[i] != expected
                                  : ((const float *)values)[i] != (float)expected;
    }
    expect(wrong == 0);
}

/* All in flight at once, progressed in one order, completed in another. */
static void concurrent_allreduces(struct comm *comm, bool shared)
{
    struct comm_allreduce *sums[SUMS];
    struct comm_memory *memory[SUMS] = {NULL};
    void *values[SUMS];
    for (int s = 0; s < SUMS; s++) {
        enum comm_type type = s % 2 ? COMM_F32 : COMM_I64;
        size_t bytes = (counts[s] + 1) * sizeof(int64_t);
        if (shared)
            expect(comm_memory_create(comm, bytes, 1, &memory[s]) == STATUS_OK);
        values[s] = shared ? comm_memory_block(memory[s]) : calloc(1, bytes);
        expect(comm_allreduce_init(comm, memory[s], type, values[s], counts[s],
                                   &sums[s]) == STATUS_OK);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int s = 0; s < SUMS; s++) {
            fill(comm, s % 2 ? COMM_F32 : COMM_I64, values[s], counts[s], round);
            expect(comm_allreduce_start(sums[s]) == STATUS_OK);
        }
        for (int i = 0; i < 10 * comm_rank(comm); i++)
            comm_allreduce_progress(sums[i % SUMS]);
        for (int s = 0; s < SUMS; s++) {
            int at = (s * 5 + round) % SUMS;
            expect(comm_allreduce_wait(sums[at]) == STATUS_OK);
            expect(comm_allreduce_progress(sums[at]));
            expect_totals(comm, at % 2 ? COMM_F32 : COMM_I64, values[at], counts[at],
                          round);
        }
    }
    for (int s = 0; s < SUMS; s++) {
        comm_allreduce_free(sums[s]);
        comm_memory_free(memory[s]);
        if (!shared)
            free(values[s]);
    }
    comm_allreduce_free(NULL);
    comm_memory_free(NULL);
    agree_on_verdict(comm);
}

static void concurrent_allreduces_by_messages(void **state)
{
    concurrent_allreduces(*state, false);
}

static void concurrent_allreduces_in_shared_memory(void **state)
{
    concurrent_allreduces(*state, true);
}

/* Elements become ready from the end, in parts that do not align with the buckets. */
static void bucketed_sums_equal_a_single_sum(void **state)
{
    struct comm *comm = *state;
    static const size_t sizes[] = {0, 1, 7, 999, 1 << 20};
    enum { COUNT = 5003 };
    for (size_t b = 0; b < sizeof sizes / sizeof *sizes; b++) {
        struct buckets *buckets;
        size_t count = sizes[b] == 1 ? 50 : COUNT;
        struct comm_memory *memory;
        expect(comm_memory_create(comm, count * sizeof(int64_t),
                                  buckets_count(count, sizes[b]), &memory) == STATUS_OK);
        int64_t *values = comm_memory_block(memory);
        expect(buckets_create(comm, memory, COMM_I64, values, count, sizes[b],
                              &buckets) == STATUS_OK);
        for (int round = 0; round < ROUNDS; round++) {
            fill(comm, COMM_I64, values, count, round);
            for (size_t first = count; first > count / 3; first -= first / 4 + 1) {
                expect(buckets_ready(buckets, first) == STATUS_OK);
                buckets_progress(buckets);
            }
            expect(buckets_wait(buckets) == STATUS_OK);
            expect_totals(comm, COMM_I64, values, count, round);
        }
        buckets_free(buckets);
        comm_memory_free(memory);
    }
    buckets_free(NULL);
    agree_on_verdict(comm);
}

/* One rank can't allocate shared memory: all use private memory, with the same sums. */
static void allreduce_works_without_shared_memory(void **state)
{
    struct comm *comm = *state;
    struct rlimit before, none = {.rlim_cur = 1, .rlim_max = RLIM_INFINITY};
    struct comm_memory *memory;
    struct comm_allreduce *sum;
    enum { COUNT = 100000 };
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    none.rlim_max = before.rlim_max;
    if (comm_rank(comm) == comm_size(comm) - 1)
        setrlimit(RLIMIT_FSIZE, &none);
    expect(comm_memory_create(comm, COUNT * sizeof(int64_t), 1, &memory) == STATUS_OK);
    setrlimit(RLIMIT_FSIZE, &before);
    int64_t *values = comm_memory_block(memory);
    fill(comm, COMM_I64, values, COUNT, 1);
    expect(comm_allreduce_init(comm, memory, COMM_I64, values, COUNT, &sum) == STATUS_OK);
    expect(comm_allreduce_start(sum) == STATUS_OK);
    expect(comm_allreduce_wait(sum) == STATUS_OK);
    expect_totals(comm, COMM_I64, values, COUNT, 1);
    comm_allreduce_free(sum);
    comm_memory_free(memory);
    agree_on_verdict(comm);
}

/* A bucket must not start before it is ready: additions until then are in the sum. */
static void buckets_start_only_when_ready(void **state)
{
    struct comm *comm = *state;
    enum { COUNT = 1000, SIZE = 100 };
    int64_t values[COUNT] = {0}, missing = 0;
    struct buckets *buckets;
    expect(buckets_create(comm, NULL, COMM_I64, values, COUNT, SIZE, &buckets) ==
           STATUS_OK);
    for (size_t first = COUNT; first > 0; first--) {
        values[first - 1] += 1 + comm_rank(comm); /* just before it is ready */
        expect(buckets_ready(buckets, first - 1) == STATUS_OK);
        buckets_progress(buckets);
    }
    expect(buckets_wait(buckets) == STATUS_OK);
    int ranks = comm_size(comm);
    for (size_t i = 0; i < COUNT; i++)
        missing += values[i] != ranks * (ranks + 1) / 2;
    expect(missing == 0);
    buckets_free(buckets);
    agree_on_verdict(comm);
}

static void vector_beyond_int_max_is_refused(void **state)
{
    struct comm *comm = *state;
    struct comm_allreduce *sum;
    int64_t value = 0;
    expect(comm_allreduce_init(comm, NULL, COMM_I64, &value, (size_t)INT_MAX + 1, &sum) ==
           STATUS_MISUSE);
    expect(sum == NULL);
    agree_on_verdict(comm);
}

static void too_many_buckets_are_refused(void **state)
{
    struct comm *comm = *state;
    struct buckets *buckets;
    int64_t value = 0; /* not read, as nothing is started */
    if (comm_size(comm) > 1) {
        expect(buckets_create(comm, NULL, COMM_I64, &value, COMM_ALLREDUCES_MAX + 1, 1,
                              &buckets) == STATUS_MISUSE);
        expect(buckets == NULL);
        expect(strstr(status_message(), "train.bucket") != NULL);
    }
    agree_on_verdict(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concurrent_allreduces_by_messages),
        cmocka_unit_test(concurrent_allreduces_in_shared_memory),
        cmocka_unit_test(allreduce_works_without_shared_memory),
        cmocka_unit_test(bucketed_sums_equal_a_single_sum),
        cmocka_unit_test(buckets_start_only_when_ready),
        cmocka_unit_test(vector_beyond_int_max_is_refused),
        cmocka_unit_test(too_many_buckets_are_refused),
    };
    return run_on_ranks(argc, argv, tests);
}
