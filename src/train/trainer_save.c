/* trainer_save: the state that is spread over the ranks, brought together and written. */
#include <stdlib.h>
#include <string.h>

#include "trainer_internal.h"
#include "tutti/file.h"
#include "tutti/log.h"
#include "tutti/phase.h"
#include "tutti/progress.h"

/* This rank's part of the state; its slices are consecutive, so the parts in rank order
 * are the whole in slice order. */
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
    for (size_t s = 0; s < own; s++) {
        stream_save(trainer->streams[s], part->rows + s * rows, &part->cursors[s]);
        model_get_state(trainer->model, (int)s, part->states + s * size);
    }
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
        watch_checkpoint(trainer->request->watch, path);
    free(path);
}

void trainer_save(struct trainer *trainer, bool best)
{
    struct checkpoint *now = &trainer->now;
    char name[CHECKPOINT_NAME];
    enum phase before = phase_enter(PHASE_CHECKPOINT);
    run_directory_name(now, name);
    enum status status = gather_state(trainer);
    if (status == STATUS_OK && comm_rank(trainer->comm) == 0)
        status = run_directory_write(&trainer->run, now, best, now->options.run.keep);
    checkpoint_free_streams(now);
    status = comm_agree(trainer->comm, status);
    trainer->saved_at = clock_seconds();
    trainer->unsaved = status != STATUS_OK;
    if (trainer->unsaved)
        log_warn("%s is not written, training goes on; the last checkpoint is %s%s: %s",
                 name, trainer->saved[0] ? "" : "none", trainer->saved, status_message());
    else
        memcpy(trainer->saved, name, sizeof name);
    trainer_tell_saved(trainer);
    phase_enter(before);
}
