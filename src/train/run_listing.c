/* run_listing: see the header. */
#include "run_listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "run_names.h"
#include "base/array.h"
#include "base/file.h"
#include "h5/h5.h"

/* ---- listing ---- */

/* True for a regular file in the place of a link. */
static bool is_link_copy(int directory, const char *name)
{
    struct stat st;
    return (strcmp(name, "latest") == 0 || strcmp(name, "best") == 0) &&
           fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* True for a checkpoint, or a link to one that was moved, but not for a pipe or
 * device. */
static bool is_listed(int directory, const char *name)
{
    struct stat st;
    if (run_is_checkpoint_name(name))
        return fstatat(directory, name, &st, 0) == 0 && S_ISREG(st.st_mode);
    return is_link_copy(directory, name);
}

/* Reads step, epoch and run of a file. */
static void read_position(const char *path, struct run_entry *entry)
{
    struct h5_file *file = NULL;
    entry->step = entry->epoch = entry->epoch_step = -1;
    entry->run_id[0] = '\0';
    if (h5_open(path, &file) != STATUS_OK)
        return;
    if (h5_get_i64(file, "/", "step", &entry->step) != STATUS_OK ||
        h5_get_i64(file, "/", "epoch", &entry->epoch) != STATUS_OK ||
        h5_get_i64(file, "/state", "epoch_step", &entry->epoch_step) != STATUS_OK)
        entry->step = entry->epoch = entry->epoch_step = -1;
    else if (h5_get_text(file, "/provenance", "run", entry->run_id, RUN_ID_SIZE) !=
             STATUS_OK)
        entry->run_id[0] = '\0';
    h5_abandon(file);
}

static void read_position_in(const char *checkpoints, struct run_entry *entry)
{
    char *path = path_join(checkpoints, entry->name);
    entry->step = entry->epoch = entry->epoch_step = -1;
    if (path)
        read_position(path, entry);
    free(path);
}

bool run_entry_belongs_to(const struct run_entry *entry, const char *id)
{
    return entry->step >= 0 && (!entry->run_id[0] || strcmp(entry->run_id, id) == 0);
}

bool run_file_belongs_to(const char *path, const char *id)
{
    struct run_entry entry;
    read_position(path, &entry);
    return run_entry_belongs_to(&entry, id);
}

static enum status append(struct run_listing *listing, const char *name)
{
    struct run_entry *entries = array_reserve(listing->entries, &listing->capacity,
                                              listing->count + 1, sizeof *entries);
    if (!entries)
        return status_fail(STATUS_FAILED, "out of memory for a list of checkpoints");
    listing->entries = entries;
    struct run_entry *entry = &listing->entries[listing->count++];
    snprintf(entry->name, sizeof entry->name, "%.*s", CHECKPOINT_NAME - 1, name);
    return STATUS_OK;
}

static int newest_first(const void *left, const void *right)
{
    const struct run_entry *a = left, *b = right;
    bool a_unknown = a->step < 0, b_unknown = b->step < 0;
    if (a_unknown != b_unknown)
        return a_unknown ? -1 : 1;
    if (a->step != b->step)
        return a->step > b->step ? -1 : 1;
    if (a->epoch != b->epoch)
        return a->epoch > b->epoch ? -1 : 1;
    bool a_named = run_is_checkpoint_name(a->name),
         b_named = run_is_checkpoint_name(b->name);
    if (a_named != b_named) /* copies last */
        return a_named ? -1 : 1;
    return strcmp(a->name, b->name);
}

enum status run_listing_read(const char *checkpoints, struct run_listing *out)
{
    *out = (struct run_listing){0};
    DIR *directory = opendir(checkpoints);
    if (!directory)
        return status_fail_errno("%s: can't be listed", checkpoints);
    enum status status = STATUS_OK;
    errno = 0; /* readdir returns NULL at the end and on failure */
    for (struct dirent *at; status == STATUS_OK && (at = readdir(directory)); errno = 0)
        if (is_listed(dirfd(directory), at->d_name))
            status = append(out, at->d_name);
    if (status == STATUS_OK && errno)
        status = status_fail_errno("%s: can't be listed", checkpoints);
    closedir(directory);
    for (size_t i = 0; i < out->count; i++)
        read_position_in(checkpoints, &out->entries[i]);
    if (out->count)
        qsort(out->entries, out->count, sizeof *out->entries, newest_first);
    return status;
}

void run_listing_free(struct run_listing *listing)
{
    free(listing->entries);
    *listing = (struct run_listing){0};
}

/* ---- choosing ---- */

/* The number in "epoch-0003.h5" or "step-00000123.h5"; -1: another name. */
static int64_t number_in(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 ? strtoll(name + length, NULL, 10) : -1;
}

/* The epoch at whose end the checkpoint was written; -1: within one, or unknown. */
static int64_t completed_epoch(const struct run_entry *entry)
{
    if (entry->step >= 0)
        return entry->epoch_step == 0 ? entry->epoch : -1;
    return number_in(entry->name, "epoch-");
}

static double loss_of(int64_t epoch, const struct history_row *history, size_t rows)
{
    for (size_t i = 0; epoch > 0 && i < rows; i++)
        if (history[i].epoch == epoch)
            return history[i].valid_loss;
    return (double)NAN;
}

const struct run_entry *run_listing_best(const struct run_listing *listing,
                                         const struct history_row *history, size_t rows)
{
    const struct run_entry *best = NULL;
    double lowest = HUGE_VAL;
    for (size_t i = 0; i < listing->count; i++) {
        const struct run_entry *entry = &listing->entries[i];
        int64_t epoch = completed_epoch(entry);
        double loss = loss_of(epoch, history, rows);
        bool tie = best && loss == lowest;
        bool earlier = tie && epoch < completed_epoch(best);
        bool readable =
            tie && epoch == completed_epoch(best) && best->step < 0 && entry->step >= 0;
        if (loss < lowest || earlier || readable) {
            best = entry;
            lowest = loss;
        }
    }
    return best;
}

static const struct run_entry *newest_readable(const struct run_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        if (listing->entries[i].step >= 0)
            return &listing->entries[i];
    return NULL;
}

/* An unreadable file that is newer by its name is returned: the attempt to read it then
 * explains what is wrong. */
static const struct run_entry *find_newest(const struct run_listing *listing)
{
    const struct run_entry *found = newest_readable(listing);
    int64_t epoch = found ? found->epoch : -1, step = found ? found->step : -1;
    for (size_t i = 0; i < listing->count && listing->entries[i].step < 0; i++) {
        const char *name = listing->entries[i].name;
        if (number_in(name, "epoch-") > epoch || number_in(name, "step-") > step)
            return &listing->entries[i];
    }
    return found;
}

/* Reads the epochs and validation losses of a checkpoint's history; the other members are
 * 0. */
static enum status read_losses(const struct h5_file *file, struct history_row **history,
                               size_t *rows)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    enum status status = h5_shape(file, "/history/epoch", &rank, dims);
    if (status != STATUS_OK || rank != 1)
        return STATUS_FAILED;
    *rows = dims[0];
    *history = calloc(*rows + 1, sizeof **history);
    int64_t *epochs = calloc(*rows + 1, sizeof *epochs);
    double *losses = calloc(*rows + 1, sizeof *losses);
    status = *history && epochs && losses ? STATUS_OK : STATUS_FAILED;
    if (status == STATUS_OK)
        status = h5_read(file, "/history/epoch", H5_I64, 1, dims, epochs);
    if (status == STATUS_OK)
        status = h5_read(file, "/history/valid_loss", H5_F64, 1, dims, losses);
    for (size_t i = 0; status == STATUS_OK && i < *rows; i++) {
        (*history)[i].epoch = epochs[i];
        (*history)[i].valid_loss = losses[i];
    }
    free(epochs);
    free(losses);
    return status;
}

/* The best according to the newest checkpoint whose history can be read. */
static const struct run_entry *find_best(const char *checkpoints,
                                         const struct run_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        struct h5_file *file = NULL;
        struct history_row *history = NULL;
        size_t rows = 0;
        char *path = path_join(checkpoints, listing->entries[i].name);
        bool known = listing->entries[i].step >= 0 && path &&
                     h5_open(path, &file) == STATUS_OK &&
                     read_losses(file, &history, &rows) == STATUS_OK;
        h5_abandon(file);
        free(path);
        const struct run_entry *found =
            known ? run_listing_best(listing, history, rows) : NULL;
        free(history);
        if (known)
            return found;
    }
    return NULL;
}

/* ---- for other modules ---- */

char *run_find_checkpoint(const char *checkpoints, enum run_selector selector)
{
    struct run_listing listing;
    const struct run_entry *found = NULL;
    if (!file_is_directory(checkpoints))
        return NULL;
    if (run_listing_read(checkpoints, &listing) == STATUS_OK)
        found = selector == RUN_BEST ? find_best(checkpoints, &listing)
                                     : find_newest(&listing);
    char *path = found ? path_join(checkpoints, found->name) : NULL;
    run_listing_free(&listing);
    return path;
}

int64_t run_newest_step(const char *run_directory)
{
    struct run_listing listing = {0};
    char *checkpoints = path_join(run_directory, "checkpoints");
    int64_t step = 0;
    if (checkpoints && file_exists(checkpoints) &&
        run_listing_read(checkpoints, &listing) == STATUS_OK)
        for (size_t i = 0; i < listing.count; i++)
            step = listing.entries[i].step > step ? listing.entries[i].step : step;
    run_listing_free(&listing);
    free(checkpoints);
    return step;
}
