/* checkpoint_read: reads a checkpoint from a file without trusting anything in it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_check.h"
#include "checkpoint_internal.h"
#include "base/hash.h"
#include "base/path_escape.h"
#include "data/merges.h"

/* ---- values ---- */

static void get_i64(struct checkpoint_io *from, const char *name, const char *attribute,
                    int64_t *value)
{
    if (io_ok(from))
        from->status = h5_get_i64(from->file, name, attribute, value);
}

static void get_f64(struct checkpoint_io *from, const char *name, const char *attribute,
                    double *value)
{
    if (io_ok(from))
        from->status = h5_get_f64(from->file, name, attribute, value);
}

static void get_text(struct checkpoint_io *from, const char *name, const char *attribute,
                     char *text, size_t size)
{
    if (io_ok(from))
        from->status = h5_get_text(from->file, name, attribute, text, size);
}

static void parse_hash(struct checkpoint_io *from, const char *name, const char *text,
                       uint64_t *hash)
{
    if (io_ok(from) && !hash64_parse(text, hash))
        from->status =
            status_fail(STATUS_FAILED, "%s: %s is \"%s\", not 16 hexadecimal digits",
                        h5_path(from->file), name, text);
}

static void get_hash(struct checkpoint_io *from, const char *group, const char *attribute,
                     uint64_t *hash)
{
    char text[CHECKPOINT_TEXT] = "";
    get_text(from, group, attribute, text, sizeof text);
    parse_hash(from, attribute, text, hash);
}

static void get_fields(struct checkpoint_io *from, const char *group,
                       const struct io_field *fields, void *into)
{
    for (const struct io_field *field = fields; io_ok(from) && field->name; field++) {
        void *at = (char *)into + field->offset;
        from->status = field->type == H5_F64
                           ? h5_get_f64(from->file, group, field->name, at)
                           : h5_get_i64(from->file, group, field->name, at);
    }
}

/* Checks a value that the file repeats. */
static void expect_i64(struct checkpoint_io *from, const char *name,
                       const char *attribute, int64_t expected)
{
    int64_t found = 0;
    get_i64(from, name, attribute, &found);
    if (io_ok(from) && found != expected)
        from->status = status_fail(
            STATUS_FAILED, "%s: %s: attribute %s: %" PRId64 " (expected %" PRId64 ")",
            h5_path(from->file), name, attribute, found, expected);
}

static void expect_text(struct checkpoint_io *from, const char *name,
                        const char *attribute, const char *expected)
{
    char found[CHECKPOINT_TEXT] = "";
    get_text(from, name, attribute, found, sizeof found);
    if (io_ok(from) && strcmp(found, expected) != 0)
        from->status =
            status_fail(STATUS_FAILED, "%s: %s: attribute %s: \"%s\" (expected \"%s\")",
                        h5_path(from->file), name, attribute, found, expected);
}

/* Refuses a /config whose model is larger than the file, before memory is allocated. */
static void check_model_fits(struct checkpoint_io *from, size_t weights)
{
    if (io_ok(from) && weights > h5_size(from->file) / sizeof(float))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: /config: a model of %zu weights: more than the "
                                   "file, of %" PRIu64 " bytes, can hold",
                                   h5_path(from->file), weights, h5_size(from->file));
}

static void *allocate(struct checkpoint_io *from, size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory && io_ok(from))
        io_out_of_memory(from);
    return memory;
}

static void read_table(struct checkpoint_io *from, const char *group,
                       const struct io_field *fields, size_t count, void *table,
                       size_t stride)
{
    char *column = allocate(from, count, IO_FIELD_SIZE), name[IO_NAME_SIZE];
    for (const struct io_field *field = fields; io_ok(from) && field->name; field++) {
        snprintf(name, sizeof name, "%s/%s", group, field->name);
        from->status = h5_read(from->file, name, field->type, 1, &count, column);
        for (size_t i = 0; io_ok(from) && i < count; i++)
            memcpy((char *)table + stride * i + field->offset, column + IO_FIELD_SIZE * i,
                   IO_FIELD_SIZE);
    }
    free(column);
}

static void read_tensors(struct checkpoint_io *from, const struct params *params,
                         const char *group, float *block)
{
    for (size_t i = 0; io_ok(from) && i < params->count; i++) {
        const struct param *param = &params->list[i];
        char name[IO_NAME_SIZE];
        snprintf(name, sizeof name, "%s/%s", group, param->name);
        const size_t dims[2] = {param->rows, param->columns};
        from->status = h5_read(from->file, name, H5_F32, param->is_vector ? 1 : 2, dims,
                               block + param->offset);
    }
}

static void check_format(struct checkpoint_io *from)
{
    char format[CHECKPOINT_TEXT] = "";
    int64_t version = 0;
    if (h5_get_text(from->file, "/", "format", format, sizeof format) != STATUS_OK ||
        strcmp(format, IO_FORMAT) != 0)
        from->status =
            status_fail(STATUS_FAILED,
                        "%s: not a tutti checkpoint (its format is \"%s\"; expected "
                        "\"%s\")",
                        h5_path(from->file), format, IO_FORMAT);
    get_i64(from, "/", "format_version", &version);
    if (io_ok(from) && (version < 1 || version > CHECKPOINT_FORMAT_VERSION))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: written by a newer tutti (format version %" PRId64
                                   "; this program, %s, reads up to %d)",
                                   h5_path(from->file), version, TUTTI_VERSION,
                                   CHECKPOINT_FORMAT_VERSION);
}

static void get_recorded(struct checkpoint_io *from, const char *name,
                         const char *attribute, char *text, size_t size)
{
    char recorded[4 * CHECKPOINT_TEXT];
    get_text(from, name, attribute, recorded, sizeof recorded);
    char *original = io_ok(from) ? path_unescape(recorded) : NULL;
    if (io_ok(from) && !original)
        io_out_of_memory(from);
    if (original)
        snprintf(text, size, "%s", original);
    free(original);
}

static void read_config(struct checkpoint_io *from, struct options *options)
{
    char *recorded = NULL, *text = NULL, origin[STATUS_MESSAGE_SIZE / 2];
    options_defaults(options);
    if (io_ok(from))
        from->status = h5_read_text(from->file, "/config", &recorded);
    bool escaped = io_ok(from) && h5_get_text(from->file, "/config", IO_ESCAPES, origin,
                                              sizeof origin) == STATUS_OK;
    if (io_ok(from) && !(text = escaped ? path_unescape(recorded) : strdup(recorded)))
        io_out_of_memory(from);
    free(recorded);
    if (io_ok(from)) {
        snprintf(origin, sizeof origin, "%s: /config", h5_path(from->file));
        from->status = options_read_text(options, text, origin);
    }
    if (text && io_ok(from) && options_check(options) != STATUS_OK)
        from->status = status_fail(STATUS_FAILED, "%s: /config: %s", h5_path(from->file),
                                   status_message());
    if (from->status == STATUS_MISUSE) /* the file is wrong, not the user */
        from->status = STATUS_FAILED;
    free(text);
}

static void read_vocabulary(struct checkpoint_io *from, struct checkpoint *out)
{
    char *text = NULL;
    if (io_ok(from))
        from->status = encoding_from_options(&out->options, &out->encoding);
    if (io_ok(from))
        from->status = merges_read(from->file, &out->options, &out->encoding);
    if (io_ok(from))
        from->status = h5_read_text(from->file, "/vocabulary/hash", &text);
    parse_hash(from, "/vocabulary/hash", text ? text : "", &out->vocabulary_hash);
    if (io_ok(from) && out->vocabulary_hash != encoding_hash(out->encoding))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: its vocabulary is not what this program's "
                                   "encoding %s has (%zu tokens); it "
                                   "was written by another version of tutti",
                                   h5_path(from->file), out->encoding->name,
                                   out->encoding->vocabulary);
    free(text);
}

/* Checks the token names, which only other programs read. */
static void check_names(struct checkpoint_io *from, const struct encoding *encoding)
{
    size_t count = 0;
    char **names = NULL, name[ENCODING_TOKEN_NAME];
    if (io_ok(from))
        from->status = h5_read_texts(from->file, "/vocabulary/names", &count, &names);
    if (io_ok(from) && count != encoding->vocabulary)
        from->status =
            status_fail(STATUS_FAILED, "%s: /vocabulary/names: %zu names (expected %zu)",
                        h5_path(from->file), count, encoding->vocabulary);
    for (size_t i = 0; io_ok(from) && i < count; i++)
        if (strcmp(names[i],
                   encoding->token_name(encoding, (token)i, name, sizeof name)) != 0)
            from->status =
                status_fail(STATUS_FAILED, "%s: /vocabulary/names: row %zu is not \"%s\"",
                            h5_path(from->file), i, name);
    free(names);
}

/* Reads a block of weights, which has that hash. */
static void read_block(struct checkpoint_io *from, const char *group,
                       const struct params *params, uint64_t hash, float *block)
{
    read_tensors(from, params, group, block);
    uint64_t found = io_ok(from) ? params_hash(params, block) : hash;
    if (found != hash)
        from->status =
            status_fail(STATUS_FAILED,
                        "%s: damaged: the hash of the weights in %s is %016" PRIx64
                        ", not %016" PRIx64 " as recorded",
                        h5_path(from->file), group, found, hash);
}

static void read_weights(struct checkpoint_io *from, struct checkpoint *out)
{
    if (!io_ok(from))
        return;
    out->shape = model_shape_of(&out->options, out->encoding->vocabulary);
    from->status = params_layout(&out->shape, &out->params);
    check_model_fits(from, out->params.total);
    if (!io_ok(from))
        return;
    out->weights = allocate(from, out->params.total, sizeof *out->weights);
    get_hash(from, "/", "weights_hash", &out->weights_hash);
    read_block(from, "/model", &out->params, out->weights_hash, out->weights);
}

static void read_history(struct checkpoint_io *from, struct checkpoint *out)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    if (io_ok(from))
        from->status = h5_shape(from->file, "/history/epoch", &rank, dims);
    if (io_ok(from) && (rank != 1 || (int64_t)dims[0] != out->state.epoch))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: /history/epoch: %zu rows (expected %" PRId64
                                   ", one for each epoch of /state)",
                                   h5_path(from->file), dims[0], out->state.epoch);
    if (!io_ok(from))
        return;
    out->state.history_count = dims[0];
    out->state.history =
        allocate(from, out->state.history_count, sizeof *out->state.history);
    read_table(from, "/history", io_history_fields, out->state.history_count,
               out->state.history, sizeof *out->state.history);
    if (out->options.train.average == AVERAGE_EMA)
        read_table(from, "/history", io_average_fields, out->state.history_count,
                   out->state.history, sizeof *out->state.history);
}

/* Copies the rows of /pairs to the table; an impossible row is an error. */
static void scatter_pairs(struct checkpoint_io *from, size_t count, const token *first,
                          const token *second, const int64_t *counts,
                          struct checkpoint *out)
{
    size_t v = out->encoding->vocabulary;
    for (size_t i = 0; io_ok(from) && i < count; i++)
        if (first[i] < v && second[i] < v && counts[i] > 0 &&
            !out->pairs[first[i] * v + second[i]])
            out->pairs[first[i] * v + second[i]] = counts[i];
        else
            from->status =
                status_fail(STATUS_FAILED,
                            "%s: /pairs: row %zu is token %d after %d, %" PRId64 " times",
                            h5_path(from->file), i, second[i], first[i], counts[i]);
}

static void read_pairs(struct checkpoint_io *from, struct checkpoint *out)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0}, v = out->encoding->vocabulary;
    from->status = h5_shape(from->file, "/pairs/count", &rank, dims);
    if (io_ok(from) && (rank != 1 || dims[0] > v * v))
        from->status =
            status_fail(STATUS_FAILED, "%s: /pairs/count: %zu rows (at most %zu)",
                        h5_path(from->file), dims[0], v * v);
    if (!io_ok(from))
        return;
    size_t count = dims[0];
    token *first = allocate(from, count, sizeof *first);
    token *second = allocate(from, count, sizeof *second);
    int64_t *counts = allocate(from, count, sizeof *counts);
    out->pairs = allocate(from, v * v, sizeof *out->pairs);
    if (io_ok(from))
        from->status = h5_read(from->file, "/pairs/first", H5_U16, 1, &count, first);
    if (io_ok(from))
        from->status = h5_read(from->file, "/pairs/second", H5_U16, 1, &count, second);
    if (io_ok(from))
        from->status = h5_read(from->file, "/pairs/count", H5_I64, 1, &count, counts);
    scatter_pairs(from, count, first, second, counts, out);
    free(first);
    free(second);
    free(counts);
}

/* The group /pairs is missing in older checkpoints. */
static void read_baselines(struct checkpoint_io *from, struct checkpoint *out)
{
    if (!io_ok(from) || !h5_has(from->file, "/pairs"))
        return;
    get_f64(from, "/pairs", "valid_unigram", &out->baselines.unigram);
    get_f64(from, "/pairs", "valid_bigram", &out->baselines.bigram);
    if (io_ok(from))
        read_pairs(from, out);
}

static void read_average(struct checkpoint_io *from, const struct checkpoint *checkpoint,
                         float *average)
{
    read_block(from, "/average", &checkpoint->params, checkpoint->average_hash, average);
    if (io_ok(from))
        from->status = checkpoint_check_average(h5_path(from->file), checkpoint, average);
}

static void read_optimizer(struct checkpoint_io *from, struct checkpoint *out)
{
    struct optimizer *optimizer = &out->state.optimizer;
    if (io_ok(from))
        from->status = optimizer_create(&out->options, out->params.total, optimizer);
    if (!io_ok(from))
        return;
    const struct optimizer_method *method = optimizer->method;
    char group[IO_GROUP_SIZE];
    expect_text(from, "/optimizer", "kind", method->name);
    get_i64(from, "/optimizer", "updates", &optimizer->updates);
    read_tensors(from, &out->params, io_moment_group(method->first, group),
                 optimizer->first);
    if (method->second)
        read_tensors(from, &out->params, io_moment_group(method->second, group),
                     optimizer->second);
    if (optimizer->average)
        read_average(from, out, optimizer->average);
}

/* Replaces the weights, which have been checked, by their average. */
static void replace_by_average(struct checkpoint_io *from, struct checkpoint *out)
{
    if (io_ok(from) && out->options.train.average == AVERAGE_NONE)
        from->status = status_fail(STATUS_MISUSE,
                                   "%s: has no averaged weights: its run had "
                                   "train.average = none",
                                   h5_path(from->file));
    read_average(from, out, out->weights);
    out->weights_hash = out->average_hash;
}

static void expect_shape(struct checkpoint_io *from, const char *name, size_t rows,
                         size_t columns)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    if (io_ok(from))
        from->status = h5_shape(from->file, name, &rank, dims);
    if (io_ok(from) &&
        (rank > 2 || dims[0] != rows || (rank == 2 ? dims[1] : 1) != columns))
        from->status = status_fail(
            STATUS_FAILED, "%s: %s: %zu rows of %zu (expected %zu of %zu)",
            h5_path(from->file), name, dims[0], rank == 1 ? 1 : dims[1], rows, columns);
}

/* Checks that the streams have the batch size of /config, by which predictions are
 * planned, too. */
static void set_stream_sizes(struct checkpoint_io *from, struct checkpoint *out)
{
    if (!io_ok(from))
        return;
    out->streams.row_count = (size_t)out->options.train.batch;
    out->streams.microbatches = (size_t)out->options.train.microbatches;
    out->streams.hidden_size = checkpoint_hidden_size(
        &out->shape, out->streams.row_count / out->streams.microbatches);
    expect_shape(from, "/state/rows/epoch", out->streams.row_count, 1);
    expect_shape(from, "/state/cursors/epoch", out->streams.microbatches, 1);
    expect_shape(from, "/state/hidden", out->streams.microbatches,
                 out->streams.hidden_size);
}

static void read_streams(struct checkpoint_io *from, struct checkpoint *out)
{
    if (!io_ok(from))
        return;
    out->streams.rows = allocate(from, out->streams.row_count, sizeof *out->streams.rows);
    out->streams.cursors =
        allocate(from, out->streams.microbatches, sizeof *out->streams.cursors);
    out->streams.hidden =
        allocate(from, out->streams.microbatches * out->streams.hidden_size,
                 sizeof *out->streams.hidden);
    read_table(from, "/state/rows", io_row_fields, out->streams.row_count,
               out->streams.rows, sizeof *out->streams.rows);
    read_table(from, "/state/cursors", io_cursor_fields, out->streams.microbatches,
               out->streams.cursors, sizeof *out->streams.cursors);
    const size_t dims[2] = {out->streams.microbatches, out->streams.hidden_size};
    if (io_ok(from))
        from->status =
            h5_read(from->file, "/state/hidden", H5_F32, 2, dims, out->streams.hidden);
}

/* Checks the root attributes, and others that repeat values already read. */
static void check_repeated(struct checkpoint_io *from, const struct checkpoint *out)
{
    uint64_t seed = 0;
    expect_i64(from, "/", "epoch", out->state.epoch);
    expect_i64(from, "/", "step", out->state.step);
    expect_i64(from, "/", "parameters", (int64_t)out->params.total);
    if (io_ok(from))
        from->status = h5_get_u64(from->file, "/state", "seed", &seed);
    if (io_ok(from) && seed != out->options.train.seed)
        from->status = status_fail(STATUS_FAILED,
                                   "%s: /state: attribute seed: %" PRIu64
                                   " (expected %" PRIu64 ", as in /config)",
                                   h5_path(from->file), seed, out->options.train.seed);
    check_names(from, out->encoding);
}

static void read_provenance(struct checkpoint_io *from, struct checkpoint *out)
{
    struct provenance *provenance = &out->provenance;
    get_text(from, "/provenance", "numerics", provenance->numerics,
             sizeof provenance->numerics);
    get_recorded(from, "/provenance", "host", provenance->host, sizeof provenance->host);
    get_i64(from, "/provenance", "ranks", &provenance->ranks);
    if (io_ok(from) && out->options.train.init_from[0])
        get_hash(from, "/provenance", "init_weights_hash", &provenance->init_hash);
}

static void read_all(struct checkpoint_io *from, enum checkpoint_use use,
                     struct checkpoint *out)
{
    check_format(from);
    if (io_ok(from)) /* also what isn't read below: a damaged file is rejected */
        from->status = h5_verify(from->file);
    if (io_ok(from))
        read_config(from, &out->options);
    read_vocabulary(from, out);
    read_weights(from, out);
    get_hash(from, "/", "dataset_hash", &out->dataset_hash);
    if (io_ok(from) && out->options.train.average == AVERAGE_EMA)
        get_hash(from, "/average", "weights_hash", &out->average_hash);
    get_fields(from, "/state", io_state_fields, &out->state);
    read_history(from, out);
    read_baselines(from, out);
    read_provenance(from, out);
    set_stream_sizes(from, out);
    if (use == CHECKPOINT_TO_TRAIN) {
        read_optimizer(from, out);
        read_streams(from, out);
    }
}

static void check_all(struct checkpoint_io *from, enum checkpoint_use use,
                      const struct checkpoint *out)
{
    const char *path = h5_path(from->file);
    if (io_ok(from))
        from->status = checkpoint_check(path, out);
    if (io_ok(from))
        check_repeated(from, out);
    if (io_ok(from) &&
        (use == CHECKPOINT_TO_PREDICT || use == CHECKPOINT_TO_PREDICT_AVERAGE))
        from->status = checkpoint_check_weights(path, out);
    if (io_ok(from) && use == CHECKPOINT_TO_TRAIN)
        from->status = checkpoint_check_training(path, out);
}

enum status checkpoint_read(const char *path, enum checkpoint_use use,
                            struct checkpoint *out)
{
    struct checkpoint_io from = {0};
    *out = (struct checkpoint){0};
    from.status = h5_open(path, &from.file);
    if (!io_ok(&from))
        return from.status;
    read_all(&from, use, out);
    check_all(&from, use, out);
    if (use == CHECKPOINT_TO_PREDICT_AVERAGE)
        replace_by_average(&from, out);
    h5_abandon(from.file);
    if (!io_ok(&from))
        checkpoint_free(out);
    return from.status;
}
