/* run_links: see the header. */
#include "run_links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_listing.h"
#include "run_names.h"
#include "base/file.h"
#include "base/log.h"

static bool is_linked(const char *checkpoints, const char *link, const char *name)
{
    char target[CHECKPOINT_NAME + 1] = "", *path = path_join(checkpoints, link);
    ssize_t length = path ? readlink(path, target, sizeof target - 1) : -1;
    free(path);
    return length > 0 && strcmp(target, name) == 0;
}

/* Some file systems create a regular file instead and report success. A full disk does
 * not mean that links don't work. */
bool run_links_supported(const char *checkpoints)
{
    static const char target[] = "epoch-0000.h5";
    char *link = path_join(checkpoints, "latest");
    char *path = link ? file_temporary_name(link) : NULL;
    free(link);
    if (!path)
        return true;
    int reason = symlink(target, path) == 0 ? 0 : errno;
    bool works = reason == 0 && is_linked(checkpoints, path_base(path), target);
    if (reason == 0)
        unlink(path);
    free(path);
    return works || reason == ENOSPC || reason == EDQUOT || reason == EIO;
}

static enum status create_link(const struct run_directory *run, const char *link,
                               const char *path, const char *name)
{
    enum status status = file_symlink(name, path);
    if (status == STATUS_OK && !is_linked(run->checkpoints, link, name))
        status = status_fail(STATUS_FAILED, "%s: is not the link just created", path);
    return status;
}

/* True for a file that contains only a checkpoint's name: a link on a file system without
 * links. */
static bool is_link_text(const char *path)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char name[CHECKPOINT_NAME] = "";
    bool is = file_read(path, sizeof name - 1, &bytes, &size) == STATUS_OK;
    if (is)
        memcpy(name, bytes, size);
    free(bytes);
    return is && (size == 0 || run_is_checkpoint_name(name));
}

/* True if the run may replace what is at `path`: nothing, a checkpoint of its own, or a
 * link under a link's name. */
static bool is_own(const struct run_directory *run, const char *path)
{
    struct stat st;
    bool is_link_name = !run_is_checkpoint_name(path_base(path));
    if (lstat(path, &st) != 0)
        return true;
    if (S_ISLNK(st.st_mode))
        return is_link_name;
    return S_ISREG(st.st_mode) && (run_file_belongs_to(path, run_claim_id(run->claim)) ||
                                   (is_link_name && is_link_text(path)));
}

enum status run_move_foreign_aside(const struct run_directory *run, const char *path)
{
    return is_own(run, path) ? STATUS_OK : run_move_aside(path);
}

void run_links_set(const struct run_directory *run, const char *link, const char *name)
{
    if (!run_is_checkpoint_name(name) || is_linked(run->checkpoints, link, name))
        return;
    char *path = path_join(run->checkpoints, link);
    bool cleared = path && run_move_foreign_aside(run, path) == STATUS_OK;
    bool created = cleared && !run->lacks_symlinks &&
                   create_link(run, link, path, name) == STATUS_OK;
    if (path && !created && !run->lacks_symlinks)
        log_warn("%s", status_message());
    if (cleared && !created && run_claim_verify(run->claim) == STATUS_OK)
        unlink(path);
    free(path);
}
