/* Shared by tests that run on several ranks. A failed assertion on one rank would leave
 * the others in a collective, so failures are counted and the ranks agree on the verdict
 * at the end of each test. Every test gets the struct comm as its *state. */
#ifndef TESTS_RANKS_H
#define TESTS_RANKS_H

#include <inttypes.h>

#include "comm/comm.h"

static int64_t expectations_failed;

#define expect(condition) expect_at((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

static inline void expect_at(int passed, const char *what, const char *file, int line)
{
    if (passed)
        return;
    if (expectations_failed++ < 5) /* limits the output */
        print_error("%s:%d: %s\n", file, line, what);
}

#define expect_text(found, expected) expect_text_at(found, expected, __FILE__, __LINE__)

static inline void expect_text_at(const char *found, const char *expected,
                                  const char *file, int line)
{
    int passed = strcmp(found, expected) == 0;
    if (!passed)
        print_error("found \"%s\"\n", found);
    expect_at(passed, expected, file, line);
}

/* The last call of every test: fails on all ranks if an expectation failed on any. */
static inline void agree_on_verdict(struct comm *comm)
{
    int64_t failed = expectations_failed;
    expectations_failed = 0;
    enum status status = comm_allreduce_i64(comm, &failed, 1, 0);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(failed, 0);
}

static struct comm *world; /* between open_world and close_world */

static inline int set_world(void **state)
{
    *state = world;
    return 0;
}

/* The body of main: runs tests[] on all ranks and returns the exit code. */
#define run_on_ranks(argc, argv, tests)                                                  \
    (open_world(&(argc), &(argv))                                                        \
         ? close_world(cmocka_run_group_tests(tests, set_world, NULL))                   \
         : 1)

static inline bool open_world(int *argc, char ***argv)
{
    if (comm_open(argc, argv, &world) == STATUS_OK)
        return true;
    print_error("%s\n", status_message());
    return false;
}

static inline int close_world(int failed)
{
    comm_close(world);
    return failed;
}

#endif
