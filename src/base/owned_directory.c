/* owned_directory: opening and claiming, and the marker; see the header. */
#include "owned_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "progress.h"

enum { MARKER_MAX = 1 << 16, VERSION = 1 };
static const char end_line[] = "end\n";

struct owned_directory owned_directory_none(void)
{
    return (struct owned_directory){.descriptor = -1, .marker = -1};
}

void owned_directory_close(struct owned_directory *directory)
{
    if (directory->marker >= 0) {
        flock(directory->marker, LOCK_UN); /* MPI daemons may have inherited it */
        close(directory->marker);
    }
    if (directory->descriptor >= 0)
        close(directory->descriptor);
    free(directory->manifest);
    free(directory->path);
    *directory = owned_directory_none();
}

enum status owned_directory_open(const char *path, bool follow, const char *command,
                                 const char *marker_name, struct owned_directory *out)
{
    *out = owned_directory_none();
    out->path = strdup(path);
    out->manifest = strdup("");
    out->command = command;
    out->marker_name = marker_name;
    if (!out->path || !out->manifest)
        return owned_no_memory(path);
    struct stat st;
    if (!follow && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        return status_fail(STATUS_MISUSE,
                           "%s: a symbolic link, where tutti %s makes a directory of its "
                           "own: not followed; move it away or choose another name",
                           path, command);
    out->descriptor =
        open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    return out->descriptor < 0 ? owned_misuse_errno(path, "can't open the directory")
                               : STATUS_OK;
}

bool owned_directory_is_at(const struct owned_directory *directory, const char *path)
{
    struct stat opened, named;
    return directory->descriptor >= 0 && fstat(directory->descriptor, &opened) == 0 &&
           lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

enum status owned_directory_set_manifest(struct owned_directory *directory,
                                         const char *manifest)
{
    char *copy = strdup(manifest);
    if (!copy)
        return owned_no_memory(directory->path);
    free(directory->manifest);
    directory->manifest = copy;
    return STATUS_OK;
}

enum status owned_directory_add_remedy(enum status status)
{
    return status_fail(status, "%s: not replaced; move it away or choose another name",
                       status_message());
}

/* ---- the marker ---- */

static enum status refuse_marker(const struct owned_directory *directory, const char *why)
{
    return owned_directory_add_remedy(
        status_fail(STATUS_MISUSE, "%s/%s: %s (expected the marker of a tutti %s)",
                    directory->path, directory->marker_name, why, directory->command));
}

/* *descriptor is -1 if there is no marker. */
static enum status open_marker(const struct owned_directory *directory, int flags,
                               int *descriptor)
{
    struct stat st;
    *descriptor = openat(directory->descriptor, directory->marker_name,
                         flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*descriptor < 0 && errno == ENOENT)
        return STATUS_OK;
    if (*descriptor < 0 && errno == ELOOP)
        return refuse_marker(directory, "a symbolic link");
    if (*descriptor < 0)
        return owned_misuse_errno(directory->path, "can't open its marker");
    if (fstat(*descriptor, &st) == 0 && S_ISREG(st.st_mode))
        return STATUS_OK;
    close(*descriptor);
    *descriptor = -1;
    return refuse_marker(directory, "not a regular file");
}

/* True if the line names an entry below the directory and cannot lead out of it. */
static bool is_safe_path(const char *line, size_t length)
{
    if (length == 0 || line[0] == '/')
        return false;
    for (size_t at = 0; at < length;) {
        size_t part = 0;
        while (at + part < length && line[at + part] != '/')
            part++;
        bool dots = part <= 2 && strspn(line + at, ".") >= part;
        if (dots) /* "", "." or ".." */
            return false;
        at += part + 1;
    }
    return true;
}

/* The manifest within a marker's text, which is truncated after it; NULL for any other
 * text. */
static char *parse_marker(const struct owned_directory *directory, char *text)
{
    char first[64];
    int length =
        snprintf(first, sizeof first, "tutti %s %d\n", directory->command, VERSION);
    if (strncmp(text, first, (size_t)length) != 0)
        return NULL;
    char *manifest = text + length, *at = manifest;
    while (strncmp(at, end_line, strlen(end_line)) != 0) {
        size_t line = strcspn(at, "\n");
        if (at[line] != '\n' || !is_safe_path(at, line))
            return NULL;
        at += line + 1;
    }
    *at = '\0';
    return manifest;
}

/* *empty is true for a marker of a process that was killed before it wrote the manifest.
 * */
static enum status read_marker(struct owned_directory *directory, int descriptor,
                               bool *empty)
{
    char *text = calloc(MARKER_MAX + 1, 1);
    if (!text)
        return owned_no_memory(directory->path);
    ssize_t got = pread(descriptor, text, MARKER_MAX, 0);
    *empty = got == 0;
    char *manifest = got > 0 ? parse_marker(directory, text) : NULL;
    enum status status = STATUS_OK;
    if (manifest)
        status = owned_directory_set_manifest(directory, manifest);
    else if (!*empty)
        status = refuse_marker(directory, "a file of another kind");
    free(text);
    return status;
}

enum status owned_directory_read_manifest(struct owned_directory *directory, bool *found)
{
    int descriptor;
    bool empty = false;
    enum status status = open_marker(directory, O_RDONLY, &descriptor);
    *found = descriptor >= 0;
    if (descriptor >= 0) {
        status = read_marker(directory, descriptor, &empty);
        close(descriptor);
    }
    return status;
}

/* One write; until the file is truncated, the rest of a longer old manifest follows the
 * end line. */
static enum status write_marker(const struct owned_directory *directory,
                                const char *manifest)
{
    char *text =
        path_format("tutti %s %d\n%s%s", directory->command, VERSION, manifest, end_line);
    if (!text || strlen(text) > MARKER_MAX) {
        free(text);
        return owned_no_memory(directory->path);
    }
    size_t size = strlen(text);
    bool written = pwrite(directory->marker, text, size, 0) == (ssize_t)size &&
                   ftruncate(directory->marker, (off_t)size) == 0 &&
                   (fsync(directory->marker) == 0 || errno == EINVAL);
    free(text);
    return written ? STATUS_OK
                   : status_fail_errno("%s/%s: can't write", directory->path,
                                       directory->marker_name);
}

enum status owned_directory_write_manifest(struct owned_directory *directory,
                                           const char *manifest)
{
    enum status status = write_marker(directory, manifest);
    return status == STATUS_OK ? owned_directory_set_manifest(directory, manifest)
                               : status;
}

/* Tries for `seconds`. Succeeds without a lock if the file system does not support
 * locks. */
static enum status lock_marker(const struct owned_directory *directory, double seconds)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    double began = clock_seconds();
    for (bool reported = false; flock(directory->marker, LOCK_EX | LOCK_NB) != 0;) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return STATUS_OK;
        if (clock_seconds() - began >= seconds)
            return status_fail(STATUS_MISUSE, "%s: another %s is writing it",
                               directory->path, directory->command);
        if (!reported)
            log_info("waiting for %s: another %s is writing it; %.0f s at most",
                     directory->path, directory->command, seconds);
        reported = true;
        nanosleep(&pause, NULL);
    }
    return STATUS_OK;
}

/* The marker may have been deleted while this process waited for its lock. */
static enum status check_same_marker(const struct owned_directory *directory)
{
    struct stat opened, named;
    if (fstat(directory->marker, &opened) == 0 &&
        fstatat(directory->descriptor, directory->marker_name, &named,
                AT_SYMLINK_NOFOLLOW) == 0 &&
        opened.st_dev == named.st_dev && opened.st_ino == named.st_ino)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE, "%s: another %s has just finished it",
                       directory->path, directory->command);
}

static enum status refuse_unmarked(const struct owned_directory *directory,
                                   const char *holds)
{
    return owned_directory_add_remedy(status_fail(
        STATUS_MISUSE, "%s: exists and was not made by tutti %s (found '%s'; no %s)",
        directory->path, directory->command, holds, directory->marker_name));
}

/* The directory must be empty, except possibly for the marker. */
static enum status check_empty(const struct owned_directory *directory)
{
    struct owned_listing listing;
    enum status status =
        owned_listing_read(directory->descriptor, directory->path, &listing);
    for (size_t i = 0; i < listing.count && status == STATUS_OK; i++)
        if (strcmp(listing.names[i], directory->marker_name) != 0)
            status = refuse_unmarked(directory, listing.names[i]);
    owned_listing_free(&listing);
    return status;
}

static enum status create_marker(struct owned_directory *directory)
{
    enum status status = check_empty(directory);
    if (status != STATUS_OK)
        return status;
    directory->marker = openat(directory->descriptor, directory->marker_name,
                               O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (directory->marker >= 0)
        return STATUS_OK;
    return status_fail_errno("%s/%s: can't create", directory->path,
                             directory->marker_name);
}

/* Deletes the leftovers of an earlier process, if there is nothing else. The marker is
 * locked. */
static enum status reclaim(struct owned_directory *directory)
{
    bool empty;
    enum status status = read_marker(directory, directory->marker, &empty);
    if (status == STATUS_OK && empty)
        return check_empty(directory);
    if (status == STATUS_OK && owned_directory_check(directory) != STATUS_OK)
        return owned_directory_add_remedy(STATUS_MISUSE);
    return status == STATUS_OK ? owned_directory_clear(directory) : status;
}

enum status owned_directory_claim(struct owned_directory *directory, const char *manifest,
                                  double seconds, bool inherit)
{
    enum status status = open_marker(directory, O_RDWR, &directory->marker);
    if (status == STATUS_OK && directory->marker < 0)
        status = create_marker(directory);
    if (status == STATUS_OK)
        status = lock_marker(directory, seconds);
    if (status == STATUS_OK)
        status = check_same_marker(directory);
    if (status == STATUS_OK)
        status = reclaim(directory);
    if (status == STATUS_OK)
        status = owned_directory_write_manifest(directory, manifest);
    if (status == STATUS_OK && inherit)
        fcntl(directory->marker, F_SETFD, 0);
    if (status != STATUS_OK && directory->marker >= 0) {
        close(directory->marker);
        directory->marker = -1;
    }
    return status;
}

enum status owned_directory_remove_marker(const struct owned_directory *directory)
{
    if (unlinkat(directory->descriptor, directory->marker_name, 0) == 0)
        return STATUS_OK;
    return status_fail_errno("%s/%s: can't remove", directory->path,
                             directory->marker_name);
}
