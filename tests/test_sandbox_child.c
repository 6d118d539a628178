/* sandbox: the child's reply, and how its death is reported. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sandbox.h"

static const char *const paths[] = {"/nowhere/file.h5", "/nowhere"};
static const struct sandbox_inputs inputs = {.paths = paths, .count = 2};

enum { REPLY_BYTES = 3000000 }; /* more than a pipe holds */

static enum status send_much(void *context, FILE *reply)
{
    const int *first = context;
    for (int i = 0; i < REPLY_BYTES; i++)
        fputc(*first + i, reply);
    return STATUS_OK;
}

static void reply_is_complete(void **state)
{
    (void)state;
    int first = 7;
    struct sandbox_reply reply;
    assert_int_equal(sandbox_run(&inputs, send_much, &first, &reply), STATUS_OK);
    assert_int_equal(reply.size, REPLY_BYTES);
    for (int i = 0; i < REPLY_BYTES; i++)
        assert_int_equal(reply.bytes[i], (uint8_t)(first + i));
    free(reply.bytes);
}

static enum status send_and_fail(void *context, FILE *reply)
{
    enum status *status = context;
    fputs("part", reply);
    return status_fail(*status, "line\nof %d", 12);
}

static void failure_keeps_code_and_message(void **state)
{
    (void)state;
    enum status codes[] = {STATUS_FAILED, STATUS_MISUSE};
    for (int i = 0; i < 2; i++) {
        struct sandbox_reply reply;
        assert_int_equal(sandbox_run(&inputs, send_and_fail, &codes[i], &reply),
                         codes[i]);
        assert_string_equal(status_message(), "line\\x0Aof 12");
        assert_null(reply.bytes);
        assert_int_equal(reply.size, 0);
    }
}

static enum status fail_with(void *context, FILE *reply)
{
    (void)reply;
    return status_fail(STATUS_FAILED, "%s", (const char *)context);
}

static void runs_without_reply(void **state)
{
    (void)state;
    char text[] = "why";
    assert_int_equal(sandbox_run(&inputs, fail_with, text, NULL), STATUS_FAILED);
    assert_string_equal(status_message(), "why");
}

struct death {
    int number; /* signal */
    const char *opened;
    bool computing;
};

static enum status die(void *context, FILE *reply)
{
    const struct death *death = context;
    (void)reply;
    if (death->opened)
        sandbox_set_path(death->opened);
    if (death->computing)
        sandbox_begin_computing();
    signal(death->number, SIG_DFL); /* a sanitizer's handler */
    raise(death->number);
    return STATUS_OK;
}

static void assert_message(struct death death, const char *expected)
{
    assert_int_equal(sandbox_run(&inputs, die, &death, NULL), STATUS_FAILED);
    assert_non_null(strstr(status_message(), expected));
}

static void crash_message_names_file_and_signal(void **state)
{
    (void)state;
    assert_message((struct death){SIGSEGV, NULL, false},
                   "/nowhere/file.h5: damaged: reading it ended in signal 11 (SIGSEGV)");
    assert_message((struct death){SIGBUS, "other.h5", false},
                   "other.h5: damaged: reading it ended in signal 7 (SIGBUS)");
    assert_message((struct death){SIGFPE, "a\033[1mb", false}, "a\\x1B[1mb: damaged: ");
    assert_message((struct death){SIGKILL, "other.h5", false},
                   "other.h5: reading it was ended by signal 9 (SIGKILL)");
    assert_message((struct death){SIGABRT, "other.h5", true},
                   "other.h5: computing with it ended in signal 6 (SIGABRT)");
}

static enum status leave(void *context, FILE *reply)
{
    (void)reply;
    _exit(*(int *)context);
}

static void early_exit_is_a_failure(void **state)
{
    (void)state;
    int codes[] = {0, 3};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sandbox_run(&inputs, leave, &codes[i], NULL), STATUS_FAILED);
        assert_non_null(strstr(status_message(), "reading it ended with exit code"));
    }
}

/* Runs in a process of its own, which the signal must terminate. */
static int parent_exit_status(int number)
{
    struct death death = {number, NULL, false};
    int state = 0;
    pid_t parent = fork();
    if (parent == 0) {
        sandbox_run(&inputs, die, &death, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(parent, &state, 0), parent);
    return WIFSIGNALED(state) ? WTERMSIG(state) : 0;
}

static void other_signals_end_the_parent(void **state)
{
    (void)state;
    int numbers[] = {SIGINT, SIGTERM, SIGPIPE, SIGHUP};
    for (int i = 0; i < 4; i++)
        assert_int_equal(parent_exit_status(numbers[i]), numbers[i]);
}

static void works_with_sigchld_ignored(void **state)
{
    (void)state;
    struct sigaction after;
    signal(SIGCHLD, SIG_IGN);
    assert_message((struct death){SIGSEGV, NULL, false}, "SIGSEGV");
    sigaction(SIGCHLD, NULL, &after);
    assert_ptr_equal(after.sa_handler, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
}

static void no_effect_outside_sandbox(void **state)
{
    (void)state;
    sandbox_set_path("file.h5");
    sandbox_begin_computing();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_is_complete),
        cmocka_unit_test(failure_keeps_code_and_message),
        cmocka_unit_test(runs_without_reply),
        cmocka_unit_test(crash_message_names_file_and_signal),
        cmocka_unit_test(early_exit_is_a_failure),
        cmocka_unit_test(other_signals_end_the_parent),
        cmocka_unit_test(works_with_sigchld_ignored),
        cmocka_unit_test(no_effect_outside_sandbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
