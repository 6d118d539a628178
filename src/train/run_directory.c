/* run_directory: what a run writes and removes; what is there is run_listing's business.
 */
#include "run_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_lock.h"
#include "run_names.h"
#include "trainer.h"
#include "base/array.h"
#include "base/file.h"
#include "base/inject.h"
#include "base/log.h"
#include "h5/h5.h"

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
    static const char target[] = "epoch-0000.h5";
    char *link = path_join(run->checkpoints, "latest");
    char *path = link ? file_temporary_name(link) : NULL;
    free(link);
    if (!path)
        return true;
    int reason = symlink(target, path) == 0 ? 0 : errno;
    bool works = reason == 0 && is_linked(run, path_base(path), target);
    if (reason == 0)
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

/* A checkpoint's name as the whole content: what a link becomes where there are none. */
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

static bool is_file(const char *path)
{
    struct stat facts;
    return lstat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* Is that the run's to replace: a checkpoint, or (of `latest` and `best`) a link? */
static bool is_own(const struct run_directory *run, const char *path)
{
    struct stat facts;
    bool is_link_name = !run_is_checkpoint_name(path_base(path));
    if (lstat(path, &facts) != 0)
        return true;
    if (S_ISLNK(facts.st_mode))
        return is_link_name;
    return S_ISREG(facts.st_mode) && (run_file_is_of(path, run_claim_id(run->claim)) ||
                                      (is_link_name && is_link_text(path)));
}

/* Afterwards there is nothing at the path that the run must not replace. */
static enum status make_way(const struct run_directory *run, const char *path)
{
    return is_own(run, path) ? STATUS_OK : run_keep_aside(path);
}

/* Points a link at a checkpoint. Where that can't be done, an older link or a copy in its
 * place would mislead and is removed. */
static void point(const struct run_directory *run, const char *link, const char *name)
{
    if (!run_is_checkpoint_name(name) || is_linked(run, link, name))
        return;
    char *path = path_join(run->checkpoints, link);
    bool free_to_use = path && make_way(run, path) == STATUS_OK;
    bool made =
        free_to_use && !run->linkless && make_link(run, link, path, name) == STATUS_OK;
    if (path && !made && !run->linkless)
        log_warn("%s", status_message());
    if (free_to_use && !made && run_claim_still_holds(run->claim) == STATUS_OK)
        unlink(path);
    free(path);
}

/* ---- opening ---- */

static enum status out_of_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

/* What is left over from samples that were being written: a folder of its own. */
static void remove_apart(int folder, const char *name)
{
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = inner >= 0 ? fdopendir(inner) : NULL;
    for (struct dirent *at; directory && (at = readdir(directory));)
        if (run_writes(RUN_SAMPLES, at->d_name) ||
            run_is_left_over(RUN_SAMPLES, at->d_name))
            unlinkat(inner, at->d_name, 0);
    if (directory)
        closedir(directory);
    else if (inner >= 0)
        close(inner);
    unlinkat(folder, name, AT_REMOVEDIR);
}

static void tidy_folder(const char *path, enum run_folder folder)
{
    DIR *directory = opendir(path);
    struct stat facts;
    for (struct dirent *at; directory && (at = readdir(directory));) {
        if (!run_is_left_over(folder, at->d_name) ||
            fstatat(dirfd(directory), at->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(facts.st_mode) && folder == RUN_SAMPLES)
            remove_apart(dirfd(directory), at->d_name);
        else if (S_ISREG(facts.st_mode) || S_ISLNK(facts.st_mode))
            unlinkat(dirfd(directory), at->d_name, 0);
    }
    if (directory)
        closedir(directory);
}

/* Removes what killed writes have left. */
static void tidy(const struct run_directory *run)
{
    tidy_folder(run->path, RUN_TOP);
    tidy_folder(run->checkpoints, RUN_CHECKPOINTS);
    tidy_folder(run->samples, RUN_SAMPLES);
}

enum status run_directory_check(const char *path, enum run_start start)
{
    struct stat facts;
    enum status status = run_claim_check(path, start);
    if (status != STATUS_OK)
        return status;
    char *cause = path_join(path, "root-cause.txt");
    if (!cause)
        return out_of_memory(path);
    if (lstat(cause, &facts) == 0 && !run_is_root_cause(cause))
        status = run_keep_aside(cause);
    free(cause);
    return status;
}

static enum status make_folders(const struct run_directory *run, enum run_start start)
{
    enum status status = run_directory_check(run->path, start);
    if (status == STATUS_OK)
        status = file_make_directories(run->path);
    if (status == STATUS_OK)
        status = run_claim_mark(run->path);
    if (status == STATUS_OK)
        status = file_make_directories(run->checkpoints);
    if (status == STATUS_OK)
        status = file_make_directories(run->samples);
    return status;
}

enum status run_directory_open(const char *path, enum run_start start,
                               struct run_directory *out)
{
    *out = (struct run_directory){.path = strdup(path),
                                  .checkpoints = path_join(path, "checkpoints"),
                                  .samples = path_join(path, "samples")};
    enum status status = out->path && out->checkpoints && out->samples
                             ? make_folders(out, start)
                             : out_of_memory(path);
    if (status == STATUS_OK)
        status = run_lock_take(path, lock_seconds, &out->lock);
    if (status == STATUS_OK)
        status = run_claim_open(path, &out->claim);
    if (status != STATUS_OK) {
        run_directory_free(out);
        return status;
    }
    tidy(out);
    out->linkless = !has_links(out);
    if (out->linkless)
        log_info("%s: no symbolic links on this file system: checkpoints/latest and best "
                 "are left out; every command works without them",
                 path);
    return STATUS_OK;
}

void run_directory_free(struct run_directory *run)
{
    run_claim_close(run->claim);
    run_lock_release(run->lock);
    free(run->path);
    free(run->checkpoints);
    free(run->samples);
    *run = (struct run_directory){0};
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
        make_way(run, to) == STATUS_OK && rename(from, to) == 0) {
        memcpy(entry->name, name, sizeof name);
        if (is_chosen)
            memcpy(chosen, name, sizeof name);
    }
    free(from);
    free(to);
}

void run_directory_settle_links(const struct run_directory *run, char *chosen,
                                const struct checkpoint *read)
{
    struct run_listing listing;
    if (run_listing_read(run->checkpoints, &listing) != STATUS_OK)
        return;
    for (size_t i = 0; i < listing.count; i++)
        if (listing.entries[i].step >= 0 &&
            !run_is_checkpoint_name(listing.entries[i].name))
            adopt_copy(run, &listing, &listing.entries[i], chosen);
    point(run, "latest", chosen);
    const struct run_entry *best =
        run_listing_best(&listing, read->history, read->history_count);
    if (best)
        point(run, "best", best->name);
    run_listing_free(&listing);
}

enum status run_directory_newest(const struct run_directory *run, char *name,
                                 struct checkpoint *out)
{
    struct run_listing listing;
    name[0] = '\0';
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

/* Removes all but the newest `keep`, the best, and the one just written. A link that
 * somebody has put in the place of one is not the run's. */
static void retire(const struct run_directory *run, const struct run_listing *listing,
                   int64_t keep, const char *written, const struct run_entry *best)
{
    for (size_t i = 0; i < listing->count; i++) {
        const struct run_entry *entry = &listing->entries[i];
        if (!run_is_checkpoint_name(entry->name) ||
            !run_is_of(entry, run_claim_id(run->claim)) || keep-- > 0 ||
            strcmp(entry->name, written) == 0 || entry == best)
            continue;
        char *path = path_join(run->checkpoints, entry->name);
        if (path && is_file(path) && unlink(path) != 0)
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

static enum status make_checkpoint(const struct run_directory *run, const char *path,
                                   struct checkpoint *checkpoint)
{
    snprintf(checkpoint->run, sizeof checkpoint->run, "%s", run_claim_id(run->claim));
    return checkpoint_write(path, checkpoint);
}

enum status run_directory_write(const struct run_directory *run,
                                struct checkpoint *checkpoint, int64_t keep)
{
    char name[CHECKPOINT_NAME];
    struct run_listing listing;
    char *path = path_join(run->checkpoints, run_directory_name(checkpoint, name));
    if (!path)
        return out_of_memory(run->checkpoints);
    enum status status = run_claim_still_holds(run->claim);
    if (status == STATUS_OK)
        status = make_way(run, path);
    if (status == STATUS_OK)
        status = make_checkpoint(run, path, checkpoint);
    if (status == STATUS_OK) /* that may have taken long */
        status = run_claim_still_holds(run->claim);
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

/* ---- settings ---- */

/* Has the run written the file as it is, or is it what will be written? */
static bool has_written(const struct run_directory *run, const char *path,
                        const char *name, const void *text, size_t size)
{
    enum { MOST = 16 << 20 };
    uint8_t *bytes = NULL;
    size_t found = 0;
    if (file_read(path, MOST, &bytes, &found) != STATUS_OK)
        return false;
    bool has = (found == size && memcmp(bytes, text, size) == 0) ||
               run_claim_wrote(run->claim, name, bytes, found);
    free(bytes);
    return has;
}

/* Before `name`, a path in the run's folder, is written: keeps aside what the run has not
 * written, and notes what is to come. */
static enum status prepare(const struct run_directory *run, const char *path,
                           const char *name, const void *bytes, size_t size)
{
    struct stat facts;
    enum status status = STATUS_OK;
    bool is_own_file = is_file(path) && has_written(run, path, name, bytes, size);
    if (!is_own_file && lstat(path, &facts) == 0)
        status = run_keep_aside(path);
    return status == STATUS_OK ? run_claim_note(run->claim, name, bytes, size) : status;
}

enum status run_directory_write_settings(const struct run_directory *run,
                                         const char *text)
{
    static const char name[] = "settings.conf";
    char *path = path_join(run->path, name);
    enum status status =
        path ? prepare(run, path, name, text, strlen(text)) : out_of_memory(run->path);
    if (status == STATUS_OK)
        status = run_claim_save(run->claim);
    if (status == STATUS_OK)
        status = file_write_own(path, text, strlen(text));
    free(path);
    return status;
}

/* ---- samples ---- */

enum status run_directory_begin_samples(const struct run_directory *run, char **path)
{
    char *plain = path_join(run->samples, RUN_SAMPLES_APART);
    *path = plain ? file_temporary_name(plain) : NULL;
    free(plain);
    if (!*path)
        return out_of_memory(run->samples);
    enum status status = run_claim_still_holds(run->claim);
    if (status == STATUS_OK && mkdir(*path, 0700) == 0)
        return STATUS_OK;
    if (status == STATUS_OK)
        status = status_fail_errno("%s: can't be made", *path);
    free(*path);
    *path = NULL;
    return status;
}

/* The two names of a sample: in the folder where it was made, and in samples/. */
static enum status expect_sample(const struct run_directory *run, const char *from,
                                 const char *to)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char *name = path_join("samples", path_base(to));
    enum status status = name ? file_read(from, 0, &bytes, &size) : out_of_memory(to);
    if (status == STATUS_OK)
        status = prepare(run, to, name, bytes, size);
    free(bytes);
    free(name);
    return status;
}

static enum status move_sample(const struct run_directory *run, const char *from,
                               const char *to)
{
    (void)run;
    if (rename(from, to) != 0)
        return status_fail_errno("%s: can't give the finished file its name", to);
    return STATUS_OK;
}

static enum status for_each_sample(const struct run_directory *run, const char *path,
                                   enum status (*treat)(const struct run_directory *run,
                                                        const char *from, const char *to))
{
    enum status status = STATUS_OK;
    DIR *directory = opendir(path);
    if (!directory)
        return status_fail_errno("%s: can't be listed", path);
    for (struct dirent *at; status == STATUS_OK && (at = readdir(directory));) {
        if (!run_writes(RUN_SAMPLES, at->d_name))
            continue;
        char *from = path_join(path, at->d_name),
             *to = path_join(run->samples, at->d_name);
        status = from && to ? treat(run, from, to) : out_of_memory(path);
        free(from);
        free(to);
    }
    closedir(directory);
    return status;
}

enum status run_directory_end_samples(const struct run_directory *run, char *path,
                                      bool keep)
{
    enum status status = keep ? for_each_sample(run, path, expect_sample) : STATUS_OK;
    if (keep && status == STATUS_OK)
        status = run_claim_save(run->claim);
    if (keep && status == STATUS_OK)
        status = for_each_sample(run, path, move_sample);
    remove_apart(AT_FDCWD, path);
    free(path);
    return status;
}

/* ---- what is left ---- */

const char *run_directory_left(const struct run_directory *run, const char *saved,
                               char name[CHECKPOINT_NAME])
{
    char *path = saved[0] ? path_join(run->checkpoints, saved) : NULL;
    bool is_there = path && file_exists(path);
    free(path);
    snprintf(name, CHECKPOINT_NAME, "%s", is_there ? saved : "");
    if (is_there || !saved[0])
        return name;
    path = train_find_checkpoint(run->checkpoints, TRAIN_NEWEST);
    if (path)
        snprintf(name, CHECKPOINT_NAME, "%s", path_base(path));
    free(path);
    return name;
}
