/* ranks: 1 2 3 4
 * comm: agreement, allreduce, gathered bytes and the counter, against results that every
 * rank computes by itself. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ranks.h"
#include "comm/comm_counter.h"
#include "base/log.h"
#include "base/rng.h"

/* ---- agreement ---- */

static void success_keeps_messages(void **state)
{
    struct comm *comm = *state;
    status_set_message("an older message");
    expect(comm_agree(comm, STATUS_OK) == STATUS_OK);
    expect_text(status_message(), "an older message");
    agree_on_verdict(comm);
}

static void failure_of_one_rank_names_rank_and_host(void **state)
{
    struct comm *comm = *state;
    int size = comm_size(comm);
    for (int failing = 0; failing < size; failing++) {
        enum status mine = STATUS_OK;
        status_set_message("an old message of a rank without failure");
        if (comm_rank(comm) == failing)
            mine = status_fail(STATUS_FAILED, "shard %d: damaged", failing);
        char expected[400];
        if (size == 1)
            snprintf(expected, sizeof expected, "shard 0: damaged");
        else
            snprintf(expected, sizeof expected, "rank %d (%s): shard %d: damaged",
                     failing, comm_host(comm), failing);
        expect(comm_agree(comm, mine) == STATUS_FAILED);
        expect_text(status_message(), expected);
    }
    agree_on_verdict(comm);
}

static void equal_failures_have_no_prefix(void **state)
{
    struct comm *comm = *state;
    expect(comm_agree(comm, status_fail(STATUS_MISUSE, "x.conf: no such file")) ==
           STATUS_MISUSE);
    expect_text(status_message(), "x.conf: no such file");
    agree_on_verdict(comm);
}

/* STATUS_STOPPED on rank 0, STATUS_MISUSE on rank 1, STATUS_FAILED on the others, each
 * with its own message. */
static void agreement_returns_the_worst_status(void **state)
{
    struct comm *comm = *state;
    static const enum status statuses[] = {STATUS_STOPPED, STATUS_MISUSE, STATUS_FAILED};
    int rank = comm_rank(comm), size = comm_size(comm), last = size < 3 ? size - 1 : 2;
    enum status mine = status_fail(statuses[rank < 2 ? rank : 2], "message of %d", rank);
    expect(comm_agree(comm, mine) == statuses[last]);
    char expected[400];
    snprintf(expected, sizeof expected, "rank %d (%s): message of %d", last,
             comm_host(comm), last);
    expect_text(status_message(), size == 1 ? "message of 0" : expected);
    agree_on_verdict(comm);
}

static void equal_statuses_name_the_lowest_rank(void **state)
{
    struct comm *comm = *state;
    enum status mine = status_fail(STATUS_FAILED, "no memory for %d", comm_rank(comm));
    expect(comm_agree(comm, mine) == STATUS_FAILED);
    char expected[400];
    snprintf(expected, sizeof expected, "rank 0 (%s): no memory for 0", comm_host(comm));
    expect_text(status_message(), comm_size(comm) == 1 ? "no memory for 0" : expected);
    agree_on_verdict(comm);
}

/* ---- allreduce ---- */

enum { COUNT = 1000 };

static int64_t integer(int rank, size_t i)
{
    return (int64_t)(rng_block(1, RNG_TEST, (uint64_t)rank, i, 0).word[0] >> 8) -
           (INT64_C(1) << 54);
}

static void integer_sums_do_not_depend_on_the_chunk_size(void **state)
{
    struct comm *comm = *state;
    static const size_t chunks[] = {0, 1, 7, 999, 1000, 1001, SIZE_MAX};
    int64_t values[COUNT];
    for (size_t b = 0; b < sizeof chunks / sizeof *chunks; b++) {
        for (size_t i = 0; i < COUNT; i++)
            values[i] = integer(comm_rank(comm), i);
        expect(comm_allreduce_i64(comm, values, COUNT, chunks[b]) == STATUS_OK);
        for (size_t i = 0; i < COUNT; i++) {
            int64_t expected = 0;
            for (int r = 0; r < comm_size(comm); r++)
                expected += integer(r, i);
            expect(values[i] == expected);
        }
    }
    expect(comm_allreduce_i64(comm, NULL, 0, 0) == STATUS_OK);
    agree_on_verdict(comm);
}

static void max_is_the_largest_value_of_all_ranks(void **state)
{
    struct comm *comm = *state;
    int rank = comm_rank(comm), size = comm_size(comm);
    expect(comm_max_i64(comm, 100 - rank) == 100);
    expect(comm_max_i64(comm, (int64_t)rank << 40) == (int64_t)(size - 1) << 40);
    expect(comm_max_i64(comm, -1 - rank) == -1);
    agree_on_verdict(comm);
}

/* ---- gathered bytes ---- */

static uint8_t byte_of(int rank, size_t i)
{
    return (uint8_t)((i * 2654435761u + (size_t)rank * 97) >> 7);
}

static void broadcast_copies_bytes_of_rank_0(void **state)
{
    struct comm *comm = *state;
    static const size_t sizes[] = {0, 1, (1 << 24) - 1, 1 << 24, (5 << 23) + 3};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint8_t *bytes = malloc(sizes[s] + 1);
        size_t wrong = 0;
        for (size_t i = 0; i < sizes[s]; i++)
            bytes[i] = byte_of(comm_rank(comm), i);
        bytes[sizes[s]] = 0x5a;
        expect(comm_broadcast(comm, bytes, sizes[s]) == STATUS_OK);
        for (size_t i = 0; i < sizes[s]; i++)
            wrong += bytes[i] != byte_of(0, i);
        expect(wrong == 0);
        expect(bytes[sizes[s]] == 0x5a);
        free(bytes);
    }
    agree_on_verdict(comm);
}

/* No bytes from rank 1, more than one message from rank 2. */
static size_t gathered_size(int rank)
{
    static const size_t sizes[] = {10, 0, (1 << 25) + 5, 777};
    return sizes[rank % 4];
}

static void gather_concatenates_in_rank_order(void **state)
{
    struct comm *comm = *state;
    int rank = comm_rank(comm);
    size_t size = gathered_size(rank), *sizes;
    uint8_t *mine = malloc(size + 1), *all;
    for (size_t i = 0; i < size; i++)
        mine[i] = byte_of(rank, i);
    expect(comm_gather(comm, mine, size, &all, &sizes) == STATUS_OK);
    expect((all != NULL) == (rank == 0) && (sizes != NULL) == (rank == 0));
    size_t wrong = 0;
    const uint8_t *at = all;
    for (int r = 0; rank == 0 && r < comm_size(comm); r++) {
        expect(sizes[r] == gathered_size(r));
        for (size_t i = 0; i < sizes[r]; i++)
            wrong += *at++ != byte_of(r, i);
    }
    expect(wrong == 0);
    free(all);
    free(sizes);
    free(mine);
    agree_on_verdict(comm);
}

/* ---- the counter ---- */

enum { ITEMS = 3000, INCREMENT = 7 };

/* Uses no other collective between opening and closing. */
static void assign_items(struct comm *comm, struct comm_counter *counter)
{
    int64_t assigned[ITEMS] = {0}, last = -1;
    for (int64_t next = comm_counter_fetch_add(counter, INCREMENT); next < ITEMS;
         next = comm_counter_fetch_add(counter, INCREMENT)) {
        expect(next > last && next % INCREMENT == 0);
        last = next;
        for (int64_t i = next; i < next + INCREMENT && i < ITEMS; i++) {
            assigned[i]++;
            comm_counter_serve(counter);
        }
    }
    comm_counter_close(counter);
    expect(comm_allreduce_i64(comm, assigned, ITEMS, 0) == STATUS_OK);
    for (int64_t i = 0; i < ITEMS; i++)
        expect(assigned[i] == 1);
}

static void counter_assigns_each_item_once(void **state)
{
    struct comm *comm = *state;
    for (int round = 0; round < 3; round++) { /* a counter can be opened again */
        struct comm_counter *counter;
        expect(comm_counter_open(comm, &counter) == STATUS_OK);
        assign_items(comm, counter);
    }
    comm_counter_close(NULL);
    agree_on_verdict(comm);
}

/* One rank, the last or the first, can't allocate shared memory: no rank may hang. */
static void counter_works_without_shared_memory(void **state)
{
    struct comm *comm = *state;
    const int limited[] = {comm_size(comm) - 1, 0};
    struct rlimit before, none;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    none = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
    for (int i = 0; i < 2; i++) {
        struct comm_counter *counter;
        if (comm_rank(comm) == limited[i])
            setrlimit(RLIMIT_FSIZE, &none);
        expect(comm_counter_open(comm, &counter) == STATUS_OK);
        setrlimit(RLIMIT_FSIZE, &before);
        assign_items(comm, counter);
    }
    agree_on_verdict(comm);
}

/* ---- how a run is started ---- */

static void only_rank_0_logs(void **state)
{
    struct comm *comm = *state;
    expect(log_is_muted() == (comm_rank(comm) != 0));
    expect(strncmp(comm_library_version(), "Open MPI v", 10) != 0 ||
           strlen(comm_library_version()) < 40);
    agree_on_verdict(comm);
}

/* Calls comm_open in a new process with only these environment variables. Returns its
 * exit code, and its first line of output in line[size]. */
static int open_in_new_process(const char *variables, char *line, int size)
{
    char command[512], program[256];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    snprintf(command, sizeof command,
             "env -i PATH=\"$PATH\" ASAN_OPTIONS=detect_leaks=0 %s %s --open", variables,
             program);
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(line, size, pipe))
        line[0] = '\0';
    int exit_status = pipe ? pclose(pipe) : -1;
    return WIFEXITED(exit_status) ? WEXITSTATUS(exit_status) : -1;
}

static void srun_without_pmi_is_refused(void **state)
{
    struct comm *comm = *state;
    if (comm_size(comm) == 1) { /* only alone, as it starts further processes */
        char line[600];
        expect(open_in_new_process("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0", line,
                                   sizeof line) == STATUS_MISUSE);
        expect(strstr(line, "logs: srun started 4 processes") != NULL);
        expect(strstr(line, "srun --mpi=pmix") != NULL);
        expect(open_in_new_process("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=2", line,
                                   sizeof line) == STATUS_MISUSE);
        expect(strstr(line, "mute: srun started") != NULL);
        /* in a batch script, outside any step; and a step of one task */
        expect(open_in_new_process("SLURM_NTASKS=4 SLURM_PROCID=0", line, sizeof line) ==
               0);
        expect(strncmp(line, "logs: 0 of 1", 12) == 0);
        expect(open_in_new_process("SLURM_STEP_NUM_TASKS=1", line, sizeof line) == 0);
        expect(open_in_new_process("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 "
                                   "SLURM_JOB_END_TIME=1700000000",
                                   line, sizeof line) == 0); /* the step is over */
        expect(open_in_new_process("A=b", line, sizeof line) == 0);
    }
    agree_on_verdict(comm);
}

static int open_and_print(int argc, char **argv)
{
    struct comm *comm;
    enum status status = comm_open(&argc, &argv, &comm);
    const char *log = log_is_muted() ? "mute" : "logs";
    if (status != STATUS_OK)
        printf("%s: %s\n", log, status_message());
    else
        printf("%s: %d of %d\n", log, comm_rank(comm), comm_size(comm));
    comm_close(comm);
    return (int)status;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--open") == 0)
        return open_and_print(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success_keeps_messages),
        cmocka_unit_test(failure_of_one_rank_names_rank_and_host),
        cmocka_unit_test(equal_failures_have_no_prefix),
        cmocka_unit_test(agreement_returns_the_worst_status),
        cmocka_unit_test(equal_statuses_name_the_lowest_rank),
        cmocka_unit_test(integer_sums_do_not_depend_on_the_chunk_size),
        cmocka_unit_test(max_is_the_largest_value_of_all_ranks),
        cmocka_unit_test(broadcast_copies_bytes_of_rank_0),
        cmocka_unit_test(gather_concatenates_in_rank_order),
        cmocka_unit_test(counter_assigns_each_item_once),
        cmocka_unit_test(counter_works_without_shared_memory),
        cmocka_unit_test(only_rank_0_logs),
        cmocka_unit_test(srun_without_pmi_is_refused),
    };
    return run_on_ranks(argc, argv, tests);
}
