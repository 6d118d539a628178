/* trainer_epoch: see the header. */
#include "trainer_epoch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "evaluate.h"
#include "stop.h"
#include "trainer_samples.h"
#include "base/file.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/phase.h"
#include "base/progress.h"

/* Wall time of an epoch, or of the part of it that this process has computed. */
struct epoch_clock {
    double began, last_step; /* clock_seconds at the start and after the last step */
    int64_t steps;
};

static bool reached_max_steps(const struct trainer *trainer)
{
    int64_t max_steps = trainer->options.train.max_steps;
    return max_steps > 0 && trainer->state.step >= max_steps;
}

/* True if all steps have been made, but the epoch has not been validated yet. */
static bool at_end_of_epoch(const struct trainer *trainer)
{
    return trainer->state.epoch_step == trainer->data.steps_per_epoch;
}

bool trainer_finished(const struct trainer *trainer)
{
    const struct options *options = &trainer->options;
    bool stopped_early =
        options->train.early_stop_patience > 0 &&
        trainer->state.schedule.bad_epochs >= options->train.early_stop_patience;
    return trainer->state.epoch >= options->train.epochs || stopped_early ||
           (reached_max_steps(trainer) && !at_end_of_epoch(trainer));
}

void trainer_save(struct trainer *trainer)
{
    const struct persist_source source = {.state = &trainer->state,
                                          .model = trainer->engine.model,
                                          .prefetcher = trainer->data.prefetcher,
                                          .batch = &trainer->data.batch};
    persist_save(&trainer->persistence, &source);
}

/* ---- a step ---- */

/* Adds the last checkpoint to the message of a failure that is the same on all ranks.
 * Collective. */
static enum status add_last_checkpoint(struct trainer *trainer, enum status status)
{
    char message[STATUS_MESSAGE_SIZE];
    const char *saved = trainer->persistence.saved;
    snprintf(message, sizeof message, "%s", status_message());
    enum status synced = persist_sync(&trainer->persistence);
    if (synced != STATUS_OK)
        return synced;
    return status_fail(status, "%s; the last checkpoint is %s", message,
                       saved[0] ? saved : "none");
}

static struct step_flags local_flags(struct trainer *trainer)
{
    const struct training_data *data = &trainer->data;
    bool ends_epoch = trainer->state.epoch_step + 1 >= data->steps_per_epoch;
    return (struct step_flags){
        .stop = stop_policy_in_step(&trainer->stop_policy, ends_epoch),
        .save = persist_save_wanted(&trainer->persistence),
        .input_failed = prefetcher_status(data->prefetcher) != STATUS_OK,
    };
}

/* Makes one step on all ranks. A window that could not be read is reported in the
 * reduction. Collective. */
static enum status run_step(struct trainer *trainer, struct step_flags *flags,
                            struct step_metrics *metrics)
{
    struct prefetcher *prefetcher = trainer->data.prefetcher;
    struct step_engine *engine = &trainer->engine;
    struct window window;
    phase_enter(PHASE_READ);
    prefetcher_next(prefetcher, &window);
    step_gradient(engine, &trainer->state, &window);
    *flags = local_flags(trainer);
    enum status status = step_reduce(engine, &window, flags);
    if (status != STATUS_OK)
        return status;
    status = flags->input_failed
                 ? comm_agree(trainer->comm, prefetcher_status(prefetcher))
                 : step_update(engine, &trainer->state, metrics);
    return status == STATUS_OK ? status : add_last_checkpoint(trainer, status);
}

static void report_step(struct trainer *trainer, struct step_metrics *metrics,
                        struct epoch_clock *clock)
{
    double now = clock_seconds();
    struct worst_times *worst = &trainer->stop_policy.worst;
    metrics->seconds = now - clock->last_step;
    metrics->tokens_per_second =
        (double)tokens_per_step(&trainer->options) / metrics->seconds;
    clock->last_step = now;
    clock->steps++;
    worst->step = fmax(worst->step, metrics->seconds);
    metrics->hashed = trainer->options.run.hash_steps;
    if (comm_rank(trainer->comm) != 0)
        return;
    if (metrics->hashed)
        metrics->weights_hash =
            params_hash(&trainer->engine.params, trainer->engine.weights);
    metrics_step(&trainer->metrics, metrics);
}

static void begin_progress(const struct trainer *trainer, struct progress *progress)
{
    char task[64];
    int64_t left = trainer->data.steps_per_epoch - trainer->state.epoch_step;
    snprintf(task, sizeof task, "epoch %" PRId64 "/%" PRId64, trainer->state.epoch + 1,
             trainer->options.train.epochs);
    progress_begin(progress, task, "tokens",
                   (uint64_t)(left * tokens_per_step(&trainer->options)));
}

static void show_progress(const struct trainer *trainer, int64_t steps,
                          struct progress *progress)
{
    char note[64];
    const struct training_state *state = &trainer->state;
    snprintf(note, sizeof note, "loss %.4f",
             state->epoch_loss / (double)state->epoch_targets);
    progress_update(progress, (uint64_t)(steps * tokens_per_step(&trainer->options)),
                    note);
}

/* Makes steps until the end of the epoch, max_steps or a stop. */
static enum status run_steps(struct trainer *trainer, struct epoch_clock *clock)
{
    struct progress progress;
    struct training_state *state = &trainer->state;
    int64_t first = state->epoch_step;
    enum status status = STATUS_OK;
    begin_progress(trainer, &progress);
    while (!at_end_of_epoch(trainer) && !reached_max_steps(trainer) && !trainer->stop) {
        struct step_metrics metrics = {0};
        struct step_flags flags;
        phase_set_step(state->step + 1);
        inject_fire(state->step + 1);
        status = run_step(trainer, &flags, &metrics);
        if (status != STATUS_OK)
            break;
        trainer->stop = flags.stop;
        persist_poll(&trainer->persistence);
        trainer_samples_poll(trainer->samples, &progress);
        report_step(trainer, &metrics, clock);
        show_progress(trainer, state->epoch_step - first, &progress);
        if (flags.save && !trainer->stop && !at_end_of_epoch(trainer)) {
            trainer_save(trainer);
            report_flush_trace(&trainer->report);
        }
    }
    progress_end(&progress);
    return status;
}

/* ---- validation ---- */

static bool wants_to_stop(void *context)
{
    struct trainer *trainer = context;
    return stop_policy_while_waiting(&trainer->stop_policy);
}

/* STATUS_STOPPED on all ranks if one of them stops the validation. The phase lasts until
 * the next step, except for saving and sampling. Collective. */
static enum status validate(struct trainer *trainer, struct evaluation *valid)
{
    const struct evaluation_stop stop = {.wanted = wants_to_stop, .context = trainer};
    const struct evaluation_request request = {
        .dataset = trainer->data.dataset,
        .split = SPLIT_VALID,
        .microbatches = (int)trainer->options.train.microbatches,
        .rows = trainer->data.batch.rows,
        .steps = trainer->data.batch.steps,
        .memory = trainer->data.plan.validation,
        .stop = &stop,
    };
    const struct ensemble ensemble = {.models = &trainer->engine.model, .count = 1};
    phase_enter(PHASE_VALIDATE);
    prefetcher_pause(trainer->data.prefetcher); /* frees its memory for the validation */
    return evaluate_split(trainer->comm, &request, &ensemble, valid);
}

/* Validates the averaged weights, if there are any, in the model; *loss is 0 without.
 * Collective. */
static enum status validate_average(struct trainer *trainer, double *loss)
{
    float *average = trainer->state.optimizer.average;
    struct evaluation valid = {0};
    *loss = 0;
    if (!average)
        return STATUS_OK;
    step_swap_weights(&trainer->engine, average);
    enum status status = validate(trainer, &valid);
    step_swap_weights(&trainer->engine, average);
    *loss = valid.loss;
    return status;
}

/* A stopped validation has no result; the epoch stays open after its last step, and the
 * resumed run validates again from there. */
static enum status defer_validation(struct trainer *trainer)
{
    trainer->stop = true;
    log_info("epoch %" PRId64
             ": validation stopped; the resumed run starts with validating again",
             trainer->state.epoch + 1);
    return STATUS_OK;
}

/* Everything is complete except for this validation, which no other run would repeat. */
static enum status warn_unvalidated(const struct trainer *trainer)
{
    if (trainer_folder_exists(trainer->persistence.directory.checkpoints))
        log_warn("not validated after the last step, as a stop was requested: tutti "
                 "evaluate %s/checkpoints/latest %s --split valid",
                 trainer->options.run.dir, trainer->data.dataset->path);
    return STATUS_OK;
}

static void report_partial_epoch(struct trainer *trainer, const struct evaluation *valid)
{
    const struct training_state *state = &trainer->state;
    const struct step_metrics metrics = {
        .step = state->step,
        .epoch = state->epoch + 1,
        .loss = state->epoch_loss / (double)state->epoch_targets,
        .weights_hash = params_hash(&trainer->engine.params, trainer->engine.weights),
    };
    metrics_partial_epoch(&trainer->metrics, &metrics, valid);
    char text[96] = "";
    if (training_data_has_validation(&trainer->data))
        snprintf(text, sizeof text, "valid_loss %.4f valid_accuracy %.4f ", valid->loss,
                 valid->accuracy);
    log_info("train.max_steps within epoch %" PRId64 ": step %" PRId64
             " train_loss %.4f %sweights_hash %016" PRIx64,
             metrics.epoch, metrics.step, metrics.loss, text, metrics.weights_hash);
}

enum status trainer_validate_partial_epoch(struct trainer *trainer)
{
    struct evaluation valid;
    if (trainer->state.epoch_step == 0 || at_end_of_epoch(trainer) ||
        !reached_max_steps(trainer))
        return STATUS_OK;
    enum status status = validate(trainer, &valid);
    if (status == STATUS_STOPPED)
        return warn_unvalidated(trainer);
    if (status == STATUS_OK)
        report_partial_epoch(trainer, &valid);
    return status;
}

/* ---- the end of an epoch ---- */

/* Closes the epoch: adds its row to the history and resets the sums. */
static void close_epoch(struct trainer *trainer, const struct evaluation *valid,
                        double valid_loss_average, const struct epoch_clock *clock)
{
    struct training_state *state = &trainer->state;
    double targets = (double)state->epoch_targets;
    double trained = clock->last_step - clock->began;
    int64_t tokens = clock->steps * tokens_per_step(&trainer->options);
    const struct history_row row = {
        .epoch = state->epoch + 1,
        .step = state->step,
        .train_loss = state->epoch_loss / targets,
        .train_accuracy = (double)state->epoch_correct / targets,
        .valid_loss = valid->loss,
        .valid_accuracy = valid->accuracy,
        .valid_loss_average = valid_loss_average,
        .learning_rate = schedule_learning_rate(&state->schedule, &trainer->options,
                                                state->step, trainer->engine.total_steps),
        .seconds = clock_seconds() - clock->began,
        .tokens_per_second = trained > 0 ? (double)tokens / trained : 0,
        .weights_hash = params_hash(&trainer->engine.params, trainer->engine.weights),
    };
    training_state_end_epoch(state, &row);
}

static void log_epoch(const struct trainer *trainer, const struct history_row *row)
{
    char valid[96] = "", average[48] = "";
    if (training_data_has_validation(&trainer->data))
        snprintf(valid, sizeof valid, " valid_loss %.4f valid_accuracy %.4f",
                 row->valid_loss, row->valid_accuracy);
    if (valid[0] && trainer->options.train.average != AVERAGE_NONE)
        snprintf(average, sizeof average, " valid_loss_average %.4f",
                 row->valid_loss_average);
    log_info("epoch %" PRId64 "/%" PRId64 " step %" PRId64 " train_loss %.4f%s%s",
             row->epoch, trainer->options.train.epochs, row->step, row->train_loss, valid,
             average);
    log_info("  tokens_per_second %.0f weights_hash %016" PRIx64, row->tokens_per_second,
             row->weights_hash);
}

static void report_epoch(struct trainer *trainer)
{
    const struct training_state *state = &trainer->state;
    const struct history_row *row = &state->history[state->history_count - 1];
    const struct checkpoint_cost cost = persist_epoch_cost(&trainer->persistence);
    metrics_epoch(&trainer->metrics, row, &trainer->persistence.checkpoint.baselines,
                  &cost);
    log_epoch(trainer, row);
}

/* True if a checkpoint is written after this epoch: as run.checkpoint_every says, and
 * always after the best epoch so far, the last epoch and the epoch before a stop. */
static bool should_save_epoch(const struct trainer *trainer, bool best)
{
    return trainer->state.epoch % trainer->options.run.checkpoint_every == 0 || best ||
           trainer->stop || trainer_finished(trainer);
}

enum status trainer_report_time(struct trainer *trainer, int64_t epoch)
{
    struct time_breakdown breakdown;
    char text[REPORT_TEXT];
    enum status status = report_end(&trainer->report, &breakdown);
    if (status != STATUS_OK || comm_rank(trainer->comm) != 0)
        return status;
    metrics_time(&trainer->metrics, epoch, trainer->state.step, &breakdown);
    log_info("%s", time_breakdown_text(&breakdown, text));
    if (*time_breakdown_slowest(&breakdown, text))
        log_info("%s", text);
    return STATUS_OK;
}

static enum status end_epoch(struct trainer *trainer, const struct epoch_clock *clock)
{
    struct training_state *state = &trainer->state;
    struct worst_times *worst = &trainer->stop_policy.worst;
    struct evaluation valid;
    double began = clock_seconds(), valid_loss_average;
    enum status status = validate(trainer, &valid);
    if (status == STATUS_OK)
        status = validate_average(trainer, &valid_loss_average);
    if (status == STATUS_STOPPED)
        return defer_validation(trainer);
    if (status != STATUS_OK)
        return status;
    close_epoch(trainer, &valid, valid_loss_average, clock);
    bool best = valid.tokens > 0 && schedule_epoch(&state->schedule, &trainer->options,
                                                   state->epoch, valid.loss);
    report_epoch(trainer);
    bool stop = stop_policy_after_validation(&trainer->stop_policy);
    trainer->stop |= comm_max_i64(trainer->comm, stop) > 0;
    if (should_save_epoch(trainer, best))
        trainer_save(trainer);
    if (!trainer->stop) /* a stop must not wait for samples */
        trainer_samples_start(trainer->samples, &trainer->stop_policy,
                              persist_fill_checkpoint(&trainer->persistence,
                                                      &trainer->state,
                                                      trainer->engine.weights));
    worst->epoch_end = fmax(worst->epoch_end, clock_seconds() - began);
    if (!trainer->stop && trainer_finished(trainer)) /* the report includes the wait */
        trainer_samples_finish(trainer->samples, &trainer->stop_policy);
    return trainer_report_time(trainer, state->epoch);
}

enum status trainer_epoch(struct trainer *trainer)
{
    double began = clock_seconds();
    struct epoch_clock clock = {.began = began, .last_step = began};
    enum status status = run_steps(trainer, &clock);
    if (status == STATUS_OK && at_end_of_epoch(trainer) && !trainer->stop)
        status = end_epoch(trainer, &clock);
    return status;
}

bool trainer_folder_exists(const char *folder)
{
    return folder && file_is_directory(folder);
}
