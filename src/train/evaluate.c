/* evaluate: one pass of a split through the models of an ensemble.
 *
 * All sums over windows, microbatches and ranks are exact sums, so the results don't
 * depend on which rank computed what. Pieces and seconds come from the index; the tokens
 * are counted and must agree with it. Notes are counted in the tokens, since the index
 * counts those of the file, including what the encoding leaves out.
 *
 * Pieces have different lengths, so rows finish at different times. Only rows that still
 * have tokens are computed (live_rows.h), so a rank's work follows its tokens, which are
 * about the same for all ranks.
 */
#include "evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "live_rows.h"
#include "window.h"
#include "base/arena.h"
#include "base/phase.h"
#include "base/progress.h"
#include "comm/exact_sum.h"
#include "comm/microbatches.h"
#include "data/stream.h"

enum { SUM_LOSS, SUM_FRAME_LOSS, SUM_TARGETS, SUM_CORRECT, SUM_FRAMES, SUM_NOTES, SUMS };

/* One pass of this rank's microbatches. */
struct pass {
    const struct evaluation_request *request;
    const struct ensemble *ensemble;
    struct microbatches own;
    struct arena arena;       /* of the arrays, the window and its live rows */
    int *assignment;          /* [shards]: the microbatch of each */
    bool *in_frames;          /* [own][rows]: past the first frame of the row's piece */
    struct grammar *grammars; /* [own][rows]: of the row's piece so far */
    real *states;             /* [own][ensemble_state_size], to be restored */
    struct window window;
    struct live_rows live;
    struct streams streams;
    struct exact_sum *sum;
    struct progress progress;
    uint64_t counted; /* tokens, for the progress */
};

/* Called twice, see arena.h. */
static void plan(struct pass *pass)
{
    const struct evaluation_request *request = pass->request;
    struct arena *arena = &pass->arena;
    size_t own = (size_t)pass->own.count, rows = own * (size_t)request->rows;
    pass->assignment =
        arena_array(arena, request->dataset->shard_count + 1, sizeof *pass->assignment);
    pass->in_frames = arena_array(arena, rows, sizeof *pass->in_frames);
    pass->grammars = arena_array(arena, rows, sizeof *pass->grammars);
    pass->states = arena_array(arena, own * ensemble_state_size(pass->ensemble),
                               sizeof *pass->states);
    pass->window = (struct window){
        .microbatches = pass->own.count, .rows = request->rows, .steps = request->steps};
    window_plan(&pass->window, arena);
    live_rows_plan(&pass->live, &pass->window, arena);
}

static enum status allocate(struct pass *pass)
{
    plan(pass);
    if (!arena_allocate(&pass->arena))
        return status_fail(STATUS_FAILED, "out of memory for the evaluation");
    plan(pass);
    return STATUS_OK;
}

/* Training assigns shards by the training tokens; for a small split that would leave
 * microbatches idle. */
static enum status open_streams(struct pass *pass)
{
    const struct evaluation_request *request = pass->request;
    const struct streams_request streams = {.dataset = request->dataset,
                                            .assigned = pass->assignment,
                                            .split = request->split,
                                            .first = pass->own.first,
                                            .count = pass->own.count,
                                            .rows = request->rows,
                                            .memory = request->memory};
    enum status status = dataset_assign_split(request->dataset, request->split,
                                              pass->own.total, pass->assignment);
    return status == STATUS_OK ? streams_open(&streams, &pass->streams) : status;
}

static enum status pass_open(struct pass *pass, struct comm *comm)
{
    enum status status = allocate(pass);
    if (status == STATUS_OK)
        status = exact_sum_create(comm, 0, SUMS, INT32_MAX, 0, 0, &pass->sum);
    if (status == STATUS_OK)
        status = open_streams(pass);
    return status;
}

static void pass_close(struct pass *pass)
{
    streams_close(&pass->streams);
    exact_sum_free(pass->sum);
    arena_free(&pass->arena);
}

/* Fills the next window of all own microbatches; *counted is 0 when all are complete. */
static enum status next_window(struct pass *pass, int64_t *counted)
{
    enum status status = STATUS_OK;
    *counted = 0;
    for (int s = 0; status == STATUS_OK && s < pass->own.count; s++) {
        int64_t count = 0;
        status = stream_pass_next(pass->streams.list[s], pass->request->steps,
                                  window_inputs(&pass->window, s),
                                  window_targets(&pass->window, s), &count);
        *counted += count;
    }
    return status;
}

/* Counts the frames of one microbatch's window: all that follows the first STEP of a
 * piece, except END. */
static void add_frames(struct pass *pass, int microbatch)
{
    const double *log_probability = live_rows_log_probability(&pass->live, microbatch);
    const struct encoding *encoding = pass->request->dataset->encoding;
    bool *in_frames = pass->in_frames + (size_t)microbatch * (size_t)pass->request->rows;
    double loss = 0;
    int64_t frames = 0;
    for (int i = 0; i < pass->request->steps * pass->request->rows; i++) {
        int32_t target = pass->window.target_of[microbatch][i];
        bool *in_frame = &in_frames[i % pass->request->rows];
        if (pass->window.input_of[microbatch][i] == encoding->end)
            *in_frame = false;
        if (target < 0 || target == encoding->end)
            continue;
        if (*in_frame)
            loss -= log_probability[i];
        if (encoding->advance(encoding, NULL, (token)target) > 0) {
            frames += *in_frame;
            *in_frame = true;
        }
    }
    exact_sum_add_extra(pass->sum, SUM_FRAME_LOSS, loss);
    exact_sum_add_extra_integer(pass->sum, SUM_FRAMES, frames);
}

/* Counts the notes that begin in one microbatch's window. */
static void add_notes(struct pass *pass, int microbatch)
{
    const struct encoding *encoding = pass->request->dataset->encoding;
    struct grammar *grammars =
        pass->grammars + (size_t)microbatch * (size_t)pass->request->rows;
    int64_t notes = 0;
    for (int i = 0; i < pass->request->steps * pass->request->rows; i++) {
        struct grammar *grammar = &grammars[i % pass->request->rows];
        int32_t target = pass->window.target_of[microbatch][i];
        if (pass->window.input_of[microbatch][i] == encoding->end)
            encoding->grammar_start(encoding, grammar);
        if (target < 0)
            continue;
        int before = grammar->onsets;
        encoding->grammar_accept(encoding, grammar, (token)target);
        notes += grammar->onsets - before;
    }
    exact_sum_add_extra_integer(pass->sum, SUM_NOTES, notes);
}

static void add_window(struct pass *pass)
{
    live_rows_forward(&pass->live, pass->ensemble, &pass->window,
                      pass->request->dataset->encoding->end);
    for (int s = 0; s < pass->own.count; s++) {
        exact_sum_add_extra(pass->sum, SUM_LOSS, pass->window.losses[s].loss);
        exact_sum_add_extra_integer(pass->sum, SUM_TARGETS,
                                    pass->window.losses[s].targets);
        exact_sum_add_extra_integer(pass->sum, SUM_CORRECT,
                                    pass->window.losses[s].correct);
        add_notes(pass, s);
        if (pass->request->dataset->encoding->has_frames)
            add_frames(pass, s);
    }
}

/* The tokens of the shards that are assigned to this rank's microbatches. */
static uint64_t own_tokens(const struct pass *pass)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < pass->request->dataset->shard_count; i++) {
        const struct split_counts *shard = &pass->request->dataset->shards[i];
        int microbatch = pass->assignment[i] - pass->own.first;
        if (microbatch >= 0 && microbatch < pass->own.count)
            tokens +=
                shard->tokens[pass->request->split] + shard->pieces[pass->request->split];
    }
    return tokens;
}

static void show_progress(struct pass *pass, int64_t counted)
{
    pass->counted += (uint64_t)counted;
    progress_update(&pass->progress, pass->counted, NULL);
}

/* Adds all windows, or only those before this rank wants to stop. This needs no extra
 * message: the others are informed where all ranks agree on the outcome of their parts,
 * and a rank that doesn't want to stop continues to the end of its part. That is soon
 * enough, because launchers and batch systems send their signals to all ranks. */
static enum status add_windows(struct pass *pass)
{
    const struct evaluation_stop *stop = pass->request->stop;
    int64_t counted = 0;
    enum status status = next_window(pass, &counted);
    while (status == STATUS_OK && counted > 0) {
        if (stop && stop->wanted(stop->context))
            return status_fail(STATUS_STOPPED, "stopped on request");
        add_window(pass);
        phase_progress();
        show_progress(pass, counted);
        status = next_window(pass, &counted);
    }
    return status;
}

/* Runs the pass; the carried states are restored afterwards. */
static enum status run(struct pass *pass)
{
    size_t size = ensemble_state_size(pass->ensemble);
    for (int s = 0; s < pass->own.count; s++)
        ensemble_get_state(pass->ensemble, s, pass->states + (size_t)s * size);
    ensemble_clear_states(pass->ensemble);
    live_rows_begin(&pass->live, pass->ensemble);
    char task[32];
    snprintf(task, sizeof task, "evaluating %s", split_name(pass->request->split));
    progress_begin(&pass->progress, task, "tokens", own_tokens(pass));
    enum status status = add_windows(pass);
    progress_end(&pass->progress);
    for (int s = 0; s < pass->own.count; s++)
        ensemble_set_state(pass->ensemble, s, pass->states + (size_t)s * size);
    return status;
}

static double ratio(double numerator, double denominator)
{
    return denominator > 0 ? numerator / denominator : 0;
}

static enum status summarise(const struct pass *pass, struct evaluation *out)
{
    const struct dataset *dataset = pass->request->dataset;
    const struct split_counts *total = &dataset->total;
    enum split split = pass->request->split;
    double loss = exact_sum_extra(pass->sum, SUM_LOSS);
    uint64_t tokens = (uint64_t)exact_sum_extra_integer(pass->sum, SUM_TARGETS);
    if (exact_sum_rejected(pass->sum))
        return status_fail(STATUS_FAILED,
                           "%s: the model's loss on the %s split is not finite",
                           dataset->path, split_name(split));
    if (tokens != total->tokens[split] + total->pieces[split])
        return status_fail(STATUS_FAILED,
                           "%s: %" PRIu64
                           " tokens of the %s split were read; its index says %" PRIu64,
                           dataset->path, tokens, split_name(split),
                           total->tokens[split] + total->pieces[split]);
    *out = (struct evaluation){
        .tokens = tokens,
        .pieces = total->pieces[split],
        .notes = (uint64_t)exact_sum_extra_integer(pass->sum, SUM_NOTES),
        .seconds = total->seconds[split]};
    out->frames = (uint64_t)exact_sum_extra_integer(pass->sum, SUM_FRAMES);
    out->loss = tokens ? loss / (double)tokens : (double)NAN;
    out->accuracy =
        tokens ? (double)exact_sum_extra_integer(pass->sum, SUM_CORRECT) / (double)tokens
               : (double)NAN;
    out->per_note = ratio(loss, (double)out->notes);
    out->per_second = ratio(loss, out->seconds);
    out->per_piece = ratio(loss, (double)out->pieces);
    out->per_frame =
        ratio(exact_sum_extra(pass->sum, SUM_FRAME_LOSS), (double)out->frames);
    return STATUS_OK;
}

enum status evaluate_split(struct comm *comm, const struct evaluation_request *request,
                           const struct ensemble *ensemble, struct evaluation *out)
{
    struct pass pass = {.request = request,
                        .ensemble = ensemble,
                        .own = microbatches_of_rank(request->microbatches,
                                                    comm_rank(comm), comm_size(comm))};
    enum status status = comm_agree(comm, pass_open(&pass, comm));
    if (status == STATUS_OK)
        status = comm_agree(comm, run(&pass));
    if (status == STATUS_OK)
        status = exact_sum_reduce(pass.sum);
    if (status == STATUS_OK)
        status = summarise(&pass, out);
    pass_close(&pass);
    return status;
}
