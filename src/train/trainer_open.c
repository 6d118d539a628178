/* trainer_open: from settings to the moment before the first step.
 *
 * Every rank does its own part up to a point where all need the others; there they agree
 * on the outcome, so that a fault of one is the one line of all and nobody waits in vain.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "trainer_internal.h"
#include "trainer_scale.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "kernels/kernels.h"

static enum status no_memory(const char *what)
{
    return status_fail(STATUS_FAILED, "out of memory for %s", what);
}

/* What the dataset decides replaces the configuration's, so that what is recorded is what
 * the tokens were made with. */
static enum status adopt_data_settings(struct trainer *trainer)
{
    struct options *options = &trainer->now.options, kept;
    enum status status = dataset_settings(trainer->dataset, &kept);
    if (status != STATUS_OK)
        return status;
    options_take_dataset(options, &kept);
    return options_check(options);
}

static enum status check_request(const struct trainer *trainer)
{
    const struct options *options = trainer->request->options;
    enum status status = options_check(options);
    if (status != STATUS_OK)
        return status;
    if (options->data.dataset[0] == '\0')
        return status_fail(
            STATUS_MISUSE,
            "data.dataset is not set: the directory that `tutti preprocess` "
            "has made");
    if (options->train.slices < comm_size(trainer->comm))
        return status_fail(
            STATUS_MISUSE,
            "train.slices = %" PRId64 ", but there are %d ranks and each "
            "needs a microbatch: set train.slices = %d or more, or use %" PRId64 " ranks",
            options->train.slices, comm_size(trainer->comm), comm_size(trainer->comm),
            options->train.slices);
    return STATUS_OK;
}

static enum status check_dataset(const struct trainer *trainer)
{
    const struct options *options = &trainer->now.options;
    const struct dataset_shard *total = &trainer->dataset->total;
    if (total->pieces[SPLIT_VALID] == 0 &&
        (options->train.schedule == SCHEDULE_PLATEAU || options->train.early_stop > 0))
        return status_fail(
            STATUS_MISUSE,
            "%s: there is no validation split, but train.%s needs one: make "
            "the dataset with another data.split",
            trainer->dataset->path,
            options->train.early_stop > 0 ? "early_stop" : "schedule = plateau");
    return STATUS_OK;
}

static enum status open_dataset(struct trainer *trainer)
{
    struct options *options = &trainer->now.options;
    enum status status = dataset_open(options->data.dataset, &trainer->dataset);
    if (status == STATUS_OK)
        status = dataset_check_part(trainer->dataset,
                                    options->data.memory > 0 ? CHECK_PIECES : CHECK_ALL,
                                    comm_rank(trainer->comm), comm_size(trainer->comm));
    if (status == STATUS_OK)
        status = adopt_data_settings(trainer);
    if (status == STATUS_OK)
        status = check_dataset(trainer);
    if (status != STATUS_OK)
        return status;
    trainer->assigned =
        calloc(trainer->dataset->shard_count + 1, sizeof *trainer->assigned);
    if (!trainer->assigned)
        return no_memory("the assignment of the shards");
    status =
        dataset_assign(trainer->dataset, (int)options->train.slices, trainer->assigned);
    if (status == STATUS_OK)
        status = data_plan_make(trainer->dataset, options, trainer->assigned,
                                comm_rank(trainer->comm), comm_size(trainer->comm),
                                &trainer->data_plan);
    return status;
}

static enum status open_streams(struct trainer *trainer)
{
    const struct streams_request request = {
        .dataset = trainer->dataset,
        .assigned = trainer->assigned,
        .split = SPLIT_TRAIN,
        .first = trainer->own.first,
        .count = trainer->own.count,
        .rows = trainer->rows,
        .seed = trainer->now.options.train.seed,
        .memory = trainer->data_plan.training,
    };
    return streams_open(&request, &trainer->streams);
}

static void plan(struct trainer *trainer)
{
    const struct options *options = &trainer->now.options;
    const struct dataset_shard *total = &trainer->dataset->total;
    int64_t tokens = (int64_t)(total->tokens[SPLIT_TRAIN] + total->pieces[SPLIT_TRAIN]);
    int64_t per_step = options->train.batch * options->train.time;
    trainer->own = microbatches_of_rank(
        (int)options->train.slices, comm_rank(trainer->comm), comm_size(trainer->comm));
    trainer->rows = (int)(options->train.batch / options->train.slices);
    trainer->steps = (int)options->train.time;
    trainer->steps_per_epoch = (tokens + per_step - 1) / per_step;
    trainer->total_steps = trainer->steps_per_epoch * options->train.epochs;
    if (options->train.max_steps > 0 && options->train.max_steps < trainer->total_steps)
        trainer->total_steps = options->train.max_steps;
}

enum status trainer_open_model(struct trainer *trainer, size_t vocabulary, token end)
{
    const struct options *options = &trainer->now.options;
    struct checkpoint *now = &trainer->now;
    now->shape = model_shape_of(options, vocabulary);
    enum status status =
        model_create(&(struct model_plan){.shape = &now->shape,
                                          .end = end,
                                          .microbatches = trainer->own.count,
                                          .rows = trainer->rows,
                                          .steps = trainer->steps,
                                          .training = true,
                                          .backend = trainer->backend},
                     &trainer->model);
    if (status != STATUS_OK)
        return status;
    now->params = *model_params(trainer->model);
    return STATUS_OK;
}

/* train.reduce = float. Collective. */
static enum status open_float_sum(struct trainer *trainer, size_t bucket)
{
    size_t total = trainer->now.params.total;
    enum status status =
        comm_memory_create(trainer->comm, total * sizeof *trainer->gradient,
                           buckets_count(total, bucket), &trainer->float_memory);
    if (status != STATUS_OK)
        return status;
    trainer->gradient = comm_memory_block(trainer->float_memory);
    return buckets_create(trainer->comm, trainer->float_memory, COMM_F32,
                          trainer->gradient, total, bucket, &trainer->float_sum);
}

enum status trainer_open_sum(struct trainer *trainer)
{
    const struct options *options = &trainer->now.options;
    bool exact = options->train.reduce == REDUCE_EXACT;
    size_t bucket = (size_t)options->train.bucket;
    enum status status = exact_sum_create(
        trainer->comm, exact ? trainer->now.params.total : 0, SUMS, options->train.slices,
        trainer_scale_bits(options->train.batch, options->train.time), bucket,
        &trainer->sum);
    if (!exact) {
        enum status float_status = open_float_sum(trainer, bucket);
        status = status == STATUS_OK ? float_status : status;
    }
    return status;
}

/* The facts that a checkpoint takes from this run, whatever it resumes from. */
static void describe(struct trainer *trainer)
{
    struct checkpoint *now = &trainer->now;
    now->vocabulary_hash = trainer->dataset->vocabulary_hash;
    now->dataset_hash = trainer->dataset->dataset_hash;
    now->encoding = trainer->dataset->encoding;
    now->rows = (size_t)now->options.train.batch;
    now->microbatches = (size_t)now->options.train.slices;
    now->state_size = model_state_size(trainer->model);
    now->ranks = comm_size(trainer->comm);
    snprintf(now->core, sizeof now->core, "%s", trainer->backend->numerics());
    snprintf(now->host, sizeof now->host, "%s", comm_host(trainer->comm));
}

/* First weights and an optimizer that has seen nothing, or the checkpoint's weights. */
enum status trainer_settle_weights(struct trainer *trainer, const float *resumed)
{
    struct checkpoint *now = &trainer->now;
    enum status status = STATUS_OK;
    now->weights = model_weights(trainer->model);
    if (resumed) {
        memcpy(now->weights, resumed, now->params.total * sizeof *resumed);
    } else {
        params_initialise(&now->shape, &now->params, now->options.train.seed,
                          now->weights);
        schedule_start(&now->schedule);
        status = optimizer_create(&now->options, now->params.total, &now->optimizer);
    }
    model_weights_changed(trainer->model);
    return status;
}

/* Puts this rank's streams and hidden states where the checkpoint left them, and the
 * prefetcher behind the streams. */
static enum status settle_streams(struct trainer *trainer)
{
    struct checkpoint *now = &trainer->now;
    enum status status = STATUS_OK;
    for (int s = 0; now->stream_rows && status == STATUS_OK && s < trainer->own.count;
         s++) {
        size_t microbatch = (size_t)(trainer->own.first + s);
        status = stream_restore(trainer->streams.list[s],
                                now->stream_rows + microbatch * (size_t)trainer->rows,
                                &now->cursors[microbatch]);
        if (status == STATUS_OK)
            model_set_state(trainer->model, s,
                            now->states + microbatch * now->state_size);
    }
    checkpoint_free_streams(now);
    if (status == STATUS_OK)
        status = prefetcher_open(&trainer->streams, trainer->rows, trainer->steps,
                                 trainer->data_plan.windows, now->step + 1,
                                 &trainer->prefetcher);
    return status;
}

/* Rows that the history may grow to. */
static size_t history_room(const struct checkpoint *now)
{
    return now->history_count + (size_t)now->options.train.epochs + 1;
}

static enum status reserve_history(struct checkpoint *now)
{
    struct history_row *more = realloc(now->history, history_room(now) * sizeof *more);
    if (!more)
        return no_memory("the history");
    now->history = more;
    return STATUS_OK;
}

/* Rank 0's files. */
static enum status open_files(struct trainer *trainer)
{
    struct checkpoint *now = &trainer->now;
    if (comm_rank(trainer->comm) != 0)
        return STATUS_OK;
    char *text = options_text(&now->options, SECTION_ALL);
    enum status status = text ? run_directory_write_settings(&trainer->run, text)
                              : no_memory("the settings");
    free(text);
    if (status == STATUS_OK)
        status =
            metrics_open(trainer->run.path, now->step, now->epoch, &trainer->metrics);
    return status;
}

enum { PLACE_TEXT = 64 };

struct place {
    char core[PLACE_TEXT], host[PLACE_TEXT];
};

static enum status compare_places(const struct place *places, int ranks)
{
    for (int r = 1; r < ranks; r++)
        if (strcmp(places[r].core, places[0].core) != 0)
            return status_fail(
                STATUS_FAILED,
                "OpenBLAS uses different kernels on different ranks (%s on %s, rank 0; "
                "%s on %s, rank %d), so the result would depend on who computes what: "
                "set OPENBLAS_CORETYPE=%s on all hosts, or train.allow_mixed_cores = yes",
                places[0].core, places[0].host, places[r].core, places[r].host, r,
                places[0].core);
    return STATUS_OK;
}

/* All ranks must use the same kernels. Collective. */
static enum status check_cores(struct trainer *trainer)
{
    struct place mine = {{0}, {0}};
    uint8_t *places = NULL;
    size_t *sizes = NULL;
    snprintf(mine.core, sizeof mine.core, "%s", trainer->backend->numerics());
    snprintf(mine.host, sizeof mine.host, "%s", comm_host(trainer->comm));
    enum status status = comm_gather(trainer->comm, &mine, sizeof mine, &places, &sizes);
    if (status == STATUS_OK && comm_rank(trainer->comm) == 0)
        status = compare_places((const struct place *)places, comm_size(trainer->comm));
    if (status != STATUS_OK && places && trainer->now.options.train.allow_mixed_cores) {
        log_warn("%s", status_message());
        status = STATUS_OK;
    }
    free(places);
    free(sizes);
    return comm_agree(trainer->comm, status);
}

static enum status open_local(struct trainer *trainer)
{
    enum status status = check_request(trainer);
    if (status == STATUS_OK)
        status = open_dataset(trainer);
    if (status == STATUS_OK)
        plan(trainer);
    if (status == STATUS_OK && comm_rank(trainer->comm) == 0)
        status = run_directory_open(trainer->now.options.run.dir,
                                    trainer->request->resume ? RUN_RESUMED : RUN_NEW,
                                    &trainer->run);
    if (status == STATUS_OK && comm_rank(trainer->comm) == 0)
        status = deadline_open(trainer->now.options.run.minutes, &trainer->deadline);
    return status;
}

static enum status open_rest(struct trainer *trainer)
{
    float *resumed = trainer->now.weights;
    trainer->now.weights = NULL;
    const struct encoding *encoding = trainer->dataset->encoding;
    enum status status = trainer_open_model(trainer, encoding->vocabulary, encoding->end);
    if (status == STATUS_OK) {
        describe(trainer);
        status = trainer_settle_weights(trainer, resumed);
    }
    free(resumed);
    if (status == STATUS_OK)
        status = open_streams(trainer);
    if (status == STATUS_OK)
        status = settle_streams(trainer);
    if (status == STATUS_OK)
        status = reserve_history(&trainer->now);
    if (status == STATUS_OK)
        status = open_files(trainer);
    if (status == STATUS_OK && comm_rank(trainer->comm) == 0)
        status = writer_open(&trainer->run, &trainer->now, history_room(&trainer->now),
                             &trainer->writer);
    return status;
}

enum status trainer_open(struct trainer *trainer)
{
    const struct options *options = trainer->request->options;
    trainer->now.options = *options;
    enum status status = model_matmul_backend(options, &trainer->backend);
    if (status == STATUS_OK)
        status = open_local(trainer);
    status = comm_agree(trainer->comm, status);
    if (status == STATUS_OK)
        status = check_cores(trainer);
    if (status == STATUS_OK)
        status = trainer_resume(trainer);
    if (status == STATUS_OK)
        status = comm_agree(trainer->comm, open_rest(trainer));
    if (status == STATUS_OK)
        status = comm_agree(trainer->comm, trainer_open_sum(trainer));
    trainer->saved_at = clock_seconds();
    return status;
}

void trainer_close(struct trainer *trainer)
{
    writer_close(trainer->writer);
    deadline_close(trainer->deadline);
    prefetcher_close(trainer->prefetcher);
    streams_close(&trainer->streams);
    free(trainer->assigned);
    buckets_free(trainer->float_sum);
    comm_memory_free(trainer->float_memory);
    exact_sum_free(trainer->sum);
    metrics_close(&trainer->metrics);
    run_directory_free(&trainer->run);
    if (trainer->model && trainer->now.weights == model_weights(trainer->model))
        trainer->now.weights = NULL;
    if (trainer->dataset && trainer->now.encoding == trainer->dataset->encoding)
        trainer->now.encoding = NULL;
    checkpoint_free(&trainer->now);
    model_free(trainer->model);
    dataset_close(trainer->dataset);
}

/* Of this rank, tokens and all that leads to them. */
static uint64_t data_memory(const struct trainer *trainer)
{
    return streams_bytes(&trainer->streams) +
           (uint64_t)trainer->data_plan.windows *
               prefetcher_window_bytes(trainer->own.count, trainer->rows, trainer->steps);
}

void trainer_print_facts(struct trainer *trainer)
{
    const struct checkpoint *now = &trainer->now;
    const struct dataset_shard *total = &trainer->dataset->total;
    const struct options *given = trainer->request->options;
    const double megabyte = 1e6;
    int64_t data = comm_max_i64(trainer->comm, (int64_t)data_memory(trainer));
    int64_t model = comm_max_i64(trainer->comm, (int64_t)model_bytes(trainer->model));
    if (log_is_muted())
        return;
    options_print(&now->options,
                  SECTION_DATA | SECTION_MODEL | SECTION_TRAIN | SECTION_RUN, stderr);
    if (given->data.encoding != now->options.data.encoding ||
        strcmp(given->data.grid, now->options.data.grid) != 0)
        log_info("the settings of [data] are the dataset's, not the configuration's: %s, "
                 "grid %s",
                 trainer->dataset->encoding->name, now->options.data.grid);
    log_info("dataset          %s: %" PRIu64 " training pieces, %" PRIu64
             " for validation; hash %016" PRIx64,
             trainer->dataset->path, total->pieces[SPLIT_TRAIN],
             total->pieces[SPLIT_VALID], now->dataset_hash);
    log_info("model            %zu parameters; vocabulary %zu (%s)", now->params.total,
             trainer->dataset->encoding->vocabulary, trainer->dataset->encoding->name);
    log_info("ranks            %d, with %zu microbatches of %d rows; products by %s",
             comm_size(trainer->comm), now->microbatches, trainer->rows,
             trainer->backend->description());
    log_info("memory           model %.1f MB, data %.1f MB at most on a rank%s",
             (double)model / megabyte, (double)data / megabyte,
             trainer->data_plan.training ? ", streamed from disk" : "");
    log_info("epoch            %" PRIu64 " tokens, %" PRId64 " steps of %" PRId64,
             total->tokens[SPLIT_TRAIN] + total->pieces[SPLIT_TRAIN],
             trainer->steps_per_epoch,
             now->options.train.batch * now->options.train.time);
    if (total->pieces[SPLIT_VALID] > 0)
        log_info("validation baselines: unigram %.4f, bigram %.4f nats per token",
                 trainer->baselines.unigram, trainer->baselines.bigram);
    else
        log_info("validation       none: the dataset has no piece for it");
}
