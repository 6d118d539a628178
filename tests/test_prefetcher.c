/* prefetcher: the same windows and positions with and without a thread; a failure in the
 * thread is returned instead of the window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "stream_files.h"
#include "train/prefetcher.h"

enum { ROWS = 3, MICROBATCHES = 2, STEPS = 50, CHUNK_BYTES = 140000 };

/* Two streams over the same pieces, one of them a window ahead. */
struct fixture {
    struct stream_files files;
    struct stream *list[MICROBATCHES], *reference[MICROBATCHES];
    struct streams streams;
};

static void open_fixture(struct fixture *fixture)
{
    stream_files_make(&fixture->files, CHUNK_BYTES);
    for (int s = 0; s < MICROBATCHES; s++) {
        fixture->list[s] = stream_files_stream(&fixture->files, ROWS);
        fixture->reference[s] = stream_files_in_memory(&fixture->files, ROWS);
    }
    token inputs[ROWS];
    int32_t targets[ROWS];
    stream_files_check(stream_next(fixture->list[1], 1, inputs, targets));
    stream_files_check(stream_next(fixture->reference[1], 1, inputs, targets));
    fixture->streams = (struct streams){
        .count = MICROBATCHES, .list = fixture->list, .cache = fixture->files.cache};
}

static void close_fixture(struct fixture *fixture)
{
    for (int s = 0; s < MICROBATCHES; s++) {
        stream_close(fixture->list[s]);
        stream_close(fixture->reference[s]);
    }
    stream_files_remove(&fixture->files);
}

static void compare_position(const struct fixture *fixture,
                             const struct prefetcher *prefetcher)
{
    for (int s = 0; s < MICROBATCHES; s++) {
        struct stream_row rows[ROWS];
        struct stream_cursor cursor;
        stream_save(fixture->reference[s], rows, &cursor);
        assert_memory_equal(prefetcher_rows(prefetcher) + s * ROWS, rows, sizeof rows);
        assert_memory_equal(prefetcher_cursors(prefetcher) + s, &cursor, sizeof cursor);
    }
}

static void compare_window(const struct fixture *fixture, struct window *window)
{
    token inputs[STEPS * ROWS];
    int32_t targets[STEPS * ROWS];
    assert_int_equal(window->microbatches, MICROBATCHES);
    for (int s = 0; s < MICROBATCHES; s++) {
        stream_files_check(stream_next(fixture->reference[s], STEPS, inputs, targets));
        assert_memory_equal(window->input_of[s], inputs, sizeof inputs);
        assert_memory_equal(window->target_of[s], targets, sizeof targets);
    }
}

static void check_windows(int windows)
{
    struct fixture fixture;
    struct prefetcher *prefetcher = NULL;
    struct window window;
    open_fixture(&fixture);
    stream_files_check(
        prefetcher_open(&fixture.streams, ROWS, STEPS, windows, 1, &prefetcher));
    compare_position(&fixture, prefetcher); /* initial position */
    for (uint64_t i = 0; i < 600; i++) {
        stream_files_check(prefetcher_next(prefetcher, &window));
        stream_files_check(prefetcher_status(prefetcher));
        compare_window(&fixture, &window);
        compare_position(&fixture, prefetcher);
        if (stream_files_draw(20, (uint64_t)windows, i, 10) == 0)
            prefetcher_pause(prefetcher);
        if (stream_files_draw(20, (uint64_t)windows, i, 11) == 0)
            usleep(2000); /* lets the reader get far ahead */
        compare_position(&fixture, prefetcher);
    }
    prefetcher_close(prefetcher);
    close_fixture(&fixture);
}

static void matches_the_streams_with_and_without_a_thread(void **state)
{
    (void)state;
    check_windows(1); /* no thread */
    check_windows(2);
    check_windows(7);
}

static void closes_in_any_state(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    for (int i = 0; i < 40; i++) {
        struct prefetcher *prefetcher = NULL;
        struct window window;
        stream_files_check(
            prefetcher_open(&fixture.streams, ROWS, STEPS, 2 + i % 3, 1, &prefetcher));
        for (int k = 0; k < i % 4; k++)
            stream_files_check(prefetcher_next(prefetcher, &window));
        if (i % 5 == 0)
            prefetcher_pause(prefetcher);
        prefetcher_close(prefetcher);
    }
    prefetcher_close(NULL);
    close_fixture(&fixture);
}

/* Windows read before the damage are returned, then the failure, repeatedly. */
static void check_fault(int windows)
{
    struct fixture fixture;
    struct prefetcher *prefetcher = NULL;
    struct window window;
    open_fixture(&fixture);
    stream_files_check(
        prefetcher_open(&fixture.streams, ROWS, STEPS, windows, 1, &prefetcher));
    stream_files_check(prefetcher_next(prefetcher, &window));
    compare_window(&fixture, &window);
    prefetcher_pause(prefetcher);
    for (size_t i = 0; i < FILES; i++) {
        char *path = shard_path(fixture.files.directory, i);
        assert_int_equal(truncate(path, 4096), 0);
        free(path);
    }
    int64_t received = 0;
    while (prefetcher_next(prefetcher, &window) == STATUS_OK) {
        compare_window(&fixture, &window);
        compare_position(&fixture, prefetcher);
        received++;
    }
    assert_true(received < 600); /* only from data read earlier */
    for (int again = 0; again < 3; again++) {
        assert_non_null(strstr(status_message(), ".h5: has been changed"));
        compare_position(&fixture, prefetcher); /* after the last one received */
        for (int i = 0; i < STEPS * ROWS * MICROBATCHES; i++)
            assert_true(window.inputs[i] == END && window.targets[i] == -1);
        status_set_message("");
        assert_int_equal(prefetcher_status(prefetcher), STATUS_FAILED);
        assert_non_null(strstr(status_message(), ".h5: has been changed"));
        status_set_message("");
        assert_int_equal(prefetcher_next(prefetcher, &window), STATUS_FAILED);
    }
    prefetcher_close(prefetcher);
    close_fixture(&fixture);
}

static void returns_a_failure_in_place_of_its_window(void **state)
{
    (void)state;
    check_fault(1);
    check_fault(2);
    check_fault(6);
}

/* The mask of signals blocked by the thread of this name, as in /proc; 0: no such
 * thread. */
static uint64_t blocked_by(const char *name)
{
    uint64_t blocked = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300], line[128], comm[128] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (status && fgets(line, sizeof line, status)) {
            sscanf(line, "Name: %127s", comm);
            if (strncmp(line, "SigBlk:", 7) == 0 && strcmp(comm, name) == 0)
                blocked = strtoull(line + 7, NULL, 16);
        }
        if (status)
            fclose(status);
    }
    closedir(tasks);
    return blocked;
}

static void thread_blocks_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD};
    struct fixture fixture;
    struct prefetcher *prefetcher = NULL;
    struct window window;
    open_fixture(&fixture);
    stream_files_check(prefetcher_open(&fixture.streams, ROWS, STEPS, 4, 1, &prefetcher));
    assert_int_equal(blocked_by("tutti-reader"), 0);
    stream_files_check(prefetcher_next(prefetcher, &window));
    uint64_t blocked = blocked_by("tutti-reader");
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        assert_true(blocked >> (signals[i] - 1) & 1);
    sigset_t ours;
    pthread_sigmask(SIG_SETMASK, NULL, &ours);
    assert_false(sigismember(&ours, SIGTERM));
    prefetcher_close(prefetcher);
    assert_int_equal(blocked_by("tutti-reader"), 0);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_streams_with_and_without_a_thread),
        cmocka_unit_test(closes_in_any_state),
        cmocka_unit_test(returns_a_failure_in_place_of_its_window),
        cmocka_unit_test(thread_blocks_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
