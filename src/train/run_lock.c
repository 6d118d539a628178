/* run_lock: see the header.
 *
 * A traditional fcntl lock belongs to the process and is lost when the process closes any
 * descriptor of the file: the holder must not open the file again.
 */
#include "run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/phase.h"
#include "base/progress.h"
#include "base/text.h"

enum { HOLDER_TEXT = 160 };

struct run_lock {
    int file;
    bool held;
};

/* ---- the holder ---- */

static void describe_self(char text[HOLDER_TEXT])
{
    char host[65] = "an unknown host";
    const char *job = getenv("SLURM_JOB_ID");
    gethostname(host, sizeof host - 1);
    snprintf(text, HOLDER_TEXT, "%s, pid %ld%s%.20s\n", host, (long)getpid(),
             job ? ", job " : "", job ? job : "");
}

/* The text in the file; "" if it can't be read. */
static void read_text(int file, char text[HOLDER_TEXT])
{
    ssize_t size = file < 0 ? 0 : pread(file, text, HOLDER_TEXT - 1, 0);
    text[size > 0 ? size : 0] = '\0';
}

/* True for no text, or one line in the form of describe_self. */
static bool is_lock_text(const char *text)
{
    static const char pid[] = ", pid ";
    const char *at = strstr(text, pid);
    size_t line = strcspn(text, "\n");
    if (!text[0])
        return true;
    return at && at < text + line && strspn(at + strlen(pid), "0123456789") > 0 &&
           strcmp(text + line, "\n") == 0;
}

/* Opens the file again, because on a network file system only a new descriptor shows what
 * another host has written. */
static void describe_holder(const char *path, char holder[HOLDER_TEXT])
{
    char text[HOLDER_TEXT];
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    read_text(file, text);
    text[strcspn(text, "\n")] = '\0';
    text_excerpt(text[0] ? text : "unknown", holder, HOLDER_TEXT);
    if (file >= 0)
        close(file);
}

/* If this fails, another run's message can't name the holder; nothing else is lost. */
static void write_holder(const struct run_lock *lock)
{
    char text[HOLDER_TEXT];
    describe_self(text);
    if (ftruncate(lock->file, 0) == 0 && pwrite(lock->file, text, strlen(text), 0) > 0)
        return;
    log_warn("the lock of the run's folder can't name its holder: %s", strerror(errno));
}

/* ---- the lock ---- */

/* 0, or errno. */
static int try_lock(const struct run_lock *lock)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(lock->file, F_SETLK, &whole) == 0 ? 0 : errno;
}

static bool is_held(int error)
{
    return error == EAGAIN || error == EACCES || error == EINTR;
}

/* Tries for up to `timeout` seconds. The other ranks are waiting, so it reports progress
 * to the watchdog. */
static int retry_lock(const struct run_lock *lock, const char *path, double timeout)
{
    const struct timespec interval = {.tv_nsec = 50 * 1000 * 1000};
    double began = clock_seconds();
    int error = try_lock(lock);
    if (is_held(error)) {
        char holder[HOLDER_TEXT];
        describe_holder(path, holder);
        log_info("waiting for %s: held by another run (%s); %.0f s at most", path, holder,
                 timeout);
    }
    while (is_held(error) && clock_seconds() - began < timeout) {
        nanosleep(&interval, NULL);
        phase_progress();
        error = try_lock(lock);
    }
    return error;
}

static enum status fail_locked(const char *directory, const char *path)
{
    char holder[HOLDER_TEXT];
    describe_holder(path, holder);
    return status_fail(
        STATUS_FAILED,
        "%s: another run is writing into it (%s): wait until it has ended, "
        "or end that process, then resume with --resume; or set another "
        "run.dir",
        directory, holder);
}

/* A file that contains anything else must not be overwritten. */
static enum status check_file(const struct run_lock *lock, const char *path)
{
    struct stat st;
    char text[HOLDER_TEXT];
    if (fstat(lock->file, &st) != 0)
        return status_fail_errno("%s: can't be opened", path);
    if (!S_ISREG(st.st_mode))
        return status_fail(STATUS_MISUSE, "%s: %s (expected the lock of a run)", path,
                           file_kind(st.st_mode));
    read_text(lock->file, text);
    if (st.st_size < HOLDER_TEXT && is_lock_text(text))
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s: not the lock of a run, as it holds something else: rename or "
                       "move it, or set another run.dir",
                       path);
}

static enum status acquire(struct run_lock *lock, const char *directory, const char *path,
                           double timeout)
{
    lock->file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (lock->file < 0)
        return status_fail_errno("%s: can't be opened", path);
    enum status status = check_file(lock, path);
    if (status != STATUS_OK)
        return status;
    int error = retry_lock(lock, path, timeout);
    lock->held = error == 0;
    if (lock->held) {
        write_holder(lock);
        return STATUS_OK;
    }
    if (is_held(error))
        return fail_locked(directory, path);
    errno = error;
    if (error != ENOLCK && error != ENOSYS && error != EOPNOTSUPP)
        return status_fail_errno("%s: can't be locked", path);
    log_warn("%s: this file system has no locks (%s), so nothing keeps another run from "
             "writing into it at the same time",
             directory, strerror(error));
    return STATUS_OK;
}

enum status run_lock_acquire(const char *directory, double timeout, struct run_lock **out)
{
    struct run_lock *lock = *out = calloc(1, sizeof *lock);
    char *path = path_join(directory, "lock");
    enum status status = STATUS_FAILED;
    if (lock)
        lock->file = -1;
    if (lock && path)
        status = acquire(lock, directory, path, timeout);
    else
        status_fail(STATUS_FAILED, "%s: out of memory", directory);
    free(path);
    if (status != STATUS_OK) {
        run_lock_release(lock);
        *out = NULL;
    }
    return status;
}

void run_lock_release(struct run_lock *lock)
{
    if (!lock)
        return;
    if (lock->held && ftruncate(lock->file, 0) != 0)
        log_warn("the lock of the run's folder keeps its text: %s", strerror(errno));
    if (lock->file >= 0)
        close(lock->file);
    free(lock);
}
