/* trainer_resume: what may be continued, and by what. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer_internal.h"
#include "base/file.h"
#include "base/log.h"

/* Starting anew must not mix with an older run. */
static enum status refuse_old_run(const struct trainer *trainer)
{
    size_t count = 0;
    enum status status = run_directory_count(&trainer->run, &count);
    if (status == STATUS_OK && count > 0)
        status = run_claim_refuse_old(trainer->run.path);
    return status;
}

/* Rank 0 looks for the newest whole checkpoint and reads it; all learn its name.
 * Collective. */
static enum status find(struct trainer *trainer, struct checkpoint *read)
{
    enum status status = STATUS_OK;
    if (comm_rank(trainer->comm) == 0)
        status = trainer->request->resume
                     ? run_directory_newest(&trainer->run, trainer->saved, read)
                     : refuse_old_run(trainer);
    status = comm_agree(trainer->comm, status);
    if (status == STATUS_OK)
        status = comm_broadcast(trainer->comm, trainer->saved, sizeof trainer->saved);
    return status;
}

/* "a: 1 in the checkpoint, 2 asked for; b: ..." on one line. */
static enum status check_options(const char *path, const struct options *before,
                                 const struct options *now)
{
    char *report = NULL;
    int count = 0;
    struct options settled =
        *before; /* the data's are the dataset's, whose hash is checked */
    settled.data = now->data;
    options_difference(&settled, now, &report, &count);
    if (count == 0 && !report)
        return STATUS_OK;
    char line[STATUS_MESSAGE_SIZE / 2] = "";
    for (char *rest = report, *item; rest && (item = strsep(&rest, "\n"));)
        if (item[0]) {
            size_t used = strlen(line);
            snprintf(line + used, sizeof line - used, "%s%s", used ? "; " : "", item);
        }
    free(report);
    return status_fail(STATUS_MISUSE,
                       "%s can't be continued with other settings: %s (set them back, or "
                       "start another run.dir)",
                       path, line);
}

static enum status check_core(const struct trainer *trainer, const char *path,
                              const char *core)
{
    if (strcmp(core, trainer->backend->numerics()) == 0)
        return STATUS_OK;
    enum status status = status_fail(
        STATUS_FAILED,
        "%s was trained with products by %s, these are by %s, so the weights may differ "
        "in their last bits from an unbroken run's: set train.products and "
        "OPENBLAS_CORETYPE as they were, or train.allow_mixed_cores = yes",
        path, core, trainer->backend->numerics());
    if (!trainer->now.options.train.allow_mixed_cores)
        return status;
    log_warn("%s", status_message());
    return STATUS_OK;
}

/* An epoch has as many steps as the dataset's tokens make, so the step says how far the
 * epoch under way is. */
static enum status check_steps(const struct trainer *trainer, const char *path,
                               const struct checkpoint *read)
{
    int64_t expected = read->step - read->epoch * trainer->steps_per_epoch;
    if (read->epoch_step <= trainer->steps_per_epoch && read->epoch_step == expected)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /state: step %" PRId64 " and step %" PRId64
                       " of epoch %" PRId64 " don't fit %s, where an epoch has %" PRId64
                       " steps",
                       path, read->step, read->epoch_step, read->epoch + 1,
                       trainer->dataset->path, trainer->steps_per_epoch);
}

static enum status check(const struct trainer *trainer, const char *path,
                         const struct checkpoint *read)
{
    const struct dataset *dataset = trainer->dataset;
    enum status status = checkpoint_check_vocabulary(path, read, dataset);
    if (status == STATUS_OK)
        status = check_options(path, &read->options, &trainer->now.options);
    if (status == STATUS_OK && read->dataset_hash != dataset->dataset_hash)
        status = status_fail(
            STATUS_MISUSE,
            "%s was trained on another dataset (hash %016" PRIx64 "; %s has %016" PRIx64
            "): give data.dataset the same one, or start another run.dir",
            path, read->dataset_hash, dataset->path, dataset->dataset_hash);
    if (status == STATUS_OK)
        status = check_steps(trainer, path, read);
    if (status == STATUS_OK)
        status = check_core(trainer, path, read->core);
    return status;
}

/* What was read becomes the state, under the settings of now. */
static void adopt(struct trainer *trainer, struct checkpoint *read)
{
    struct options options = trainer->now.options;
    encoding_free(read->encoding);
    read->encoding = NULL;
    trainer->now = *read;
    trainer->now.options = options;
    *read = (struct checkpoint){0};
}

static enum status load(struct trainer *trainer, struct checkpoint *read)
{
    char *path =
        path_format("%s/checkpoints/%s", trainer->now.options.run.dir, trainer->saved);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", trainer->saved);
    enum status status = STATUS_OK;
    if (comm_rank(trainer->comm) != 0)
        status = checkpoint_read(path, CHECKPOINT_TO_TRAIN, read);
    if (status == STATUS_OK)
        status = check(trainer, path, read);
    if (status == STATUS_OK) {
        adopt(trainer, read);
        log_info("resuming from %s: epoch %" PRId64 ", step %" PRId64, path,
                 trainer->now.epoch, trainer->now.step);
    }
    free(path);
    return status;
}

/* Only now, as a refused --resume changes nothing. Collective. */
static enum status settle_links(struct trainer *trainer)
{
    if (comm_rank(trainer->comm) == 0)
        run_directory_settle_links(&trainer->run, trainer->saved, &trainer->now);
    return comm_broadcast(trainer->comm, trainer->saved, sizeof trainer->saved);
}

enum status trainer_resume(struct trainer *trainer)
{
    struct checkpoint read = {0};
    enum status status = find(trainer, &read);
    if (status == STATUS_OK && trainer->saved[0]) {
        status = comm_agree(trainer->comm, load(trainer, &read));
        if (status == STATUS_OK)
            status = settle_links(trainer);
    } else if (status == STATUS_OK && trainer->request->resume)
        log_info("%s: no checkpoint yet, starting anew", trainer->now.options.run.dir);
    checkpoint_free(&read);
    trainer_tell_saved(trainer);
    return status;
}
