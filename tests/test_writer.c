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

struct scene {
    struct run_directory run;
    struct checkpoint checkpoint;
    struct writer *writer;
};

/* Creates a new run directory and a writer. */
static void begin(struct scene *scene, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(run_directory_open(path, RUN_RESUMED, &scene->run), STATUS_OK);
    assert_int_equal(tiny_checkpoint(&scene->checkpoint, ENCODING_PERFORMANCE, 5),
                     STATUS_OK);
    scene->checkpoint.options.run.keep_checkpoints = 2;
    scene->checkpoint.state.history =
        realloc(scene->checkpoint.state.history,
                EPOCHS * sizeof *scene->checkpoint.state.history);
    assert_non_null(scene->checkpoint.state.history);
    for (int i = 0; i < EPOCHS; i++)
        scene->checkpoint.state.history[i] = (struct history_row){
            .epoch = i + 1, .step = 10 * (i + 1), .valid_loss = (double)NAN};
    assert_int_equal(writer_open(&scene->run, &scene->checkpoint, EPOCHS, &scene->writer),
                     STATUS_OK);
}

static void end(struct scene *scene)
{
    writer_close(scene->writer);
    run_directory_free(&scene->run);
    checkpoint_free(&scene->checkpoint);
}

/* Sets the step, and values that depend on it. */
static void go_to(struct checkpoint *checkpoint, int64_t step)
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
    tiny_schedule(checkpoint);
}

static void spoil(struct checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->params.total; i++)
        checkpoint->weights[i] = checkpoint->state.optimizer.first[i] =
            checkpoint->state.optimizer.second[i] = -1;
    checkpoint->state.history[0].train_loss = -1;
    checkpoint->state.optimizer.updates = checkpoint->state.step =
        checkpoint->state.epoch = -1;
    memset(&checkpoint->options, 0, sizeof checkpoint->options);
}

static struct writer_outcome save(struct scene *scene, int64_t step, bool best)
{
    struct writer_outcome outcome = {.status = STATUS_STOPPED};
    go_to(&scene->checkpoint, step);
    if (best)
        scene->checkpoint.state.history[scene->checkpoint.state.epoch - 1].valid_loss =
            1 / (double)step;
    tiny_schedule(&scene->checkpoint);
    writer_start(scene->writer, &scene->checkpoint);
    assert_true(writer_take_outcome(scene->writer, true, &outcome));
    return outcome;
}

static void assert_is_step(const struct checkpoint *read, int64_t step)
{
    assert_int_equal(read->state.step, step);
    assert_int_equal(read->state.epoch, step / 10);
    assert_int_equal(read->state.optimizer.updates, step);
    assert_true(read->state.history[0].train_loss == (double)step);
    for (size_t i = 0; i < read->params.total; i++) {
        float weight = (float)step + (float)(i % 1000) / 1024;
        assert_true(read->weights[i] == weight);
        assert_true(read->state.optimizer.first[i] == weight + 1);
        assert_true(read->state.optimizer.second[i] == weight + 2);
    }
    for (size_t i = 0; i < read->streams.microbatches * read->streams.hidden_size; i++)
        assert_true(read->streams.hidden[i] == (float)(step + (int64_t)i));
    for (size_t i = 0; i < read->streams.row_count; i++)
        assert_int_equal(read->streams.rows[i].offset, step);
}

/* The newest intact checkpoint must be the one of this step; 0: there is none. */
static void assert_newest(const struct scene *scene, int64_t step)
{
    char name[CHECKPOINT_NAME];
    struct checkpoint read;
    enum status status = run_checkpoints_read_newest(&scene->run, name, &read);
    assert_int_equal(status, step ? STATUS_OK : STATUS_FAILED);
    if (!step)
        return;
    assert_is_step(&read, step);
    checkpoint_free(&read);
}

static bool is_there(const struct scene *scene, const char *name)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", scene->run.checkpoints, name);
    return access(path, F_OK) == 0;
}

/* The number of temporary files in the checkpoints folder. */
static int left_over(const struct scene *scene)
{
    int found = 0;
    DIR *folder = opendir(scene->run.checkpoints);
    assert_non_null(folder);
    for (struct dirent *at; (at = readdir(folder));)
        found += file_is_temporary_name(at->d_name);
    closedir(folder);
    return found;
}

static void assert_link(const struct scene *scene, const char *link, const char *to)
{
    char path[192], target[CHECKPOINT_NAME + 1] = "";
    snprintf(path, sizeof path, "%s/%s", scene->run.checkpoints, link);
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    assert_string_equal(target, to);
}

/* ---- the copy ---- */

static void the_state_at_the_call_is_written(void **state)
{
    struct scene scene;
    struct writer_outcome outcome;
    const struct options options =
        ((void)state, begin(&scene, "copy"), scene.checkpoint.options);
    assert_false(writer_is_busy(scene.writer));
    assert_false(writer_take_outcome(scene.writer, true, &outcome));
    for (int64_t step = 11; step < 40; step += 7) {
        scene.checkpoint.options = options;
        go_to(&scene.checkpoint, step);
        writer_start(scene.writer, &scene.checkpoint);
        spoil(&scene.checkpoint);
        assert_null(scene.checkpoint.streams.hidden);
        assert_true(writer_take_outcome(scene.writer, true, &outcome));
        assert_int_equal(outcome.status, STATUS_OK);
        assert_true(outcome.seconds > 0);
        assert_false(writer_is_busy(scene.writer));
        assert_false(writer_take_outcome(scene.writer, false, &outcome));
        assert_newest(&scene, step);
        assert_link(&scene, "latest", outcome.name);
    }
    end(&scene);
}

static void closing_waits_for_the_last(void **state)
{
    struct scene scene;
    (void)state;
    begin(&scene, "closing");
    go_to(&scene.checkpoint, 33);
    writer_start(scene.writer, &scene.checkpoint);
    writer_close(scene.writer);
    scene.writer = NULL;
    assert_newest(&scene, 33);
    end(&scene);
}

/* The number of threads of this process that block SIGINT, SIGTERM and SIGUSR1. */
static int threads_that_block(void)
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

static void signals_stay_with_the_main_thread(void **state)
{
    struct scene scene;
    (void)state;
    int before = threads_that_block();
    begin(&scene, "signals");
    assert_int_equal(save(&scene, 12, false).status, STATUS_OK); /* now the thread runs */
    assert_int_equal(threads_that_block(), before + 1);
    end(&scene);
    assert_int_equal(threads_that_block(), before);
}

/* ---- old checkpoints ---- */

static void the_newest_and_the_best_are_kept(void **state)
{
    struct scene scene;
    (void)state;
    begin(&scene, "kept");
    save(&scene, 10, true);
    save(&scene, 13, false);
    save(&scene, 20, false);
    save(&scene, 24, false);
    assert_true(is_there(&scene, "epoch-0001.h5")); /* the best */
    assert_false(is_there(&scene, "step-00000013.h5"));
    assert_true(is_there(&scene, "epoch-0002.h5"));
    assert_true(is_there(&scene, "step-00000024.h5"));
    assert_link(&scene, "best", "epoch-0001.h5");
    assert_link(&scene, "latest", "step-00000024.h5");
    save(&scene, 30, true);
    assert_false(is_there(&scene, "epoch-0001.h5"));
    assert_link(&scene, "best", "epoch-0003.h5");
    assert_newest(&scene, 30);
    end(&scene);
}

/* ---- failed writes ---- */

static void assert_fails(struct scene *scene, int64_t step, const char *why)
{
    struct writer_outcome outcome = save(scene, step, true);
    assert_int_equal(outcome.status, STATUS_FAILED);
    if (!strstr(outcome.message, why))
        fail_msg("\"%s\" is not in \"%s\"", why, outcome.message);
}

static void add_fault(const char *text)
{
    assert_int_equal(inject_add(text), STATUS_OK);
}

static void a_failed_write_costs_nothing(void **state)
{
    struct scene scene;
    char away[160];
    (void)state;
    begin(&scene, "failed");
    assert_int_equal(save(&scene, 20, true).status, STATUS_OK);
    add_fault("full-disk@0:21");
    assert_fails(&scene, 21, "No space left on device");
    add_fault("io-error@0:22");
    assert_fails(&scene, 23, "Input/output error");
    assert_int_equal(left_over(&scene), 0);
    assert_link(&scene, "latest", "epoch-0002.h5");
    assert_link(&scene, "best", "epoch-0002.h5");
    assert_newest(&scene, 20);
    snprintf(away, sizeof away, "%s-away", scene.run.checkpoints);
    assert_int_equal(rename(scene.run.checkpoints, away), 0);
    assert_fails(&scene, 24, "No such file or directory");
    assert_int_equal(rename(away, scene.run.checkpoints), 0);
    assert_newest(&scene, 20);
    assert_int_equal(save(&scene, 25, false).status, STATUS_OK);
    assert_newest(&scene, 25);
    end(&scene);
}

/* ---- kills while writing ---- */

/* Saves in a child process and returns the signal that kills it; the fault then counts as
 * struck in this process, too. */
static int kill_in_save(struct scene *scene, int64_t step, enum fault fault)
{
    int how = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* the fork lacks the thread: needs a new writer */
        struct writer *writer;
        struct writer_outcome outcome;
        if (writer_open(&scene->run, &scene->checkpoint, EPOCHS, &writer) != STATUS_OK)
            _exit(1);
        go_to(&scene->checkpoint, step);
        writer_start(writer, &scene->checkpoint);
        writer_take_outcome(writer, true, &outcome);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(inject_triggered(fault, step));
    return WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

static void killed_half_way(void **state)
{
    struct scene scene;
    (void)state;
    begin(&scene, "killed");
    assert_int_equal(save(&scene, 31, false).status, STATUS_OK);
    add_fault("kill-save@0:32");
    assert_int_equal(kill_in_save(&scene, 32, FAULT_KILL_SAVE), SIGKILL);
    assert_int_equal(left_over(&scene), 1);
    end(&scene);
    begin(&scene, "killed"); /* removes temporary files */
    assert_int_equal(left_over(&scene), 0);
    assert_newest(&scene, 31);
    end(&scene);
}

static void torn_under_its_name(void **state)
{
    struct scene scene;
    (void)state;
    begin(&scene, "torn");
    assert_int_equal(save(&scene, 41, false).status, STATUS_OK);
    add_fault("torn@0:42");
    assert_int_equal(kill_in_save(&scene, 42, FAULT_TORN), SIGKILL);
    assert_link(&scene, "latest", "step-00000042.h5");
    assert_newest(&scene, 41);
    /* unreadable checkpoints are neither counted nor removed */
    assert_int_equal(save(&scene, 43, false).status, STATUS_OK);
    assert_int_equal(save(&scene, 44, false).status, STATUS_OK);
    assert_true(is_there(&scene, "step-00000042.h5"));
    assert_true(is_there(&scene, "step-00000043.h5"));
    assert_false(is_there(&scene, "step-00000041.h5"));
    end(&scene);
}

/* ---- damage ---- */

static void flip(const char *path, const float *pattern, size_t count)
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

static void damage_of_any_part_is_found(void **state)
{
    struct scene scene;
    char path[192];
    (void)state;
    begin(&scene, "damaged");
    scene.checkpoint.options.run.keep_checkpoints = 9;
    for (int64_t step = 51; step <= 54; step++)
        assert_int_equal(save(&scene, step, false).status, STATUS_OK);
    go_to(&scene.checkpoint, 54); /* changes only the second moments */
    snprintf(path, sizeof path, "%s/step-00000054.h5", scene.run.checkpoints);
    flip(path, scene.checkpoint.state.optimizer.second + 16, 16);
    assert_newest(&scene, 53);
    go_to(&scene.checkpoint, 53); /* changes only the hidden states */
    snprintf(path, sizeof path, "%s/step-00000053.h5", scene.run.checkpoints);
    flip(path, scene.checkpoint.streams.hidden, 16);
    assert_newest(&scene, 52);
    snprintf(path, sizeof path, "%s/step-00000052.h5", scene.run.checkpoints);
    assert_int_equal(file_write(path, "", 0), STATUS_OK);
    assert_newest(&scene, 51);
    snprintf(path, sizeof path, "%s/step-00000051.h5", scene.run.checkpoints);
    assert_int_equal(file_write(path, "something else", 14), STATUS_OK);
    assert_newest(&scene, 0);
    end(&scene);
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
        cmocka_unit_test(the_state_at_the_call_is_written),
        cmocka_unit_test(closing_waits_for_the_last),
        cmocka_unit_test(signals_stay_with_the_main_thread),
        cmocka_unit_test(the_newest_and_the_best_are_kept),
        cmocka_unit_test(a_failed_write_costs_nothing),
        cmocka_unit_test(killed_half_way),
        cmocka_unit_test(torn_under_its_name),
        cmocka_unit_test(damage_of_any_part_is_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
