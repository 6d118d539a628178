/* evaluate: one pass of a split through the model.
 *
 * What is summed over windows, microbatches and ranks goes through the exact sum, so the
 * figures don't depend on who computed what. How many pieces and seconds there are the
 * index knows; the tokens are counted and must agree with it. Notes are counted in the
 * tokens, as the index counts what a file has, also what the encoding leaves out.
 */
#include "evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window.h"
#include "base/phase.h"
#include "base/progress.h"
#include "comm/exact_sum.h"
#include "comm/microbatches.h"
#include "data/stream.h"

enum { SUM_LOSS, SUM_FRAME_LOSS, SUM_TARGETS, SUM_CORRECT, SUM_FRAMES, SUM_NOTES, SUMS };

/* One pass of this rank's microbatches. */
struct pass {
    const struct dataset *dataset;
    struct model *model;
    struct microbatches own;
    int rows, steps;
    bool frames; /* count them */
    int *assigned;
    struct streams streams;
    struct window window;
    bool *
        in_frames; /* [own microbatches][rows]: the first frame of the row's piece is over */
    struct grammar *grammars; /* [own microbatches][rows]: of the row's piece so far */
    real *states;
    struct exact_sum *sum;
    const struct evaluation_leave *leave; /* or NULL */
    enum split split;
    struct progress progress;
    uint64_t counted; /* tokens, for the progress */
};

static enum status allocate(struct pass *pass)
{
    size_t own = (size_t)pass->own.count;
    pass->assigned = calloc(pass->dataset->shard_count + 1, sizeof *pass->assigned);
    pass->in_frames = calloc(own * (size_t)pass->rows, sizeof *pass->in_frames);
    pass->grammars = calloc(own * (size_t)pass->rows, sizeof *pass->grammars);
    pass->states = calloc(own * model_state_size(pass->model), sizeof *pass->states);
    if (!pass->assigned || !pass->in_frames || !pass->grammars || !pass->states)
        return status_fail(STATUS_FAILED, "out of memory for the evaluation");
    return window_create(pass->own.count, pass->rows, pass->steps, &pass->window);
}

/* Training assigns by the training tokens; a small split assigned so would leave
 * microbatches idle. */
static enum status open_streams(struct pass *pass, enum split split, uint64_t memory)
{
    const struct streams_request request = {.dataset = pass->dataset,
                                            .assigned = pass->assigned,
                                            .split = split,
                                            .first = pass->own.first,
                                            .count = pass->own.count,
                                            .rows = pass->rows,
                                            .memory = memory};
    enum status status =
        dataset_assign_split(pass->dataset, split, pass->own.total, pass->assigned);
    return status == STATUS_OK ? streams_open(&request, &pass->streams) : status;
}

static enum status pass_open(struct pass *pass, struct comm *comm, enum split split,
                             uint64_t memory)
{
    enum status status = allocate(pass);
    if (status == STATUS_OK)
        status = exact_sum_create(comm, 0, SUMS, INT32_MAX, 0, 0, &pass->sum);
    if (status == STATUS_OK)
        status = open_streams(pass, split, memory);
    return status;
}

static void pass_close(struct pass *pass)
{
    streams_close(&pass->streams);
    exact_sum_free(pass->sum);
    window_free(&pass->window);
    free(pass->assigned);
    free(pass->in_frames);
    free(pass->grammars);
    free(pass->states);
}

/* The next window of all own microbatches; *counted 0 when all of them are through. */
static enum status next_window(struct pass *pass, int64_t *counted)
{
    enum status status = STATUS_OK;
    *counted = 0;
    for (int s = 0; status == STATUS_OK && s < pass->own.count; s++) {
        int64_t here = 0;
        status = stream_next_once(pass->streams.list[s], pass->steps,
                                  window_inputs(&pass->window, s),
                                  window_targets(&pass->window, s), &here);
        *counted += here;
    }
    return status;
}

/* Frames of one microbatch's window: what follows the first STEP of a piece, END left
 * out. */
static void add_frames(struct pass *pass, int microbatch)
{
    const double *log_probability = model_target_log_probability(pass->model, microbatch);
    const struct encoding *encoding = pass->dataset->encoding;
    bool *in_frames = pass->in_frames + (size_t)microbatch * (size_t)pass->rows;
    double loss = 0;
    int64_t frames = 0;
    for (int i = 0; i < pass->steps * pass->rows; i++) {
        int32_t target = pass->window.target_of[microbatch][i];
        bool *in = &in_frames[i % pass->rows];
        if (pass->window.input_of[microbatch][i] == encoding->end)
            *in = false;
        if (target < 0 || target == encoding->end)
            continue;
        if (*in)
            loss -= log_probability[i];
        if (encoding->token_seconds(encoding, (token)target) > 0) {
            frames += *in;
            *in = true;
        }
    }
    exact_sum_add_extra(pass->sum, SUM_FRAME_LOSS, loss);
    exact_sum_add_count(pass->sum, SUM_FRAMES, frames);
}

/* Notes that begin in one microbatch's window. */
static void add_notes(struct pass *pass, int microbatch)
{
    const struct encoding *encoding = pass->dataset->encoding;
    struct grammar *grammars = pass->grammars + (size_t)microbatch * (size_t)pass->rows;
    int64_t notes = 0;
    for (int i = 0; i < pass->steps * pass->rows; i++) {
        struct grammar *grammar = &grammars[i % pass->rows];
        int32_t target = pass->window.target_of[microbatch][i];
        if (pass->window.input_of[microbatch][i] == encoding->end)
            encoding->grammar_start(encoding, grammar);
        if (target < 0)
            continue;
        int before = grammar->onsets;
        encoding->grammar_accept(encoding, grammar, (token)target);
        notes += grammar->onsets - before;
    }
    exact_sum_add_count(pass->sum, SUM_NOTES, notes);
}

static void add_window(struct pass *pass)
{
    const struct window *window = &pass->window;
    model_forward(pass->model, window->input_of, window->target_of, NULL, window->losses);
    for (int s = 0; s < pass->own.count; s++) {
        exact_sum_add_extra(pass->sum, SUM_LOSS, pass->window.losses[s].loss);
        exact_sum_add_count(pass->sum, SUM_TARGETS, pass->window.losses[s].targets);
        exact_sum_add_count(pass->sum, SUM_CORRECT, pass->window.losses[s].correct);
        add_notes(pass, s);
        if (pass->frames)
            add_frames(pass, s);
    }
}

/* The tokens of the shards that this rank's microbatches were assigned. */
static uint64_t own_tokens(const struct pass *pass)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < pass->dataset->shard_count; i++) {
        const struct dataset_shard *shard = &pass->dataset->shards[i];
        int microbatch = pass->assigned[i] - pass->own.first;
        if (microbatch >= 0 && microbatch < pass->own.count)
            tokens += shard->tokens[pass->split] + shard->pieces[pass->split];
    }
    return tokens;
}

static void show_progress(struct pass *pass, int64_t counted)
{
    pass->counted += (uint64_t)counted;
    progress_update(&pass->progress, pass->counted, NULL);
}

/* All windows, or those up to a wish to leave. The wish is this rank's own and costs no
 * message: the others learn of it where all agree on how their parts went, and a rank
 * that has none goes on to the end of its part. That is soon enough, as launchers and
 * batch systems send their signals to all ranks. */
static enum status add_windows(struct pass *pass)
{
    const struct evaluation_leave *leave = pass->leave;
    int64_t counted = 0;
    enum status status = next_window(pass, &counted);
    while (status == STATUS_OK && counted > 0) {
        if (leave && leave->wanted(leave->context))
            return status_fail(STATUS_STOPPED, "left on request");
        add_window(pass);
        phase_move();
        show_progress(pass, counted);
        status = next_window(pass, &counted);
    }
    return status;
}

/* The pass, with the model's carried states as they were afterwards. */
static enum status run(struct pass *pass)
{
    size_t size = model_state_size(pass->model);
    for (int s = 0; s < pass->own.count; s++)
        model_get_state(pass->model, s, pass->states + (size_t)s * size);
    model_clear_states(pass->model);
    char task[32];
    snprintf(task, sizeof task, "evaluating %s", split_name(pass->split));
    progress_begin(&pass->progress, task, "tokens", own_tokens(pass));
    enum status status = add_windows(pass);
    progress_end(&pass->progress);
    for (int s = 0; s < pass->own.count; s++)
        model_set_state(pass->model, s, pass->states + (size_t)s * size);
    return status;
}

static double ratio(double value, double by)
{
    return by > 0 ? value / by : 0;
}

static enum status summarise(const struct pass *pass, enum split split,
                             struct evaluation *out)
{
    const struct dataset_shard *facts = &pass->dataset->total;
    double loss = exact_sum_extra(pass->sum, SUM_LOSS);
    uint64_t tokens = (uint64_t)exact_sum_count(pass->sum, SUM_TARGETS);
    if (exact_sum_bad(pass->sum))
        return status_fail(STATUS_FAILED,
                           "%s: the model's loss on the %s split is not finite",
                           pass->dataset->path, split_name(split));
    if (tokens != facts->tokens[split] + facts->pieces[split])
        return status_fail(STATUS_FAILED,
                           "%s: %" PRIu64
                           " tokens of the %s split were read; its index says %" PRIu64,
                           pass->dataset->path, tokens, split_name(split),
                           facts->tokens[split] + facts->pieces[split]);
    *out = (struct evaluation){.tokens = tokens,
                               .pieces = facts->pieces[split],
                               .notes = (uint64_t)exact_sum_count(pass->sum, SUM_NOTES),
                               .seconds = facts->seconds[split]};
    out->frames = (uint64_t)exact_sum_count(pass->sum, SUM_FRAMES);
    out->loss = tokens ? loss / (double)tokens : (double)NAN;
    out->accuracy = tokens
                        ? (double)exact_sum_count(pass->sum, SUM_CORRECT) / (double)tokens
                        : (double)NAN;
    out->per_note = ratio(loss, (double)out->notes);
    out->per_second = ratio(loss, out->seconds);
    out->per_piece = ratio(loss, (double)out->pieces);
    out->per_frame =
        ratio(exact_sum_extra(pass->sum, SUM_FRAME_LOSS), (double)out->frames);
    return STATUS_OK;
}

enum status evaluate_split(struct comm *comm, const struct dataset *dataset,
                           int microbatches, int rows, int steps, enum split split,
                           uint64_t memory, struct model *model,
                           const struct evaluation_leave *leave, struct evaluation *out)
{
    struct pass pass = {
        .dataset = dataset,
        .model = model,
        .own = microbatches_of_rank(microbatches, comm_rank(comm), comm_size(comm)),
        .rows = rows,
        .steps = steps,
        .leave = leave,
        .split = split,
        .frames = dataset->encoding->has_frames};
    enum status status = comm_agree(comm, pass_open(&pass, comm, split, memory));
    if (status == STATUS_OK)
        status = comm_agree(comm, run(&pass));
    if (status == STATUS_OK)
        status = exact_sum_reduce(pass.sum);
    if (status == STATUS_OK)
        status = summarise(&pass, split, out);
    pass_close(&pass);
    return status;
}
