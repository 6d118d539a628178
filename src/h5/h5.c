/* h5: opens, creates and closes files; see the header.
 *
 *   library.c      set-up of HDF5, messages         lock.c      the lock around it
 *   links.c        names and links                  groups.c    creating groups
 *   storage.c      checks of how data are stored    values.c    numbers
 *   slices.c       numbers, in slices               texts.c     strings
 *   chunks.c       chunks without the library       vfd.c       the driver for writing
 *   attributes.c   attributes                       verify.c    checks of a whole file
 *
 * A file is written through the driver in vfd.c, because HDF5 1.10 does not survive a
 * full disk. It is locked while it is written, so two processes can't write one file; a
 * published file never changes, so reading takes no lock, and network file systems
 * without locks work.
 */
#include "h5_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "base/file.h"

const char *h5_path(const struct h5_file *file)
{
    return file->path;
}

uint64_t h5_size(const struct h5_file *file)
{
    return file->max_value_bytes;
}

/* ---- opening ---- */

static void free_file(struct h5_file *file)
{
    for (size_t i = 0; i < file->open_count; i++)
        free(file->open_datasets[i].name);
    free(file->open_datasets);
    free(file->scratch);
    free(file->path);
    free(file->partial);
    free(file);
}

static struct h5_file *new_file(const char *path)
{
    struct h5_file *file = calloc(1, sizeof *file);
    if (file)
        file->path = strdup(path);
    if (!file || !file->path) {
        free(file);
        status_fail(STATUS_FAILED, "%s: out of memory", path);
        return NULL;
    }
    file->id = -1;
    file->vfd.descriptor = -1;
    return file;
}

/* Gives clearer messages than HDF5 for an empty file and for other formats. */
static enum status check_signature(const char *path, int descriptor)
{
    static const uint8_t signature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    uint8_t found[sizeof signature];
    ssize_t got = read(descriptor, found, sizeof found);
    if (got < 0)
        return status_fail_errno("%s: can't read", path);
    if (got == 0)
        return status_fail(STATUS_FAILED, "%s: an empty file (expected HDF5)", path);
    if (got != sizeof found || memcmp(found, signature, sizeof found) != 0)
        return status_fail(STATUS_FAILED, "%s: not an HDF5 file, or its start is damaged",
                           path);
    return STATUS_OK;
}

/* O_NONBLOCK: open must not block on a pipe without a writer. */
static enum status check_file(const char *path, uint64_t *size, uint64_t *stored)
{
    struct stat st;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open", path);
    enum status status = STATUS_OK;
    if (fstat(descriptor, &st) != 0)
        status = status_fail_errno("%s: can't read", path);
    else if (!S_ISREG(st.st_mode))
        status = status_fail(STATUS_FAILED, "%s: %s (expected an HDF5 file)", path,
                             S_ISDIR(st.st_mode)    ? "a directory"
                             : S_ISFIFO(st.st_mode) ? "a pipe"
                                                    : "not a regular file");
    else
        status = check_signature(path, descriptor);
    *size = status == STATUS_OK ? (uint64_t)st.st_size : 0;
    *stored = status == STATUS_OK ? file_stored_size(descriptor, *size) : 0;
    close(descriptor);
    return status;
}

/* True while a program holds the lock that HDF5 takes on a file that it opens for
 * writing. A lock taken on another host may not be visible. */
static bool is_locked(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool locked = descriptor >= 0 && flock(descriptor, LOCK_SH | LOCK_NB) != 0 &&
                  errno == EWOULDBLOCK;
    if (descriptor >= 0)
        close(descriptor);
    return locked;
}

/* HDF5 marks the superblock of a file that it opens for writing until it closes the file,
 * and refuses to open a marked file: "file is already open for write". The mark outlives
 * the program; the lock does not. */
static enum status open_failed(const char *path)
{
    char cause[H5_ERROR_SIZE];
    h5_error_text(cause);
    if (is_locked(path))
        return status_fail(STATUS_FAILED,
                           "%s: another program has it open for writing (it holds a lock "
                           "on it); try again when it is closed there",
                           path);
    if (strstr(cause, "already open for"))
        return status_fail(
            STATUS_FAILED,
            "%s: marked as open for writing: a program has it open, or ended without "
            "closing it; once none has it open: h5clear -s '%s'",
            path, path);
    if (strstr(cause, "unable to lock") || strstr(cause, "file locking"))
        return status_fail(
            STATUS_FAILED,
            "%s: can't lock the file: %s; if no other program writes it, set "
            "HDF5_USE_FILE_LOCKING=FALSE in the environment",
            path, cause);
    return status_fail(STATUS_FAILED, "%s: can't open, truncated or damaged: %s", path,
                       cause);
}

enum status h5_open(const char *path, struct h5_file **out)
{
    *out = NULL;
    sandbox_set_path(path);
    uint64_t size = 0, stored = 0;
    enum status status = check_file(path, &size, &stored);
    if (status != STATUS_OK)
        return status;
    struct h5_file *file = new_file(path);
    if (!file)
        return STATUS_FAILED;
    file->size = size;
    file->max_value_bytes = stored;
    H5_HOLD_LOCK;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_sec2(access); /* whatever driver the environment sets */
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(access, false, true); /* HDF5_USE_FILE_LOCKING overrides this */
#endif
    file->id = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (file->id < 0) /* before any other call: each one clears HDF5's error stack */
        status = open_failed(path);
    H5Pclose(access);
    if (status == STATUS_OK)
        *out = file;
    else
        free_file(file);
    return status;
}

/* True if the locked file still has this name: the previous holder of the lock may have
 * published it, and then it must not be changed. */
static bool is_still_named(int descriptor, const char *partial)
{
    struct stat held, named;
    return fstat(descriptor, &held) == 0 && stat(partial, &named) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

/* An entry of that name that is a link or a pipe, or has a second hard link, was not
 * created here: it is removed, not written to. */
static int open_or_recreate(const char *partial)
{
    const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;
    int descriptor = open(partial, flags, 0666);
    bool foreign = descriptor < 0 && errno == ELOOP;
    if (descriptor >= 0 && fstat(descriptor, &st) == 0)
        foreign = !S_ISREG(st.st_mode) || st.st_nlink > 1;
    if (!foreign)
        return descriptor;
    if (descriptor >= 0)
        close(descriptor);
    unlink(partial);
    return open(partial, flags | O_EXCL, 0666);
}

/* Opens the partial file, locks it (if the file system supports locks) and truncates
 * it. */
static enum status open_partial(struct h5_file *file)
{
    for (;;) {
        int descriptor = open_or_recreate(file->partial);
        if (descriptor < 0)
            return status_fail_errno("%s: can't write", file->path);
        int locked = flock(descriptor, LOCK_EX | LOCK_NB);
        if (locked != 0 && errno == EWOULDBLOCK) {
            close(descriptor);
            return status_fail(STATUS_FAILED, "%s: another process is writing it",
                               file->path);
        }
        file->vfd.descriptor = descriptor;
        if (is_still_named(descriptor, file->partial))
            break;
        close(descriptor);
        file->vfd.descriptor = -1;
    }
    if (ftruncate(file->vfd.descriptor, 0) != 0)
        return status_fail_errno("%s: can't write", file->path);
    return STATUS_OK;
}

static enum status create_library(struct h5_file *file)
{
    H5_HOLD_LOCK;
    hid_t access = h5_vfd_access(&file->vfd);
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    if (H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
        h5_set_group_properties(creation) >= 0)
        file->id = H5Fcreate(file->partial, H5F_ACC_TRUNC, creation, access);
    enum status status = file->id < 0 ? h5_fail(file, NULL, "can't create") : STATUS_OK;
    H5Pclose(creation);
    H5Pclose(access);
    return status;
}

/* No other process knows this name, so it needs no lock. */
static enum status open_unique(struct h5_file *file)
{
    file->vfd.descriptor =
        open(file->partial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (file->vfd.descriptor < 0)
        return status_fail_errno("%s: can't write", file->path);
    return STATUS_OK;
}

/* Takes ownership of `partial`, the temporary name. */
static enum status create(const char *path, char *partial,
                          enum status (*open_file)(struct h5_file *file),
                          struct h5_file **out)
{
    *out = NULL;
    struct h5_file *file = new_file(path);
    if (!file) {
        free(partial);
        return STATUS_FAILED;
    }
    file->partial = partial;
    enum status status =
        partial ? open_file(file) : status_fail(STATUS_FAILED, "%s: out of memory", path);
    if (status == STATUS_OK)
        status = create_library(file);
    if (status != STATUS_OK) {
        h5_abandon(file);
        return status;
    }
    *out = file;
    return STATUS_OK;
}

enum status h5_create(const char *path, struct h5_file **out)
{
    return create(path, file_partial_name(path), open_partial, out);
}

enum status h5_create_unique(const char *path, struct h5_file **out)
{
    return create(path, file_temporary_name(path), open_unique, out);
}

void h5_inject_fault(struct h5_file *file, uint64_t bytes, int reason)
{
    file->vfd.fail_after = bytes ? bytes : 1;
    file->vfd.fault_errno = reason;
}

/* ---- closing ---- */

/* Flushes and closes everything that HDF5 has open in the file. */
static enum status close_library(struct h5_file *file)
{
    H5_HOLD_LOCK;
    for (size_t i = 0; i < file->open_count; i++)
        H5Dclose(file->open_datasets[i].id);
    herr_t closed = file->id < 0 ? 0 : H5Fclose(file->id);
    enum status status = closed < 0 ? h5_fail(file, NULL, "can't close") : STATUS_OK;
    file->id = -1;
    H5Eclear2(H5E_DEFAULT);
    return status;
}

void h5_abandon(struct h5_file *file)
{
    if (!file)
        return;
    if (file->vfd.descriptor >= 0 && !file->vfd.write_errno)
        file->vfd.write_errno = ECANCELED; /* prevents further writes */
    close_library(file);
    if (file->vfd.descriptor >= 0) {
        unlink(file->partial);
        close(file->vfd.descriptor);
    }
    free_file(file);
}

static enum status publish_unsynced(const char *partial, const char *path)
{
    if (rename(partial, path) == 0)
        return STATUS_OK;
    enum status status =
        status_fail_errno("%s: can't rename the finished file to this name", path);
    unlink(partial);
    return status;
}

/* `publish` renames the complete file to its name, or removes it. */
static enum status close_and_publish(struct h5_file *file,
                                     enum status (*publish)(const char *partial,
                                                            const char *path))
{
    enum status status = close_library(file);
    if (file->partial) {
        if (status == STATUS_OK)
            status = h5_write_status(file);
        if (status == STATUS_OK)
            status = publish(file->partial, file->path);
        else
            unlink(file->partial);
        close(file->vfd.descriptor); /* releases the lock */
    }
    free_file(file);
    return status;
}

enum status h5_close(struct h5_file *file)
{
    return close_and_publish(file, file_publish);
}

enum status h5_close_unsynced(struct h5_file *file)
{
    return close_and_publish(file, publish_unsynced);
}
