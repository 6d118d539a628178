/* inject: accepted and rejected texts, and when a fault triggers. The list is global and
 * only grows, so each test uses faults of its own. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/inject.h"
#include "base/progress.h"

static void expect_rejected(const char *text, const char *message)
{
    if (inject_add(text) != STATUS_MISUSE || !strstr(status_message(), message))
        fail_msg("%s gave: %s\nnot: %s", text, status_message(), message);
}

static void expect_accepted(const char *text)
{
    if (inject_add(text) != STATUS_OK)
        fail_msg("%s: %s", text, status_message());
}

static void rejects_malformed_specifications(void **state)
{
    (void)state;
    expect_rejected("", "no such fault");
    expect_rejected("kil@1:2", "--inject kil@1:2: no such fault (there are kill, ");
    expect_rejected("kil@1:2", "did you mean kill?");
    expect_rejected("full_disc@0:2", "did you mean full-disk?");
    expect_rejected("kill", "the rank is a number from 0, or *");
    expect_rejected("kill@", "the rank is a number");
    expect_rejected("kill@-1:3", "the rank is a number");
    expect_rejected("kill@99999999999:3", "the rank is a number");
    expect_rejected("kill@x:3", "the rank is a number");
    expect_rejected("kill@1", "the step is a number from 1");
    expect_rejected("kill@1:", "the step is a number from 1");
    expect_rejected("kill@1:0", "the step is a number from 1");
    expect_rejected("kill@1:3x", "the step is a number from 1");
    expect_rejected("kill@1:3:1", "only slow and hang take seconds");
    expect_rejected("slow@1:3:", "the seconds are missing");
    expect_rejected("slow@1:3:x", "the seconds are a number");
    expect_rejected("slow@1:3:-1", "the seconds are a number");
    expect_rejected("slow@1:3:1:2", "the seconds are a number");
    expect_rejected("torn@1:3", "checkpoints are written by rank 0");
    expect_rejected("full-disk@2:3",
                    "expected FAULT@RANK:STEP[:SECONDS], for example kill@1:20");
}

static void step_fault_triggers_once(void **state)
{
    (void)state;
    expect_accepted("nan@2:7");
    inject_set_rank(1);
    assert_false(inject_triggered(FAULT_NAN, 7));
    inject_set_rank(2);
    assert_false(inject_triggered(FAULT_NAN, 6));
    assert_false(inject_triggered(FAULT_NAN, 8));
    assert_false(inject_triggered(FAULT_KILL, 7));
    assert_true(inject_triggered(FAULT_NAN, 7));
    assert_false(inject_triggered(FAULT_NAN, 7));
    expect_accepted("nan@*:9");
    assert_true(inject_triggered(FAULT_NAN, 9));
}

static void slow_fault_triggers_in_every_later_step(void **state)
{
    (void)state;
    inject_set_rank(3);
    expect_accepted("slow@3:5:0.25");
    assert_false(inject_triggered(FAULT_SLOW, 4));
    assert_true(inject_triggered(FAULT_SLOW, 5));
    assert_true(inject_seconds() == 0.25);
    expect_accepted("slow@*:6");
    for (int step = 5; step < 9; step++) { /* the longer delay applies */
        assert_true(inject_triggered(FAULT_SLOW, step));
        assert_true(inject_seconds() == 0.25);
    }
    inject_set_rank(0);
    assert_false(inject_triggered(FAULT_SLOW, 5));
    assert_true(inject_triggered(FAULT_SLOW, 6));
    assert_true(inject_seconds() == 0.1);
    double began = clock_seconds();
    inject_fire(6);
    assert_true(clock_seconds() - began >= 0.1);
}

/* The previous test has reached step 6 in this process. */
static void checkpoint_fault_triggers_at_next_checkpoint(void **state)
{
    (void)state;
    inject_set_rank(0);
    expect_accepted("full-disk@0:10");
    assert_false(inject_triggered(FAULT_FULL_DISK, 9));
    assert_true(inject_triggered(FAULT_FULL_DISK, 14));
    assert_false(inject_triggered(FAULT_FULL_DISK, 14));
    expect_accepted("io-error@*:5"); /* already past when the run was resumed */
    assert_false(inject_triggered(FAULT_IO_ERROR, 14));
}

/* Exit status of a process that makes this step. */
static int exit_status_after(const char *fault, int64_t step)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        inject_set_rank(0);
        if (inject_add(fault) != STATUS_OK)
            _exit(99);
        inject_fire(step);
        _exit(42);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return status;
}

static void faults_end_the_process_as_specified(void **state)
{
    (void)state;
    int status = exit_status_after("kill@0:3", 3);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = exit_status_after("exit@0:3", 3);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    status = exit_status_after("stop@0:3", 3);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    double began = clock_seconds();
    status = exit_status_after("hang@0:3:0.3", 3);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    assert_true(clock_seconds() - began >= 0.3);
    for (int step = 2; step < 5; step += 2) {
        status = exit_status_after("kill@0:3", step);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
}

static void rejects_nonexistent_rank(void **state)
{
    (void)state;
    assert_int_equal(inject_check_ranks(4), STATUS_OK); /* slow@3 is the highest rank */
    assert_int_equal(inject_check_ranks(3), STATUS_MISUSE);
    assert_string_equal(status_message(), "--inject slow@3:5: there are 3 ranks, from 0");
}

static void help_lists_every_fault(void **state)
{
    (void)state;
    for (int fault = 0; fault < FAULTS; fault++)
        if (!strstr(inject_help(), inject_name((enum fault)fault)))
            fail_msg("%s is not in the help", inject_name((enum fault)fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rejects_malformed_specifications),
        cmocka_unit_test(step_fault_triggers_once),
        cmocka_unit_test(slow_fault_triggers_in_every_later_step),
        cmocka_unit_test(checkpoint_fault_triggers_at_next_checkpoint),
        cmocka_unit_test(faults_end_the_process_as_specified),
        cmocka_unit_test(rejects_nonexistent_rank),
        cmocka_unit_test(help_lists_every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
