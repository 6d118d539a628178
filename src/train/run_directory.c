/* run_directory: what a run writes and removes; what is there is run_listing's business.
 */
#include "run_directory.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_lock.h"
#include "tutti/array.h"
#include "tutti/file.h"
#include "tutti/h5.h"
#include "tutti/inject.h"
#include "tutti/log.h"
#include "tutti/trainer.h"

static const double lock_seconds = 10; /* that a process may take to die */

/* ---- links, for people ---- */

static bool is_linked(const struct run_directory *run, const char *link, const char *name)
{
    char target[CHECKPOINT_NAME + 1] = "", *path = path_join(run->checkpoints, link);
    ssize_t length = path ? readlink(path, target, sizeof target - 1) : -1;
    free(path);
    return length > 0 && strcmp(target, name) == 0;
}

/* True where the file system has symbolic links. Some file systems create a regular file
 * instead and report success. A full disk is no reason to do without them. */
static bool has_links(const struct run_directory *run)
{
    static const char probe[] = ".link.partial", target[] = "epoch-0000.h5";
    char *path = path_join(run->checkpoints, probe);
    if (!path)
        return true;
    unlink(path);
    int reason = symlink(target, path) == 0 ? 0 : errno;
    bool works = reason == 0 && is_linked(run, probe, target);
    unlink(path);
    free(path);
    return works || reason == ENOSPC || reason == EDQUOT || reason == EIO;
}

static enum status make_link(const struct run_directory *run, const char *link,
                             const char *path, const char *name)
{
    enum status status = file_link(name, path);
    if (status == STATUS_OK && !is_linked(run, link, name))
        status = status_fail(STATUS_FAILED, "%s: is not the link that was made", path);
    return status;
}

/* Points a link at a checkpoint. Where that can't be done, an older link or a copy in its
 * place would mislead and is removed. */
static void point(const struct run_directory *run, const char *link, const char *name)
{
    if (!run_is_checkpoint_name(name) || is_linked(run, link, name))
        return;
    char *path = path_join(run->checkpoints, link);
    bool made = path && !run->linkless && make_link(run, link, path, name) == STATUS_OK;
    if (path && !made) {
        if (!run->linkless)
            log_warn("%s", status_message());
        unlink(path);
    }
    free(path);
}

/* ---- opening ---- */

enum status run_directory_open(const char *path, struct run_directory *out)
{
    *out = (struct run_directory){.path = strdup(path),
                                  .checkpoints = path_join(path, "checkpoints"),
                                  .samples = path_join(path, "samples")};
    enum status status = STATUS_OK;
    if (!out->path || !out->checkpoints || !out->samples)
        status = status_fail(STATUS_FAILED, "%s: out of memory", path);
    if (status == STATUS_OK)
        status = file_make_directories(out->checkpoints);
    if (status == STATUS_OK)
        status = file_make_directories(out->samples);
    if (status == STATUS_OK)
        status = run_lock_take(path, lock_seconds, &out->lock);
    if (status != STATUS_OK) {
        run_directory_free(out);
        return status;
    }
    out->linkless = !has_links(out);
    if (out->linkless)
        log_info("%s: no symbolic links on this file system: checkpoints/latest and best "
                 "are left out; every command works without them",
                 path);
    return STATUS_OK;
}

void run_directory_free(struct run_directory *run)
{
    run_lock_release(run->lock);
    free(run->path);
    free(run->checkpoints);
    free(run->samples);
    *run = (struct run_directory){0};
}

static void tidy_folder(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *at; directory && (at = readdir(directory));)
        if (file_is_left_over(at->d_name))
            unlinkat(dirfd(directory), at->d_name, 0);
    if (directory)
        closedir(directory);
}

/* Removes what killed writes have left. */
static void tidy(const struct run_directory *run)
{
    tidy_folder(run->path);
    tidy_folder(run->checkpoints);
    tidy_folder(run->samples);
}

enum status run_directory_count(const struct run_directory *run, size_t *count)
{
    struct run_listing listing;
    enum status status = run_listing_read(run->checkpoints, &listing);
    *count = listing.count;
    run_listing_free(&listing);
    return status;
}

/* ---- resuming ---- */

static enum status read_entry(const struct run_directory *run, const char *name,
                              struct checkpoint *out)
{
    char *path = path_join(run->checkpoints, name);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", name);
    enum status status = checkpoint_read(path, CHECKPOINT_TO_TRAIN, out);
    free(path);
    return status;
}

static bool is_readable(const struct run_listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++)
        if (listing->entries[i].step >= 0 && strcmp(listing->entries[i].name, name) == 0)
            return true;
    return false;
}

/* Gives a copy that stands in a link's place the name of the checkpoint that it is,
 * unless that one is there and not the worse of the two. */
static void adopt_copy(const struct run_directory *run, const struct run_listing *listing,
                       struct run_entry *entry, char *chosen)
{
    char name[CHECKPOINT_NAME];
    const struct checkpoint facts = {
        .step = entry->step, .epoch = entry->epoch, .epoch_step = entry->epoch_step};
    bool is_chosen = strcmp(entry->name, chosen) == 0;
    char *from = path_join(run->checkpoints, entry->name);
    char *to = path_join(run->checkpoints, run_directory_name(&facts, name));
    if (from && to && (is_chosen || !is_readable(listing, name)) &&
        rename(from, to) == 0) {
        memcpy(entry->name, name, sizeof name);
        if (is_chosen)
            memcpy(chosen, name, sizeof name);
    }
    free(from);
    free(to);
}

/* After a kill between a checkpoint and its links, or a copy of the run's folder: both
 * links as they must be. */
static void settle_links(const struct run_directory *run, struct run_listing *listing,
                         char *chosen, const struct checkpoint *read)
{
    for (size_t i = 0; i < listing->count; i++)
        if (listing->entries[i].step >= 0 &&
            !run_is_checkpoint_name(listing->entries[i].name))
            adopt_copy(run, listing, &listing->entries[i], chosen);
    point(run, "latest", chosen);
    const struct run_entry *best =
        run_listing_best(listing, read->history, read->history_count);
    if (best)
        point(run, "best", best->name);
}

enum status run_directory_newest(const struct run_directory *run, char *name,
                                 struct checkpoint *out)
{
    struct run_listing listing;
    name[0] = '\0';
    tidy(run);
    enum status status = run_listing_read(run->checkpoints, &listing);
    for (size_t i = 0; status == STATUS_OK && i < listing.count && !name[0]; i++) {
        const char *candidate = listing.entries[i].name;
        if (read_entry(run, candidate, out) == STATUS_OK)
            snprintf(name, CHECKPOINT_NAME, "%s", candidate);
        else
            log_warn("a checkpoint is passed over: %s", status_message());
    }
    if (status == STATUS_OK && listing.count && !name[0])
        status =
            status_fail(STATUS_FAILED,
                        "%s: none of the %zu checkpoints is whole (see the warnings); "
                        "start anew in another run.dir",
                        run->checkpoints, listing.count);
    if (status == STATUS_OK && name[0])
        settle_links(run, &listing, name, out);
    run_listing_free(&listing);
    return status;
}

/* ---- writing ---- */

const char *run_directory_name(const struct checkpoint *checkpoint,
                               char name[CHECKPOINT_NAME])
{
    if (checkpoint->epoch_step)
        snprintf(name, CHECKPOINT_NAME, "step-%08" PRId64 ".h5", checkpoint->step);
    else
        snprintf(name, CHECKPOINT_NAME, "epoch-%04" PRId64 ".h5", checkpoint->epoch);
    return name;
}

/* Removes all but the newest `keep`, the best, and the one just written. */
static void retire(const struct run_directory *run, const struct run_listing *listing,
                   int64_t keep, const char *written, const struct run_entry *best)
{
    for (size_t i = 0; i < listing->count; i++) {
        const struct run_entry *entry = &listing->entries[i];
        if (!run_is_checkpoint_name(entry->name) || entry->step < 0 || keep-- > 0 ||
            strcmp(entry->name, written) == 0 || entry == best)
            continue;
        char *path = path_join(run->checkpoints, entry->name);
        if (path && unlink(path) != 0)
            log_warn("%s: can't be removed: %s", path, strerror(errno));
        free(path);
    }
}

/* Cuts a checkpoint to half and dies: as a disk that lost what it had promised. */
static void tear(const char *path)
{
    struct stat facts;
    if (stat(path, &facts) == 0 && truncate(path, facts.st_size / 2) == 0)
        file_sync(path);
    kill(getpid(), SIGKILL);
}

enum status run_directory_write(const struct run_directory *run,
                                struct checkpoint *checkpoint, int64_t keep)
{
    char name[CHECKPOINT_NAME];
    struct run_listing listing;
    char *path = path_join(run->checkpoints, run_directory_name(checkpoint, name));
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", run->checkpoints);
    enum status status = checkpoint_write(path, checkpoint);
    if (status == STATUS_OK) {
        point(run, "latest", name);
        if (inject_due(FAULT_TORN, checkpoint->step))
            tear(path);
    }
    free(path);
    if (status != STATUS_OK)
        return status;
    if (run_listing_read(run->checkpoints, &listing) == STATUS_OK) {
        const struct run_entry *best =
            run_listing_best(&listing, checkpoint->history, checkpoint->history_count);
        if (best)
            point(run, "best", best->name);
        retire(run, &listing, keep, name, best);
    } else { /* of a part it can't be said which are the newest */
        log_warn("old checkpoints are not removed: %s", status_message());
    }
    run_listing_free(&listing);
    return STATUS_OK;
}
