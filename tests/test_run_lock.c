/* run_lock: only one process holds it; the lock ends with its holder even if children
 * survive; a file system without locks is accepted. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "remove_tree.h"
#include "base/file.h"
#include "base/progress.h"
#include "train/run_lock.h"

static char directory[] = "/tmp/tutti-lock-XXXXXX";

/* ---- fcntl with the errors of a file system ---- */

static int lock_error; /* 0: call the kernel */

int fcntl(int file, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (command == F_SETLK && lock_error) {
        errno = lock_error;
        return -1;
    }
    return (int)syscall(SYS_fcntl, file, command, argument);
}

/* ---- another process that holds the lock ---- */

struct holder {
    pid_t pid;
    int ready; /* closes when the process and its children are gone */
};

/* Starts a process that holds the lock until killed; with `with_child`, a child of it
 * survives for a while. */
static struct holder hold(bool with_child)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    struct holder holder = {.pid = fork(), .ready = ends[0]};
    assert_true(holder.pid >= 0);
    if (holder.pid == 0) {
        struct run_lock *lock;
        close(ends[0]);
        if (run_lock_take(directory, 0, &lock) != STATUS_OK)
            _exit(1);
        pid_t child = with_child ? fork() : -1;
        if (child != 0 && write(ends[1], "x", 1) != 1)
            _exit(1);
        sleep(child == 0 ? 5 : 60);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(read(holder.ready, &byte, 1), 1);
    return holder;
}

static void end(struct holder *holder)
{
    kill(holder->pid, SIGKILL);
    waitpid(holder->pid, NULL, 0);
    close(holder->ready);
}

static void expect_free(void)
{
    struct run_lock *lock;
    assert_int_equal(run_lock_take(directory, 0, &lock), STATUS_OK);
    run_lock_release(lock);
}

/* ---- the tests ---- */

static void a_second_process_is_refused(void **state)
{
    (void)state;
    struct run_lock *lock;
    struct holder holder = hold(false);
    char host[65] = "", text[128];
    gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, "(%s, pid %ld, job 47)", host, (long)holder.pid);
    double began = clock_seconds();
    assert_int_equal(run_lock_take(directory, 0.3, &lock), STATUS_FAILED);
    double took = clock_seconds() - began;
    assert_null(lock);
    assert_true(took >= 0.3 && took < 5);
    assert_non_null(strstr(status_message(), text));
    assert_non_null(strstr(status_message(), directory));
    end(&holder);
    expect_free();
}

static void nothing_is_left_of_a_release(void **state)
{
    (void)state;
    char path[64];
    uint8_t *text;
    size_t size;
    expect_free();
    snprintf(path, sizeof path, "%s/lock", directory);
    assert_int_equal(file_read(path, 0, &text, &size), STATUS_OK);
    assert_int_equal(size, 0);
    free(text);
    run_lock_release(NULL);
}

static void a_death_is_waited_for(void **state)
{
    (void)state;
    struct run_lock *lock;
    struct holder holder = hold(false);
    pid_t killer = fork();
    if (killer == 0) {
        usleep(300 * 1000);
        kill(holder.pid, SIGKILL);
        _exit(0);
    }
    double began = clock_seconds();
    assert_int_equal(run_lock_take(directory, 20, &lock), STATUS_OK);
    double took = clock_seconds() - began;
    assert_true(took > 0.1 && took < 10);
    run_lock_release(lock);
    waitpid(killer, NULL, 0);
    end(&holder);
}

static void children_do_not_inherit_it(void **state)
{
    (void)state;
    struct holder holder = hold(true);
    end(&holder);
    expect_free();
}

static void a_file_system_may_have_no_locks(void **state)
{
    (void)state;
    const int errors[] = {ENOLCK, ENOSYS, EOPNOTSUPP};
    struct run_lock *lock;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        lock_error = errors[i];
        assert_int_equal(run_lock_take(directory, 5, &lock), STATUS_OK);
        assert_non_null(lock);
        run_lock_release(lock);
    }
    lock_error = EIO; /* not an error of a file system without locks */
    assert_int_equal(run_lock_take(directory, 5, &lock), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "lock"));
    lock_error = 0;
}

/* A file that is not a run's lock is refused at once and left unchanged. */
static void other_files_are_left_alone(void **state)
{
    static const char *const texts[] = {"mine",
                                        "mine\n",
                                        "mine, pid 1",
                                        "a, pid x\n",
                                        "mine, pid 1\nand more\n",
                                        "mine\n, pid 1\n"};
    struct run_lock *lock;
    char path[64], other[64];
    uint8_t *text;
    size_t size;
    (void)state;
    snprintf(path, sizeof path, "%s/lock", directory);
    snprintf(other, sizeof other, "%s/other", directory);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(file_write(path, texts[i], strlen(texts[i])), STATUS_OK);
        assert_int_equal(run_lock_take(directory, 0, &lock), STATUS_MISUSE);
        assert_int_equal(file_read(path, 0, &text, &size), STATUS_OK);
        assert_int_equal(size, strlen(texts[i]));
        free(text);
    }
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(run_lock_take(directory, 0, &lock), STATUS_FAILED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(run_lock_take(directory, 0, &lock), STATUS_MISUSE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(file_write(path, "host, pid 12, job 3\n", 20), STATUS_OK);
    expect_free();
}

static void no_directory_is_an_error(void **state)
{
    (void)state;
    struct run_lock *lock;
    assert_int_equal(run_lock_take("/tmp/tutti-no-such/run", 5, &lock), STATUS_FAILED);
    assert_null(lock);
    assert_non_null(strstr(status_message(), "/tmp/tutti-no-such/run/lock"));
}

int main(void)
{
    if (!mkdtemp(directory) || setenv("SLURM_JOB_ID", "47", 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_process_is_refused),
        cmocka_unit_test(nothing_is_left_of_a_release),
        cmocka_unit_test(a_death_is_waited_for),
        cmocka_unit_test(children_do_not_inherit_it),
        cmocka_unit_test(a_file_system_may_have_no_locks),
        cmocka_unit_test(other_files_are_left_alone),
        cmocka_unit_test(no_directory_is_an_error),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    file_remove_tree(directory);
    return failed;
}
