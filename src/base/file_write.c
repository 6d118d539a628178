/* file_write: see file.h. A regular file is written beside its final name and renamed.
 *
 * Where the file system can, that file has no name until it is complete, so that not even
 * a kill leaves it behind. Elsewhere (NFS, SMB, exFAT) it is created under a random name
 * that nobody else uses or can predict: not another thread, process or host that writes
 * the same file, and not somebody who plants a link there.
 *
 * Links are followed here, not by the kernel, because the new file has to be made in the
 * folder of the last target; stat comes before each readlink so that the kernel's own rules
 * about links in shared folders (fs.protected_symlinks) still hold.
 */
#include "tutti/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum {
    LINKS_MAX = 40, /* as the kernel */
    NAMES_MAX = 100,
    BASE_MAX = 200, /* bytes of the name, so that the temporary one stays below 255 */
    RANDOM_BITS = 48
};

/* Descriptor of the data that go to standard output. */
static int data_descriptor = STDOUT_FILENO;

/* ---- temporary names ---- */

char *file_partial_name(const char *path)
{
    const char *base = path_base(path);
    return path_format("%.*s.%s.partial", (int)(base - path), path, base);
}

/* Does text[0, length) end in `tail`? */
static bool ends_with(const char *text, size_t length, const char *tail)
{
    size_t size = strlen(tail);
    return length > size && memcmp(text + length - size, tail, size) == 0;
}

/* Somebody else's ".movie.partial" is none. */
bool file_is_left_over(const char *name)
{
    size_t length = strlen(name);
    if (name[0] != '.' || !ends_with(name, length, ".partial"))
        return false;
    length -= strlen(".partial");
    if (ends_with(name, length, ".h5"))
        return true;
    size_t random = 0;
    while (random < length && strchr("0123456789abcdef", name[length - 1 - random]))
        random++;
    return random == RANDOM_BITS / 4 && length > random + 2 &&
           name[length - random - 1] == '.';
}

static uint64_t random_number(void)
{
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)&number;
    return number >> (64 - RANDOM_BITS);
}

/* "DIR/.NAME.3fa9c01b72de.partial"; a long NAME is cut between two characters. */
static char *random_name(const char *path)
{
    const char *base = path_base(path);
    size_t length = strlen(base);
    if (length > BASE_MAX)
        for (length = BASE_MAX; length > 0 && (base[length] & 0xC0) == 0x80;)
            length--;
    return path_format("%.*s.%.*s.%012llx.partial", (int)(base - path), path, (int)length,
                       base, (unsigned long long)random_number());
}

/* Calls `make` with random names beside `path` until one is free. Returns the name (the
 * caller frees it), or NULL with errno. */
static char *make_partial(const char *path,
                          int (*make)(const char *partial, void *context), void *context)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        char *partial = random_name(path);
        if (!partial || make(partial, context) == 0)
            return partial;
        int reason = errno;
        free(partial);
        errno = reason;
        if (reason != EEXIST)
            break;
    }
    return NULL;
}

static int make_file(const char *partial, void *descriptor)
{
    int made = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    *(int *)descriptor = made;
    return made < 0 ? -1 : 0;
}

/* Gives a file without a name its first one. */
static int make_name(const char *partial, void *descriptor)
{
    char unnamed[64];
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", *(int *)descriptor);
    return linkat(AT_FDCWD, unnamed, AT_FDCWD, partial, AT_SYMLINK_FOLLOW);
}

static int make_link(const char *partial, void *target)
{
    return symlink(target, partial);
}

/* ---- targets ---- */

/* Where a path leads. */
struct target {
    char *path;      /* links followed */
    char *shown;     /* for messages: the path as given, and where it leads */
    int descriptor;  /* this process's own that the path stands for; -1: none */
    bool is_regular; /* to be replaced as a whole; also one that does not exist yet */
};

static void target_free(struct target *target)
{
    free(target->path);
    free(target->shown);
}

/* The number N of "/proc/self/fd/N" in any spelling, -1 for another path. */
static int own_descriptor(const char *path)
{
    static const char root[] = "/proc/";
    char *folder = path_directory(path), *end, full[PATH_MAX];
    bool found = folder && realpath(folder, full);
    free(folder);
    if (!found || strncmp(full, root, strlen(root)) != 0 ||
        strcmp(path_base(full), "fd") != 0)
        return -1;
    long process = strtol(full + strlen(root), &end, 10);
    long number = strtol(path_base(path), &end, 10);
    bool ours = process == (long)getpid() && end != path_base(path) && *end == '\0';
    return ours && number >= 0 && number <= INT_MAX ? (int)number : -1;
}

/* A link that the kernel makes up, whose text need not be a path: /proc/PID/fd/N. */
static bool is_kernel_link(const char *path)
{
    struct statfs facts;
    char *folder = path_directory(path);
    bool is = folder && statfs(folder, &facts) == 0 && facts.f_type == PROC_SUPER_MAGIC;
    free(folder);
    return is;
}

/* What the link at `path` points to, as a path; NULL with errno. */
static char *read_link(const char *path)
{
    char text[PATH_MAX];
    ssize_t length = readlink(path, text, sizeof text - 1);
    if (length < 0)
        return NULL;
    text[length] = '\0';
    if (text[0] == '/')
        return strdup(text);
    const char *base = path_base(path);
    return path_format("%.*s%s", (int)(base - path), path, text);
}

static bool names_directory(const char *path)
{
    const char *base = path_base(path);
    return base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
}

/* May a file of this kind be written? */
static enum status check_kind(const char *shown, mode_t mode)
{
    if (S_ISDIR(mode))
        return status_fail(STATUS_FAILED, "%s: a directory (expected the name of a file)",
                           shown);
    if (S_ISSOCK(mode))
        return status_fail(STATUS_FAILED,
                           "%s: a socket (expected a file, a device or a pipe)", shown);
    return STATUS_OK;
}

/* Looks at target->path: *link, if it is one that has to be followed. */
static enum status examine(struct target *target, bool *link)
{
    struct stat facts;
    *link = false;
    if (names_directory(target->path))
        return check_kind(target->shown, S_IFDIR);
    bool exists = stat(target->path, &facts) == 0;
    if (!exists && errno != ENOENT && errno != ENOTDIR)
        return status_fail_errno("%s: can't write", target->shown);
    struct stat own;
    if (lstat(target->path, &own) == 0 && S_ISLNK(own.st_mode)) {
        target->descriptor = own_descriptor(target->path);
        *link = target->descriptor < 0 && !is_kernel_link(target->path);
        target->is_regular = *link;
    } else {
        target->is_regular = !exists || S_ISREG(facts.st_mode);
    }
    if (!exists || *link || target->descriptor >= 0)
        return STATUS_OK;
    return check_kind(target->shown, facts.st_mode);
}

static enum status follow(const char *path, struct target *target)
{
    char *next = read_link(target->path);
    char *shown = next ? path_format("%s (a link to %s)", path, next) : NULL;
    enum status status = STATUS_OK;
    if (!shown)
        status = status_fail_errno("%s: can't write", target->shown);
    free(shown ? target->path : next);
    if (shown) {
        free(target->shown);
        target->path = next;
        target->shown = shown;
    }
    return status;
}

static enum status find_target(const char *path, struct target *target)
{
    bool is_dash = strcmp(path, "-") == 0, link = !is_dash;
    *target = (struct target){.path = strdup(path),
                              .shown = strdup(is_dash ? "standard output" : path),
                              .descriptor = is_dash ? STDOUT_FILENO : -1};
    enum status status = STATUS_OK;
    if (!target->path || !target->shown)
        status = status_fail(STATUS_FAILED, "%s: out of memory", path);
    for (int links = 0; status == STATUS_OK && link; links++) {
        status = examine(target, &link);
        if (status == STATUS_OK && link && links == LINKS_MAX) {
            errno = ELOOP;
            status = status_fail_errno("%s: can't write", path);
        } else if (status == STATUS_OK && link) {
            status = follow(path, target);
        }
    }
    if (status != STATUS_OK)
        target_free(target);
    return status;
}

/* ---- writing ---- */

static int wait_until_writable(int descriptor)
{
    struct pollfd wait = {.fd = descriptor, .events = POLLOUT};
    return poll(&wait, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

/* All bytes, durable as far as there is a disk; -1 with errno. */
static int fill(int descriptor, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(descriptor, at, size);
        if (written < 0 && errno == EAGAIN && wait_until_writable(descriptor) == 0)
            continue;
        if (written < 0 && errno != EINTR)
            return -1;
        at += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return fsync(descriptor) == 0 || errno == EINVAL ? 0 : -1;
}

static int close_keeping_errno(int descriptor)
{
    int reason = errno;
    int result = close(descriptor);
    if (result == 0)
        errno = reason;
    return result;
}

/* A complete file under a temporary name, which it gets last; NULL if this file system
 * has no files without a name. */
static char *write_unnamed(const char *path, const void *bytes, size_t size)
{
    char *folder = path_directory(path), *partial = NULL;
    int descriptor = folder ? open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666) : -1;
    free(folder);
    if (descriptor < 0)
        return NULL;
    if (fill(descriptor, bytes, size) == 0)
        partial = make_partial(path, make_name, &descriptor);
    close_keeping_errno(descriptor);
    return partial;
}

/* The same under a temporary name from the beginning; NULL with errno. */
static char *write_named(const char *path, const void *bytes, size_t size)
{
    int descriptor;
    char *partial = make_partial(path, make_file, &descriptor);
    if (!partial)
        return NULL;
    bool failed = fill(descriptor, bytes, size) != 0;
    failed |= close_keeping_errno(descriptor) != 0;
    if (!failed)
        return partial;
    int reason = errno;
    unlink(partial);
    free(partial);
    errno = reason;
    return NULL;
}

/* Gives a complete and durable file its name. */
static enum status rename_partial(const char *partial, const char *path,
                                  const char *shown)
{
    if (rename(partial, path) != 0) {
        enum status status =
            status_fail_errno("%s: can't give the finished file its name", shown);
        unlink(partial);
        return status;
    }
    char *directory = path_directory(path);
    if (!directory)
        return status_fail(STATUS_FAILED, "%s: out of memory", path);
    enum status status = file_sync(directory);
    free(directory);
    return status;
}

static enum status replace(const struct target *target, const void *bytes, size_t size)
{
    char *partial = write_unnamed(target->path, bytes, size);
    if (!partial)
        partial = write_named(target->path, bytes, size);
    if (!partial)
        return status_fail_errno("%s: can't write", target->shown);
    enum status status = rename_partial(partial, target->path, target->shown);
    free(partial);
    return status;
}

static enum status open_target(const struct target *target, int *descriptor)
{
    int own = target->descriptor == STDOUT_FILENO ? data_descriptor : target->descriptor;
    int flags = O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC;
    if (target->is_regular)
        flags |= O_CREAT;
    *descriptor = own < 0 ? open(target->path, flags, 0666)
                          : fcntl(own, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (*descriptor < 0)
        return status_fail_errno("%s: can't write", target->shown);
    return STATUS_OK;
}

static enum status write_in_place(const struct target *target, const void *bytes,
                                  size_t size)
{
    int descriptor;
    enum status status = open_target(target, &descriptor);
    if (status != STATUS_OK)
        return status;
    bool failed = fill(descriptor, bytes, size) != 0;
    failed |= close_keeping_errno(descriptor) != 0;
    if (failed)
        status = status_fail_errno("%s: can't write", target->shown);
    return status;
}

/* ---- the public face ---- */

enum status file_check_output(const char *path, struct file_output *output)
{
    struct target target;
    *output = (struct file_output){0};
    enum status status = find_target(path, &target);
    if (status != STATUS_OK)
        return status;
    output->is_regular = target.is_regular;
    output->is_stdout = target.descriptor == STDOUT_FILENO;
    target_free(&target);
    return STATUS_OK;
}

enum status file_reserve_stdout(void)
{
    if (data_descriptor != STDOUT_FILENO)
        return STATUS_OK;
    fflush(stdout);
    int data = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (data < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        enum status status = status_fail_errno("standard output: can't write");
        if (data >= 0)
            close(data);
        return status;
    }
    data_descriptor = data;
    return STATUS_OK;
}

/* Waits for a FIFO's reader. Returns its descriptor, or -1 with errno. A plain open would
 * be taken up again after each signal whose handler only sets a flag. */
static int open_fifo(const char *path, bool (*give_up)(void))
{
    const int flags = O_WRONLY | O_NONBLOCK | O_CLOEXEC;
    const struct timespec pause = {.tv_nsec = 50000000};
    int descriptor;
    while ((descriptor = open(path, flags)) < 0 && errno == ENXIO && !give_up())
        nanosleep(&pause, NULL);
    if (descriptor >= 0)
        fcntl(descriptor, F_SETFL, O_WRONLY); /* writing waits for the reader again */
    else if (errno == ENXIO)
        errno = EINTR;
    return descriptor;
}

static bool is_fifo(const struct target *target)
{
    struct stat facts;
    return target->descriptor < 0 && stat(target->path, &facts) == 0 &&
           S_ISFIFO(facts.st_mode);
}

enum status file_open_output(const char *path, bool (*give_up)(void), int *descriptor,
                             bool *is_regular)
{
    struct target target;
    enum status status = find_target(path, &target);
    if (status != STATUS_OK)
        return status;
    *is_regular = target.is_regular;
    if (!is_fifo(&target))
        status = open_target(&target, descriptor);
    else if ((*descriptor = open_fifo(target.path, give_up)) < 0)
        status = status_fail_errno("%s: no reader came", target.shown);
    target_free(&target);
    return status;
}

enum status file_write(const char *path, const void *bytes, size_t size)
{
    struct target target;
    enum status status = find_target(path, &target);
    if (status != STATUS_OK)
        return status;
    status = target.is_regular ? replace(&target, bytes, size)
                               : write_in_place(&target, bytes, size);
    target_free(&target);
    return status;
}

enum status file_publish(const char *partial, const char *path)
{
    enum status status = file_sync(partial);
    if (status == STATUS_OK)
        return rename_partial(partial, path, path);
    unlink(partial);
    return status;
}

enum status file_link(const char *target, const char *link)
{
    char *partial = make_partial(link, make_link, (void *)(uintptr_t)target);
    enum status status = STATUS_OK;
    if (!partial || rename(partial, link) != 0) {
        status = status_fail_errno("%s: can't link to %s", link, target);
        if (partial)
            unlink(partial);
    }
    free(partial);
    return status;
}
