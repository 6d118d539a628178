/* run_checkpoints: see the header. */
#include "run_checkpoints.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_links.h"
#include "run_names.h"
#include "base/file.h"
#include "base/inject.h"
#include "base/log.h"

const char *run_checkpoint_name(const struct training_state *state,
                                char name[CHECKPOINT_NAME])
{
    if (state->epoch_step)
        snprintf(name, CHECKPOINT_NAME, "step-%08" PRId64 ".h5", state->step);
    else
        snprintf(name, CHECKPOINT_NAME, "epoch-%04" PRId64 ".h5", state->epoch);
    return name;
}

/* ---- finding ---- */

enum status run_checkpoints_count(const struct run_directory *run, size_t *count)
{
    struct run_listing listing;
    enum status status = run_listing_read(run->checkpoints, &listing);
    *count = listing.count;
    run_listing_free(&listing);
    return status;
}

const char *run_checkpoints_newest_existing(const struct run_directory *run,
                                            const char *saved, char name[CHECKPOINT_NAME])
{
    char *path = saved[0] ? path_join(run->checkpoints, saved) : NULL;
    bool exists = path && file_exists(path);
    free(path);
    snprintf(name, CHECKPOINT_NAME, "%s", exists ? saved : "");
    if (exists || !saved[0])
        return name;
    path = run_find_checkpoint(run->checkpoints, RUN_NEWEST);
    if (path)
        snprintf(name, CHECKPOINT_NAME, "%s", path_base(path));
    free(path);
    return name;
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

/* Renames a copy of a checkpoint that is in the place of a link to the checkpoint's own
 * name, provided that it is the chosen one or no readable checkpoint has that name. */
static void rename_link_copy(const struct run_directory *run,
                             const struct run_listing *listing, struct run_entry *entry,
                             char *chosen)
{
    char name[CHECKPOINT_NAME];
    const struct training_state state = {
        .step = entry->step, .epoch = entry->epoch, .epoch_step = entry->epoch_step};
    bool is_chosen = strcmp(entry->name, chosen) == 0;
    char *from = path_join(run->checkpoints, entry->name);
    char *to = path_join(run->checkpoints, run_checkpoint_name(&state, name));
    if (from && to && (is_chosen || !is_readable(listing, name)) &&
        run_move_foreign_aside(run, to) == STATUS_OK && rename(from, to) == 0) {
        memcpy(entry->name, name, sizeof name);
        if (is_chosen)
            memcpy(chosen, name, sizeof name);
    }
    free(from);
    free(to);
}

void run_checkpoints_repair_links(const struct run_directory *run, char *chosen,
                                  const struct training_state *state)
{
    struct run_listing listing;
    if (run_listing_read(run->checkpoints, &listing) != STATUS_OK)
        return;
    for (size_t i = 0; i < listing.count; i++)
        if (listing.entries[i].step >= 0 &&
            !run_is_checkpoint_name(listing.entries[i].name))
            rename_link_copy(run, &listing, &listing.entries[i], chosen);
    run_links_set(run, "latest", chosen);
    const struct run_entry *best =
        run_listing_best(&listing, state->history, state->history_count);
    if (best)
        run_links_set(run, "best", best->name);
    run_listing_free(&listing);
}

enum status run_checkpoints_read_newest(const struct run_directory *run, char *name,
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
            log_warn("checkpoint skipped: %s", status_message());
    }
    if (status == STATUS_OK && listing.count && !name[0])
        status =
            status_fail(STATUS_FAILED,
                        "%s: none of the %zu checkpoints is intact (see the warnings): "
                        "start a new run in another run.dir",
                        run->checkpoints, listing.count);
    run_listing_free(&listing);
    return status;
}

/* ---- writing ---- */

/* Removes all but the newest `keep`, the best, and the one just written. Links that a
 * user has put in the place of checkpoints don't belong to the run. */
static void remove_old(const struct run_directory *run, const struct run_listing *listing,
                       int64_t keep, const char *written, const struct run_entry *best)
{
    for (size_t i = 0; i < listing->count; i++) {
        const struct run_entry *entry = &listing->entries[i];
        if (!run_is_checkpoint_name(entry->name) ||
            !run_entry_belongs_to(entry, run_claim_id(run->claim)) || keep-- > 0 ||
            strcmp(entry->name, written) == 0 || entry == best)
            continue;
        char *path = path_join(run->checkpoints, entry->name);
        if (path && run_is_regular_file(path) && unlink(path) != 0)
            log_warn("%s: can't be removed: %s", path, strerror(errno));
        free(path);
    }
}

/* Injected fault: truncates the checkpoint to half its size and kills the process, as if
 * the disk had lost acknowledged writes. */
static void inject_torn_write(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && truncate(path, st.st_size / 2) == 0)
        file_sync(path);
    kill(getpid(), SIGKILL);
}

static enum status write_checkpoint(const struct run_directory *run, const char *path,
                                    struct checkpoint *checkpoint)
{
    snprintf(checkpoint->provenance.run, sizeof checkpoint->provenance.run, "%s",
             run_claim_id(run->claim));
    return checkpoint_write(path, checkpoint);
}

enum status run_checkpoints_write(const struct run_directory *run,
                                  struct checkpoint *checkpoint, int64_t keep)
{
    char name[CHECKPOINT_NAME];
    struct run_listing listing;
    char *path =
        path_join(run->checkpoints, run_checkpoint_name(&checkpoint->state, name));
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", run->checkpoints);
    enum status status = run_claim_verify(run->claim);
    if (status == STATUS_OK)
        status = run_move_foreign_aside(run, path);
    if (status == STATUS_OK)
        status = write_checkpoint(run, path, checkpoint);
    if (status == STATUS_OK) /* writing may have taken a long time */
        status = run_claim_verify(run->claim);
    if (status == STATUS_OK) {
        run_links_set(run, "latest", name);
        if (inject_triggered(FAULT_TORN, checkpoint->state.step))
            inject_torn_write(path);
    }
    free(path);
    if (status != STATUS_OK)
        return status;
    if (run_listing_read(run->checkpoints, &listing) == STATUS_OK) {
        const struct run_entry *best = run_listing_best(
            &listing, checkpoint->state.history, checkpoint->state.history_count);
        if (best)
            run_links_set(run, "best", best->name);
        remove_old(run, &listing, keep, name, best);
    } else { /* in a partial listing the newest ones are unknown */
        log_warn("old checkpoints are not removed: %s", status_message());
    }
    run_listing_free(&listing);
    return STATUS_OK;
}
