/* team: shares, barriers, the number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/team.h"

enum { THREADS_MAX = 7, ROUNDS = 200 };

static void shares_cover_everything_once(void **state)
{
    (void)state;
    for (size_t count = 0; count < 200; count++)
        for (size_t unit = 1; unit <= 48; unit += 15)
            for (int threads = 1; threads <= THREADS_MAX; threads++) {
                size_t end = 0, units = (count + unit - 1) / unit;
                for (int t = 0; t < threads; t++) {
                    struct team_share share = team_share_of(count, unit, t, threads);
                    size_t own = (share.end - share.first + unit - 1) / unit;
                    assert_int_equal(share.first, end);
                    assert_true(share.end >= share.first);
                    assert_true(share.first % unit == 0 || share.first == count);
                    assert_true(own <= units / (size_t)threads + 1);
                    assert_true(own >= units / (size_t)threads);
                    end = share.end;
                }
                assert_int_equal(end, count);
            }
}

static void alone_outside_of_a_body(void **state)
{
    (void)state;
    assert_int_equal(team_thread(), 0);
    assert_int_equal(team_size(), 1);
    struct team_share share = team_share(10, 4);
    assert_int_equal(share.first, 0);
    assert_int_equal(share.end, 10);
    team_barrier();
}

struct counters {
    int value[THREADS_MAX]; /* of each thread, read by all between barriers */
    int runs[THREADS_MAX], faults[THREADS_MAX];
    int size;
};

/* In each round every thread publishes a value and reads those of the others. */
static void exchange(void *context)
{
    struct counters *counters = context;
    int self = team_thread(), size = team_size();
    counters->runs[self]++;
    if (self == 0)
        counters->size = size;
    for (int round = 1; round <= ROUNDS; round++) {
        counters->value[self] = round + self;
        team_barrier();
        for (int t = 0; t < size; t++)
            counters->faults[self] += counters->value[t] != round + t;
        team_barrier();
    }
}

static void barriers_publish_writes(void **state)
{
    (void)state;
    for (int threads = 1; threads <= THREADS_MAX; threads++) {
        struct counters counters = {0};
        team_run(threads, exchange, &counters);
        assert_int_equal(counters.size, threads);
        for (int t = 0; t < THREADS_MAX; t++) {
            assert_int_equal(counters.runs[t], t < threads);
            assert_int_equal(counters.faults[t], 0);
        }
        assert_int_equal(team_check(threads), STATUS_OK);
    }
}

static void expect_alone(void *context)
{
    bool *alone = context;
    alone[0] = team_thread() == 0 && team_size() == 1 && team_share(9, 2).end == 9;
    team_barrier(); /* must not wait for the outer team */
}

struct nesting {
    bool alone[THREADS_MAX], restored[THREADS_MAX];
};

static void nest(void *context)
{
    struct nesting *nesting = context;
    int self = team_thread(), size = team_size();
    if (self != 1) /* the other threads don't take part */
        team_run(1, expect_alone, &nesting->alone[self]);
    nesting->restored[self] = team_thread() == self && team_size() == size;
}

/* As when a program calls the library from within its own parallel region. */
static void one_thread_is_alone_in_a_team(void **state)
{
    (void)state;
    struct nesting nesting = {0};
    team_run(4, nest, &nesting);
    for (int t = 0; t < 4; t++) {
        assert_true(nesting.restored[t]);
        assert_int_equal(nesting.alone[t], t != 1);
    }
}

static void set(const char *name, const char *value)
{
    if (value)
        assert_int_equal(setenv(name, value, 1), 0);
    else
        assert_int_equal(unsetenv(name), 0);
}

static void the_environment_gives_the_default(void **state)
{
    (void)state;
    static const struct {
        const char *omp, *slurm;
        int setting, expected;
    } cases[] = {
        {NULL, NULL, 0, 1},  {NULL, NULL, 3, 3},
        {"4", NULL, 0, 4},   {"4", "8", 0, 4},
        {NULL, "8", 0, 8},   {"4,2", NULL, 0, 4},
        {"", "8", 0, 8},     {"many", NULL, 0, 1},
        {"-3", "2", 0, 2},   {"0", NULL, 0, 1},
        {"4", "8", 1, 1},    {"99999999999999999999", NULL, 0, 1024},
        {NULL, "all", 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set("OMP_NUM_THREADS", cases[i].omp);
        set("SLURM_CPUS_PER_TASK", cases[i].slurm);
        assert_int_equal(team_threads(cases[i].setting), cases[i].expected);
    }
}

static void ask_for_the_default(void *context)
{
    int *threads = context;
    threads[team_thread()] = team_threads(0);
}

static void the_default_within_a_region_is_one(void **state)
{
    (void)state;
    int threads[2] = {0};
    set("OMP_NUM_THREADS", "4");
    team_run(2, ask_for_the_default, threads);
    assert_int_equal(threads[0], 1);
    assert_int_equal(threads[1], 1);
    assert_int_equal(team_threads(0), 4);
}

static void *find_affinity(void *cores)
{
    team_unbind();
    sched_getaffinity(0, sizeof(cpu_set_t), cores);
    return NULL;
}

/* In a process whose main thread is bound to a core: exit code 0 if a new thread is
 * released from it. */
static int check_unbound(void)
{
    cpu_set_t team, own, others;
    pthread_t thread;
    team_cores(&team);
    sched_getaffinity(0, sizeof own, &own);
    if (CPU_COUNT(&own) != 1 || CPU_COUNT(&team) < 2)
        return 2;
    if (pthread_create(&thread, NULL, find_affinity, &others) != 0)
        return 3;
    pthread_join(thread, NULL);
    return CPU_EQUAL(&team, &others) ? 0 : 4;
}

static void other_threads_are_not_bound(void **state)
{
    (void)state;
    cpu_set_t cores;
    team_cores(&cores);
    if (CPU_COUNT(&cores) < 2)
        skip();
    pid_t child = fork();
    if (child == 0) {
        setenv("OMP_PLACES", "cores", 1);
        setenv("OMP_PROC_BIND", "true", 1);
        execl("/proc/self/exe", "test_team", "unbound", (char *)NULL);
        _exit(1);
    }
    int exit_status = 0;
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    assert_true(WIFEXITED(exit_status));
    assert_int_equal(WEXITSTATUS(exit_status), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "unbound") == 0)
        return check_unbound();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_cover_everything_once),
        cmocka_unit_test(alone_outside_of_a_body),
        cmocka_unit_test(barriers_publish_writes),
        cmocka_unit_test(one_thread_is_alone_in_a_team),
        cmocka_unit_test(the_environment_gives_the_default),
        cmocka_unit_test(other_threads_are_not_bound),
        cmocka_unit_test(the_default_within_a_region_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
