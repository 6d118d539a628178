/* sample_thread: the thread sees the state at the time of the call, regardless of later
 * changes; an epoch's samples are published together or not at all; cancelling ends them
 * soon; their progress counts only while the caller waits for them. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tiny_checkpoint.h"
#include "remove_tree.h"
#include "base/file.h"
#include "base/phase.h"
#include "base/progress.h"
#include "train/sample_thread.h"

static char directory[] = "/tmp/tutti-samples-XXXXXX";
enum { FILES = 3 };
static const double timeout = 60; /* only catches hangs */

/* What a test makes the thread do. */
struct script {
    atomic_bool entered, go; /* the thread waits for `go` between its first two files */
    bool fails, obeys_cancel;
    int progress_calls; /* while waiting, one per millisecond */
    int priority;       /* of the thread */
    bool blocks_signals;
};

struct fixture {
    struct run_directory run;
    struct checkpoint checkpoint;
    struct sample_thread *thread;
    struct script script;
};

static void sleep_millisecond(void)
{
    usleep(1000);
}

static bool blocks_all_signals(void)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGTERM) && sigismember(&mask, SIGUSR1);
}

/* Every file holds the sum of the weights. */
static enum status write_file(const struct epoch_samples *samples, int number)
{
    char path[512], text[64];
    const struct checkpoint *checkpoint = samples->checkpoint;
    double sum = 0;
    for (size_t i = 0; i < checkpoint->params.total; i++)
        sum += (double)checkpoint->weights[i];
    snprintf(path, sizeof path, "%s/epoch-%04d-%d.mid", samples->directory,
             (int)checkpoint->state.epoch, number);
    snprintf(text, sizeof text, "%.17g", sum);
    return file_write(path, text, strlen(text));
}

static enum status follow_script(const struct epoch_samples *samples,
                                 char summary[STATUS_MESSAGE_SIZE], void *context)
{
    struct script *script = context;
    script->priority = getpriority(PRIO_PROCESS, 0);
    script->blocks_signals = blocks_all_signals();
    enum status status = write_file(samples, 1);
    atomic_store(&script->entered, true);
    while (!atomic_load(&script->go)) {
        if (script->obeys_cancel && atomic_load(samples->cancelled))
            return status_fail(STATUS_STOPPED, "cancelled");
        for (int i = 0; i < script->progress_calls; i++)
            phase_progress();
        sleep_millisecond();
    }
    for (int number = 2; number <= FILES && status == STATUS_OK; number++)
        status = write_file(samples, number);
    if (script->fails)
        return status_fail(STATUS_FAILED, "no space for samples");
    snprintf(summary, STATUS_MESSAGE_SIZE, "epoch %d",
             (int)samples->checkpoint->state.epoch);
    return status;
}

static void open_fixture(struct fixture *fixture, const char *name)
{
    char path[128];
    memset(&fixture->script, 0, sizeof fixture->script);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(run_directory_open(path, RUN_RESUMED, &fixture->run), STATUS_OK);
    assert_int_equal(tiny_checkpoint(&fixture->checkpoint, ENCODING_PERFORMANCE, 5),
                     STATUS_OK);
    assert_int_equal(sample_thread_open(&fixture->run, &fixture->checkpoint,
                                        follow_script, &fixture->script,
                                        &fixture->thread),
                     STATUS_OK);
}

static void close_fixture(struct fixture *fixture)
{
    sample_thread_close(fixture->thread);
    run_directory_free(&fixture->run);
    checkpoint_free(&fixture->checkpoint);
}

static void wait_until_entered(const struct fixture *fixture)
{
    double end = clock_seconds() + timeout;
    while (!atomic_load(&fixture->script.entered))
        assert_true(clock_seconds() < end);
}

/* Files in samples/ by their names; *partial: the staging folders. */
static int count_samples(const struct fixture *fixture, int *partial)
{
    int count = 0;
    *partial = 0;
    DIR *folder = opendir(fixture->run.samples);
    assert_non_null(folder);
    for (struct dirent *at; (at = readdir(folder));) {
        count += strncmp(at->d_name, "epoch-", 6) == 0;
        *partial += strncmp(at->d_name, ".epoch.", 7) == 0;
    }
    closedir(folder);
    return count;
}

static void assert_samples(const struct fixture *fixture, int count)
{
    int partial;
    assert_int_equal(count_samples(fixture, &partial), count);
    assert_int_equal(partial, 0);
}

static struct sample_result complete(struct fixture *fixture)
{
    struct sample_result result = {.status = STATUS_MISUSE};
    atomic_store(&fixture->script.go, true);
    assert_true(sample_thread_wait(fixture->thread, timeout));
    assert_true(sample_thread_collect(fixture->thread, &result));
    assert_false(sample_thread_collect(fixture->thread, &result));
    return result;
}

/* The last sample of the epoch holds `sum`. */
static void assert_sample_holds(const struct fixture *fixture, int epoch, double sum)
{
    char path[512];
    uint8_t *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/epoch-%04d-%d.mid", fixture->run.samples, epoch,
             FILES);
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    char *text = strndup((char *)bytes, size);
    assert_true(strtod(text, NULL) == sum);
    free(text);
    free(bytes);
}

static void set_weights(struct fixture *fixture, float value)
{
    for (size_t i = 0; i < fixture->checkpoint.params.total; i++)
        fixture->checkpoint.weights[i] = value;
}

static void writes_the_state_at_the_call(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "state");
    const double total = (double)fixture.checkpoint.params.total;
    for (int epoch = 1; epoch <= 3; epoch++) {
        atomic_store(&fixture.script.go, false);
        atomic_store(&fixture.script.entered, false);
        set_weights(&fixture, (float)epoch);
        fixture.checkpoint.state.epoch = epoch;
        sample_thread_start(fixture.thread, &fixture.checkpoint);
        wait_until_entered(&fixture);
        set_weights(&fixture, -7);
        fixture.checkpoint.state.epoch = 99;
        struct sample_result result = complete(&fixture);
        char expected[32];
        snprintf(expected, sizeof expected, "epoch %d", epoch);
        assert_int_equal(result.status, STATUS_OK);
        assert_int_equal(result.epoch, epoch);
        assert_string_equal(result.message, expected);
        assert_sample_holds(&fixture, epoch, epoch * total);
        assert_samples(&fixture, FILES * epoch);
    }
    close_fixture(&fixture);
}

static void publishes_nothing_before_all_are_complete(void **state)
{
    struct fixture fixture;
    struct sample_result result;
    int partial;
    (void)state;
    open_fixture(&fixture, "together");
    assert_true(sample_thread_wait(fixture.thread, 0)); /* there are none */
    assert_false(sample_thread_collect(fixture.thread, &result));
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    wait_until_entered(&fixture);
    assert_false(sample_thread_wait(fixture.thread, 0.02));
    assert_false(sample_thread_collect(fixture.thread, &result));
    assert_int_equal(count_samples(&fixture, &partial), 0);
    assert_int_equal(partial, 1);
    assert_int_equal(complete(&fixture).status, STATUS_OK);
    assert_samples(&fixture, FILES);
    close_fixture(&fixture);
}

static void failure_publishes_nothing(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "failure");
    fixture.script.fails = true;
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    struct sample_result result = complete(&fixture);
    assert_int_equal(result.status, STATUS_FAILED);
    assert_string_equal(result.message, "no space for samples");
    assert_samples(&fixture, 0);
    fixture.script.fails = false; /* the next ones are not affected */
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    assert_int_equal(complete(&fixture).status, STATUS_OK);
    assert_samples(&fixture, FILES);
    close_fixture(&fixture);
}

static void staging_failure_is_a_result(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "staging");
    assert_int_equal(rmdir(fixture.run.samples), 0);
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    struct sample_result result = complete(&fixture);
    assert_int_equal(result.status, STATUS_FAILED);
    assert_non_null(strstr(result.message, "can't be created"));
    close_fixture(&fixture);
}

static void cancelled_samples_leave_nothing(void **state)
{
    struct fixture fixture;
    struct sample_result result;
    (void)state;
    open_fixture(&fixture, "cancelled");
    fixture.script.obeys_cancel = true;
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    wait_until_entered(&fixture);
    sample_thread_cancel(fixture.thread);
    assert_true(sample_thread_wait(fixture.thread, timeout));
    assert_true(sample_thread_collect(fixture.thread, &result));
    assert_int_equal(result.status, STATUS_STOPPED);
    assert_samples(&fixture, 0);
    atomic_store(&fixture.script.entered, false);
    sample_thread_start(fixture.thread, &fixture.checkpoint); /* not cancelled */
    wait_until_entered(&fixture);
    assert_false(sample_thread_wait(fixture.thread, 0.05));
    assert_int_equal(complete(&fixture).status, STATUS_OK);
    assert_samples(&fixture, FILES);
    close_fixture(&fixture);
}

static void close_cancels(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "closed");
    fixture.script.obeys_cancel = true;
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    wait_until_entered(&fixture);
    sample_thread_close(fixture.thread); /* would hang otherwise */
    fixture.thread = NULL;
    assert_samples(&fixture, 0);
    close_fixture(&fixture);
}

/* A main thread that hangs must not look alive because samples are under way. */
static void progress_counts_only_for_who_waits(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "progress");
    fixture.script.progress_calls = 10;
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    wait_until_entered(&fixture);
    uint64_t before = phase_state().progress;
    for (int i = 0; i < 50; i++)
        sleep_millisecond();
    assert_int_equal(phase_state().progress, before);
    assert_false(sample_thread_wait(fixture.thread, 0.02));
    assert_true(phase_state().progress > before);
    assert_int_equal(complete(&fixture).status, STATUS_OK);
    before = phase_state().progress;
    assert_true(sample_thread_wait(fixture.thread, 0.01)); /* nothing more happens */
    assert_int_equal(phase_state().progress, before);
    close_fixture(&fixture);
}

static void samples_without_progress_are_a_hang(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "hang");
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    wait_until_entered(&fixture);
    uint64_t before = phase_state().progress;
    for (int i = 0; i < 5; i++)
        assert_false(sample_thread_wait(fixture.thread, 0.01));
    assert_int_equal(phase_state().progress, before);
    assert_int_equal(complete(&fixture).status, STATUS_OK);
    close_fixture(&fixture);
}

static void thread_blocks_signals_and_has_low_priority(void **state)
{
    struct fixture fixture;
    int own = getpriority(PRIO_PROCESS, 0);
    (void)state;
    open_fixture(&fixture, "thread");
    sample_thread_start(fixture.thread, &fixture.checkpoint);
    assert_int_equal(complete(&fixture).status, STATUS_OK);
    assert_true(fixture.script.blocks_signals);
    assert_false(blocks_all_signals());
    assert_int_equal(fixture.script.priority, 19);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), own);
    close_fixture(&fixture);
}

/* A process killed while samples are under way; the next run removes the rest. */
static void recovers_from_a_kill(void **state)
{
    struct fixture fixture;
    int status, partial;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        open_fixture(&fixture, "killed");
        sample_thread_start(fixture.thread, &fixture.checkpoint);
        wait_until_entered(&fixture);
        _exit(count_samples(&fixture, &partial) == 0 && partial == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    open_fixture(&fixture, "killed");
    assert_samples(&fixture, 0);
    close_fixture(&fixture);
}

static int set_up(void **state)
{
    (void)state;
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
        cmocka_unit_test(writes_the_state_at_the_call),
        cmocka_unit_test(publishes_nothing_before_all_are_complete),
        cmocka_unit_test(failure_publishes_nothing),
        cmocka_unit_test(staging_failure_is_a_result),
        cmocka_unit_test(cancelled_samples_leave_nothing),
        cmocka_unit_test(close_cancels),
        cmocka_unit_test(progress_counts_only_for_who_waits),
        cmocka_unit_test(samples_without_progress_are_a_hang),
        cmocka_unit_test(thread_blocks_signals_and_has_low_priority),
        cmocka_unit_test(recovers_from_a_kill),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
