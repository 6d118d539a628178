/* trainer: the loop over steps and epochs, and what happens behind each.
 *
 * All decisions (stop, save, early end) are made from values that are the same on every
 * rank: the exact sum's, the evaluation's, the settings'.
 */
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "stop.h"
#include "trainer_internal.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/phase.h"
#include "base/progress.h"

/* Wall time of an epoch, or of the part of it that this process has made. */
struct timing {
    double began, stepped; /* clock_seconds: the start; behind the last step */
    int64_t steps;
};

static int64_t tokens_per_step(const struct trainer *trainer)
{
    return trainer->now.options.train.batch * trainer->now.options.train.time;
}

static bool out_of_steps(const struct trainer *trainer)
{
    int64_t most = trainer->now.options.train.max_steps;
    return most > 0 && trainer->now.step >= most;
}

/* All steps of the epoch are made, and it is still to be validated and closed. */
static bool at_end_of_epoch(const struct trainer *trainer)
{
    return trainer->now.epoch_step == trainer->steps_per_epoch;
}

static bool finished(const struct trainer *trainer)
{
    const struct options *options = &trainer->now.options;
    bool given_up = options->train.early_stop > 0 &&
                    trainer->now.schedule.bad_epochs >= options->train.early_stop;
    return trainer->now.epoch >= options->train.epochs || given_up ||
           (out_of_steps(trainer) && !at_end_of_epoch(trainer));
}

/* ---- a step ---- */

static void report_step(struct trainer *trainer, struct step_facts *facts,
                        struct timing *timing)
{
    double now = clock_seconds();
    facts->seconds = now - timing->stepped;
    facts->tokens_per_second = (double)tokens_per_step(trainer) / facts->seconds;
    timing->stepped = now;
    trainer->pace.step = fmax(trainer->pace.step, facts->seconds);
    timing->steps++;
    facts->hashed = trainer->now.options.run.hash_steps;
    if (comm_rank(trainer->comm) != 0)
        return;
    if (facts->hashed)
        facts->weights_hash = params_hash(&trainer->now.params, trainer->now.weights);
    metrics_step(&trainer->metrics, facts);
}

/* Within an epoch. */
static void save(struct trainer *trainer)
{
    trainer_save(trainer);
    report_trace(&trainer->report);
}

/* Steps to the end of the epoch, of max_steps, or until a stop. */
static enum status make_steps(struct trainer *trainer, struct timing *timing)
{
    struct checkpoint *now = &trainer->now;
    char task[64], note[64];
    struct progress progress;
    enum status status = STATUS_OK;
    int64_t first = now->epoch_step, left = trainer->steps_per_epoch - first;
    snprintf(task, sizeof task, "epoch %" PRId64 "/%" PRId64, now->epoch + 1,
             now->options.train.epochs);
    progress_begin(&progress, task, "tokens",
                   (uint64_t)(left * tokens_per_step(trainer)));
    while (now->epoch_step < trainer->steps_per_epoch && !out_of_steps(trainer) &&
           !trainer->stop) {
        struct step_facts facts = {0};
        phase_set_step(now->step + 1);
        inject_strike(now->step + 1);
        status = trainer_step(trainer, &facts);
        if (status != STATUS_OK)
            break;
        trainer_hear(trainer);
        report_step(trainer, &facts, timing);
        snprintf(note, sizeof note, "loss %.4f",
                 now->epoch_loss / (double)now->epoch_targets);
        progress_update(&progress,
                        (uint64_t)((now->epoch_step - first) * tokens_per_step(trainer)),
                        note);
        if (trainer->save && !trainer->stop && now->epoch_step < trainer->steps_per_epoch)
            save(trainer);
    }
    progress_end(&progress);
    return status;
}

/* ---- behind an epoch ---- */

static bool has_validation(const struct trainer *trainer)
{
    return trainer->dataset->total.pieces[SPLIT_VALID] > 0;
}

static void log_epoch(const struct trainer *trainer, const struct history_row *row)
{
    char valid[96] = "";
    if (has_validation(trainer))
        snprintf(valid, sizeof valid, " valid_loss %.4f valid_accuracy %.4f",
                 row->valid_loss, row->valid_accuracy);
    log_info("epoch %" PRId64 "/%" PRId64 " step %" PRId64 " train_loss %.4f%s",
             row->epoch, trainer->now.options.train.epochs, row->step, row->train_loss,
             valid);
    log_info("  tokens_per_second %.0f weights_hash %016" PRIx64, row->tokens_per_second,
             row->weights_hash);
}

/* Closes the epoch in the state: its row of the history, and the sums start again. */
static void close_epoch(struct trainer *trainer, const struct evaluation *valid,
                        const struct timing *timing)
{
    struct checkpoint *now = &trainer->now;
    double targets = (double)now->epoch_targets;
    double trained = timing->stepped - timing->began;
    int64_t tokens = timing->steps * tokens_per_step(trainer);
    now->epoch++;
    now->history[now->history_count++] = (struct history_row){
        .epoch = now->epoch,
        .step = now->step,
        .train_loss = now->epoch_loss / targets,
        .train_accuracy = (double)now->epoch_correct / targets,
        .valid_loss = valid->loss,
        .valid_accuracy = valid->accuracy,
        .learning_rate = schedule_learning_rate(&now->schedule, &now->options, now->step,
                                                trainer->total_steps),
        .seconds = clock_seconds() - timing->began,
        .tokens_per_second = trained > 0 ? (double)tokens / trained : 0,
        .weights_hash = params_hash(&now->params, now->weights),
    };
    now->epoch_step = now->epoch_targets = now->epoch_correct = 0;
    now->epoch_loss = 0;
}

/* They are made in a folder apart, and moved when all are there. */
static enum status write_samples(const struct trainer *trainer)
{
    const struct trainer_request *request = trainer->request;
    char *path;
    enum status status = run_directory_begin_samples(&trainer->run, &path);
    if (status != STATUS_OK)
        return status;
    status = request->samples(&trainer->now, path, request->context);
    enum status ended =
        run_directory_end_samples(&trainer->run, path, status == STATUS_OK);
    return status == STATUS_OK ? ended : status;
}

static void make_samples(struct trainer *trainer)
{
    const struct trainer_request *request = trainer->request;
    if (comm_rank(trainer->comm) != 0 || !request->samples ||
        trainer->now.options.run.samples == 0)
        return;
    enum phase before = phase_enter(PHASE_SAMPLE);
    double began = clock_seconds();
    if (write_samples(trainer) != STATUS_OK)
        log_warn("no samples of epoch %" PRId64 ": %s", trainer->now.epoch,
                 status_message());
    trainer->pace.samples = fmax(trainer->pace.samples, clock_seconds() - began);
    phase_enter(before);
}

/* A checkpoint behind this epoch? The best so far, the last and the one before a stop are
 * written whatever checkpoint_every says. */
static bool keeps_epoch(const struct trainer *trainer, bool best)
{
    const struct checkpoint *now = &trainer->now;
    return now->epoch % now->options.run.checkpoint_every == 0 || best || trainer->stop ||
           finished(trainer);
}

static bool wants_to_leave(void *context)
{
    return trainer_stop_is_due_in_validation(context);
}

/* STATUS_STOPPED on all ranks if one has left it for a stop. */
static enum status validate(struct trainer *trainer, struct evaluation *valid)
{
    const struct evaluation_leave leave = {.wanted = wants_to_leave, .context = trainer};
    phase_enter(PHASE_VALIDATE); /* until the next step, but for saving and sampling */
    prefetcher_rest(trainer->prefetcher); /* its memory is the validation's meanwhile */
    return evaluate_split(trainer->comm, trainer->dataset, (int)trainer->now.microbatches,
                          trainer->rows, trainer->steps, SPLIT_VALID,
                          trainer->data_plan.validation, trainer->model, &leave, valid);
}

/* Where the time went since the last time. */
static enum status report_time(struct trainer *trainer, int64_t epoch)
{
    struct division division;
    char text[REPORT_TEXT];
    enum status status = report_end(&trainer->report, &division);
    if (status != STATUS_OK || comm_rank(trainer->comm) != 0)
        return status;
    metrics_time(&trainer->metrics, epoch, trainer->now.step, &division);
    log_info("%s", division_text(&division, text));
    if (*division_waited(&division, text))
        log_info("%s", text);
    return STATUS_OK;
}

/* A validation was left for a stop: what it had counted is worth nothing, and the epoch
 * stays open behind its last step, from where the next run makes it again. */
static enum status leave_epoch_open(struct trainer *trainer)
{
    trainer->stop = true;
    log_info("epoch %" PRId64 ": the validation is left; the next run begins with it",
             trainer->now.epoch + 1);
    return STATUS_OK;
}

static enum status end_epoch(struct trainer *trainer, const struct timing *timing)
{
    struct checkpoint *now = &trainer->now;
    struct evaluation valid;
    double began = clock_seconds();
    enum status status = validate(trainer, &valid);
    if (status == STATUS_STOPPED)
        return leave_epoch_open(trainer);
    if (status != STATUS_OK)
        return status;
    close_epoch(trainer, &valid, timing);
    const struct history_row *row = &now->history[now->history_count - 1];
    const struct checkpoint_cost cost = {trainer->save_cost.epoch_pause,
                                         trainer->save_cost.epoch_writing};
    trainer->save_cost.epoch_pause = trainer->save_cost.epoch_writing = 0;
    bool best = valid.tokens > 0 &&
                schedule_epoch(&now->schedule, &now->options, now->epoch, valid.loss);
    metrics_epoch(&trainer->metrics, row, &trainer->baselines, &cost);
    log_epoch(trainer, row);
    bool stop = trainer_stop_is_due_before_samples(trainer);
    trainer->stop |= comm_max_i64(trainer->comm, stop) > 0;
    if (keeps_epoch(trainer, best))
        trainer_save(trainer);
    if (!trainer->stop) /* whoever asks for a stop may not wait long */
        make_samples(trainer);
    trainer->pace.epoch_end = fmax(trainer->pace.epoch_end, clock_seconds() - began);
    return report_time(trainer, now->epoch);
}

/* ---- the run ---- */

/* Whoever asks for a stop at the last step of an epoch doesn't wait for the validation:
 * the next run begins with it. */
static enum status run_epochs(struct trainer *trainer)
{
    struct checkpoint *now = &trainer->now;
    report_begin(&trainer->report);
    while (!finished(trainer) && !trainer->stop) {
        double began = clock_seconds();
        struct timing timing = {.began = began, .stepped = began};
        enum status status = make_steps(trainer, &timing);
        if (status == STATUS_OK && at_end_of_epoch(trainer) && !trainer->stop)
            status = end_epoch(trainer, &timing);
        if (status != STATUS_OK)
            return status;
    }
    if (now->epoch_step == 0)
        return STATUS_OK;
    trainer_save(trainer);
    return report_time(trainer, now->epoch + 1);
}

/* Rank 0: is that folder of the run still there? It may have been removed meanwhile. */
static bool is_left(const char *folder)
{
    return folder && file_is_directory(folder);
}

/* The run is complete and on its way to the disk but for that figure, which no other run
 * would make. */
static enum status leave_part_unjudged(const struct trainer *trainer)
{
    if (is_left(trainer->run.checkpoints))
        log_warn("not validated after the last step, as a stop was asked for: tutti "
                 "evaluate %s/checkpoints/latest %s --split valid",
                 trainer->now.options.run.dir, trainer->dataset->path);
    return STATUS_OK;
}

/* train.max_steps may end a run within an epoch: how good is it there? */
static enum status judge_part(struct trainer *trainer)
{
    const struct checkpoint *now = &trainer->now;
    struct evaluation valid;
    if (now->epoch_step == 0 || at_end_of_epoch(trainer) || !out_of_steps(trainer))
        return STATUS_OK;
    enum status status = validate(trainer, &valid);
    if (status == STATUS_STOPPED)
        return leave_part_unjudged(trainer);
    if (status != STATUS_OK)
        return status;
    const struct step_facts facts = {
        .step = now->step,
        .epoch = now->epoch + 1,
        .loss = now->epoch_loss / (double)now->epoch_targets,
        .weights_hash = params_hash(&now->params, now->weights),
    };
    metrics_part(&trainer->metrics, &facts, &valid);
    char text[96] = "";
    if (has_validation(trainer))
        snprintf(text, sizeof text, "valid_loss %.4f valid_accuracy %.4f ", valid.loss,
                 valid.accuracy);
    log_info("train.max_steps within epoch %" PRId64 ": step %" PRId64
             " train_loss %.4f %sweights_hash %016" PRIx64,
             facts.epoch, facts.step, facts.loss, text, facts.weights_hash);
    return STATUS_OK;
}

/* What was made, where it is, and what may be done with it. */
static void log_end(const struct trainer *trainer, double seconds)
{
    const struct checkpoint *now = &trainer->now;
    const char *dir = now->options.run.dir;
    char duration[64], best[96] = "";
    if (now->schedule.best_epoch > 0)
        snprintf(best, sizeof best, "; best validation loss %.4f (epoch %" PRId64 ")",
                 now->schedule.best_valid, now->schedule.best_epoch);
    log_info("done: %" PRId64 " steps, %" PRId64 " of %" PRId64 " epochs, in %s%s",
             now->step, now->epoch, now->options.train.epochs,
             duration_text(seconds, duration, sizeof duration), best);
    log_info("weights hash %016" PRIx64 ", checkpoint %s/checkpoints/%s",
             params_hash(&now->params, now->weights), dir, trainer->saved);
    log_info("checkpoints paused training for %.3f s at most, and took %.3f s to write",
             trainer->save_cost.pause, trainer->save_cost.writing);
    if (now->epoch > 0 && now->options.run.samples > 0 && is_left(trainer->run.samples))
        log_info("samples in %s/samples", dir);
    if (trainer->request->suggest && comm_rank(trainer->comm) == 0)
        trainer->request->suggest(dir, trainer->dataset);
}

enum { WHY_TEXT = 40 };

/* A signal may have reached some ranks only, so they compare what has come. Collective.
 */
static void describe_stop(const struct trainer *trainer, char why[WHY_TEXT])
{
    const char *name = stop_signal_name((int)comm_max_i64(trainer->comm, stop_signal()));
    snprintf(why, WHY_TEXT, "%s%s",
             trainer->out_of_time ? "before the time limit"
             : name               ? "by "
                                  : "on request",
             name && !trainer->out_of_time ? name : "");
}

/* The last state is not on the disk: what is? */
static enum status fail_unsaved(const struct trainer *trainer)
{
    const char *dir = trainer->now.options.run.dir, *saved = trainer->saved;
    if (trainer->vanished && !saved[0])
        return status_fail(STATUS_FAILED,
                           "%s: no checkpoint is left: the folder was removed or moved "
                           "while the run went on",
                           dir);
    if (!saved[0])
        return status_fail(STATUS_FAILED,
                           "%s: the last checkpoint could not be written, and there is "
                           "none before it: make room, then start anew",
                           dir);
    return status_fail(STATUS_FAILED,
                       "%s: the last checkpoint %s; %s is the newest one: %sresume "
                       "with --resume",
                       dir,
                       trainer->unsaved ? "could not be written" : "has been removed",
                       saved, trainer->unsaved ? "make room, then " : "");
}

/* How it ended. The last state must be on the disk, or the run has failed. Collective. */
static enum status conclude(struct trainer *trainer)
{
    const struct checkpoint *now = &trainer->now;
    enum status status = trainer_settle(trainer);
    if (status != STATUS_OK)
        return status;
    if (trainer->unsaved || trainer->vanished)
        return fail_unsaved(trainer);
    char why[WHY_TEXT];
    describe_stop(trainer, why);
    if (!trainer->stop || finished(trainer))
        return STATUS_OK;
    return status_fail(STATUS_STOPPED,
                       "stopped %s after step %" PRId64
                       " with checkpoint %s/checkpoints/%s; resume with --resume",
                       why, now->step, now->options.run.dir, trainer->saved);
}

static enum status run(struct trainer *trainer)
{
    enum status status = trainer_baselines(trainer);
    if (status != STATUS_OK)
        return status;
    trainer_print_facts(trainer);
    if (finished(trainer)) {
        log_info("%s is complete (epoch %" PRId64 ", step %" PRId64
                 "): raise train.epochs or train.max_steps to continue",
                 trainer->now.options.run.dir, trainer->now.epoch, trainer->now.step);
        return STATUS_OK;
    }
    double began = clock_seconds();
    status = run_epochs(trainer);
    if (status == STATUS_OK)
        status = judge_part(trainer);
    phase_enter(PHASE_END);
    if (status == STATUS_OK)
        status = conclude(trainer);
    if (status == STATUS_OK)
        log_end(trainer, clock_seconds() - began);
    return status;
}

enum status train_check(struct comm *comm, const struct trainer_request *request)
{
    enum status status = STATUS_OK;
    if (comm_rank(comm) == 0)
        status = run_directory_check(request->options->run.dir,
                                     request->resume ? RUN_RESUMED : RUN_NEW);
    return comm_agree(comm, status);
}

void train_listen(void)
{
    stop_listen();
}

enum status train(struct comm *comm, const struct trainer_request *request)
{
    struct trainer trainer = {.comm = comm, .request = request};
    stop_listen();
    enum status status = report_open(comm, request->trace, &trainer.report);
    if (status == STATUS_OK)
        status = trainer_open(&trainer);
    if (status == STATUS_OK)
        status = run(&trainer);
    report_close(&trainer.report);
    trainer_close(&trainer);
    stop_ignore(trainer.stop);
    return status;
}
