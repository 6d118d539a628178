/* trainer: the run as a whole. Calls go downward only; tests/test_layers.sh enforces it:
 *
 *     trainer             train: open, epochs, partial epoch, conclude
 *       trainer_setup       everything before the first step
 *         trainer_resume      which checkpoint to continue from
 *       trainer_epoch       steps, validation, checkpoint, samples, time report
 *         trainer_samples     sample MIDI files, written beside training
 *         trainer_stop        stop policy: signals and the time limit
 *           trainer_persist     gather the state, save, poll, sync
 *         trainer_step        gradient, sum over ranks, update
 *         trainer_data        dataset, streams, prefetcher
 *
 * trainer_parts.h combines the parts for the three files that use all of them.
 */
#include "trainer.h"

#include <inttypes.h>
#include <stdio.h>

#include "stop.h"
#include "trainer_epoch.h"
#include "trainer_parts.h"
#include "trainer_samples.h"
#include "trainer_setup.h"
#include "base/log.h"
#include "base/phase.h"
#include "base/progress.h"

/* A stop after the last step of an epoch doesn't wait for the validation: the resumed run
 * starts with it. */
static enum status run_epochs(struct trainer *trainer)
{
    report_begin(&trainer->report);
    while (!trainer_finished(trainer) && !trainer->stop) {
        enum status status = trainer_epoch(trainer);
        if (status != STATUS_OK)
            return status;
    }
    if (trainer->stop)
        trainer_samples_cancel(trainer->samples);
    if (trainer->state.epoch_step == 0)
        return STATUS_OK;
    trainer_save(trainer);
    return trainer_report_time(trainer, trainer->state.epoch + 1);
}

/* ---- the end ---- */

/* Logs the summary: what was trained, where the results are, and the next commands. */
static void log_summary(const struct trainer *trainer, double seconds)
{
    const struct training_state *state = &trainer->state;
    const struct persistence *persistence = &trainer->persistence;
    const struct options *options = &trainer->options;
    const char *dir = options->run.dir;
    char duration[64], best[96] = "";
    if (state->schedule.best_epoch > 0)
        snprintf(best, sizeof best, "; best validation loss %.4f (epoch %" PRId64 ")",
                 state->schedule.best_valid, state->schedule.best_epoch);
    log_info("done: %" PRId64 " steps, %" PRId64 " of %" PRId64 " epochs, in %s%s",
             state->step, state->epoch, options->train.epochs,
             duration_text(seconds, duration, sizeof duration), best);
    log_info("weights hash %016" PRIx64 ", checkpoint %s/checkpoints/%s",
             params_hash(&trainer->engine.params, trainer->engine.weights), dir,
             persistence->saved);
    log_info("checkpoints paused training for %.3f s at most, and took %.3f s to write",
             persistence->cost.pause, persistence->cost.writing);
    if (state->epoch > 0 && options->run.samples > 0 &&
        trainer_folder_exists(persistence->directory.samples))
        log_info("samples in %s/samples", dir);
    if (trainer->request->suggest && comm_rank(trainer->comm) == 0)
        trainer->request->suggest(dir, trainer->data.dataset);
}

enum { REASON_TEXT = 40 };

/* "by SIGTERM", "before the time limit", "on request". A signal may have reached only
 * some ranks, and only rank 0 knows the time limit. Collective. */
static void describe_stop(const struct trainer *trainer, char reason[REASON_TEXT])
{
    bool out_of_time = comm_max_i64(trainer->comm, trainer->stop_policy.out_of_time) > 0;
    const char *name = stop_signal_name((int)comm_max_i64(trainer->comm, stop_signal()));
    snprintf(reason, REASON_TEXT, "%s%s",
             out_of_time ? "before the time limit"
             : name      ? "by "
                         : "on request",
             name && !out_of_time ? name : "");
}

/* For a run whose last state is not on disk; the message names the checkpoint that is. */
static enum status fail_unsaved(const struct persistence *persistence)
{
    const char *dir = persistence->checkpoint.options.run.dir,
               *saved = persistence->saved;
    if (persistence->saved_removed && !saved[0])
        return status_fail(STATUS_FAILED,
                           "%s: no checkpoint is left: the folder was removed or moved "
                           "during the run",
                           dir);
    if (!saved[0])
        return status_fail(STATUS_FAILED,
                           "%s: the last checkpoint could not be written, and there is "
                           "none before it: free disk space, then start a new run",
                           dir);
    return status_fail(
        STATUS_FAILED,
        "%s: the last checkpoint %s; %s is the newest one: %sresume "
        "with --resume",
        dir, persistence->save_failed ? "could not be written" : "has been removed",
        saved, persistence->save_failed ? "free disk space, then " : "");
}

/* The status of the run, which has failed if its last state is not on disk. Collective.
 */
static enum status conclude(struct trainer *trainer)
{
    const struct persistence *persistence = &trainer->persistence;
    char reason[REASON_TEXT];
    enum status status = persist_sync(&trainer->persistence);
    if (status != STATUS_OK)
        return status;
    if (persistence->save_failed || persistence->saved_removed)
        return fail_unsaved(persistence);
    describe_stop(trainer, reason);
    if (!trainer->stop || trainer_finished(trainer))
        return STATUS_OK;
    return status_fail(STATUS_STOPPED,
                       "stopped %s after step %" PRId64
                       " with checkpoint %s/checkpoints/%s; resume with --resume",
                       reason, trainer->state.step, trainer->options.run.dir,
                       persistence->saved);
}

static enum status run(struct trainer *trainer)
{
    trainer_log_configuration(trainer);
    if (trainer_finished(trainer)) {
        log_info("%s is complete (epoch %" PRId64 ", step %" PRId64
                 "): raise train.epochs or train.max_steps to continue",
                 trainer->options.run.dir, trainer->state.epoch, trainer->state.step);
        return STATUS_OK;
    }
    double began = clock_seconds();
    enum status status = run_epochs(trainer);
    if (status == STATUS_OK)
        status = trainer_validate_partial_epoch(trainer);
    if (status == STATUS_OK)
        trainer_samples_finish(trainer->samples, &trainer->stop_policy);
    phase_enter(PHASE_END);
    if (status == STATUS_OK)
        status = conclude(trainer);
    if (status == STATUS_OK)
        log_summary(trainer, clock_seconds() - began);
    return status;
}

/* ---- the public functions ---- */

enum status train_check(struct comm *comm, const struct trainer_request *request)
{
    enum status status = STATUS_OK;
    if (comm_rank(comm) == 0)
        status = run_directory_check(request->options->run.dir,
                                     request->resume ? RUN_RESUMED : RUN_NEW);
    return comm_agree(comm, status);
}

void train_install_handlers(void)
{
    stop_install_handlers();
}

enum status train(struct comm *comm, const struct trainer_request *request)
{
    struct trainer trainer = {.comm = comm, .request = request};
    stop_install_handlers();
    enum status status = report_open(comm, request->trace, &trainer.report);
    if (status == STATUS_OK)
        status = trainer_open(&trainer);
    if (status == STATUS_OK)
        status = run(&trainer);
    report_close(&trainer.report);
    trainer_close(&trainer);
    stop_restore_handlers(trainer.stop);
    return status;
}
