/* inspect, checkpoints: summary, statistics of each tensor, the history; differences. */
#include "inspect.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/printable.h"
#include "nn/cell.h"
#include "train/checkpoint.h"

/* Statistics of one tensor, over the elements that are not NaN. */
struct tensor_stats {
    double mean, deviation, min, max; /* population standard deviation */
    size_t nan_count;
};

static struct tensor_stats compute_stats(const float *values, size_t count)
{
    struct tensor_stats tensor_stats = {.min = HUGE_VAL, .max = -HUGE_VAL};
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double value = (double)values[i];
        if (isnan(value)) {
            tensor_stats.nan_count++;
            continue;
        }
        sum += value;
        tensor_stats.min = fmin(tensor_stats.min, value);
        tensor_stats.max = fmax(tensor_stats.max, value);
    }
    size_t counted = count - tensor_stats.nan_count;
    if (counted == 0) {
        double none = (double)NAN;
        return (struct tensor_stats){none, none, none, none, tensor_stats.nan_count};
    }
    tensor_stats.mean = sum / (double)counted;
    double squares = 0; /* a second pass avoids cancellation */
    for (size_t i = 0; i < count; i++) {
        double difference = (double)values[i] - tensor_stats.mean;
        if (!isnan(difference))
            squares += difference * difference;
    }
    tensor_stats.deviation = sqrt(squares / (double)counted);
    return tensor_stats;
}

/* "1024 x 256" or "1024". */
static const char *shape_text(const struct param *tensor, char *text, size_t size)
{
    if (tensor->is_vector)
        snprintf(text, size, "%zu", tensor->rows);
    else
        snprintf(text, size, "%zu x %zu", tensor->rows, tensor->columns);
    return text;
}

static void print_model(const struct checkpoint *checkpoint)
{
    const struct model_shape *shape = &checkpoint->shape;
    char dense[48] = "no dense layer", count[INSPECT_COUNT_SIZE];
    char input[48] = "one-hot tokens";
    if (shape->embedding)
        snprintf(input, sizeof input, "%sembedding %d", shape->tied ? "tied " : "",
                 shape->embedding);
    if (shape->dense)
        snprintf(dense, sizeof dense, "dense layer of %d", shape->dense);
    inspect_print_field("model", "%s, %d layer%s of %d, %s, %s",
                        cell_of(shape->cell)->title, shape->layers,
                        shape->layers == 1 ? "" : "s", shape->hidden, input, dense);
    inspect_print_field("parameters", "%s in %zu tensors",
                        inspect_count(checkpoint->params.total, count),
                        checkpoint->params.count);
}

static void print_best(const struct checkpoint *checkpoint)
{
    if (isfinite(checkpoint->state.schedule.best_valid))
        inspect_print_field("best so far", "validation loss %.4f in epoch %" PRId64,
                            checkpoint->state.schedule.best_valid,
                            checkpoint->state.schedule.best_epoch);
}

static void print_source(const struct checkpoint *checkpoint)
{
    char text[HASH64_TEXT];
    if (checkpoint->options.train.init_from[0])
        inspect_print_field("initial weights", "%s, of %s",
                            hash64_text(checkpoint->provenance.init_hash, text),
                            checkpoint->options.train.init_from);
}

static void print_summary(const struct inspect_request *request,
                          const struct checkpoint *checkpoint)
{
    char text[HASH64_TEXT];
    printable_line(stdout, "checkpoint %s", request->path);
    inspect_print_field("weights hash", "%s",
                        hash64_text(checkpoint->weights_hash, text));
    if (checkpoint->options.train.average != AVERAGE_NONE)
        inspect_print_field("average's hash", "%s",
                            hash64_text(checkpoint->average_hash, text));
    inspect_print_field("epoch", "%" PRId64 " of %" PRId64, checkpoint->state.epoch,
                        checkpoint->options.train.epochs);
    inspect_print_field("step", "%" PRId64 " (%" PRId64 " in the current epoch)",
                        checkpoint->state.step, checkpoint->state.epoch_step);
    print_best(checkpoint);
    double valid = inspect_partial_epoch_loss(request->path, checkpoint);
    if (isfinite(valid))
        inspect_print_field("at this step", "validation loss %.4f", valid);
    print_model(checkpoint);
    inspect_print_field("encoding", "%s, %zu tokens", checkpoint->encoding->name,
                        checkpoint->encoding->vocabulary);
    inspect_print_field("vocabulary hash", "%s",
                        hash64_text(checkpoint->vocabulary_hash, text));
    inspect_print_field("dataset hash", "%s",
                        hash64_text(checkpoint->dataset_hash, text));
    print_source(checkpoint);
    inspect_print_field("written by", "%s, %" PRId64 " rank%s, numerics %s",
                        checkpoint->provenance.host, checkpoint->provenance.ranks,
                        checkpoint->provenance.ranks == 1 ? "" : "s",
                        checkpoint->provenance.numerics);
    inspect_print_field("matmul", "%s",
                        checkpoint->options.train.matmul == MATMUL_OPENBLAS
                            ? "openblas: bits depend on the processor"
                            : "packed: same bits on any processor");
}

static void print_tensors(const struct checkpoint *checkpoint)
{
    printf("\n  %-22s %-14s %11s %11s %11s %11s %6s\n", "tensor", "shape", "mean",
           "deviation", "min", "max", "NaN");
    for (size_t i = 0; i < checkpoint->params.count; i++) {
        const struct param *tensor = &checkpoint->params.list[i];
        struct tensor_stats tensor_stats =
            compute_stats(checkpoint->weights + tensor->offset, tensor->count);
        char shape[48];
        printf("  %-22s %-14s %11.3e %11.3e %11.3e %11.3e %6zu\n", tensor->name,
               shape_text(tensor, shape, sizeof shape), tensor_stats.mean,
               tensor_stats.deviation, tensor_stats.min, tensor_stats.max,
               tensor_stats.nan_count);
    }
}

static void print_history(const struct checkpoint *checkpoint)
{
    printf("\nhistory (loss in nats per token)\n");
    if (checkpoint->state.history_count == 0) {
        printf("  no complete epoch yet\n");
        return;
    }
    printf("  %5s %9s %10s %9s %10s %9s %9s %9s  %s\n", "epoch", "step", "train loss",
           "accuracy", "valid loss", "accuracy", "rate", "tokens/s", "weights hash");
    for (size_t i = 0; i < checkpoint->state.history_count; i++) {
        const struct history_row *row = &checkpoint->state.history[i];
        char hash[HASH64_TEXT];
        printf("  %5" PRId64 " %9" PRId64 " %10.4f %9.4f %10.4f %9.4f %9.2e %9.0f  %s\n",
               row->epoch, row->step, row->train_loss, row->train_accuracy,
               row->valid_loss, row->valid_accuracy, row->learning_rate,
               row->tokens_per_second, hash64_text(row->weights_hash, hash));
    }
}

static enum status print_checkpoint(const struct inspect_request *request,
                                    const struct checkpoint *checkpoint)
{
    print_summary(request, checkpoint);
    print_tensors(checkpoint);
    print_history(checkpoint);
    return inspect_settings_print(&checkpoint->options, SECTION_ALL);
}

static void summary_json(struct json *json, const struct inspect_request *request,
                         const struct checkpoint *checkpoint)
{
    json_string(json, "kind", "checkpoint");
    json_string(json, "path", request->path);
    json_hash(json, "weights_hash", checkpoint->weights_hash);
    if (checkpoint->options.train.average != AVERAGE_NONE)
        json_hash(json, "average_hash", checkpoint->average_hash);
    json_integer(json, "epoch", checkpoint->state.epoch);
    json_integer(json, "step", checkpoint->state.step);
    json_integer(json, "epoch_step", checkpoint->state.epoch_step);
    json_integer(json, "parameters", (int64_t)checkpoint->params.total);
    json_number(json, "best_valid_loss", checkpoint->state.schedule.best_valid);
    json_integer(json, "best_epoch", checkpoint->state.schedule.best_epoch);
    double valid = inspect_partial_epoch_loss(request->path, checkpoint);
    if (isfinite(valid))
        json_number(json, "valid_loss", valid);
    json_string(json, "encoding", checkpoint->encoding->name);
    json_integer(json, "vocabulary", (int64_t)checkpoint->encoding->vocabulary);
    json_hash(json, "vocabulary_hash", checkpoint->vocabulary_hash);
    json_hash(json, "dataset_hash", checkpoint->dataset_hash);
    if (checkpoint->options.train.init_from[0]) {
        json_string(json, "init_from", checkpoint->options.train.init_from);
        json_hash(json, "init_weights_hash", checkpoint->provenance.init_hash);
    }
    json_string(json, "host", checkpoint->provenance.host);
    json_integer(json, "ranks", checkpoint->provenance.ranks);
    json_string(json, "numerics", checkpoint->provenance.numerics);
}

static void tensor_json(struct json *json, const struct checkpoint *checkpoint,
                        const struct param *tensor)
{
    struct tensor_stats tensor_stats =
        compute_stats(checkpoint->weights + tensor->offset, tensor->count);
    json_object(json, NULL);
    json_string(json, "name", tensor->name);
    json_array(json, "shape");
    json_integer(json, NULL, (int64_t)tensor->rows);
    if (!tensor->is_vector)
        json_integer(json, NULL, (int64_t)tensor->columns);
    json_close(json);
    json_number(json, "mean", tensor_stats.mean);
    json_number(json, "deviation", tensor_stats.deviation);
    json_number(json, "min", tensor_stats.min);
    json_number(json, "max", tensor_stats.max);
    json_integer(json, "nan", (int64_t)tensor_stats.nan_count);
    json_close(json);
}

static void epoch_json(struct json *json, const struct history_row *row)
{
    json_object(json, NULL);
    json_integer(json, "epoch", row->epoch);
    json_integer(json, "step", row->step);
    json_number(json, "train_loss", row->train_loss);
    json_number(json, "train_accuracy", row->train_accuracy);
    json_number(json, "valid_loss", row->valid_loss);
    json_number(json, "valid_accuracy", row->valid_accuracy);
    if (row->valid_loss_average != 0)
        json_number(json, "valid_loss_average", row->valid_loss_average);
    json_number(json, "learning_rate", row->learning_rate);
    json_number(json, "seconds", row->seconds);
    json_number(json, "tokens_per_second", row->tokens_per_second);
    json_hash(json, "weights_hash", row->weights_hash);
    json_close(json);
}

static enum status checkpoint_json(const struct inspect_request *request,
                                   const struct checkpoint *checkpoint)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    summary_json(&json, request, checkpoint);
    if (request->verify)
        json_boolean(&json, "verified", true);
    json_array(&json, "tensors");
    for (size_t i = 0; i < checkpoint->params.count; i++)
        tensor_json(&json, checkpoint, &checkpoint->params.list[i]);
    json_close(&json);
    json_array(&json, "history");
    for (size_t i = 0; i < checkpoint->state.history_count; i++)
        epoch_json(&json, &checkpoint->state.history[i]);
    json_close(&json);
    enum status status =
        inspect_settings_json(&json, "config", &checkpoint->options, SECTION_ALL);
    json_close(&json);
    return status == STATUS_OK ? json_end(&json) : status;
}

/* Called after checkpoint_read, which has verified everything. */
static enum status show(const struct inspect_request *request,
                        const struct checkpoint *checkpoint)
{
    char hash[HASH64_TEXT];
    if (request->verify && !request->json) {
        printable_line(stdout,
                       "%s: verified: checksums, shapes, %zu tensors, weights hash %s",
                       request->path, checkpoint->params.count,
                       hash64_text(checkpoint->weights_hash, hash));
        return STATUS_OK;
    }
    return request->json ? checkpoint_json(request, checkpoint)
                         : print_checkpoint(request, checkpoint);
}

enum status inspect_checkpoint(const struct inspect_request *request)
{
    struct checkpoint checkpoint = {0};
    enum status status = checkpoint_read(
        request->path, request->verify ? CHECKPOINT_TO_TRAIN : CHECKPOINT_TO_INSPECT,
        &checkpoint);
    if (status != STATUS_OK)
        return status;
    status = show(request, &checkpoint);
    checkpoint_free(&checkpoint);
    return status;
}

/* Difference between two tensors of the same shape. */
struct tensor_difference {
    double max; /* largest absolute difference; NaN if any element is NaN */
    double rms;
    size_t different; /* elements whose bits differ */
};

static struct tensor_difference compute_difference(const float *first,
                                                   const float *second, size_t count)
{
    struct tensor_difference tensor_difference = {0};
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)first[i] - (double)second[i]);
        tensor_difference.different += memcmp(&first[i], &second[i], sizeof *first) != 0;
        if (difference > tensor_difference.max || isnan(difference))
            tensor_difference.max = difference;
        squares += difference * difference;
    }
    tensor_difference.rms = count ? sqrt(squares / (double)count) : 0;
    if (isnan(squares))
        tensor_difference.max = (double)NAN;
    return tensor_difference;
}

static void print_difference(const struct param *tensor, const char *shape,
                             const struct tensor_difference *tensor_difference)
{
    printf("  %-22s %-14s %11.3e %11.3e %12zu\n", tensor->name, shape,
           tensor_difference->max, tensor_difference->rms, tensor_difference->different);
}

static void difference_json(struct json *json, const struct param *tensor,
                            const struct tensor_difference *tensor_difference)
{
    json_object(json, NULL);
    json_string(json, "name", tensor->name);
    json_number(json, "max_abs_difference", tensor_difference->max);
    json_number(json, "rms_difference", tensor_difference->rms);
    json_integer(json, "different", (int64_t)tensor_difference->different);
    json_close(json);
}

/* Shows a tensor that only one checkpoint has, or whose shape differs. */
static void mismatch(struct json *json, const struct param *first,
                     const struct param *second)
{
    char one[48] = "absent", two[48] = "absent";
    if (first)
        shape_text(first, one, sizeof one);
    if (second)
        shape_text(second, two, sizeof two);
    const char *name = first ? first->name : second->name;
    if (!json) {
        printable_line(stdout, "  %-22s %s in the first, %s in the second", name, one,
                       two);
        return;
    }
    json_object(json, NULL);
    json_string(json, "name", name);
    json_string(json, "first_shape", one);
    json_string(json, "second_shape", two);
    json_close(json);
}

static void compare_tensor(struct json *json, const struct checkpoint *first,
                           const struct checkpoint *second, const struct param *tensor)
{
    const struct param *other = params_find(&second->params, tensor->name);
    if (!other || other->rows != tensor->rows || other->columns != tensor->columns) {
        mismatch(json, tensor, other);
        return;
    }
    char shape[48];
    struct tensor_difference tensor_difference = compute_difference(
        first->weights + tensor->offset, second->weights + other->offset, tensor->count);
    if (json)
        difference_json(json, tensor, &tensor_difference);
    else
        print_difference(tensor, shape_text(tensor, shape, sizeof shape),
                         &tensor_difference);
}

static void compare_tensors(struct json *json, const struct checkpoint *first,
                            const struct checkpoint *second)
{
    if (json)
        json_array(json, "tensors");
    else
        printf("\n  %-22s %-14s %11s %11s %12s\n", "tensor", "shape", "max diff",
               "rms diff", "different");
    for (size_t i = 0; i < first->params.count; i++)
        compare_tensor(json, first, second, &first->params.list[i]);
    for (size_t i = 0; i < second->params.count; i++)
        if (!params_find(&first->params, second->params.list[i].name))
            mismatch(json, NULL, &second->params.list[i]);
    if (json)
        json_close(json);
}

/* "none" without an average. */
static const char *average_text(const struct checkpoint *checkpoint,
                                char text[HASH64_TEXT])
{
    return checkpoint->options.train.average == AVERAGE_NONE
               ? "none"
               : hash64_text(checkpoint->average_hash, text);
}

static void print_pair(const char *label, const struct checkpoint *first,
                       const struct checkpoint *second)
{
    char one[HASH64_TEXT], two[HASH64_TEXT];
    printf("weights %s\n", label);
    printf("  %-16s %-18s %s\n", "", "first", "second");
    printf("  %-16s %-18s %s\n", "weights hash", hash64_text(first->weights_hash, one),
           hash64_text(second->weights_hash, two));
    if (first->options.train.average != AVERAGE_NONE ||
        second->options.train.average != AVERAGE_NONE)
        printf("  %-16s %-18s %s\n", "average's hash", average_text(first, one),
               average_text(second, two));
    printf("  %-16s %-18" PRId64 " %" PRId64 "\n", "epoch", first->state.epoch,
           second->state.epoch);
    printf("  %-16s %-18" PRId64 " %" PRId64 "\n", "step", first->state.step,
           second->state.step);
    printf("  %-16s %-18s %s\n", "vocabulary hash",
           hash64_text(first->vocabulary_hash, one),
           hash64_text(second->vocabulary_hash, two));
    printf("  %-16s %-18s %s\n", "dataset hash", hash64_text(first->dataset_hash, one),
           hash64_text(second->dataset_hash, two));
}

static void pair_json(struct json *json, const struct inspect_request *request,
                      const struct checkpoint *first, const struct checkpoint *second)
{
    const struct inspect_request other = {.path = request->other};
    json_string(json, "kind", "checkpoint difference");
    json_boolean(json, "weights_equal", first->weights_hash == second->weights_hash);
    json_object(json, "first");
    summary_json(json, request, first);
    json_close(json);
    json_object(json, "second");
    summary_json(json, &other, second);
    json_close(json);
}

static enum status compare(const struct inspect_request *request,
                           const struct checkpoint *first,
                           const struct checkpoint *second)
{
    size_t settings;
    if (!request->json) {
        print_pair(first->weights_hash == second->weights_hash ? "equal" : "differ",
                   first, second);
        enum status status = inspect_settings_difference(
            NULL, &first->options, &second->options, SECTION_ALL, &settings);
        compare_tensors(NULL, first, second);
        return status;
    }
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    pair_json(&json, request, first, second);
    enum status status = inspect_settings_difference(
        &json, &first->options, &second->options, SECTION_ALL, &settings);
    compare_tensors(&json, first, second);
    json_close(&json);
    return status == STATUS_OK ? json_end(&json) : status;
}

enum status inspect_checkpoint_difference(const struct inspect_request *request)
{
    struct checkpoint first = {0}, second = {0};
    enum status status = checkpoint_read(request->path, CHECKPOINT_TO_INSPECT, &first);
    if (status != STATUS_OK)
        return status;
    status = checkpoint_read(request->other, CHECKPOINT_TO_INSPECT, &second);
    if (status == STATUS_OK) {
        status = compare(request, &first, &second);
        checkpoint_free(&second);
    }
    checkpoint_free(&first);
    return status;
}
