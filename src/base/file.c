/* file: see the header; file_write.c has what writes files. Everything here is POSIX;
 * nothing is kept between calls. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"

/* Of what is read as it comes: a part at a time, and no more in all unless a limit says
 * so. */
enum { STREAM_PART = 1 << 16, STREAM_MAX = 1 << 30 };

char *path_format(const char *format, ...)
{
    char *path = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&path, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : path;
}

char *path_join(const char *dir, const char *name)
{
    if (dir[0] == '\0' || strcmp(dir, ".") == 0)
        return strdup(name);
    const char *separator = dir[strlen(dir) - 1] == '/' ? "" : "/";
    return path_format("%s%s%s", dir, separator, name);
}

char *path_trim(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    return strndup(path, length);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

enum status path_expand_home(const char *path, char **out)
{
    *out = NULL;
    if (path[0] != '~') {
        *out = strdup(path);
    } else if (path[1] != '\0' && path[1] != '/') {
        return status_fail(STATUS_MISUSE,
                           "only ~/ is expanded: write the folder of %.*s "
                           "out, or ./%.*s for a file of this name",
                           (int)strcspn(path, "/"), path, (int)strcspn(path, "/"), path);
    } else {
        const char *home = getenv("HOME");
        if (!home || home[0] != '/')
            return status_fail(STATUS_MISUSE,
                               "~ is not known, as HOME is %s: write the "
                               "path out",
                               home && home[0] ? "no absolute path" : "not set");
        *out = path[1] && path[2] ? path_join(home, path + 2) : strdup(home);
    }
    return *out ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory");
}

bool file_exists(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* Bytes outside of holes. Counts at most MOST_PARTS extents, so that a file of millions
 * of holes takes no time. */
static uint64_t stored_bytes(int descriptor, uint64_t size)
{
    enum { MOST_PARTS = 10000 };
    uint64_t bytes = 0;
    off_t at = 0;
    for (int i = 0; i < MOST_PARTS && (uint64_t)at < size; i++) {
        off_t first = lseek(descriptor, at, SEEK_DATA);
        if (first < 0) /* only a hole is left, or the file system can't tell */
            return errno == ENXIO ? bytes : size;
        at = lseek(descriptor, first, SEEK_HOLE);
        if (at < first)
            return size;
        bytes += (uint64_t)(at - first);
    }
    return bytes;
}

uint64_t file_stored_size(int descriptor, uint64_t size)
{
    const uint64_t least = 16 << 20, for_each = 8;
    uint64_t bytes = stored_bytes(descriptor, size);
    if (bytes > (UINT64_MAX - least) / for_each)
        return size;
    uint64_t most = least + for_each * bytes;
    return size < most ? size : most;
}

const char *file_kind(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a file";
    case S_IFDIR:
        return "a directory";
    case S_IFLNK:
        return "a link";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* Gives `from` the name `to` unless that is taken; -1 with errno. */
static int rename_to_free(const char *from, const char *to)
{
    struct stat facts;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) /* NFS and others */
        return -1;
    if (lstat(to, &facts) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

enum status file_keep_aside(const char *path, char **kept)
{
    for (int number = 1;; number++) {
        *kept = path_format("%s.kept-%d", path, number);
        if (!*kept)
            return status_fail(STATUS_FAILED, "%s: out of memory", path);
        if (rename_to_free(path, *kept) == 0)
            return STATUS_OK;
        int reason = errno;
        free(*kept);
        *kept = NULL;
        errno = reason;
        if (reason != EEXIST)
            return status_fail_errno("%s: can't be moved aside", path);
    }
}

/* mkdir has failed because of `reason`: is the directory there all the same? */
static enum status accept_directory(const char *path, int reason)
{
    if (file_is_directory(path))
        return STATUS_OK;
    if (reason == EEXIST)
        return status_fail(STATUS_FAILED,
                           "%s: can't make the directory: there is a file of this name",
                           path);
    errno = reason;
    return status_fail_errno("%s: can't make the directory", path);
}

enum status file_make_directories(const char *path)
{
    char *partial = strdup(path);
    if (!partial)
        return status_fail(STATUS_FAILED, "%s: out of memory", path);
    enum status status = STATUS_OK;
    for (char *at = partial + 1; status == STATUS_OK; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(partial, 0777) != 0)
            status = accept_directory(partial, errno);
        *at = kept;
        if (kept == '\0')
            break;
    }
    free(partial);
    return status;
}

/* Reads up to `room` bytes; short only at the end of the file. */
static ssize_t read_fully(int descriptor, uint8_t *bytes, size_t room)
{
    size_t have = 0;
    while (have < room) {
        ssize_t got = read(descriptor, bytes + have, room - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static enum status read_open_file(int descriptor, const char *path, uint64_t max_bytes,
                                  uint8_t **bytes, size_t *size)
{
    struct stat facts;
    if (fstat(descriptor, &facts) != 0)
        return status_fail_errno("%s: can't read", path);
    if (!S_ISREG(facts.st_mode))
        return status_fail(STATUS_FAILED, "%s: not a regular file", path);
    uint64_t expected = (uint64_t)facts.st_size;
    if (max_bytes && expected > max_bytes)
        return status_fail(STATUS_FAILED, "%s: %llu bytes, more than the limit of %llu",
                           path, (unsigned long long)expected,
                           (unsigned long long)max_bytes);
    uint8_t *buffer = malloc((size_t)expected + 1); /* never malloc(0) */
    if (!buffer)
        return status_fail(STATUS_FAILED, "%s: no memory for %llu bytes", path,
                           (unsigned long long)expected);
    ssize_t got = read_fully(descriptor, buffer, (size_t)expected);
    if (got < 0) {
        free(buffer);
        return status_fail_errno("%s: can't read", path);
    }
    *bytes = buffer;
    *size = (size_t)got;
    return STATUS_OK;
}

enum status file_read(const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size)
{
    /* O_NONBLOCK: opening a named pipe must not wait for its writer. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open", path);
    enum status status = read_open_file(descriptor, path, max_bytes, bytes, size);
    close(descriptor);
    return status;
}

bool file_is_stream(const char *path)
{
    struct stat facts;
    return strcmp(path, "-") == 0 || (stat(path, &facts) == 0 && S_ISFIFO(facts.st_mode));
}

static enum status refuse_stream(const char *shown, ssize_t got, uint64_t most)
{
    if (got < 0)
        return status_fail_errno("%s: can't read", shown);
    return status_fail(STATUS_FAILED, "%s: more than the limit of %llu bytes", shown,
                       (unsigned long long)most);
}

/* Reads to the end; `first`, of *size bytes, has been read already. */
static enum status read_stream(int descriptor, const char *shown, uint64_t max_bytes,
                               uint8_t first, uint8_t **bytes, size_t *size)
{
    uint64_t most = max_bytes ? max_bytes : STREAM_MAX;
    uint8_t *buffer = NULL;
    size_t have = *size, capacity = 0;
    for (ssize_t got = STREAM_PART; got == STREAM_PART; have += (size_t)got) {
        uint8_t *grown = array_reserve(buffer, &capacity, have + STREAM_PART, 1);
        if (!grown) {
            free(buffer);
            return STATUS_FAILED;
        }
        buffer = grown;
        buffer[0] = *size ? first : buffer[0];
        got = read_fully(descriptor, buffer + have, STREAM_PART);
        if (got < 0 || have + (size_t)got > most) {
            enum status status = refuse_stream(shown, got, most);
            free(buffer);
            return status;
        }
    }
    *bytes = buffer;
    *size = have;
    return STATUS_OK;
}

/* The pipe does not block yet: reading from it tells whether there is a writer. */
static enum status read_pipe(int descriptor, const char *path, uint64_t max_bytes,
                             uint8_t **bytes, size_t *size)
{
    uint8_t first = 0;
    ssize_t got = read(descriptor, &first, 1);
    if (got == 0)
        return status_fail(STATUS_FAILED, "%s: a pipe that nobody writes to", path);
    if ((got < 0 && errno != EAGAIN) || fcntl(descriptor, F_SETFL, O_RDONLY) != 0)
        return status_fail_errno("%s: can't read", path);
    *size = got == 1;
    return read_stream(descriptor, path, max_bytes, first, bytes, size);
}

enum status file_read_input(const char *path, uint64_t max_bytes, uint8_t **bytes,
                            size_t *size)
{
    *size = 0;
    if (strcmp(path, "-") == 0)
        return read_stream(STDIN_FILENO, "standard input", max_bytes, 0, bytes, size);
    if (!file_is_stream(path))
        return file_read(path, max_bytes, bytes, size);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open", path);
    enum status status = read_pipe(descriptor, path, max_bytes, bytes, size);
    close(descriptor);
    return status;
}

enum status file_sync(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open to sync", path);
    int result = fsync(descriptor);
    int reason = errno;
    close(descriptor);
    errno = reason;
    /* some file systems cannot sync a directory and say EINVAL */
    if (result != 0 && reason != EINVAL)
        return status_fail_errno("%s: can't sync to disk", path);
    return STATUS_OK;
}
