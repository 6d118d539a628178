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
static struct holder start_holder(bool with_child)
{
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    struct holder holder = {.pid = fork(), .ready = fds[0]};
    assert_true(holder.pid >= 0);
    if (holder.pid == 0) {
        struct run_lock *lock;
        close(fds[0]);
        if (run_lock_acquire(directory, 0, &lock) != STATUS_OK)
            _exit(1);
        pid_t child = with_child ? fork() : -1;
        if (child != 0 && write(fds[1], "x", 1) != 1)
            _exit(1);
        sleep(child == 0 ? 5 : 60);
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(holder.ready, &byte, 1), 1);
    return holder;
}

static void end_holder(struct holder *holder)
{
    kill(holder->pid, SIGKILL);
    waitpid(holder->pid, NULL, 0);
    close(holder->ready);
}

static void assert_unlocked(void)
{
    struct run_lock *lock;
    assert_int_equal(run_lock_acquire(directory, 0, &lock), STATUS_OK);
    run_lock_release(lock);
}

/* ---- the tests ---- */

static void refuses_a_second_process(void **state)
{
    (void)state;
    struct run_lock *lock;
    struct holder holder = start_holder(false);
    char host[65] = "", text[128];
    gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, "(%s, pid %ld, job 47)", host, (long)holder.pid);
    double began = clock_seconds();
    assert_int_equal(run_lock_acquire(directory, 0.3, &lock), STATUS_FAILED);
    double took = clock_seconds() - began;
    assert_null(lock);
    assert_true(took >= 0.3 && took < 5);
    assert_non_null(strstr(status_message(), text));
    assert_non_null(strstr(status_message(), directory));
    end_holder(&holder);
    assert_unlocked();
}

static void releases_the_lock_and_clears_its_file(void **state)
{
    (void)state;
    char path[64];
    uint8_t *text;
    size_t size;
    assert_unlocked();
    snprintf(path, sizeof path, "%s/lock", directory);
    assert_int_equal(file_read(path, 0, &text, &size), STATUS_OK);
    assert_int_equal(size, 0);
    free(text);
    run_lock_release(NULL);
}

static void waits_for_a_dying_holder(void **state)
{
    (void)state;
    struct run_lock *lock;
    struct holder holder = start_holder(false);
    pid_t killer = fork();
    if (killer == 0) {
        usleep(300 * 1000);
        kill(holder.pid, SIGKILL);
        _exit(0);
    }
    double began = clock_seconds();
    assert_int_equal(run_lock_acquire(directory, 20, &lock), STATUS_OK);
    double took = clock_seconds() - began;
    assert_true(took > 0.1 && took < 10);
    run_lock_release(lock);
    waitpid(killer, NULL, 0);
    end_holder(&holder);
}

static void is_not_inherited_by_children(void **state)
{
    (void)state;
    struct holder holder = start_holder(true);
    end_holder(&holder);
    assert_unlocked();
}

static void accepts_file_systems_without_locks(void **state)
{
    (void)state;
    const int errors[] = {ENOLCK, ENOSYS, EOPNOTSUPP};
    struct run_lock *lock;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        lock_error = errors[i];
        assert_int_equal(run_lock_acquire(directory, 5, &lock), STATUS_OK);
        assert_non_null(lock);
        run_lock_release(lock);
    }
    lock_error = EIO; /* not an error of a file system without locks */
    assert_int_equal(run_lock_acquire(directory, 5, &lock), STATUS_FAILED);
    assert_non_null(strstr(status_message(), "lock"));
    lock_error = 0;
}

/* A file that is not a run's lock is refused at once and left unchanged. */
static void refuses_and_keeps_foreign_files(void **state)
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
        assert_int_equal(run_lock_acquire(directory, 0, &lock), STATUS_MISUSE);
        assert_int_equal(file_read(path, 0, &text, &size), STATUS_OK);
        assert_int_equal(size, strlen(texts[i]));
        free(text);
    }
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(run_lock_acquire(directory, 0, &lock), STATUS_FAILED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(run_lock_acquire(directory, 0, &lock), STATUS_MISUSE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(file_write(path, "host, pid 12, job 3\n", 20), STATUS_OK);
    assert_unlocked();
}

static void fails_without_a_directory(void **state)
{
    (void)state;
    struct run_lock *lock;
    assert_int_equal(run_lock_acquire("/tmp/tutti-no-such/run", 5, &lock), STATUS_FAILED);
    assert_null(lock);
    assert_non_null(strstr(status_message(), "/tmp/tutti-no-such/run/lock"));
}

int main(void)
{
    if (!mkdtemp(directory) || setenv("SLURM_JOB_ID", "47", 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_a_second_process),
        cmocka_unit_test(releases_the_lock_and_clears_its_file),
        cmocka_unit_test(waits_for_a_dying_holder),
        cmocka_unit_test(is_not_inherited_by_children),
        cmocka_unit_test(accepts_file_systems_without_locks),
        cmocka_unit_test(refuses_and_keeps_foreign_files),
        cmocka_unit_test(fails_without_a_directory),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    file_remove_tree(directory);
    return failed;
}
