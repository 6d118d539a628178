/* file_check: checks whether an output can be written, before any work is done; see
 * file.h. */
#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIGNATURE_SIZE = 12 }; /* bytes that identify the format of a file */

/* ---- permissions ---- */

/* access() with the effective user and group, which open() uses. */
static int access_as_writer(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}

/* True if the file can be replaced by one created beside it. In a sticky directory such
 * as /tmp, only its owner may replace it. */
static bool can_replace(const char *path, const struct stat *file)
{
    struct stat st;
    char *folder = path_directory(path);
    bool writable =
        folder && stat(folder, &st) == 0 && access_as_writer(folder, W_OK | X_OK) == 0;
    free(folder);
    uid_t user = geteuid();
    return writable && (!(st.st_mode & S_ISVTX) || user == 0 || user == file->st_uid ||
                        user == st.st_uid);
}

/* The nearest existing directory above `path`; NULL with errno. */
static char *nearest_directory(const char *path)
{
    struct stat st;
    char *folder = path_directory(path);
    while (folder && stat(folder, &st) != 0) {
        int reason = errno;
        char *parent = reason == ENOENT ? path_directory(folder) : NULL;
        free(folder);
        folder = parent;
        errno = reason;
    }
    if (folder && !S_ISDIR(st.st_mode)) {
        free(folder);
        folder = NULL;
        errno = ENOTDIR;
    }
    return folder;
}

/* Checks whether the file, and directories missing on its path, can be created. */
static enum status check_creatable(const struct file_target *target,
                                   bool *missing_directory)
{
    char *folder = path_directory(target->path);
    char *existing = folder ? nearest_directory(target->path) : NULL;
    bool permitted = existing && access_as_writer(existing, W_OK | X_OK) == 0;
    *missing_directory = permitted && strcmp(folder, existing) != 0;
    if (*missing_directory && target->links > 0) { /* not created through a link */
        permitted = false;
        errno = ENOENT;
    }
    int reason = errno;
    free(folder);
    free(existing);
    errno = reason;
    return permitted ? STATUS_OK : status_fail_errno("%s: can't write", target->shown);
}

static enum status check_descriptor(const struct file_target *target)
{
    bool is_stdout = target->descriptor == STDOUT_FILENO;
    int flags = fcntl(is_stdout ? file_stdout_descriptor() : target->descriptor, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: closed, or not open for writing",
                       target->shown);
}

static enum status check_permission(const struct file_target *target,
                                    bool *missing_directory)
{
    struct stat st;
    *missing_directory = false;
    if (target->descriptor >= 0)
        return check_descriptor(target);
    if (stat(target->path, &st) != 0)
        return check_creatable(target, missing_directory);
    if ((target->is_regular && can_replace(target->path, &st)) ||
        access_as_writer(target->path, W_OK) == 0)
        return STATUS_OK;
    return status_fail_errno("%s: can't write", target->shown);
}

/* ---- content that must not be lost ---- */

/* The first bytes of the regular file at `path`; zeros if it can't be read. */
static void read_signature(const char *path, uint8_t first[SIGNATURE_SIZE])
{
    struct stat st;
    memset(first, 0, SIGNATURE_SIZE);
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool regular = descriptor >= 0 && fstat(descriptor, &st) == 0 && S_ISREG(st.st_mode);
    if (!regular || read(descriptor, first, SIGNATURE_SIZE) < 0)
        memset(first, 0, SIGNATURE_SIZE);
    if (descriptor >= 0)
        close(descriptor);
}

enum status file_check_not_h5(const struct file_target *target)
{
    uint8_t first[SIGNATURE_SIZE];
    if (target->descriptor >= 0 || !target->is_regular)
        return STATUS_OK;
    read_signature(target->path, first);
    if (memcmp(first, "\x89HDF\r\n\x1a\n", 8) != 0)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: an HDF5 file, as checkpoints and datasets are: not replaced; "
                       "choose another name, or remove it first",
                       target->shown);
}

/* ---- the checks ---- */

enum status file_check_output(const char *path, struct file_output *output)
{
    struct file_target target;
    *output = (struct file_output){0};
    enum status status = file_target_find(path, &target);
    if (status != STATUS_OK)
        return status;
    output->is_regular = target.is_regular;
    output->is_stdout = target.descriptor == STDOUT_FILENO;
    status = check_permission(&target, &output->missing_directory);
    if (status == STATUS_OK)
        status = file_check_not_h5(&target);
    file_target_free(&target);
    return status;
}

/* stat, or fstat of `standard_stream` for "-". */
static bool read_attributes(const char *path, int standard_stream, struct stat *st)
{
    return (strcmp(path, "-") == 0 ? fstat(standard_stream, st) : stat(path, st)) == 0;
}

enum status file_check_not_input(const char *output, const char *input)
{
    struct stat out, in;
    if (!input || !read_attributes(output, file_stdout_descriptor(), &out) ||
        !read_attributes(input, STDIN_FILENO, &in) ||
        !(S_ISREG(out.st_mode) || S_ISFIFO(out.st_mode)) || out.st_dev != in.st_dev ||
        out.st_ino != in.st_ino)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s: can't be the output, as it is the input %s; choose another "
                       "name",
                       output, input);
}

enum status file_check_not_midi(const char *output)
{
    uint8_t first[SIGNATURE_SIZE];
    read_signature(output, first);
    if (memcmp(first, "MThd", 4) != 0 &&
        !(memcmp(first, "RIFF", 4) == 0 && memcmp(first + 8, "RMID", 4) == 0))
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s: a MIDI file, and not for this output: not replaced; choose "
                       "another name, or remove it first",
                       output);
}
