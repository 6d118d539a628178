/* state: see the header. */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "base/team.h"

/* The calling thread's share of moments and average, which it updates (base/memory.h). */
static void clear_share(void *context)
{
    const struct optimizer *optimizer = context;
    struct team_share share = team_share(optimizer->count, 1);
    size_t bytes = (share.end - share.first) * sizeof *optimizer->first;
    memset(optimizer->first + share.first, 0, bytes);
    if (optimizer->second)
        memset(optimizer->second + share.first, 0, bytes);
    if (optimizer->average)
        memset(optimizer->average + share.first, 0, bytes);
}

enum status training_state_init(const struct options *options, size_t parameters,
                                struct training_state *out)
{
    *out = (struct training_state){0};
    schedule_init(&out->schedule);
    enum status status = optimizer_create(options, parameters, &out->optimizer);
    if (status == STATUS_OK)
        team_run(team_threads(options->train.threads), clear_share, &out->optimizer);
    return status;
}

void training_state_free(struct training_state *state)
{
    optimizer_free(&state->optimizer);
    free(state->history);
    *state = (struct training_state){0};
}

size_t training_state_max_rows(const struct training_state *state,
                               const struct options *options)
{
    return state->history_count + (size_t)options->train.epochs + 1;
}

enum status training_state_reserve_history(struct training_state *state,
                                           const struct options *options)
{
    struct history_row *rows =
        realloc(state->history, training_state_max_rows(state, options) * sizeof *rows);
    if (!rows)
        return status_fail(STATUS_FAILED, "out of memory for the history");
    state->history = rows;
    return STATUS_OK;
}

void training_state_add_step(struct training_state *state, double loss, int64_t targets,
                             int64_t correct)
{
    state->step++;
    state->epoch_step++;
    state->epoch_loss += loss;
    state->epoch_targets += targets;
    state->epoch_correct += correct;
}

void training_state_end_epoch(struct training_state *state, const struct history_row *row)
{
    state->epoch++;
    state->history[state->history_count++] = *row;
    state->epoch_step = state->epoch_targets = state->epoch_correct = 0;
    state->epoch_loss = 0;
}

void stream_snapshot_free(struct stream_snapshot *snapshot)
{
    free(snapshot->rows);
    free(snapshot->cursors);
    free(snapshot->hidden);
    snapshot->rows = NULL;
    snapshot->cursors = NULL;
    snapshot->hidden = NULL;
}
