/* watchdog: the hang detector, the report and /proc, without crashing processes, which
 * test_watchdog.sh has. test_watchdog_port.c tests how the ranks join. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <poll.h>
#include <unistd.h>
#include <cmocka.h>

#include "watchdog/watchdog_internal.h"

/* ---- the hang detector, at time 100 with hang_timeout = 10 ---- */

static struct watchdog_peer peer(enum phase phase, double idle, double last_heartbeat)
{
    return (struct watchdog_peer){.confirmed = true,
                                  .phase = phase,
                                  .step = 7,
                                  .idle = idle,
                                  .last_heartbeat = last_heartbeat};
}

static void expect_cause(struct watchdog_peer *peers, enum watchdog_reason reason,
                         int culprit)
{
    struct watchdog_cause cause = watchdog_find_hang(peers, 3, 3, 100, 10);
    assert_int_equal(cause.reason, reason);
    if (reason != CAUSE_NONE)
        assert_ptr_equal(cause.peer, &peers[culprit]);
}

static void detects_hung_and_silent_ranks(void **state)
{
    (void)state;
    struct watchdog_peer all[3] = {peer(PHASE_WAIT, 9, 100), peer(PHASE_READ, 9, 100),
                                   peer(PHASE_WAIT, 9, 99.5)};
    expect_cause(all, CAUSE_NONE, 0);
    all[1].idle = 10.5;
    expect_cause(all, CAUSE_HANG, 1);
    all[1].idle = 9; /* as of 2 s ago */
    all[1].last_heartbeat = 98;
    expect_cause(all, CAUSE_HANG, 1);
    all[1] = peer(PHASE_WAIT, 15, 100); /* a waiting rank is not hung */
    expect_cause(all, CAUSE_NONE, 0);
    all[0] = peer(PHASE_FORWARD, 11, 100); /* of two hung ranks, the longer one */
    all[2] = peer(PHASE_CHECKPOINT, 12, 100);
    expect_cause(all, CAUSE_HANG, 2);
    all[1] = peer(PHASE_WAIT, 0, 89); /* no heartbeats is worse than no progress */
    expect_cause(all, CAUSE_SILENT, 1);
    all[1].bye_received = true;
    expect_cause(all, CAUSE_HANG, 2);
    all[2].confirmed = false;
    expect_cause(all, CAUSE_HANG, 0);
    struct watchdog_cause disabled = watchdog_find_hang(all, 3, 3, 1000, 0);
    assert_int_equal(disabled.reason, CAUSE_NONE);
}

static void start_and_end_are_not_reported_as_hangs(void **state)
{
    (void)state;
    struct watchdog_peer all[3] = {peer(PHASE_START, 50, 100), peer(PHASE_END, 50, 100),
                                   peer(PHASE_WAIT, 50, 100)};
    all[0].step = 0;
    expect_cause(all, CAUSE_NONE, 0);
    all[0].step = 1; /* the first step has begun */
    expect_cause(all, CAUSE_HANG, 0);
    all[0].step = 0;
    all[1].last_heartbeat = 80;
    expect_cause(all, CAUSE_SILENT, 1);
}

static void detects_that_all_ranks_wait(void **state)
{
    (void)state;
    struct watchdog_peer all[3] = {peer(PHASE_WAIT, 25, 100), peer(PHASE_WAIT, 19, 100),
                                   peer(PHASE_WAIT, 30, 100)};
    expect_cause(all, CAUSE_NONE, 0);
    all[1].idle = 21;
    struct watchdog_cause cause = watchdog_find_hang(all, 3, 3, 100, 10);
    assert_int_equal(cause.reason, CAUSE_ALL_WAIT);
    assert_true(cause.seconds == 21);
    cause = watchdog_find_hang(all, 3, 4, 100, 10); /* a fourth rank is not watched */
    assert_int_equal(cause.reason, CAUSE_NONE);
    all[2].phase = PHASE_END;
    expect_cause(all, CAUSE_NONE, 0);
}

/* ---- the report ---- */

static const char *report_of(const struct watchdog_cause *cause, const char *command)
{
    static char text[2000];
    size_t length = watchdog_format_report(cause, 100, "", command, text, sizeof text);
    assert_int_equal(length, strlen(text));
    return text;
}

static void formats_each_cause(void **state)
{
    (void)state;
    struct watchdog_peer culprit = peer(PHASE_BACKWARD, 0, 99.8);
    culprit.process = (struct watchdog_process){.rank = 2, .pid = 4711, .host = "n2"};
    struct watchdog_cause cause = {
        .reason = CAUSE_SIGNAL, .peer = &culprit, .number = SIGBUS, .seconds = 61};
    assert_string_equal(
        report_of(&cause, "mpirun -n 4 tutti train my.conf --resume"),
        "tutti: root cause: rank 2 (n2, pid 4711) was killed by signal 7 (SIGBUS)\n"
        "  last seen      step 7, backward, 0.2 s ago\n"
        "  checkpoint     none yet\n"
        "  resume with    mpirun -n 4 tutti train my.conf --resume\n");
    assert_non_null(strstr(report_of(&cause, "this\nor that"),
                           "\n  resume with    this\n  or             or that\n"));
    cause.reason = CAUSE_EXIT;
    assert_non_null(
        strstr(report_of(&cause, ""), "pid 4711) exited with code 7 during the"));
    cause.reason = CAUSE_HANG;
    assert_non_null(
        strstr(report_of(&cause, ""), "hangs: no progress for 61 s in phase backward\n"));
    cause.reason = CAUSE_SILENT;
    assert_non_null(
        strstr(report_of(&cause, ""), "has sent no heartbeat for 61 s: it is"));
    cause.reason = CAUSE_ALL_WAIT;
    assert_non_null(strstr(report_of(&cause, ""),
                           "cause: all ranks have waited for each other for 61 s"));
    cause.reason = CAUSE_LOST;
    cause.number = SIGKILL; /* a status of waitpid */
    assert_non_null(strstr(report_of(&cause, ""), "was killed by signal 9 (SIGKILL)\n"));
    cause.number = 3 << 8;
    assert_non_null(
        strstr(report_of(&cause, ""), "exited with code 3, without a crash message\n"));
    cause.number = 0;
    assert_non_null(
        strstr(report_of(&cause, ""), "was killed without a crash message: by SIGKILL"));
}

/* Hosts and messages arrive over the network. */
static void received_text_is_escaped(void **state)
{
    (void)state;
    struct watchdog_peer culprit = peer(PHASE_BACKWARD, 0, 99.8);
    culprit.process =
        (struct watchdog_process){.rank = 2, .pid = 4711, .host = "n\n2\033["};
    struct watchdog_cause cause = {
        .reason = CAUSE_FAILED, .peer = &culprit, .text = "x\ntutti: done\033[2K"};
    assert_non_null(strstr(report_of(&cause, "this"),
                           "rank 2 (n\\x0A2\\x1B[, pid 4711) ended the run: "
                           "x\\x0Atutti: done\\x1B[2K\n  last seen"));
}

/* ---- processes ---- */

/* Starts a child process that describes itself. */
static pid_t fork_described(struct watchdog_process *child)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        watchdog_process_self(child, 3, "here");
        if (write(pipe_fds[1], child, sizeof *child) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipe_fds[0], child, sizeof *child), sizeof *child);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return pid;
}

static void only_the_same_process_is_killed(void **state)
{
    (void)state;
    struct watchdog_process self, child, other;
    watchdog_process_self(&self, 3, "here");
    assert_true(self.pid_namespace != 0 && self.start_time != 0);
    assert_int_equal(watchdog_process_query(&self).state, 'R');
    pid_t pid = fork_described(&child);
    assert_true(child.pid == pid && child.pid_namespace == self.pid_namespace);
    other = child;
    other.start_time++; /* a reused pid */
    watchdog_process_kill(&other);
    assert_int_equal(watchdog_process_query(&other).state, 0);
    other = child;
    other.pid_namespace++; /* the same pid in another namespace */
    watchdog_process_kill(&other);
    assert_int_equal(watchdog_process_query(&other).state, 0);
    poll(NULL, 0, 50);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    watchdog_process_kill(&child);
    for (int i = 0; i < 1000 && watchdog_process_query(&child).state != 'Z'; i++)
        poll(NULL, 0, 10); /* until its parent has reaped it */
    assert_int_equal(watchdog_process_query(&child).state, 'Z');
    assert_int_equal(watchdog_process_query(&child).exit_code, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detects_hung_and_silent_ranks),
        cmocka_unit_test(start_and_end_are_not_reported_as_hangs),
        cmocka_unit_test(detects_that_all_ranks_wait),
        cmocka_unit_test(formats_each_cause),
        cmocka_unit_test(received_text_is_escaped),
        cmocka_unit_test(only_the_same_process_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
