/* file: queries and reading; see the header. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"

/* Bytes of a stream: per read, and the default limit in total. */
enum { STREAM_BLOCK = 1 << 16, STREAM_MAX = 1 << 30 };

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Bytes outside holes. Counts at most EXTENTS_MAX extents, to limit the cost of a file
 * with millions of holes. */
static uint64_t stored_bytes(int descriptor, uint64_t size)
{
    enum { EXTENTS_MAX = 10000 };
    uint64_t bytes = 0;
    off_t at = 0;
    for (int i = 0; i < EXTENTS_MAX && (uint64_t)at < size; i++) {
        off_t first = lseek(descriptor, at, SEEK_DATA);
        if (first < 0) /* only a hole remains, or not supported */
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
    const uint64_t minimum = 16 << 20, per_byte = 8;
    uint64_t bytes = stored_bytes(descriptor, size);
    if (bytes > (UINT64_MAX - minimum) / per_byte)
        return size;
    uint64_t limit = minimum + per_byte * bytes;
    return size < limit ? size : limit;
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

/* mkdir has failed with errno `reason`: fine if the directory exists. */
static enum status check_is_directory(const char *path, int reason)
{
    if (file_is_directory(path))
        return STATUS_OK;
    if (reason == EEXIST)
        return status_fail(STATUS_FAILED,
                           "%s: can't create the directory: there is a file of this name",
                           path);
    errno = reason;
    return status_fail_errno("%s: can't create the directory", path);
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
        char separator = *at;
        *at = '\0';
        if (mkdir(partial, 0777) != 0)
            status = check_is_directory(partial, errno);
        *at = separator;
        if (separator == '\0')
            break;
    }
    free(partial);
    return status;
}

/* Reads up to `size` bytes; fewer only at the end of the file. */
static ssize_t read_fully(int descriptor, uint8_t *bytes, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = read(descriptor, bytes + have, size - have);
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
    struct stat st;
    if (fstat(descriptor, &st) != 0)
        return status_fail_errno("%s: can't read", path);
    if (!S_ISREG(st.st_mode))
        return status_fail(STATUS_FAILED, "%s: not a regular file", path);
    uint64_t expected = (uint64_t)st.st_size;
    if (max_bytes && expected > max_bytes)
        return status_fail(STATUS_FAILED, "%s: %llu bytes, more than the limit of %llu",
                           path, (unsigned long long)expected,
                           (unsigned long long)max_bytes);
    uint8_t *buffer = malloc((size_t)expected + 1); /* avoids malloc(0) */
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

/* O_NONBLOCK: opening a named pipe must not wait for its writer. */
static enum status open_input(const char *path, int *descriptor)
{
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return *descriptor < 0 ? status_fail_errno("%s: can't open", path) : STATUS_OK;
}

enum status file_read(const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size)
{
    int descriptor;
    enum status status = open_input(path, &descriptor);
    if (status != STATUS_OK)
        return status;
    status = read_open_file(descriptor, path, max_bytes, bytes, size);
    close(descriptor);
    return status;
}

bool file_is_stream(const char *path)
{
    struct stat st;
    return strcmp(path, "-") == 0 || (stat(path, &st) == 0 && S_ISFIFO(st.st_mode));
}

static enum status stream_error(const char *shown, ssize_t got, uint64_t limit)
{
    if (got < 0)
        return status_fail_errno("%s: can't read", shown);
    return status_fail(STATUS_FAILED, "%s: more than the limit of %llu bytes", shown,
                       (unsigned long long)limit);
}

/* Reads until end of file; *size bytes (0 or 1) have already been read, into `first`. */
static enum status read_stream(int descriptor, const char *shown, uint64_t max_bytes,
                               uint8_t first, uint8_t **bytes, size_t *size)
{
    uint64_t limit = max_bytes ? max_bytes : STREAM_MAX;
    uint8_t *buffer = NULL;
    size_t have = *size, capacity = 0;
    for (ssize_t got = STREAM_BLOCK; got == STREAM_BLOCK; have += (size_t)got) {
        uint8_t *grown = array_reserve(buffer, &capacity, have + STREAM_BLOCK, 1);
        if (!grown) {
            free(buffer);
            return STATUS_FAILED;
        }
        buffer = grown;
        buffer[0] = *size ? first : buffer[0];
        got = read_fully(descriptor, buffer + have, STREAM_BLOCK);
        if (got < 0 || have + (size_t)got > limit) {
            enum status status = stream_error(shown, got, limit);
            free(buffer);
            return status;
        }
    }
    *bytes = buffer;
    *size = have;
    return STATUS_OK;
}

/* The pipe is still non-blocking: the first read determines whether it has a writer. */
static enum status read_pipe(int descriptor, const char *path, uint64_t max_bytes,
                             uint8_t **bytes, size_t *size)
{
    uint8_t first = 0;
    ssize_t got = read(descriptor, &first, 1);
    if (got == 0)
        return status_fail(STATUS_FAILED, "%s: a pipe without a writer", path);
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
    int descriptor;
    enum status status = open_input(path, &descriptor);
    if (status != STATUS_OK)
        return status;
    status = read_pipe(descriptor, path, max_bytes, bytes, size);
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
    /* some file systems cannot sync a directory: EINVAL */
    if (result != 0 && reason != EINVAL)
        return status_fail_errno("%s: can't sync to disk", path);
    return STATUS_OK;
}
