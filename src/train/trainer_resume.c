/* trainer_resume: see the header. */
#include "trainer_resume.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

/* ---- finding ---- */

/* A new run must not mix with an older one. */
static enum status check_no_checkpoints(const struct run_directory *directory)
{
    size_t count = 0;
    enum status status = run_checkpoints_count(directory, &count);
    if (status == STATUS_OK && count > 0)
        status = run_fail_has_checkpoints(directory->path);
    return status;
}

enum status trainer_resume_find(struct persistence *persistence, enum run_start start,
                                struct checkpoint *out)
{
    enum status status = STATUS_OK;
    *out = (struct checkpoint){0};
    if (comm_rank(persistence->comm) == 0)
        status = start == RUN_RESUMED
                     ? run_checkpoints_read_newest(&persistence->directory,
                                                   persistence->saved, out)
                     : check_no_checkpoints(&persistence->directory);
    status = comm_agree(persistence->comm, status);
    if (status == STATUS_OK)
        status = comm_broadcast(persistence->comm, persistence->saved,
                                sizeof persistence->saved);
    persist_notify_watchdog(persistence);
    return status;
}

/* ---- checking ---- */

static enum status check_options(const char *path, const struct options *saved,
                                 const struct options *options)
{
    struct options compared = *saved;
    compared.data = options->data; /* the dataset's, whose hash is checked */
    return checkpoint_check_settings(path, &compared, options,
                                     "can't be continued with other settings",
                                     "restore them, or set another run.dir");
}

static enum status check_dataset(const char *path, const struct checkpoint *resumed,
                                 const struct dataset *dataset)
{
    if (resumed->dataset_hash == dataset->dataset_hash)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s was trained on another dataset (hash %016" PRIx64
                       "; %s has %016" PRIx64
                       "): set data.dataset to the same one, or set another run.dir",
                       path, resumed->dataset_hash, dataset->path, dataset->dataset_hash);
}

/* An epoch has as many steps as the dataset's tokens fill, so step and epoch determine
 * the position within the current epoch. */
static enum status check_steps(const char *path, const struct training_state *state,
                               const struct training_data *data)
{
    int64_t per_epoch = data->steps_per_epoch;
    if (state->epoch_step <= per_epoch &&
        state->epoch_step == state->step - state->epoch * per_epoch)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /state: step %" PRId64 " and step %" PRId64
                       " of epoch %" PRId64 " don't fit %s, where an epoch has %" PRId64
                       " steps",
                       path, state->step, state->epoch_step, state->epoch + 1,
                       data->dataset->path, per_epoch);
}

static enum status check_numerics(const char *path, const char *saved,
                                  const struct resume_expectation *expected)
{
    if (strcmp(saved, expected->numerics) == 0)
        return STATUS_OK;
    enum status status = status_fail(
        STATUS_FAILED,
        "%s was trained with the kernels %s, this run uses %s, so the weights may differ "
        "in their last bits from those of an uninterrupted run: restore OPENBLAS_CORETYPE"
        " and the version of tutti, or set train.allow_mixed_cores = yes",
        path, saved, expected->numerics);
    if (!expected->options->train.allow_mixed_cores)
        return status;
    log_warn("%s", status_message());
    return STATUS_OK;
}

static enum status check_compatible(const char *path, const struct checkpoint *resumed,
                                    const struct resume_expectation *expected)
{
    const struct training_data *data = expected->data;
    enum status status = checkpoint_check_vocabulary(path, resumed, data->dataset);
    if (status == STATUS_OK)
        status = check_options(path, &resumed->options, expected->options);
    if (status == STATUS_OK)
        status = check_dataset(path, resumed, data->dataset);
    if (status == STATUS_OK)
        status = check_steps(path, &resumed->state, data);
    if (status == STATUS_OK)
        status = check_numerics(path, resumed->provenance.numerics, expected);
    return status;
}

/* ---- loading ---- */

/* Reads the checkpoint, unless on rank 0, which has already read it, and checks it. */
static enum status load(const struct persistence *persistence,
                        const struct resume_expectation *expected, struct checkpoint *out)
{
    char *path =
        path_format("%s/checkpoints/%s", expected->options->run.dir, persistence->saved);
    if (!path)
        return status_fail(STATUS_FAILED, "%s: out of memory", persistence->saved);
    enum status status = STATUS_OK;
    if (comm_rank(persistence->comm) != 0)
        status = checkpoint_read(path, CHECKPOINT_TO_TRAIN, out);
    if (status == STATUS_OK)
        status = check_compatible(path, out, expected);
    if (status == STATUS_OK)
        log_info("resuming from %s: epoch %" PRId64 ", step %" PRId64, path,
                 out->state.epoch, out->state.step);
    free(path);
    return status;
}

/* Collective. */
static enum status repair_links(struct persistence *persistence,
                                const struct training_state *state)
{
    if (comm_rank(persistence->comm) == 0)
        run_checkpoints_repair_links(&persistence->directory, persistence->saved, state);
    return comm_broadcast(persistence->comm, persistence->saved,
                          sizeof persistence->saved);
}

enum status trainer_resume_load(struct persistence *persistence, enum run_start start,
                                const struct resume_expectation *expected,
                                struct checkpoint *out)
{
    enum status status = STATUS_OK;
    if (persistence->saved[0]) {
        status = comm_agree(persistence->comm, load(persistence, expected, out));
        if (status == STATUS_OK) /* only now: a refusal changes nothing */
            status = repair_links(persistence, &out->state);
    } else if (start == RUN_RESUMED) {
        log_info("%s: no checkpoint yet, starting a new run", expected->options->run.dir);
    }
    persist_notify_watchdog(persistence);
    return status;
}
