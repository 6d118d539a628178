/* trainer_persist: see the header. */
#include "trainer_persist.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/phase.h"
#include "base/progress.h"

static const double assumed_bandwidth = 50e6; /* bytes/s, before the first checkpoint */

/* ---- opening ---- */

enum status persist_open(struct persistence *persistence, struct comm *comm,
                         const struct options *options, enum run_start start)
{
    persistence->comm = comm;
    persistence->checkpoint.options = *options;
    return comm_rank(comm) == 0
               ? run_directory_open(options->run.dir, start, &persistence->directory)
               : STATUS_OK;
}

const struct checkpoint *persist_fill_checkpoint(struct persistence *persistence,
                                                 const struct training_state *state,
                                                 float *weights)
{
    persistence->checkpoint.state = *state;
    persistence->checkpoint.weights = weights;
    return &persistence->checkpoint;
}

enum status persist_start(struct persistence *persistence,
                          const struct training_state *state, float *weights)
{
    persistence->saved_at = clock_seconds();
    if (comm_rank(persistence->comm) != 0)
        return STATUS_OK;
    return writer_open(&persistence->directory,
                       persist_fill_checkpoint(persistence, state, weights),
                       training_state_max_rows(state, &persistence->checkpoint.options),
                       &persistence->writer);
}

void persist_close(struct persistence *persistence)
{
    writer_close(persistence->writer);
    run_directory_free(&persistence->directory);
    stream_snapshot_free(&persistence->checkpoint.streams);
    free(persistence->checkpoint.pairs);
    *persistence = (struct persistence){0};
}

/* ---- gathering ---- */

/* This rank's part of the snapshot; its microbatches are consecutive, so concatenating
 * the parts in rank order gives microbatch order. */
struct part {
    struct stream_row *rows;
    struct stream_cursor *cursors;
    float *hidden;
};

static void part_free(struct part *part)
{
    free(part->rows);
    free(part->cursors);
    free(part->hidden);
}

static enum status part_create(const struct persist_source *source, struct part *part)
{
    size_t own = (size_t)source->batch->own.count, rows = (size_t)source->batch->rows;
    size_t size = model_state_size(source->model);
    part->rows = calloc(own * rows, sizeof *part->rows);
    part->cursors = calloc(own, sizeof *part->cursors);
    part->hidden = calloc(own * size, sizeof *part->hidden);
    if (!part->rows || !part->cursors || !part->hidden)
        return status_fail(STATUS_FAILED, "out of memory for a checkpoint");
    memcpy(part->rows, prefetcher_rows(source->prefetcher),
           own * rows * sizeof *part->rows);
    memcpy(part->cursors, prefetcher_cursors(source->prefetcher),
           own * sizeof *part->cursors);
    for (size_t s = 0; s < own; s++)
        model_get_state(source->model, (int)s, part->hidden + s * size);
    return STATUS_OK;
}

/* *all is an array on rank 0, which owns it, and NULL elsewhere. Collective. */
static enum status gather(struct comm *comm, const void *bytes, size_t size, void *all)
{
    uint8_t *whole = NULL;
    size_t *sizes = NULL;
    enum status status = comm_agree(comm, comm_gather(comm, bytes, size, &whole, &sizes));
    free(sizes);
    memcpy(all, &whole, sizeof whole);
    return status;
}

/* Collective. */
static enum status gather_streams(struct comm *comm, const struct persist_source *source,
                                  struct stream_snapshot *out)
{
    struct part part = {0};
    size_t own = (size_t)source->batch->own.count;
    size_t rows = own * (size_t)source->batch->rows;
    enum status status = comm_agree(comm, part_create(source, &part));
    if (status == STATUS_OK)
        status = gather(comm, part.rows, rows * sizeof *part.rows, &out->rows);
    if (status == STATUS_OK)
        status = gather(comm, part.cursors, own * sizeof *part.cursors, &out->cursors);
    if (status == STATUS_OK)
        status = gather(comm, part.hidden, own * out->hidden_size * sizeof *part.hidden,
                        &out->hidden);
    part_free(&part);
    return status;
}

/* ---- results ---- */

void persist_notify_watchdog(const struct persistence *persistence)
{
    if (comm_rank(persistence->comm) != 0 || !persistence->saved[0])
        return;
    char *path =
        path_format("%s/checkpoints/%s", persistence->directory.path, persistence->saved);
    if (path)
        watchdog_checkpoint(persistence->watchdog, path);
    free(path);
}

static void warn_save_failed(struct persistence *persistence, const char *name,
                             const char *why)
{
    char left[CHECKPOINT_NAME] = "";
    persistence->save_failed = true;
    if (comm_rank(persistence->comm) == 0) /* the others print nothing */
        run_checkpoints_newest_existing(&persistence->directory, persistence->saved,
                                        left);
    log_warn("%s is not written, training continues; the last checkpoint is %s: %s", name,
             left[0]                 ? left
             : persistence->saved[0] ? "gone"
                                     : "none",
             why);
}

static void poll_writer(struct persistence *persistence, bool wait)
{
    struct writer_result result;
    if (!persistence->writer || !writer_collect(persistence->writer, wait, &result))
        return;
    persistence->cost.writing = fmax(persistence->cost.writing, result.seconds);
    persistence->epoch_cost.writing =
        fmax(persistence->epoch_cost.writing, result.seconds);
    persistence->save_failed = result.status != STATUS_OK;
    if (persistence->save_failed) {
        warn_save_failed(persistence, result.name, result.message);
        return;
    }
    memcpy(persistence->saved, result.name, sizeof persistence->saved);
    persist_notify_watchdog(persistence);
}

void persist_poll(struct persistence *persistence)
{
    poll_writer(persistence, false);
}

enum status persist_sync(struct persistence *persistence)
{
    struct {
        char saved[CHECKPOINT_NAME];
        bool save_failed, saved_removed;
    } agreed = {.save_failed = false};
    enum phase before = phase_enter(PHASE_CHECKPOINT);
    poll_writer(persistence, true);
    if (comm_rank(persistence->comm) == 0)
        run_checkpoints_newest_existing(&persistence->directory, persistence->saved,
                                        agreed.saved);
    agreed.saved_removed = strcmp(agreed.saved, persistence->saved) != 0;
    agreed.save_failed = persistence->save_failed;
    enum status status = comm_broadcast(persistence->comm, &agreed, sizeof agreed);
    memcpy(persistence->saved, agreed.saved, sizeof agreed.saved);
    persistence->save_failed = agreed.save_failed;
    persistence->saved_removed = agreed.saved_removed;
    phase_enter(before);
    return status;
}

/* ---- saving ---- */

void persist_save(struct persistence *persistence, const struct persist_source *source)
{
    enum phase before = phase_enter(PHASE_CHECKPOINT);
    double began = clock_seconds();
    char name[CHECKPOINT_NAME];
    poll_writer(persistence, true);
    struct checkpoint *checkpoint = &persistence->checkpoint;
    persist_fill_checkpoint(persistence, source->state, model_weights(source->model));
    enum status status = gather_streams(persistence->comm, source, &checkpoint->streams);
    if (status != STATUS_OK)
        warn_save_failed(persistence, run_checkpoint_name(source->state, name),
                         status_message());
    else if (persistence->writer)
        writer_start(persistence->writer, checkpoint);
    stream_snapshot_free(&checkpoint->streams);
    persistence->saved_at = clock_seconds();
    double pause = persistence->saved_at - began;
    persistence->cost.pause = fmax(persistence->cost.pause, pause);
    persistence->epoch_cost.pause = fmax(persistence->epoch_cost.pause, pause);
    phase_enter(before);
}

bool persist_save_wanted(const struct persistence *persistence)
{
    double minutes = persistence->checkpoint.options.run.checkpoint_minutes;
    return persistence->writer && minutes > 0 &&
           clock_seconds() - persistence->saved_at >= 60 * minutes &&
           !writer_is_busy(persistence->writer);
}

double persist_estimate_seconds(const struct persistence *persistence)
{
    double writing = persistence->cost.writing;
    double parameters = (double)persistence->checkpoint.params.total;
    if (writing <= 0)
        writing = 3 * sizeof(float) * parameters / assumed_bandwidth;
    return persistence->cost.pause +
           (writer_is_busy(persistence->writer) ? 2 : 1) * writing;
}

struct checkpoint_cost persist_epoch_cost(struct persistence *persistence)
{
    struct checkpoint_cost cost = persistence->epoch_cost;
    persistence->epoch_cost = (struct checkpoint_cost){0};
    return cost;
}
