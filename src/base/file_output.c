/* file_output: opening and writing outputs; see file.h. */
#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* ---- opening ---- */

static bool is_fifo(const struct file_target *target)
{
    struct stat st;
    return target->descriptor < 0 && stat(target->path, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* Opens a FIFO once it has a reader. Returns the descriptor, or -1 with errno; EINTR if
 * is_cancelled (NULL: never) returns true. A blocking open would be restarted after each
 * signal whose handler only sets a flag. */
static int open_fifo(const struct file_target *target, bool (*is_cancelled)(void))
{
    const int flags = O_WRONLY | O_NONBLOCK | O_CLOEXEC;
    const struct timespec pause = {.tv_nsec = 50000000};
    for (bool reported = false;; reported = true) {
        int descriptor = open(target->path, flags);
        if (descriptor >= 0)
            fcntl(descriptor, F_SETFL, O_WRONLY); /* writes block again */
        if (descriptor >= 0 || errno != ENXIO)
            return descriptor;
        if (!reported)
            log_info("waiting for a reader of %s", target->shown);
        if (is_cancelled && is_cancelled()) {
            errno = EINTR;
            return -1;
        }
        nanosleep(&pause, NULL);
    }
}

static int dup_descriptor(int descriptor)
{
    int source = descriptor == STDOUT_FILENO ? file_stdout_descriptor() : descriptor;
    return fcntl(source, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static enum status open_target(const struct file_target *target,
                               bool (*is_cancelled)(void), int *descriptor)
{
    const int flags = O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC;
    if (target->descriptor >= 0)
        *descriptor = dup_descriptor(target->descriptor);
    else if (is_fifo(target))
        *descriptor = open_fifo(target, is_cancelled);
    else
        *descriptor =
            open(target->path, flags | (target->is_regular ? O_CREAT : 0), 0666);
    if (*descriptor >= 0)
        return STATUS_OK;
    if (errno == EINTR && is_fifo(target))
        return status_fail(STATUS_FAILED, "%s: no reader", target->shown);
    return status_fail_errno("%s: can't write", target->shown);
}

enum status file_open_output(const char *path, bool (*is_cancelled)(void),
                             int *descriptor, bool *is_regular)
{
    struct file_target target;
    enum status status = file_target_find(path, &target);
    if (status != STATUS_OK)
        return status;
    *is_regular = target.is_regular;
    status = file_check_not_h5(&target);
    if (status == STATUS_OK)
        status = open_target(&target, is_cancelled, descriptor);
    file_target_free(&target);
    return status;
}

/* ---- writing ---- */

static enum status write_in_place(const struct file_target *target, const void *bytes,
                                  size_t size)
{
    int descriptor;
    enum status status = open_target(target, NULL, &descriptor);
    if (status != STATUS_OK)
        return status;
    bool failed = file_write_bytes(descriptor, bytes, size) != 0;
    failed |= file_close(descriptor) != 0;
    if (failed)
        status = status_fail_errno("%s: can't write", target->shown);
    return status;
}

/* True if a file can't be replaced but may still be writable: no permission for its
 * directory, a read-only directory, a mount point (a file mounted into a container). */
static bool denies_replacing(int reason)
{
    return reason == EACCES || reason == EPERM || reason == EROFS || reason == EBUSY;
}

static enum status replace(const struct file_target *target, const void *bytes,
                           size_t size)
{
    struct stat st;
    const struct file_content content = {.bytes = bytes, .size = size};
    bool exists = stat(target->path, &st) == 0;
    if (file_replace(target->path, exists ? &st : NULL, &content) == 0)
        return file_sync_directory_of(target->path);
    struct file_target existing = *target;
    existing.is_regular = false;
    int reason = errno;
    if (denies_replacing(reason) && stat(target->path, &st) == 0)
        return write_in_place(&existing, bytes, size);
    errno = reason;
    return status_fail_errno("%s: can't write", target->shown);
}

enum status file_write(const char *path, const void *bytes, size_t size)
{
    struct file_target target;
    enum status status = file_target_find(path, &target);
    if (status != STATUS_OK)
        return status;
    status = target.is_regular ? replace(&target, bytes, size)
                               : write_in_place(&target, bytes, size);
    file_target_free(&target);
    return status;
}
