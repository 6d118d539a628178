/* file_target: resolves the path of an output.
 *
 * Links are followed here, not by the kernel, because the new file has to be created in
 * the directory of the final target; each readlink is preceded by a stat so that the
 * kernel's own rules for links in shared directories (fs.protected_symlinks) still apply.
 */
#include "file_internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

void file_target_free(struct file_target *target)
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

/* True for a link in procfs, whose text need not be a path: /proc/PID/fd/N. */
static bool is_kernel_link(const char *path)
{
    struct statfs fs;
    char *folder = path_directory(path);
    bool in_procfs = folder && statfs(folder, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
    free(folder);
    return in_procfs;
}

/* Fails for file types that can't be written. */
static enum status check_writable_type(const char *shown, mode_t mode)
{
    if (S_ISDIR(mode))
        return status_fail(STATUS_FAILED, "%s: a directory (expected the name of a file)",
                           shown);
    if (S_ISSOCK(mode))
        return status_fail(STATUS_FAILED,
                           "%s: a socket (expected a file, a device or a pipe)", shown);
    return STATUS_OK;
}

/* Examines target->path; *link is set if it is a link to follow. */
static enum status examine(struct file_target *target, bool *link)
{
    struct stat st;
    *link = false;
    if (path_names_no_entry(target->path))
        return check_writable_type(target->shown, S_IFDIR);
    bool exists = stat(target->path, &st) == 0;
    if (!exists && errno != ENOENT && errno != ENOTDIR)
        return status_fail_errno("%s: can't write", target->shown);
    if (path_is_link(target->path)) {
        target->descriptor = own_descriptor(target->path);
        *link = target->descriptor < 0 && !is_kernel_link(target->path);
        target->is_regular = *link;
    } else if (!exists && (target->descriptor = own_descriptor(target->path)) < 0) {
        target->is_regular = true;
    } else {
        target->is_regular = exists && S_ISREG(st.st_mode);
    }
    if (!exists || *link || target->descriptor >= 0)
        return STATUS_OK;
    return check_writable_type(target->shown, st.st_mode);
}

static enum status follow_link(const char *path, struct file_target *target)
{
    char *next = path_read_link(target->path);
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

enum status file_target_find(const char *path, struct file_target *target)
{
    bool is_dash = strcmp(path, "-") == 0, link = !is_dash;
    *target = (struct file_target){.path = strdup(path),
                                   .shown = strdup(is_dash ? "standard output" : path),
                                   .descriptor = is_dash ? STDOUT_FILENO : -1};
    enum status status = STATUS_OK;
    if (!target->path || !target->shown)
        status = status_fail(STATUS_FAILED, "%s: out of memory", path);
    while (status == STATUS_OK && link) {
        status = examine(target, &link);
        if (status == STATUS_OK && link && target->links == PATH_LINKS_MAX) {
            errno = ELOOP;
            status = status_fail_errno("%s: can't write", path);
        } else if (status == STATUS_OK && link) {
            status = follow_link(path, target);
            target->links++;
        }
    }
    if (status != STATUS_OK)
        file_target_free(target);
    return status;
}
