/* deadline, squeue: interpretation of Slurm's replies; a late or missing reply delays
 * nothing. A script replaces squeue. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "remove_tree.h"
#include "base/file.h"
#include "base/progress.h"
#include "train/deadline.h"
#include "train/squeue.h"

static char directory[] = "/tmp/tutti-deadline-XXXXXX";
static const double timeout = 20; /* seconds; generous for a busy machine */

static void parses_times_of_squeue(void **state)
{
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {
        {"0:00", 0},
        {"5:07", 307},
        {"59:59", 3599},
        {"1:00:00", 3600},
        {"23:59:59", 86399},
        {"1-00:00:00", 86400},
        {"12-03:04:05", 1047845},
        {"UNLIMITED", HUGE_VAL},
        {"NOT_SET", -1},
        {"INVALID", -1},
        {"", -1},
        {"17", -1},
        {"1-05:30", -1},
        {"1:2:3:4", -1},
        {"1:2:3:4:5", -1},
        {"-5:00", -1},
        {"5:-1", -1},
        {"1:00:00 and more", -1},
        {"slurm_load_jobs error: Invalid job id specified", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double found = squeue_parse(cases[i].text);
        if (!(found == cases[i].seconds))
            fail_msg("\"%s\": %g (expected %g)", cases[i].text, found, cases[i].seconds);
    }
}

static void uses_the_setting_without_slurm(void **state)
{
    struct deadline *deadline;
    (void)state;
    assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
    assert_true(deadline_left(deadline) == HUGE_VAL);
    deadline_close(deadline);
    assert_int_equal(deadline_open(2, &deadline), STATUS_OK);
    double left = deadline_left(deadline);
    assert_true(left <= 120 && left > 120 - timeout);
    usleep(30000);
    assert_true(deadline_left(deadline) <= left - 0.03);
    deadline_close(deadline);
    deadline_close(NULL);
}

/* Puts a script before the real squeue in PATH, and simulates that this process is in a
 * job. */
static void install_fake_squeue(const char *script)
{
    char path[128], text[512], *path_variable = NULL;
    snprintf(path, sizeof path, "%s/squeue", directory);
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    assert_int_equal(file_write(path, text, strlen(text)), STATUS_OK);
    assert_int_equal(chmod(path, 0755), 0);
    assert_true(asprintf(&path_variable, "%s:/usr/bin:/bin", directory) > 0);
    setenv("PATH", path_variable, 1);
    free(path_variable);
    setenv("SLURM_JOB_ID", "4711", 1);
    unsetenv("SLURM_ARRAY_JOB_ID");
    unsetenv("SLURM_ARRAY_TASK_ID");
    unsetenv("SLURM_JOB_END_TIME");
}

static bool wait_for_limit(const struct deadline *deadline, double below)
{
    for (double began = clock_seconds(); clock_seconds() - began < timeout; usleep(10000))
        if (deadline_left(deadline) <= below)
            return true;
    return false;
}

static char *file_text(const char *name)
{
    char path[128];
    uint8_t *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (file_read(path, 0, &bytes, &size) != STATUS_OK)
        return NULL;
    bytes[size] = '\0';
    return (char *)bytes;
}

static void assert_arguments(const char *words)
{
    char *arguments = file_text("asked");
    assert_non_null(arguments);
    assert_string_equal(arguments, words);
    free(arguments);
}

static void queries_squeue_for_the_job(void **state)
{
    struct deadline *deadline;
    char script[200];
    (void)state;
    snprintf(script, sizeof script, "echo \"$*\" >%s/asked\necho 1:01:40", directory);
    install_fake_squeue(script);
    assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
    assert_true(wait_for_limit(deadline, 3700));
    assert_true(deadline_left(deadline) > 3700 - timeout);
    deadline_close(deadline);
    assert_arguments("--noheader --jobs 4711 --format=%L\n");
    /* the setting may be earlier; an array element is queried as JOB_INDEX */
    setenv("SLURM_ARRAY_JOB_ID", "4700", 1);
    setenv("SLURM_ARRAY_TASK_ID", "3", 1);
    assert_int_equal(deadline_open(10, &deadline), STATUS_OK);
    assert_true(deadline_left(deadline) <= 600);
    for (double began = clock_seconds(); clock_seconds() - began < timeout;
         usleep(10000)) {
        char *arguments = file_text("asked");
        bool is_second_query = arguments && strstr(arguments, "4700_3");
        free(arguments);
        if (is_second_query)
            break;
    }
    deadline_close(deadline);
    assert_arguments("--noheader --jobs 4700_3 --format=%L\n");
}

/* If little time is left, the second query follows five seconds after the first. */
static void follows_an_extended_limit(void **state)
{
    struct deadline *deadline;
    char script[200];
    (void)state;
    snprintf(script, sizeof script,
             "test -e %s/before && echo 2:00:00 || echo 0:08\ntouch %s/before", directory,
             directory);
    install_fake_squeue(script);
    assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
    assert_true(wait_for_limit(deadline, 8));
    for (double began = clock_seconds(); clock_seconds() - began < timeout; usleep(10000))
        if (deadline_left(deadline) > 3600)
            break;
    assert_true(deadline_left(deadline) > 7200 - timeout);
    deadline_close(deadline);
}

static void uses_the_end_time_of_the_environment(void **state)
{
    struct deadline *deadline;
    char ends[32];
    (void)state;
    install_fake_squeue("exit 1");
    snprintf(ends, sizeof ends, "%lld", (long long)time(NULL) + 500);
    setenv("SLURM_JOB_END_TIME", ends, 1);
    assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
    double left = deadline_left(deadline);
    assert_true(left <= 501 && left > 500 - timeout);
    deadline_close(deadline);
    unsetenv("SLURM_JOB_END_TIME");
}

/* Waits until the time left lies in [low, high]; HUGE_VAL: no limit. */
static void expect_left(const struct deadline *deadline, double low, double high,
                        const char *what)
{
    double left = deadline_left(deadline);
    for (double began = clock_seconds();
         !(left >= low && left <= high) && clock_seconds() - began < timeout;
         usleep(10000))
        left = deadline_left(deadline);
    if (!(left >= low && left <= high))
        fail_msg("%s: %g s left", what, left);
}

/* A shell that has outlived its job, and jobs that only appear to have ended. */
static void ignores_variables_of_an_ended_job(void **state)
{
    static const struct {
        double ends; /* SLURM_JOB_END_TIME, from now */
        const char *squeue;
        double low, high;
    } cases[] = {
        {-1e8, "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
         HUGE_VAL, HUGE_VAL},
        {-1e8, "exit 0", HUGE_VAL, HUGE_VAL},
        {-1e8, "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1", HUGE_VAL,
         HUGE_VAL},
        {-60, "echo 20:00", 1100, 1200}, /* extended */
        {-60, "echo 'a complaint' >&2; echo 20:00", 1100, 1200},
        {-60, "echo INVALID", -100, 0}, /* in the grace period */
        {500, "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
         HUGE_VAL, HUGE_VAL},      /* cancelled before its end */
        {500, "exit 0", 400, 501}, /* a filter, a cache */
        {500, "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1", 400, 501},
        {500, "exit 1", 400, 501},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct deadline *deadline;
        char ends[32];
        install_fake_squeue(cases[i].squeue);
        snprintf(ends, sizeof ends, "%lld",
                 (long long)time(NULL) + (long long)cases[i].ends);
        setenv("SLURM_JOB_END_TIME", ends, 1);
        assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
        expect_left(deadline, cases[i].low, cases[i].high, cases[i].squeue);
        usleep(200000); /* still so after squeue has replied */
        expect_left(deadline, cases[i].low, cases[i].high, cases[i].squeue);
        deadline_close(deadline);
    }
    setenv("PATH", "/nowhere", 1);
    setenv("SLURM_JOB_END_TIME", "1700000000", 1);
    struct deadline *deadline;
    assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
    usleep(50000);
    assert_true(deadline_left(deadline) == HUGE_VAL);
    deadline_close(deadline);
    unsetenv("SLURM_JOB_END_TIME");
}

static void close_kills_a_silent_squeue(void **state)
{
    struct deadline *deadline;
    char script[200], *pid = NULL;
    (void)state;
    snprintf(script, sizeof script,
             "echo $$ >%s/pid.new; mv %s/pid.new %s/pid\n"
             "exec sleep 1000",
             directory, directory, directory);
    install_fake_squeue(script);
    assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
    for (double began = clock_seconds(); !pid && clock_seconds() - began < timeout;
         usleep(10000))
        pid = file_text("pid");
    assert_non_null(pid);
    assert_true(deadline_left(deadline) == HUGE_VAL);
    double began = clock_seconds();
    deadline_close(deadline);
    assert_true(clock_seconds() - began < timeout / 2);
    assert_int_equal(kill(atoi(pid), 0), -1); /* it is gone, not a zombie */
    free(pid);
}

static void ignores_unparsable_output_and_a_missing_squeue(void **state)
{
    static const char *const scripts[] = {
        "echo NOT_SET", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1",
        "yes 1:00 | head -c 100000"};
    struct deadline *deadline;
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        install_fake_squeue(scripts[i]);
        assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
        usleep(200000);
        double left = deadline_left(deadline);
        assert_true(left == HUGE_VAL || (i == 2 && left <= 60));
        deadline_close(deadline);
    }
    setenv("PATH", "/nowhere", 1);
    assert_int_equal(deadline_open(0, &deadline), STATUS_OK);
    usleep(50000);
    assert_true(deadline_left(deadline) == HUGE_VAL);
    deadline_close(deadline);
}

static int set_up(void **state)
{
    (void)state;
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_ARRAY_JOB_ID");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_tree(directory) == STATUS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_times_of_squeue),
        cmocka_unit_test(uses_the_setting_without_slurm),
        cmocka_unit_test(queries_squeue_for_the_job),
        cmocka_unit_test(follows_an_extended_limit),
        cmocka_unit_test(uses_the_end_time_of_the_environment),
        cmocka_unit_test(ignores_variables_of_an_ended_job),
        cmocka_unit_test(close_kills_a_silent_squeue),
        cmocka_unit_test(ignores_unparsable_output_and_a_missing_squeue),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
