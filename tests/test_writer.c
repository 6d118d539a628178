/* writer and run_checkpoints: the thread writes the state at the time of the call,
 * regardless of later changes; a failed write loses no older checkpoint; damaged
 * checkpoints are skipped. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tiny_checkpoint.h"
#include "remove_tree.h"
#include "base/file.h"
#include "base/inject.h"
#include "h5/h5.h"
#include "train/run_checkpoints.h"
#include "train/writer.h"

static char directory[] = "/tmp/tutti-writer-XXXXXX";

enum { EPOCHS = 8 };

struct fixture {
    struct run_directory run;
    struct checkpoint checkpoint;
    struct writer *writer;
};

/* Creates a new run directory and a writer. */
static void open_fixture(struct fixture *fixture, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(run_directory_open(path, RUN_RESUMED, &fixture->run), STATUS_OK);
    assert_int_equal(tiny_checkpoint(&fixture->checkpoint, ENCODING_PERFORMANCE, 5),
                     STATUS_OK);
    fixture->checkpoint.options.run.keep_checkpoints = 2;
    fixture->checkpoint.state.history =
        realloc(fixture->checkpoint.state.history,
                EPOCHS * sizeof *fixture->checkpoint.state.history);
    assert_non_null(fixture->checkpoint.state.history);
    for (int i = 0; i < EPOCHS; i++)
        fixture->checkpoint.state.history[i] = (struct history_row){
            .epoch = i + 1, .step = 10 * (i + 1), .valid_loss = (double)NAN};
    assert_int_equal(
        writer_open(&fixture->run, &fixture->checkpoint, EPOCHS, &fixture->writer),
        STATUS_OK);
}

static void close_fixture(struct fixture *fixture)
{
    writer_close(fixture->writer);
    run_directory_free(&fixture->run);
    checkpoint_free(&fixture->checkpoint);
}

/* Sets the step, and values that depend on it. */
static void set_step(struct checkpoint *checkpoint, int64_t step)
{
    checkpoint->state.step = step;
    checkpoint->state.epoch_step = checkpoint->state.epoch_targets = step % 10;
    checkpoint->state.epoch = step / 10;
    checkpoint->state.history_count = (size_t)checkpoint->state.epoch;
    stream_snapshot_free(&checkpoint->streams);
    checkpoint->streams.rows =
        calloc(checkpoint->streams.row_count, sizeof *checkpoint->streams.rows);
    checkpoint->streams.cursors =
        calloc(checkpoint->streams.microbatches, sizeof *checkpoint->streams.cursors);
    checkpoint->streams.hidden =
        calloc(checkpoint->streams.microbatches * checkpoint->streams.hidden_size,
               sizeof *checkpoint->streams.hidden);
    assert_true(checkpoint->streams.rows && checkpoint->streams.cursors &&
                checkpoint->streams.hidden);
    for (size_t i = 0; i < checkpoint->params.total; i++) {
        checkpoint->weights[i] = (float)step + (float)(i % 1000) / 1024;
        checkpoint->state.optimizer.first[i] = checkpoint->weights[i] + 1;
        checkpoint->state.optimizer.second[i] = checkpoint->weights[i] + 2;
    }
    for (size_t i = 0;
         i < checkpoint->streams.microbatches * checkpoint->streams.hidden_size; i++)
        checkpoint->streams.hidden[i] = (float)(step + (int64_t)i);
    for (size_t i = 0; i < checkpoint->streams.row_count; i++)
        checkpoint->streams.rows[i].offset = step;
    for (size_t i = 0; i < checkpoint->streams.microbatches; i++)
        checkpoint->streams.cursors[i].next = 1;
    checkpoint->state.history[0].train_loss = (double)step;
    checkpoint->state.optimizer.updates = step;
    tiny_derive_state(checkpoint);
}

static void overwrite_state(struct checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->params.total; i++)
        checkpoint->weights[i] = checkpoint->state.optimizer.first[i] =
            checkpoint->state.optimizer.second[i] = -1;
    checkpoint->state.history[0].train_loss = -1;
    checkpoint->state.optimizer.updates = checkpoint->state.step =
        checkpoint->state.epoch = -1;
    memset(&checkpoint->options, 0, sizeof checkpoint->options);
}

static struct writer_result save(struct fixture *fixture, int64_t step, bool best)
{
    struct writer_result result = {.status = STATUS_STOPPED};
    set_step(&fixture->checkpoint, step);
    if (best)
        fixture->checkpoint.state.history[fixture->checkpoint.state.epoch - 1]
            .valid_loss = 1 / (double)step;
    tiny_derive_state(&fixture->checkpoint);
    writer_start(fixture->writer, &fixture->checkpoint);
    assert_true(writer_collect(fixture->writer, true, &result));
    return result;
}

static void assert_is_step(const struct checkpoint *loaded, int64_t step)
{
    assert_int_equal(loaded->state.step, step);
    assert_int_equal(loaded->state.epoch, step / 10);
    assert_int_equal(loaded->state.optimizer.updates, step);
    assert_true(loaded->state.history[0].train_loss == (double)step);
    for (size_t i = 0; i < loaded->params.total; i++) {
        float weight = (float)step + (float)(i % 1000) / 1024;
        assert_true(loaded->weights[i] == weight);
        assert_true(loaded->state.optimizer.first[i] == weight + 1);
        assert_true(loaded->state.optimizer.second[i] == weight + 2);
    }
    for (size_t i = 0; i < loaded->streams.microbatches * loaded->streams.hidden_size;
         i++)
        assert_true(loaded->streams.hidden[i] == (float)(step + (int64_t)i));
    for (size_t i = 0; i < loaded->streams.row_count; i++)
        assert_int_equal(loaded->streams.rows[i].offset, step);
}

/* The newest intact checkpoint must be the one of this step; 0: there is none. */
static void assert_newest(const struct fixture *fixture, int64_t step)
{
    char name[CHECKPOINT_NAME];
    struct checkpoint loaded;
    enum status status = run_checkpoints_read_newest(&fixture->run, name, &loaded);
    assert_int_equal(status, step ? STATUS_OK : STATUS_FAILED);
    if (!step)
        return;
    assert_is_step(&loaded, step);
    checkpoint_free(&loaded);
}

static bool exists(const struct fixture *fixture, const char *name)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", fixture->run.checkpoints, name);
    return access(path, F_OK) == 0;
}

/* The number of temporary files in the checkpoints folder. */
static int count_temporary_files(const struct fixture *fixture)
{
    int found = 0;
    DIR *folder = opendir(fixture->run.checkpoints);
    assert_non_null(folder);
    for (struct dirent *at; (at = readdir(folder));)
        found += file_is_temporary_name(at->d_name);
    closedir(folder);
    return found;
}

static void assert_link(const struct fixture *fixture, const char *link, const char *to)
{
    char path[192], target[CHECKPOINT_NAME + 1] = "";
    snprintf(path, sizeof path, "%s/%s", fixture->run.checkpoints, link);
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    assert_string_equal(target, to);
}

/* ---- the copy ---- */

static void writes_the_state_at_the_call(void **state)
{
    struct fixture fixture;
    struct writer_result result;
    const struct options options =
        ((void)state, open_fixture(&fixture, "copy"), fixture.checkpoint.options);
    assert_false(writer_is_busy(fixture.writer));
    assert_false(writer_collect(fixture.writer, true, &result));
    for (int64_t step = 11; step < 40; step += 7) {
        fixture.checkpoint.options = options;
        set_step(&fixture.checkpoint, step);
        writer_start(fixture.writer, &fixture.checkpoint);
        overwrite_state(&fixture.checkpoint);
        assert_null(fixture.checkpoint.streams.hidden);
        assert_true(writer_collect(fixture.writer, true, &result));
        assert_int_equal(result.status, STATUS_OK);
        assert_true(result.seconds > 0);
        assert_false(writer_is_busy(fixture.writer));
        assert_false(writer_collect(fixture.writer, false, &result));
        assert_newest(&fixture, step);
        assert_link(&fixture, "latest", result.name);
    }
    close_fixture(&fixture);
}

static void close_waits_for_the_last_checkpoint(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "closing");
    set_step(&fixture.checkpoint, 33);
    writer_start(fixture.writer, &fixture.checkpoint);
    writer_close(fixture.writer);
    fixture.writer = NULL;
    assert_newest(&fixture, 33);
    close_fixture(&fixture);
}

/* The number of threads of this process that block SIGINT, SIGTERM and SIGUSR1. */
static int count_threads_blocking_signals(void)
{
    const uint64_t wanted =
        1ull << (SIGINT - 1) | 1ull << (SIGTERM - 1) | 1ull << (SIGUSR1 - 1);
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *at; (at = readdir(tasks));) {
        char path[64 + sizeof at->d_name], line[128];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", at->d_name);
        FILE *file = at->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (file && fgets(line, sizeof line, file))
            if (strncmp(line, "SigBlk:", 7) == 0)
                found += (strtoull(line + 7, NULL, 16) & wanted) == wanted;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return found;
}

static void thread_blocks_signals(void **state)
{
    struct fixture fixture;
    (void)state;
    int before = count_threads_blocking_signals();
    open_fixture(&fixture, "signals");
    assert_int_equal(save(&fixture, 12, false).status,
                     STATUS_OK); /* now the thread runs */
    assert_int_equal(count_threads_blocking_signals(), before + 1);
    close_fixture(&fixture);
    assert_int_equal(count_threads_blocking_signals(), before);
}

/* ---- old checkpoints ---- */

static void keeps_the_newest_and_the_best(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "kept");
    save(&fixture, 10, true);
    save(&fixture, 13, false);
    save(&fixture, 20, false);
    save(&fixture, 24, false);
    assert_true(exists(&fixture, "epoch-0001.h5")); /* the best */
    assert_false(exists(&fixture, "step-00000013.h5"));
    assert_true(exists(&fixture, "epoch-0002.h5"));
    assert_true(exists(&fixture, "step-00000024.h5"));
    assert_link(&fixture, "best", "epoch-0001.h5");
    assert_link(&fixture, "latest", "step-00000024.h5");
    save(&fixture, 30, true);
    assert_false(exists(&fixture, "epoch-0001.h5"));
    assert_link(&fixture, "best", "epoch-0003.h5");
    assert_newest(&fixture, 30);
    close_fixture(&fixture);
}

/* ---- failed writes ---- */

static void assert_fails(struct fixture *fixture, int64_t step, const char *why)
{
    struct writer_result result = save(fixture, step, true);
    assert_int_equal(result.status, STATUS_FAILED);
    if (!strstr(result.message, why))
        fail_msg("\"%s\" is not in \"%s\"", why, result.message);
}

static void add_fault(const char *text)
{
    assert_int_equal(inject_add(text), STATUS_OK);
}

static void keeps_old_checkpoints_after_a_failed_write(void **state)
{
    struct fixture fixture;
    char moved[160];
    (void)state;
    open_fixture(&fixture, "failed");
    assert_int_equal(save(&fixture, 20, true).status, STATUS_OK);
    add_fault("full-disk@0:21");
    assert_fails(&fixture, 21, "No space left on device");
    add_fault("io-error@0:22");
    assert_fails(&fixture, 23, "Input/output error");
    assert_int_equal(count_temporary_files(&fixture), 0);
    assert_link(&fixture, "latest", "epoch-0002.h5");
    assert_link(&fixture, "best", "epoch-0002.h5");
    assert_newest(&fixture, 20);
    snprintf(moved, sizeof moved, "%s-away", fixture.run.checkpoints);
    assert_int_equal(rename(fixture.run.checkpoints, moved), 0);
    assert_fails(&fixture, 24, "No such file or directory");
    assert_int_equal(rename(moved, fixture.run.checkpoints), 0);
    assert_newest(&fixture, 20);
    assert_int_equal(save(&fixture, 25, false).status, STATUS_OK);
    assert_newest(&fixture, 25);
    close_fixture(&fixture);
}

/* ---- kills while writing ---- */

/* Saves in a child process and returns the signal that kills it; the fault then counts as
 * struck in this process, too. */
static int kill_in_save(struct fixture *fixture, int64_t step, enum fault fault)
{
    int how = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* the fork lacks the thread: needs a new writer */
        struct writer *writer;
        struct writer_result result;
        if (writer_open(&fixture->run, &fixture->checkpoint, EPOCHS, &writer) !=
            STATUS_OK)
            _exit(1);
        set_step(&fixture->checkpoint, step);
        writer_start(writer, &fixture->checkpoint);
        writer_collect(writer, true, &result);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(inject_triggered(fault, step));
    return WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

static void recovers_from_a_kill_while_writing(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "killed");
    assert_int_equal(save(&fixture, 31, false).status, STATUS_OK);
    add_fault("kill-save@0:32");
    assert_int_equal(kill_in_save(&fixture, 32, FAULT_KILL_SAVE), SIGKILL);
    assert_int_equal(count_temporary_files(&fixture), 1);
    close_fixture(&fixture);
    open_fixture(&fixture, "killed"); /* removes temporary files */
    assert_int_equal(count_temporary_files(&fixture), 0);
    assert_newest(&fixture, 31);
    close_fixture(&fixture);
}

static void skips_a_torn_checkpoint(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, "torn");
    assert_int_equal(save(&fixture, 41, false).status, STATUS_OK);
    add_fault("torn@0:42");
    assert_int_equal(kill_in_save(&fixture, 42, FAULT_TORN), SIGKILL);
    assert_link(&fixture, "latest", "step-00000042.h5");
    assert_newest(&fixture, 41);
    /* unreadable checkpoints are neither counted nor removed */
    assert_int_equal(save(&fixture, 43, false).status, STATUS_OK);
    assert_int_equal(save(&fixture, 44, false).status, STATUS_OK);
    assert_true(exists(&fixture, "step-00000042.h5"));
    assert_true(exists(&fixture, "step-00000043.h5"));
    assert_false(exists(&fixture, "step-00000041.h5"));
    close_fixture(&fixture);
}

/* ---- damage ---- */

static void flip_bit(const char *path, const float *pattern, size_t count)
{
    uint8_t *bytes = NULL;
    size_t size = 0, at = 0, length = count * sizeof *pattern;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    while (at + length <= size && memcmp(bytes + at, pattern, length) != 0)
        at++;
    assert_true(at + length <= size);
    bytes[at + 5] ^= 4;
    assert_int_equal(file_write(path, bytes, size), STATUS_OK);
    free(bytes);
}

static void detects_damage_in_any_part(void **state)
{
    struct fixture fixture;
    char path[192];
    (void)state;
    open_fixture(&fixture, "damaged");
    fixture.checkpoint.options.run.keep_checkpoints = 9;
    for (int64_t step = 51; step <= 54; step++)
        assert_int_equal(save(&fixture, step, false).status, STATUS_OK);
    set_step(&fixture.checkpoint, 54); /* changes only the second moments */
    snprintf(path, sizeof path, "%s/step-00000054.h5", fixture.run.checkpoints);
    flip_bit(path, fixture.checkpoint.state.optimizer.second + 16, 16);
    assert_newest(&fixture, 53);
    set_step(&fixture.checkpoint, 53); /* changes only the hidden states */
    snprintf(path, sizeof path, "%s/step-00000053.h5", fixture.run.checkpoints);
    flip_bit(path, fixture.checkpoint.streams.hidden, 16);
    assert_newest(&fixture, 52);
    snprintf(path, sizeof path, "%s/step-00000052.h5", fixture.run.checkpoints);
    assert_int_equal(file_write(path, "", 0), STATUS_OK);
    assert_newest(&fixture, 51);
    snprintf(path, sizeof path, "%s/step-00000051.h5", fixture.run.checkpoints);
    assert_int_equal(file_write(path, "something else", 14), STATUS_OK);
    assert_newest(&fixture, 0);
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
        cmocka_unit_test(close_waits_for_the_last_checkpoint),
        cmocka_unit_test(thread_blocks_signals),
        cmocka_unit_test(keeps_the_newest_and_the_best),
        cmocka_unit_test(keeps_old_checkpoints_after_a_failed_write),
        cmocka_unit_test(recovers_from_a_kill_while_writing),
        cmocka_unit_test(skips_a_torn_checkpoint),
        cmocka_unit_test(detects_damage_in_any_part),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
