/* trainer_data: see the header. */
#include "trainer_data.h"

#include <stdlib.h>

/* Replaces the configuration's settings by those that the dataset was made with, so that
 * the recorded settings are those that produced the tokens. */
static enum status adopt_dataset_settings(const struct dataset *dataset,
                                          struct options *options)
{
    struct options dataset_options;
    enum status status = dataset_settings(dataset, &dataset_options);
    if (status != STATUS_OK)
        return status;
    options_copy_dataset(options, &dataset_options);
    return options_check(options);
}

static enum status check_splits(const struct training_data *data,
                                const struct options *options)
{
    bool stops_early = options->train.early_stop_patience > 0;
    if (training_data_has_validation(data) ||
        (options->train.schedule != SCHEDULE_PLATEAU && !stops_early))
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s: there is no validation split, but train.%s needs one: make "
                       "the dataset with another data.split",
                       data->dataset->path,
                       stops_early ? "early_stop_patience" : "schedule = plateau");
}

static enum status fail_augmentation(const struct training_data *data, const char *key,
                                     const char *lacks)
{
    return status_fail(STATUS_MISUSE,
                       "train.%s is set, but the encoding of %s, %s, has no %s: set "
                       "train.%s = 0",
                       key, data->dataset->path, data->dataset->encoding->name, lacks,
                       key);
}

static enum status check_augmentation(const struct training_data *data,
                                      const struct options *options)
{
    const struct encoding *encoding = data->dataset->encoding;
    if (options->train.velocity_shift > 0 && !encoding->shift_velocity)
        return fail_augmentation(data, "velocity_shift", "velocities");
    if (options->train.time_stretch > 0 && !encoding->longest_shift)
        return fail_augmentation(data, "time_stretch", "times in seconds");
    return STATUS_OK;
}

/* Opens the dataset and verifies this rank's part: all of it, or only the pieces' tables
 * if tokens stay on disk and are verified when they are read. */
static enum status open_dataset(struct training_data *data, const struct comm *comm,
                                struct options *options)
{
    enum status status = dataset_open(options->data.dataset, &data->dataset);
    if (status == STATUS_OK)
        status = dataset_check_part(
            data->dataset, options->data.memory_mb > 0 ? CHECK_PIECES : CHECK_ALL,
            comm_rank(comm), comm_size(comm));
    if (status == STATUS_OK)
        status = adopt_dataset_settings(data->dataset, options);
    if (status == STATUS_OK)
        status = check_augmentation(data, options);
    return status == STATUS_OK ? check_splits(data, options) : status;
}

static enum status assign_shards(struct training_data *data, const struct comm *comm,
                                 const struct options *options)
{
    data->assignment = calloc(data->dataset->shard_count + 1, sizeof *data->assignment);
    if (!data->assignment)
        return status_fail(STATUS_FAILED, "out of memory for the assignment of shards");
    enum status status =
        dataset_assign(data->dataset, (int)options->train.microbatches, data->assignment);
    if (status == STATUS_OK)
        status = data_plan_compute(data->dataset, options, data->assignment,
                                   comm_rank(comm), comm_size(comm), &data->plan);
    return status;
}

enum status training_data_open(struct training_data *data, const struct comm *comm,
                               struct options *options)
{
    enum status status = open_dataset(data, comm, options);
    if (status == STATUS_OK)
        status = assign_shards(data, comm, options);
    if (status != STATUS_OK)
        return status;
    bool independent = options->train.windows == WINDOWS_INDEPENDENT;
    int64_t per_step = independent ? options->train.batch : tokens_per_step(options);
    data->batch = local_batch_of(options, comm_rank(comm), comm_size(comm));
    data->steps_per_epoch =
        ((int64_t)training_data_tokens(data, SPLIT_TRAIN) + per_step - 1) / per_step;
    return STATUS_OK;
}

static enum status open_streams(struct training_data *data, const struct options *options)
{
    const struct streams_request request = {
        .dataset = data->dataset,
        .assigned = data->assignment,
        .split = SPLIT_TRAIN,
        .first = data->batch.own.first,
        .count = data->batch.own.count,
        .rows = data->batch.rows,
        .seed = options->train.seed,
        .augmentation = {.encoding = data->dataset->encoding,
                         .transpose_low = (int)options->train.transpose[0],
                         .transpose_high = (int)options->train.transpose[1],
                         .velocity_shift = (int)options->train.velocity_shift,
                         .time_stretch = options->train.time_stretch},
        .independent = options->train.windows == WINDOWS_INDEPENDENT,
        .memory = data->plan.training,
    };
    return streams_open(&request, &data->streams);
}

static enum status restore_streams(struct training_data *data,
                                   const struct stream_snapshot *resumed)
{
    enum status status = STATUS_OK;
    for (int s = 0; status == STATUS_OK && s < data->batch.own.count; s++) {
        size_t microbatch = (size_t)(data->batch.own.first + s);
        status = stream_restore(data->streams.list[s],
                                resumed->rows + microbatch * (size_t)data->batch.rows,
                                &resumed->cursors[microbatch]);
    }
    return status;
}

enum status training_data_start(struct training_data *data, const struct options *options,
                                const struct stream_snapshot *resumed, int64_t step)
{
    enum status status = open_streams(data, options);
    if (status == STATUS_OK && resumed->rows)
        status = restore_streams(data, resumed);
    if (status == STATUS_OK)
        status = prefetcher_open(&data->streams, data->batch.rows, data->batch.steps,
                                 data->plan.windows, step, &data->prefetcher);
    return status;
}

void training_data_close(struct training_data *data)
{
    prefetcher_close(data->prefetcher);
    streams_close(&data->streams);
    free(data->assignment);
    dataset_close(data->dataset);
    *data = (struct training_data){0};
}

uint64_t training_data_bytes(const struct training_data *data)
{
    return streams_bytes(&data->streams) +
           (uint64_t)data->plan.windows * prefetcher_window_bytes(data->batch.own.count,
                                                                  data->batch.rows,
                                                                  data->batch.steps);
}

bool training_data_has_validation(const struct training_data *data)
{
    return data->dataset->total.pieces[SPLIT_VALID] > 0;
}

uint64_t training_data_tokens(const struct training_data *data, enum split split)
{
    const struct split_counts *total = &data->dataset->total;
    return total->tokens[split] + total->pieces[split];
}
