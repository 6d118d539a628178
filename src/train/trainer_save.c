/* trainer_save: the state that is spread over the ranks, brought together on rank 0, and
 * left to the writer there.
 *
 * Training waits for the messages and for the copy (see writer.h), not for the disk. If a
 * checkpoint is due while the one before is still being written, the clock's
 * (run.checkpoint_minutes) comes when the writer is free, and an epoch's waits for it: of
 * every epoch that is to have one there is one.
 */
#include <stdlib.h>
#include <string.h>

#include "trainer_internal.h"
#include "base/file.h"
#include "base/log.h"
#include "base/phase.h"
#include "base/progress.h"

/* This rank's part of the state; its microbatches are consecutive, so the parts in rank
 * order are the whole in microbatch order. */
struct part {
    struct stream_row *rows;
    struct stream_cursor *cursors;
    float *states;
};

static void part_free(struct part *part)
{
    free(part->rows);
    free(part->cursors);
    free(part->states);
}

static enum status part_create(const struct trainer *trainer, struct part *part)
{
    size_t own = (size_t)trainer->own.count, rows = (size_t)trainer->rows;
    size_t size = trainer->now.state_size;
    part->rows = calloc(own * rows, sizeof *part->rows);
    part->cursors = calloc(own, sizeof *part->cursors);
    part->states = calloc(own * size, sizeof *part->states);
    if (!part->rows || !part->cursors || !part->states)
        return status_fail(STATUS_FAILED, "out of memory for a checkpoint");
    memcpy(part->rows, prefetcher_rows(trainer->prefetcher),
           own * rows * sizeof *part->rows);
    memcpy(part->cursors, prefetcher_cursors(trainer->prefetcher),
           own * sizeof *part->cursors);
    for (size_t s = 0; s < own; s++)
        model_get_state(trainer->model, (int)s, part->states + s * size);
    return STATUS_OK;
}

/* Collective; *all is rank 0's, NULL elsewhere. */
static enum status gather(struct trainer *trainer, const void *bytes, size_t size,
                          void *all)
{
    uint8_t *whole = NULL;
    size_t *sizes = NULL;
    enum status status = comm_agree(
        trainer->comm, comm_gather(trainer->comm, bytes, size, &whole, &sizes));
    free(sizes);
    memcpy(all, &whole, sizeof whole);
    return status;
}

static enum status gather_state(struct trainer *trainer)
{
    struct part part = {0};
    struct checkpoint *now = &trainer->now;
    size_t own = (size_t)trainer->own.count, rows = own * (size_t)trainer->rows;
    enum status status = comm_agree(trainer->comm, part_create(trainer, &part));
    if (status == STATUS_OK)
        status = gather(trainer, part.rows, rows * sizeof *part.rows, &now->stream_rows);
    if (status == STATUS_OK)
        status = gather(trainer, part.cursors, own * sizeof *part.cursors, &now->cursors);
    if (status == STATUS_OK)
        status = gather(trainer, part.states, own * now->state_size * sizeof *part.states,
                        &now->states);
    part_free(&part);
    return status;
}

void trainer_tell_saved(const struct trainer *trainer)
{
    if (comm_rank(trainer->comm) != 0 || !trainer->saved[0])
        return;
    char *path =
        path_format("%s/checkpoints/%s", trainer->now.options.run.dir, trainer->saved);
    if (path)
        watchdog_checkpoint(trainer->request->watchdog, path);
    free(path);
}

static void warn_unsaved(struct trainer *trainer, const char *name, const char *why)
{
    char left[CHECKPOINT_NAME] = "";
    trainer->unsaved = true;
    if (comm_rank(trainer->comm) == 0) /* the others print nothing */
        run_directory_left(&trainer->run, trainer->saved, left);
    log_warn("%s is not written, training continues; the last checkpoint is %s: %s", name,
             left[0]             ? left
             : trainer->saved[0] ? "gone"
                                 : "none",
             why);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Rank 0 hears from its writer. */
static void hear(struct trainer *trainer, bool wait)
{
    struct writer_outcome outcome;
    struct save_cost *cost = &trainer->save_cost;
    if (!trainer->writer || !writer_take_outcome(trainer->writer, wait, &outcome))
        return;
    cost->writing = larger(cost->writing, outcome.seconds);
    cost->epoch_writing = larger(cost->epoch_writing, outcome.seconds);
    trainer->unsaved = outcome.status != STATUS_OK;
    if (trainer->unsaved) {
        warn_unsaved(trainer, outcome.name, outcome.message);
        return;
    }
    memcpy(trainer->saved, outcome.name, sizeof trainer->saved);
    trainer_tell_saved(trainer);
}

void trainer_hear(struct trainer *trainer)
{
    hear(trainer, false);
}

void trainer_save(struct trainer *trainer)
{
    enum phase before = phase_enter(PHASE_CHECKPOINT);
    double began = clock_seconds();
    struct save_cost *cost = &trainer->save_cost;
    char name[CHECKPOINT_NAME];
    hear(trainer, true);
    enum status status = gather_state(trainer);
    if (status != STATUS_OK)
        warn_unsaved(trainer, run_directory_name(&trainer->now, name), status_message());
    else if (trainer->writer)
        writer_start(trainer->writer, &trainer->now);
    checkpoint_free_streams(&trainer->now);
    trainer->saved_at = clock_seconds();
    cost->pause = larger(cost->pause, trainer->saved_at - began);
    cost->epoch_pause = larger(cost->epoch_pause, trainer->saved_at - began);
    phase_enter(before);
}

enum status trainer_settle(struct trainer *trainer)
{
    struct {
        char saved[CHECKPOINT_NAME];
        bool unsaved, vanished, out_of_time;
    } news = {.unsaved = false};
    enum phase before = phase_enter(PHASE_CHECKPOINT);
    hear(trainer, true);
    if (comm_rank(trainer->comm) == 0)
        run_directory_left(&trainer->run, trainer->saved, news.saved);
    news.vanished = strcmp(news.saved, trainer->saved) != 0;
    news.unsaved = trainer->unsaved;
    news.out_of_time = trainer->out_of_time;
    enum status status = comm_broadcast(trainer->comm, &news, sizeof news);
    memcpy(trainer->saved, news.saved, sizeof news.saved);
    trainer->unsaved = news.unsaved;
    trainer->vanished = news.vanished;
    trainer->out_of_time = news.out_of_time;
    phase_enter(before);
    return status;
}
