/* run_directory: which checkpoint is newest is asked of the files themselves (their step
 * and epoch), not of names or times, which copying a run changes.
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

struct entry {
    char name[CHECKPOINT_NAME];
    int64_t step, epoch; /* -1: the file can't say */
};

struct listing {
    struct entry *entries; /* newest first, unreadable ones before */
    size_t count, capacity;
};

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
    if (status != STATUS_OK)
        run_directory_free(out);
    return status;
}

void run_directory_free(struct run_directory *run)
{
    run_lock_release(run->lock);
    free(run->path);
    free(run->checkpoints);
    free(run->samples);
    *run = (struct run_directory){0};
}

static bool is_checkpoint_name(const char *name)
{
    int end = 0;
    if (sscanf(name, "epoch-%*[0-9].h5%n", &end) != 0 || end == 0)
        end = 0, (void)sscanf(name, "step-%*[0-9].h5%n", &end);
    return end > 0 && name[end] == '\0' && strlen(name) < CHECKPOINT_NAME;
}

/* ".epoch-0001.h5.partial": a write that was killed. */
static bool is_left_over(const char *name)
{
    size_t length = strlen(name), tail = strlen(".h5.partial");
    return name[0] == '.' && length > tail &&
           strcmp(name + length - tail, ".h5.partial") == 0;
}

/* Asks a file for its step and epoch. */
static void ask(const struct run_directory *run, struct entry *entry)
{
    struct h5_file *file = NULL;
    char *path = path_join(run->checkpoints, entry->name);
    entry->step = entry->epoch = -1;
    if (path && h5_open(path, &file) == STATUS_OK) {
        if (h5_get_i64(file, "/", "step", &entry->step) != STATUS_OK ||
            h5_get_i64(file, "/", "epoch", &entry->epoch) != STATUS_OK)
            entry->step = entry->epoch = -1;
        h5_abandon(file);
    }
    free(path);
}

static enum status append(struct listing *listing, const char *name)
{
    struct entry *entries = array_reserve(listing->entries, &listing->capacity,
                                          listing->count + 1, sizeof *entries);
    if (!entries)
        return status_fail(STATUS_FAILED, "out of memory for a list of checkpoints");
    listing->entries = entries;
    struct entry *entry = &listing->entries[listing->count++];
    snprintf(entry->name, sizeof entry->name, "%.*s", CHECKPOINT_NAME - 1, name);
    return STATUS_OK;
}

static int newest_first(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    bool a_unknown = a->step < 0, b_unknown = b->step < 0;
    if (a_unknown != b_unknown)
        return a_unknown ? -1 : 1;
    if (a->step != b->step)
        return a->step > b->step ? -1 : 1;
    if (a->epoch != b->epoch)
        return a->epoch > b->epoch ? -1 : 1;
    return strcmp(a->name, b->name);
}

static enum status list(const struct run_directory *run, struct listing *out)
{
    *out = (struct listing){0};
    DIR *directory = opendir(run->checkpoints);
    if (!directory)
        return status_fail_errno("%s: can't be listed", run->checkpoints);
    enum status status = STATUS_OK;
    errno = 0; /* readdir's end and its failure are both NULL */
    for (struct dirent *at; status == STATUS_OK && (at = readdir(directory)); errno = 0)
        if (is_checkpoint_name(at->d_name))
            status = append(out, at->d_name);
    if (status == STATUS_OK && errno)
        status = status_fail_errno("%s: can't be listed", run->checkpoints);
    closedir(directory);
    for (size_t i = 0; i < out->count; i++)
        ask(run, &out->entries[i]);
    if (out->count)
        qsort(out->entries, out->count, sizeof *out->entries, newest_first);
    return status;
}

/* Removes what killed writes have left. */
static void tidy(const struct run_directory *run)
{
    DIR *directory = opendir(run->checkpoints);
    for (struct dirent *at; directory && (at = readdir(directory));)
        if (is_left_over(at->d_name))
            unlinkat(dirfd(directory), at->d_name, 0);
    if (directory)
        closedir(directory);
}

enum status run_directory_count(const struct run_directory *run, size_t *count)
{
    struct listing listing;
    enum status status = list(run, &listing);
    *count = listing.count;
    free(listing.entries);
    return status;
}

static enum status point(const struct run_directory *run, const char *link,
                         const char *name)
{
    char *path = path_join(run->checkpoints, link);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", link);
    enum status status = file_link(name, path);
    free(path);
    return status;
}

static bool is_linked(const struct run_directory *run, const char *link, const char *name)
{
    char target[CHECKPOINT_NAME + 1] = "", *path = path_join(run->checkpoints, link);
    ssize_t length = path ? readlink(path, target, sizeof target - 1) : -1;
    free(path);
    return length > 0 && strcmp(target, name) == 0;
}

static enum status read_entry(const struct run_directory *run, const char *name,
                              struct checkpoint *out)
{
    char *path = path_join(run->checkpoints, name);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", name);
    enum status status = checkpoint_read(path, 1, out);
    free(path);
    return status;
}

enum status run_directory_newest(const struct run_directory *run, char *name,
                                 struct checkpoint *out)
{
    struct listing listing;
    name[0] = '\0';
    tidy(run);
    enum status status = list(run, &listing);
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
    if (status == STATUS_OK && name[0] && !is_linked(run, "latest", name))
        status = point(run, "latest", name); /* a kill came between the two */
    free(listing.entries);
    return status;
}

int64_t train_saved_step(const char *run_directory)
{
    struct run_directory run = {.checkpoints = path_join(run_directory, "checkpoints")};
    struct listing listing = {0};
    int64_t step = 0;
    if (run.checkpoints && file_exists(run.checkpoints) &&
        list(&run, &listing) == STATUS_OK)
        for (size_t i = 0; i < listing.count; i++)
            step = listing.entries[i].step > step ? listing.entries[i].step : step;
    free(listing.entries);
    free(run.checkpoints);
    return step;
}

const char *run_directory_name(const struct checkpoint *checkpoint,
                               char name[CHECKPOINT_NAME])
{
    if (checkpoint->epoch_step)
        snprintf(name, CHECKPOINT_NAME, "step-%08" PRId64 ".h5", checkpoint->step);
    else
        snprintf(name, CHECKPOINT_NAME, "epoch-%04" PRId64 ".h5", checkpoint->epoch);
    return name;
}

static void retire(const struct run_directory *run, int64_t keep)
{
    struct listing listing;
    if (list(run, &listing) != STATUS_OK) {
        log_warn("old checkpoints are not removed: %s", status_message());
        listing.count = 0; /* of a part it can't be said which are the newest */
    }
    for (size_t i = 0; i < listing.count; i++) {
        const struct entry *entry = &listing.entries[i];
        if (entry->step < 0 || keep-- > 0 || is_linked(run, "latest", entry->name) ||
            is_linked(run, "best", entry->name))
            continue;
        char *path = path_join(run->checkpoints, entry->name);
        if (path && unlink(path) != 0)
            log_warn("%s: can't be removed: %s", path, strerror(errno));
        free(path);
    }
    free(listing.entries);
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
                                struct checkpoint *checkpoint, bool best, int64_t keep)
{
    char name[CHECKPOINT_NAME];
    char *path = path_join(run->checkpoints, run_directory_name(checkpoint, name));
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", run->checkpoints);
    enum status status = checkpoint_write(path, checkpoint);
    if (status == STATUS_OK)
        status = point(run, "latest", name);
    if (status == STATUS_OK && best)
        status = point(run, "best", name);
    if (status == STATUS_OK && inject_due(FAULT_TORN, checkpoint->step))
        tear(path);
    free(path);
    if (status == STATUS_OK)
        retire(run, keep);
    return status;
}
