/* trainer_step: from tokens to gradients, their sum over the ranks, and the update.
 *
 * The sum over the ranks overlaps back-propagation: a layer's gradient is sent as soon as
 * all microbatches have added to it, and communication progresses between the time steps
 * of the layers below. The flags, which are known last, are sent last, with the
 * embedding. So a step has a single reduction, and ranks wait for each other nowhere
 * else.
 */
#include "trainer_step.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "schedule.h"
#include "base/inject.h"
#include "base/phase.h"
#include "base/team.h"

/* The extras of the exact sum. */
enum { SUM_LOSS, SUM_TARGETS, SUM_CORRECT, SUM_STOP, SUM_SAVE, SUM_FAILED, SUMS };

/* ---- opening ---- */

enum status step_open(struct step_engine *engine, struct comm *comm,
                      const struct options *options, const struct matmul_backend *backend,
                      size_t vocabulary, token end)
{
    *engine = (struct step_engine){
        .comm = comm,
        .options = options,
        .batch = local_batch_of(options, comm_rank(comm), comm_size(comm)),
        .shape = model_shape_of(options, vocabulary),
        .threads = team_threads(options->train.threads)};
    const struct model_plan plan = {.shape = &engine->shape,
                                    .end = end,
                                    .microbatches = engine->batch.own.count,
                                    .rows = engine->batch.rows,
                                    .steps = engine->batch.steps,
                                    .training = true,
                                    .backend = backend,
                                    .label_smoothing = options->train.label_smoothing,
                                    .dropout_input = options->model.dropout_input > 0,
                                    .dropout_recurrent =
                                        options->model.dropout_recurrent > 0,
                                    .threads = engine->threads};
    enum status status = model_create(&plan, &engine->model);
    if (status != STATUS_OK)
        return status;
    engine->params = *model_params(engine->model);
    engine->weights = model_weights(engine->model);
    return STATUS_OK;
}

enum status step_set_weights(struct step_engine *engine, const float *weights)
{
    const struct options *options = engine->options;
    enum status status = STATUS_OK;
    if (weights)
        memcpy(engine->weights, weights, engine->params.total * sizeof *weights);
    else
        status = params_initialise(&engine->shape, &engine->params, options->model.init,
                                   options->train.seed, engine->weights);
    model_weights_changed(engine->model);
    return status;
}

void step_swap_weights(struct step_engine *engine, float *weights)
{
    for (size_t i = 0; i < engine->params.total; i++) {
        float other = weights[i];
        weights[i] = engine->weights[i];
        engine->weights[i] = other;
    }
    model_weights_changed(engine->model);
}

enum status step_open_sum(struct step_engine *engine)
{
    return gradient_sum_open(&engine->sum, engine->comm, engine->options,
                             engine->params.total, SUMS);
}

void step_close(struct step_engine *engine)
{
    gradient_sum_close(&engine->sum);
    model_free(engine->model);
    *engine = (struct step_engine){0};
}

/* ---- the gradient ---- */

static void forward(struct step_engine *engine, struct window *window)
{
    const struct options *options = engine->options;
    phase_enter(PHASE_FORWARD);
    struct dropout dropout = {.rate = options->model.dropout,
                              .input_rate = options->model.dropout_input,
                              .embedding_rate = options->model.dropout_embedding,
                              .recurrent_rate = options->model.dropout_recurrent,
                              .mask = options->model.dropout_mask,
                              .seed = options->train.seed,
                              .step = engine->step - 1,
                              .first_row =
                                  (int64_t)engine->batch.own.first * engine->batch.rows};
    model_forward(engine->model, window->input_of, window->target_of, &dropout,
                  window->losses);
}

static void inject_nan(struct step_engine *engine, const struct gradient_block *block)
{
    float nan = NAN;
    const struct gradient_block injected = {
        .first = block->first, .rows = 1, .width = 1, .values = &nan};
    if (inject_triggered(FAULT_NAN, engine->step))
        gradient_sum_add(&engine->sum, EXACT_ADD, &injected);
}

/* By all threads of the team, but phases are those of thread 0. */
static void add_gradient(void *context, int microbatch,
                         const struct gradient_block *block)
{
    struct step_engine *engine = context;
    bool first_thread = team_thread() == 0;
    if (first_thread)
        phase_enter(PHASE_ALLREDUCE);
    bool overwrite = microbatch == 0 && !block->accumulate;
    gradient_sum_add(&engine->sum, overwrite ? EXACT_OVERWRITE : EXACT_ADD, block);
    if (first_thread && microbatch == 0)
        inject_nan(engine, block);
    if (first_thread)
        phase_enter(PHASE_BACKWARD);
}

static void start_sum(void *context, size_t first)
{
    struct step_engine *engine = context;
    phase_enter(PHASE_ALLREDUCE);
    enum status status = gradient_sum_ready(&engine->sum, first);
    if (engine->sum_status == STATUS_OK)
        engine->sum_status = status;
    phase_enter(PHASE_BACKWARD);
}

static void progress_sum(void *context)
{
    struct step_engine *engine = context;
    phase_progress();
    gradient_sum_progress(&engine->sum);
}

static void backward(struct step_engine *engine)
{
    const struct backward_callbacks callbacks = {.block = add_gradient,
                                                 .ready = start_sum,
                                                 .progress = progress_sum,
                                                 .context = engine};
    gradient_sum_begin(&engine->sum);
    engine->sum_status = STATUS_OK;
    phase_enter(PHASE_BACKWARD);
    model_backward(engine->model, &callbacks);
}

void step_gradient(struct step_engine *engine, const struct training_state *state,
                   struct window *window)
{
    const struct options *options = engine->options;
    engine->step = state->step + 1;
    if (options->train.windows == WINDOWS_INDEPENDENT)
        model_clear_states(engine->model);
    if (options->train.loss_on == LOSS_ON_LAST)
        window_keep_last_targets(window);
    forward(engine, window);
    backward(engine);
}

/* ---- the sum ---- */

static void add_extras(struct step_engine *engine, const struct window *window,
                       const struct step_flags *flags)
{
    struct exact_sum *sum = engine->sum.exact;
    for (int s = 0; s < engine->batch.own.count; s++) {
        const struct microbatch_loss *loss = &window->losses[s];
        exact_sum_add_extra(sum, SUM_LOSS, loss->loss);
        exact_sum_add_extra_integer(sum, SUM_TARGETS, loss->targets);
        exact_sum_add_extra_integer(sum, SUM_CORRECT, loss->correct);
    }
    exact_sum_add_extra_integer(sum, SUM_STOP, flags->stop);
    exact_sum_add_extra_integer(sum, SUM_SAVE, flags->save);
    exact_sum_add_extra_integer(sum, SUM_FAILED, flags->input_failed);
}

enum status step_reduce(struct step_engine *engine, const struct window *window,
                        struct step_flags *flags)
{
    add_extras(engine, window, flags);
    phase_enter(PHASE_WAIT);
    enum status status = engine->sum_status;
    if (status == STATUS_OK)
        status = gradient_sum_reduce(&engine->sum);
    if (status != STATUS_OK)
        return status;
    flags->stop = exact_sum_extra_integer(engine->sum.exact, SUM_STOP) > 0;
    flags->save = exact_sum_extra_integer(engine->sum.exact, SUM_SAVE) > 0;
    flags->input_failed = exact_sum_extra_integer(engine->sum.exact, SUM_FAILED) > 0;
    return STATUS_OK;
}

/* ---- divergence ---- */

static enum status diverged(const struct step_engine *engine,
                            const struct training_state *state, const char *how)
{
    const struct options *options = engine->options;
    return status_fail(STATUS_FAILED,
                       "step %" PRId64 " of epoch %" PRId64
                       ": training has diverged: %s; lower train.learning_rate (now %g) "
                       "or set train.clip_norm (now %g)",
                       engine->step, state->epoch + 1, how, options->train.learning_rate,
                       options->train.clip_norm);
}

/* The name of the tensor that contains the element; NULL: none. */
static const char *tensor_at(const struct params *params, int64_t element)
{
    for (size_t i = 0; i < params->count; i++)
        if (element >= 0 &&
            (size_t)element < params->list[i].offset + params->list[i].count)
            return params->list[i].name;
    return NULL;
}

/* Names the first tensor, over all ranks, whose gradient could not be summed. Collective.
 */
static enum status report_bad_sum(const struct step_engine *engine,
                                  const struct training_state *state)
{
    char how[PARAM_NAME + 96];
    size_t mine = exact_sum_first_rejected(engine->sum.exact);
    int64_t first = mine == SIZE_MAX ? INT64_MAX : (int64_t)mine;
    first = -comm_max_i64(engine->comm, -first);
    const char *tensor = tensor_at(&engine->params, first);
    if (!tensor)
        return diverged(engine, state, "the loss is not finite or too large");
    snprintf(how, sizeof how,
             "the gradient of %s is not finite or too large (%" PRId64 " values)", tensor,
             exact_sum_rejected(engine->sum.exact));
    return diverged(engine, state, how);
}

/* ---- the update ---- */

struct weights_update {
    struct step_engine *engine;
    struct optimizer *optimizer;
    double factor; /* of the sum */
};

/* The calling thread's share, in parts that stay in the cache. */
static void update_share(void *context)
{
    enum { PART = 4096 };
    float part[PART];
    const struct weights_update *update = context;
    const struct step_engine *engine = update->engine;
    struct team_share share = team_share(engine->params.total, PART);
    for (size_t first = share.first; first < share.end; first += PART) {
        size_t left = share.end - first, n = left < PART ? left : PART;
        gradient_sum_read(&engine->sum, first, n, update->factor, part);
        optimizer_update(update->optimizer, first, n, part, engine->weights + first);
    }
}

/* Updates the weights by `factor` times the sum. */
static void update_weights(struct step_engine *engine, struct optimizer *optimizer,
                           double factor, double rate)
{
    struct weights_update update = {engine, optimizer, factor};
    optimizer_begin(optimizer, rate);
    team_run(engine->threads, update_share, &update);
    model_weights_changed(engine->model);
}

enum status step_update(struct step_engine *engine, struct training_state *state,
                        struct step_metrics *metrics)
{
    const struct options *options = engine->options;
    double loss = exact_sum_extra(engine->sum.exact, SUM_LOSS);
    int64_t targets = exact_sum_extra_integer(engine->sum.exact, SUM_TARGETS);
    int64_t correct = exact_sum_extra_integer(engine->sum.exact, SUM_CORRECT);
    if (exact_sum_rejected(engine->sum.exact))
        return report_bad_sum(engine, state);
    phase_enter(PHASE_OPTIMIZER);
    double clip = options->train.clip_norm, factor = 1 / (double)targets;
    double norm = gradient_sum_norm(&engine->sum, factor);
    if (!isfinite(norm))
        return diverged(engine, state, "the gradient's norm is not finite");
    double rate = schedule_learning_rate(&state->schedule, options, engine->step,
                                         engine->total_steps);
    update_weights(engine, &state->optimizer,
                   clip > 0 && norm > clip ? factor * clip / norm : factor, rate);
    training_state_add_step(state, loss, targets, correct);
    metrics->step = state->step;
    metrics->epoch = state->epoch + 1;
    metrics->loss = loss / (double)targets;
    metrics->accuracy = (double)correct / (double)targets;
    metrics->gradient_norm = norm;
    metrics->learning_rate = rate;
    return STATUS_OK;
}
