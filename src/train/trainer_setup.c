/* trainer_setup: see the header.
 *
 * Every rank opens its own part up to a point where the ranks need each other; there they
 * agree on the outcome, so that a failure of one rank gives a single message, and no rank
 * waits for one that has left.
 */
#include "trainer_setup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "baselines.h"
#include "job_layout.h"
#include "trainer_resume.h"
#include "run_listing.h"
#include "base/file.h"
#include "base/log.h"

/* ---- each rank's own part ---- */

static enum status check_request(const struct comm *comm, const struct options *options)
{
    int ranks = comm_size(comm);
    enum status status = options_check(options);
    if (status != STATUS_OK)
        return status;
    if (options->data.dataset[0] == '\0')
        return status_fail(
            STATUS_MISUSE,
            "data.dataset is not set: the directory that `tutti preprocess` "
            "has written");
    if (options->train.microbatches < ranks)
        return status_fail(
            STATUS_MISUSE,
            "train.microbatches = %" PRId64 ", but there are %d ranks and each "
            "needs a microbatch: set train.microbatches = %d or more, or use %" PRId64
            " ranks",
            options->train.microbatches, ranks, ranks, options->train.microbatches);
    return STATUS_OK;
}

static enum run_start start_of(const struct trainer *trainer)
{
    return trainer->request->resume ? RUN_RESUMED : RUN_NEW;
}

/* Number of windows of all ranks in one validation, of weights and average. */
static double validation_windows(const struct trainer *trainer)
{
    int passes = trainer->options.train.average == AVERAGE_NONE ? 1 : 2;
    return passes * (double)training_data_tokens(&trainer->data, SPLIT_VALID) /
           (double)tokens_per_step(&trainer->options);
}

static enum status open_local(struct trainer *trainer)
{
    struct options *options = &trainer->options;
    enum status status = check_request(trainer->comm, options);
    if (status == STATUS_OK && options->train.matmul == MATMUL_OPENBLAS)
        status = model_matmul_backend(options, &trainer->backend); /* fails early */
    if (status == STATUS_OK)
        status = training_data_open(&trainer->data, trainer->comm, options);
    return status;
}

static bool has_checkpoint(const char *directory)
{
    char *checkpoints = path_join(directory, "checkpoints");
    char *newest = checkpoints ? run_find_checkpoint(checkpoints, RUN_NEWEST) : NULL;
    bool found = newest != NULL;
    free(newest);
    free(checkpoints);
    return found;
}

/* Reads the initial weights before run.dir is created, unless the run continues from a
 * checkpoint of its own. Collective. */
static enum status read_initial_weights(struct trainer *trainer)
{
    const struct options *options = &trainer->options;
    bool resumes = comm_rank(trainer->comm) == 0 && start_of(trainer) == RUN_RESUMED &&
                   has_checkpoint(options->run.dir);
    if (!options->train.init_from[0] || comm_max_i64(trainer->comm, resumes) > 0)
        return STATUS_OK;
    return initial_weights_read(trainer->comm, options, trainer->data.dataset,
                                &trainer->initial);
}

/* Starts a thread that runs squeue with this process's environment, so after everything
 * that changes the environment (loading OpenBLAS). */
static enum status open_stop_policy(struct trainer *trainer)
{
    return stop_policy_open(&trainer->stop_policy, &trainer->persistence,
                            trainer->options.run.time_limit_minutes,
                            validation_windows(trainer));
}

/* ---- the matmul backend ---- */

enum { HOST_TEXT = 64 };

struct host_numerics {
    char numerics[HOST_TEXT], core[HOST_TEXT], host[HOST_TEXT];
};

static enum status compare_numerics(const struct host_numerics *ranks, int count)
{
    for (int r = 1; r < count; r++) {
        if (strcmp(ranks[r].numerics, ranks[0].numerics) == 0)
            continue;
        if (strcmp(ranks[r].core, ranks[0].core) == 0)
            return status_fail(STATUS_FAILED,
                               "different versions of tutti: numerics %s on %s, rank 0; "
                               "%s on %s, rank %d",
                               ranks[0].numerics, ranks[0].host, ranks[r].numerics,
                               ranks[r].host, r);
        return status_fail(
            STATUS_FAILED,
            "OpenBLAS uses different kernels on different ranks (%s on %s, rank 0; "
            "%s on %s, rank %d), so the result would depend on which rank computes "
            "what: set OPENBLAS_CORETYPE=%s on all hosts, or "
            "train.allow_mixed_cores = yes",
            ranks[0].core, ranks[0].host, ranks[r].core, ranks[r].host, r, ranks[0].core);
    }
    return STATUS_OK;
}

/* Collective. */
static enum status check_numerics(struct comm *comm, const char *numerics,
                                  bool allow_mixed)
{
    struct host_numerics local = {{0}, {0}, {0}};
    uint8_t *all = NULL;
    size_t *sizes = NULL;
    snprintf(local.numerics, sizeof local.numerics, "%s", numerics);
    snprintf(local.core, sizeof local.core, "%s", matmul_openblas_core());
    snprintf(local.host, sizeof local.host, "%s", comm_host(comm));
    enum status status = comm_gather(comm, &local, sizeof local, &all, &sizes);
    if (status == STATUS_OK && comm_rank(comm) == 0)
        status = compare_numerics((const struct host_numerics *)all, comm_size(comm));
    if (status != STATUS_OK && all && allow_mixed) {
        log_warn("%s", status_message());
        status = STATUS_OK;
    }
    free(all);
    free(sizes);
    return comm_agree(comm, status);
}

/* Selects the backend, with equal numerics on all ranks. `found` is the checkpoint to be
 * resumed, so far only on rank 0. Collective. */
static enum status select_matmul(struct trainer *trainer, const struct checkpoint *found)
{
    struct comm *comm = trainer->comm;
    struct options *options = &trainer->options;
    int own = found->weights ? found->options.train.matmul : MATMUL_AUTO;
    int recorded = (int)comm_max_i64(comm, own); /* MATMUL_AUTO is the smallest */
    enum status status = matmul_resolve(comm, options, recorded, trainer->matmul_note);
    if (status == STATUS_OK)
        status = comm_agree(comm, model_matmul_backend(options, &trainer->backend));
    if (status == STATUS_OK)
        status = check_numerics(comm, trainer->backend->numerics(),
                                options->train.allow_mixed_cores);
    return status;
}

/* ---- resumed or initial state ---- */

/* The contents that all checkpoints of this run share. */
static void init_checkpoint(struct trainer *trainer, const struct checkpoint *resumed)
{
    const struct dataset *dataset = trainer->data.dataset;
    struct checkpoint *checkpoint = &trainer->persistence.checkpoint;
    struct provenance *provenance = &checkpoint->provenance;
    checkpoint->options = trainer->options;
    checkpoint->shape = trainer->engine.shape;
    checkpoint->params = trainer->engine.params;
    checkpoint->encoding = dataset->encoding;
    checkpoint->vocabulary_hash = dataset->vocabulary_hash;
    checkpoint->dataset_hash = dataset->dataset_hash;
    checkpoint->streams.row_count = (size_t)trainer->options.train.batch;
    checkpoint->streams.microbatches = (size_t)trainer->options.train.microbatches;
    checkpoint->streams.hidden_size = model_state_size(trainer->engine.model);
    provenance->ranks = comm_size(trainer->comm);
    provenance->init_hash =
        resumed->weights ? resumed->provenance.init_hash : trainer->initial.hash;
    snprintf(provenance->numerics, sizeof provenance->numerics, "%s",
             trainer->backend->numerics());
    snprintf(provenance->host, sizeof provenance->host, "%s", comm_host(trainer->comm));
}

static void set_total_steps(struct trainer *trainer)
{
    const struct options *options = &trainer->options;
    int64_t total = trainer->data.steps_per_epoch * options->train.epochs;
    if (options->train.max_steps > 0 && options->train.max_steps < total)
        total = options->train.max_steps;
    trainer->engine.total_steps = total;
}

/* Moves the resumed state into the trainer, or creates an initial one, with the weights
 * of train.init_from if it is set. */
static enum status set_state(struct trainer *trainer, struct checkpoint *resumed)
{
    const struct options *options = &trainer->options;
    enum status status = STATUS_OK;
    if (resumed->weights) {
        trainer->state = resumed->state;
        resumed->state = (struct training_state){0};
    } else {
        status =
            training_state_init(options, trainer->engine.params.total, &trainer->state);
    }
    if (status == STATUS_OK)
        status = step_set_weights(&trainer->engine, resumed->weights
                                                        ? resumed->weights
                                                        : trainer->initial.values);
    if (status == STATUS_OK && !resumed->weights)
        optimizer_start_average(&trainer->state.optimizer, trainer->engine.weights);
    initial_weights_free(&trainer->initial);
    free(resumed->weights);
    resumed->weights = NULL;
    return status == STATUS_OK ? training_state_reserve_history(&trainer->state, options)
                               : status;
}

static void restore_hidden(struct trainer *trainer, const struct stream_snapshot *resumed)
{
    const struct microbatches *own = &trainer->data.batch.own;
    for (int s = 0; resumed->hidden && s < own->count; s++)
        model_set_state(trainer->engine.model, s,
                        resumed->hidden +
                            (size_t)(own->first + s) * resumed->hidden_size);
}

/* Opens rank 0's files. */
static enum status open_outputs(struct trainer *trainer)
{
    const struct run_directory *directory = &trainer->persistence.directory;
    if (comm_rank(trainer->comm) != 0)
        return STATUS_OK;
    char *text = options_text(&trainer->options, SECTION_ALL);
    enum status status =
        text ? run_directory_write_settings(directory, text)
             : status_fail(STATUS_FAILED, "out of memory for the settings");
    free(text);
    if (status == STATUS_OK)
        status = metrics_open(directory->path, trainer->state.step, trainer->state.epoch,
                              &trainer->metrics);
    return status;
}

static enum status open_samples(struct trainer *trainer)
{
    const struct trainer_request *request = trainer->request;
    const struct options *options = &trainer->options;
    struct persistence *persistence = &trainer->persistence;
    if (comm_rank(trainer->comm) != 0 || !request->samples || options->run.samples == 0 ||
        options->run.sample_seconds <= 0)
        return STATUS_OK;
    return sample_thread_open(
        &persistence->directory,
        persist_fill_checkpoint(persistence, &trainer->state, trainer->engine.weights),
        request->samples, request->context, &trainer->samples);
}

/* Opens model, state, data and files, as read from the checkpoint or anew. Not
 * collective. */
static enum status open_state(struct trainer *trainer, struct checkpoint *resumed)
{
    const struct encoding *encoding = trainer->data.dataset->encoding;
    enum status status = step_open(&trainer->engine, trainer->comm, &trainer->options,
                                   trainer->backend, encoding->vocabulary, encoding->end);
    if (status != STATUS_OK)
        return status;
    set_total_steps(trainer);
    init_checkpoint(trainer, resumed);
    status = set_state(trainer, resumed);
    if (status == STATUS_OK)
        status = training_data_start(&trainer->data, &trainer->options, &resumed->streams,
                                     trainer->state.step + 1);
    if (status != STATUS_OK)
        return status;
    restore_hidden(trainer, &resumed->streams);
    stream_snapshot_free(&resumed->streams);
    status = open_outputs(trainer);
    if (status == STATUS_OK)
        status = persist_start(&trainer->persistence, &trainer->state,
                               trainer->engine.weights);
    return status == STATUS_OK ? open_samples(trainer) : status;
}

/* Counting the training tokens takes a pass over all of them, which is slow if they stay
 * on disk. So checkpoints contain the counts and the baselines, for resumed runs and for
 * evaluations on other datasets. Collective. */
static enum status set_baselines(struct trainer *trainer, struct checkpoint *resumed)
{
    const struct dataset *dataset = trainer->data.dataset;
    struct checkpoint *checkpoint = &trainer->persistence.checkpoint;
    enum status status = STATUS_OK;
    checkpoint->pairs = resumed->pairs;
    checkpoint->baselines = resumed->baselines;
    resumed->pairs = NULL;
    if (!checkpoint->pairs) { /* no checkpoint, or one of an older program */
        status = baselines_count(trainer->comm, dataset, SPLIT_TRAIN, &checkpoint->pairs);
        if (status == STATUS_OK)
            status = baselines_evaluate(trainer->comm, dataset, SPLIT_VALID,
                                        checkpoint->pairs, &checkpoint->baselines);
    }
    if (comm_rank(trainer->comm) != 0) { /* rank 0 writes the checkpoints */
        free(checkpoint->pairs);
        checkpoint->pairs = NULL;
    }
    return status;
}

/* A checkpoint for which the initial weights were not read has been removed since. */
static enum status check_still_resumes(const struct trainer *trainer)
{
    const struct options *options = &trainer->options;
    if (trainer->persistence.saved[0] || !options->train.init_from[0] ||
        trainer->initial.values)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: its checkpoints are being removed",
                       options->run.dir);
}

/* Finds the checkpoint to be resumed, if any, selects the matmul backend, which it may
 * determine, and loads it. Collective. */
static enum status resume(struct trainer *trainer, struct checkpoint *out)
{
    struct persistence *persistence = &trainer->persistence;
    enum status status = trainer_resume_find(persistence, start_of(trainer), out);
    if (status == STATUS_OK)
        status = check_still_resumes(trainer); /* the same on all ranks */
    if (status == STATUS_OK)
        status = select_matmul(trainer, out);
    if (status != STATUS_OK)
        return status;
    const struct resume_expectation expected = {.options = &trainer->options,
                                                .data = &trainer->data,
                                                .numerics = trainer->backend->numerics()};
    return trainer_resume_load(persistence, start_of(trainer), &expected, out);
}

enum status trainer_open(struct trainer *trainer)
{
    struct comm *comm = trainer->comm;
    struct checkpoint resumed = {0};
    trainer->options = *trainer->request->options;
    trainer->persistence.watchdog = trainer->request->watchdog;
    enum status status = comm_agree(comm, open_local(trainer));
    if (status == STATUS_OK)
        status = read_initial_weights(trainer);
    if (status == STATUS_OK)
        status = comm_agree(comm, persist_open(&trainer->persistence, comm,
                                               &trainer->options, start_of(trainer)));
    if (status == STATUS_OK)
        status = resume(trainer, &resumed);
    if (status == STATUS_OK)
        status = comm_agree(comm, open_stop_policy(trainer));
    if (status == STATUS_OK)
        status = comm_agree(comm, open_state(trainer, &resumed));
    if (status == STATUS_OK)
        status = comm_agree(comm, step_open_sum(&trainer->engine));
    if (status == STATUS_OK)
        status = set_baselines(trainer, &resumed);
    checkpoint_free(&resumed);
    return status;
}

void trainer_close(struct trainer *trainer)
{
    sample_thread_close(trainer->samples);
    persist_close(&trainer->persistence);
    stop_policy_close(&trainer->stop_policy);
    metrics_close(&trainer->metrics);
    training_state_free(&trainer->state);
    initial_weights_free(&trainer->initial);
    step_close(&trainer->engine);
    training_data_close(&trainer->data);
}

/* ---- logging ---- */

static void log_dataset(const struct trainer *trainer)
{
    const struct options *requested = trainer->request->options,
                         *effective = &trainer->options;
    const struct dataset *dataset = trainer->data.dataset;
    const struct split_counts *total = &dataset->total;
    if (requested->data.encoding != effective->data.encoding ||
        strcmp(requested->data.grid, effective->data.grid) != 0)
        log_info("the settings of [data] are the dataset's, not the configuration's: %s, "
                 "grid %s",
                 dataset->encoding->name, effective->data.grid);
    log_info("dataset          %s: %" PRIu64 " training pieces, %" PRIu64
             " for validation; hash %016" PRIx64,
             dataset->path, total->pieces[SPLIT_TRAIN], total->pieces[SPLIT_VALID],
             dataset->dataset_hash);
    log_info("model            %zu parameters; vocabulary %zu (%s)",
             trainer->engine.params.total, dataset->encoding->vocabulary,
             dataset->encoding->name);
}

static void log_baselines(const struct trainer *trainer)
{
    const struct baselines *baselines = &trainer->persistence.checkpoint.baselines;
    if (training_data_has_validation(&trainer->data))
        log_info("validation baselines: unigram %.4f, bigram %.4f nats per token",
                 baselines->unigram, baselines->bigram);
    else
        log_info("validation       none: the dataset has no validation pieces");
}

/* Independent windows are as many as the targets: each ends one. */
static void log_epoch_size(const struct trainer *trainer)
{
    const struct training_data *data = &trainer->data;
    const struct options *options = &trainer->options;
    bool independent = options->train.windows == WINDOWS_INDEPENDENT;
    log_info("epoch            %" PRIu64 " %s, %" PRId64 " steps of %" PRId64,
             training_data_tokens(data, SPLIT_TRAIN),
             independent ? "independent windows" : "tokens", data->steps_per_epoch,
             independent ? options->train.batch : tokens_per_step(options));
}

void trainer_log_configuration(struct trainer *trainer)
{
    const double megabyte = 1e6;
    struct comm *comm = trainer->comm;
    const struct training_data *data = &trainer->data;
    int64_t data_bytes = comm_max_i64(comm, (int64_t)training_data_bytes(data));
    int64_t model = comm_max_i64(comm, (int64_t)model_bytes(trainer->engine.model));
    struct job_layout job;
    enum status gathered = job_layout_gather(comm, &trainer->options, &job);
    if (log_is_muted())
        return;
    options_print(&trainer->options,
                  SECTION_DATA | SECTION_MODEL | SECTION_TRAIN | SECTION_RUN, stderr);
    log_dataset(trainer);
    char threads[32] = "";
    if (trainer->engine.threads > 1)
        snprintf(threads, sizeof threads, " with %d threads", trainer->engine.threads);
    log_info("ranks            %d%s, with %d microbatches of %d rows", comm_size(comm),
             threads, data->batch.own.total, data->batch.rows);
    log_info("matmul           %s%s%s", trainer->backend->description(),
             trainer->matmul_note[0] ? "; " : "", trainer->matmul_note);
    if (gathered == STATUS_OK) /* or else it is only a line that is missing */
        job_layout_log(&job);
    log_info("memory           model %.1f MB, data %.1f MB at most on a rank%s",
             (double)model / megabyte, (double)data_bytes / megabyte,
             data->plan.training ? ", streamed from disk" : "");
    log_epoch_size(trainer);
    log_baselines(trainer);
}
