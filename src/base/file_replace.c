/* file_replace: writes a regular file beside its final name and renames it; see file.h.
 *
 * Where the file system supports it (O_TMPFILE), the new file has no name until it is
 * complete, so that not even SIGKILL leaves it behind. Elsewhere (NFS, SMB, exFAT) it is
 * created under a random name. No other thread, process or host that writes the same file
 * uses that name, and nobody can predict it to plant a link there.
 */
#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- content ---- */

static int wait_until_writable(int descriptor)
{
    struct pollfd wait = {.fd = descriptor, .events = POLLOUT};
    return poll(&wait, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

int file_write_bytes(int descriptor, const void *bytes, size_t size)
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

static int write_content(int descriptor, const struct file_content *content)
{
    if (content->write && content->write(descriptor, content->context) != 0)
        return -1;
    return file_write_bytes(descriptor, content->bytes, content->size);
}

int file_close(int descriptor)
{
    int reason = errno;
    int result = close(descriptor);
    if (result == 0)
        errno = reason;
    return result;
}

/* ---- under a temporary name ---- */

/* Calls `create` with random names beside `path` until one is unused. Returns the name
 * (the caller frees it), or NULL with errno. */
static char *create_unique(const char *path,
                           int (*create)(const char *partial, void *context),
                           void *context)
{
    for (int i = 0; i < FILE_NAME_ATTEMPTS; i++) {
        char *partial = file_temporary_name(path);
        if (!partial || create(partial, context) == 0)
            return partial;
        int reason = errno;
        free(partial);
        errno = reason;
        if (reason != EEXIST)
            break;
    }
    return NULL;
}

struct new_file {
    const struct stat *old; /* the file that it replaces; NULL if there is none, or if it
                               belongs to another user, whom its mode bits would lock
                               out */
    int descriptor;
};

/* Private until it gets the mode bits of the old file. */
static mode_t initial_mode(const struct new_file *file)
{
    return file->old ? 0600 : 0666;
}

static int create_file(const char *partial, void *context)
{
    struct new_file *file = context;
    file->descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                            initial_mode(file));
    return file->descriptor < 0 ? -1 : 0;
}

/* Links an unnamed file (O_TMPFILE) to its first name. */
static int link_unnamed(const char *partial, void *context)
{
    const struct new_file *file = context;
    char unnamed[64];
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", file->descriptor);
    return linkat(AT_FDCWD, unnamed, AT_FDCWD, partial, AT_SYMLINK_FOLLOW);
}

static int create_link(const char *partial, void *target)
{
    return symlink(target, partial);
}

/* Gives a new file the old one's owner, group and mode bits; without the group's bits if
 * the group can't be set. */
static void copy_attributes(const struct new_file *file)
{
    if (!file->old)
        return;
    bool group_set = fchown(file->descriptor, file->old->st_uid, file->old->st_gid) == 0;
    (void)!fchmod(file->descriptor, file->old->st_mode & (group_set ? 0777 : 0707));
}

/* Writes the file unnamed, then links it to a temporary name. NULL if the file system
 * does not support unnamed files. */
static char *write_unnamed(const char *path, const struct stat *old,
                           const struct file_content *content)
{
    struct new_file file = {.old = old, .descriptor = -1};
    char *folder = path_directory(path), *partial = NULL;
    if (folder)
        file.descriptor =
            open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, initial_mode(&file));
    free(folder);
    if (file.descriptor < 0)
        return NULL;
    copy_attributes(&file);
    if (write_content(file.descriptor, content) == 0)
        partial = create_unique(path, link_unnamed, &file);
    file_close(file.descriptor);
    return partial;
}

/* The same with a temporary name from the beginning; NULL with errno. */
static char *write_named(const char *path, const struct stat *old,
                         const struct file_content *content)
{
    struct new_file file = {.old = old};
    char *partial = create_unique(path, create_file, &file);
    if (!partial)
        return NULL;
    copy_attributes(&file);
    bool failed = write_content(file.descriptor, content) != 0;
    failed |= file_close(file.descriptor) != 0;
    if (!failed)
        return partial;
    int reason = errno;
    unlink(partial);
    free(partial);
    errno = reason;
    return NULL;
}

enum status file_sync_directory_of(const char *path)
{
    char *directory = path_directory(path);
    if (!directory)
        return status_fail(STATUS_FAILED, "%s: out of memory", path);
    enum status status = file_sync(directory);
    free(directory);
    return status;
}

/* rename(partial, path); on failure removes `partial` and returns -1 with errno. */
static int rename_or_remove(const char *partial, const char *path)
{
    if (rename(partial, path) == 0)
        return 0;
    int reason = errno;
    unlink(partial);
    errno = reason;
    return -1;
}

int file_replace(const char *path, const struct stat *replaced,
                 const struct file_content *content)
{
    bool same_owner = replaced && (replaced->st_uid == geteuid() || geteuid() == 0);
    const struct stat *old = same_owner ? replaced : NULL;
    char *partial = write_unnamed(path, old, content);
    if (!partial)
        partial = write_named(path, old, content);
    if (!partial)
        return -1;
    int result = rename_or_remove(partial, path), reason = errno;
    free(partial);
    errno = reason;
    return result;
}

/* ---- at paths chosen by the program ---- */

static enum status replace_nofollow(const char *path, const struct file_content *content)
{
    struct stat st;
    bool exists = lstat(path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode))
        return status_fail(STATUS_FAILED, "%s: %s (expected a file, or nothing)", path,
                           file_kind(st.st_mode));
    if (file_replace(path, exists ? &st : NULL, content) != 0)
        return status_fail_errno("%s: can't write", path);
    return file_sync_directory_of(path);
}

enum status file_write_nofollow(const char *path, const void *bytes, size_t size)
{
    return replace_nofollow(path, &(struct file_content){.bytes = bytes, .size = size});
}

enum status file_write_nofollow_callback(const char *path, file_writer *write,
                                         void *context)
{
    return replace_nofollow(path,
                            &(struct file_content){.write = write, .context = context});
}

enum status file_publish(const char *partial, const char *path)
{
    enum status status = file_sync(partial);
    if (status != STATUS_OK) {
        unlink(partial);
        return status;
    }
    if (rename_or_remove(partial, path) != 0)
        return status_fail_errno("%s: can't rename the finished file to this name", path);
    return file_sync_directory_of(path);
}

enum status file_symlink(const char *target, const char *link)
{
    char *partial = create_unique(link, create_link, (void *)(uintptr_t)target);
    enum status status = STATUS_OK;
    if (!partial || rename(partial, link) != 0) {
        status = status_fail_errno("%s: can't link to %s", link, target);
        if (partial)
            unlink(partial);
    }
    free(partial);
    return status;
}
