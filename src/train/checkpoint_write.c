/* checkpoint_write: writes a checkpoint to a file. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_describe.h"
#include "checkpoint_internal.h"
#include "base/hash.h"
#include "base/inject.h"
#include "base/path_escape.h"
#include "comm/comm.h"
#include "data/merges.h"
#include "nn/cell.h"

/* ---- values ---- */

static void make_group(struct checkpoint_io *to, const char *name)
{
    if (io_ok(to))
        to->status = h5_group(to->file, name);
}

static void set_i64(struct checkpoint_io *to, const char *name, const char *attribute,
                    int64_t n)
{
    if (io_ok(to))
        to->status = h5_set_i64(to->file, name, attribute, n);
}

static void set_u64(struct checkpoint_io *to, const char *name, const char *attribute,
                    uint64_t n)
{
    if (io_ok(to))
        to->status = h5_set_u64(to->file, name, attribute, n);
}

static void set_f64(struct checkpoint_io *to, const char *name, const char *attribute,
                    double x)
{
    if (io_ok(to))
        to->status = h5_set_f64(to->file, name, attribute, x);
}

static void set_text(struct checkpoint_io *to, const char *name, const char *attribute,
                     const char *text)
{
    if (io_ok(to))
        to->status = h5_set_text(to->file, name, attribute, text);
}

/* Sets text from the user or the system, which may contain any bytes. */
static void set_recorded(struct checkpoint_io *to, const char *name,
                         const char *attribute, const char *text)
{
    char *recorded = path_escape(text);
    if (!recorded)
        io_out_of_memory(to);
    set_text(to, name, attribute, recorded);
    free(recorded);
}

static void set_texts(struct checkpoint_io *to, const char *name, const char *attribute,
                      size_t count, const char *const *texts)
{
    if (io_ok(to))
        to->status = h5_set_texts(to->file, name, attribute, count, texts);
}

static void write_values(struct checkpoint_io *to, const char *name, enum h5_type type,
                         int rank, const size_t *dims, const void *values)
{
    if (io_ok(to))
        to->status = h5_write(to->file, name, type, rank, dims, values);
}

static void set_fields(struct checkpoint_io *to, const char *group,
                       const struct io_field *fields, const void *from)
{
    for (const struct io_field *field = fields; field->name; field++) {
        const char *at = (const char *)from + field->offset;
        if (field->type == H5_F64)
            set_f64(to, group, field->name, *(const double *)(const void *)at);
        else
            set_i64(to, group, field->name, *(const int64_t *)(const void *)at);
    }
}

/* Writes one dataset GROUP/FIELD for each field of a table of `count` structs. */
static void write_table(struct checkpoint_io *to, const char *group,
                        const struct io_field *fields, size_t count, const void *table,
                        size_t stride)
{
    char *column = malloc(IO_FIELD_SIZE * (count + 1)), name[IO_NAME_SIZE];
    if (!column)
        io_out_of_memory(to);
    for (const struct io_field *field = fields; io_ok(to) && field->name; field++) {
        for (size_t i = 0; i < count; i++)
            memcpy(column + IO_FIELD_SIZE * i,
                   (const char *)table + stride * i + field->offset, IO_FIELD_SIZE);
        snprintf(name, sizeof name, "%s/%s", group, field->name);
        write_values(to, name, field->type, 1, &count, column);
    }
    free(column);
}

static void write_tensors(struct checkpoint_io *to, const struct checkpoint *checkpoint,
                          const char *group, const float *block)
{
    const struct cell *cell = cell_of(checkpoint->shape.cell);
    for (size_t i = 0; io_ok(to) && i < checkpoint->params.count; i++) {
        const struct param *param = &checkpoint->params.list[i];
        char name[IO_NAME_SIZE];
        snprintf(name, sizeof name, "%s/%s", group, param->name);
        int rank = param->is_vector ? 1 : 2;
        const size_t dims[2] = {param->rows, param->columns};
        write_values(to, name, H5_F32, rank, dims, block + param->offset);
        const char *axis[2];
        char gates[IO_NAME_SIZE];
        io_tensor_axes(&checkpoint->shape, param->name, gates, axis);
        set_texts(to, name, "dimensions", (size_t)rank, axis);
        if (io_is_recurrent(&checkpoint->shape, param->name))
            set_texts(to, name, "gate_order", (size_t)cell->gate_count, cell->gate_names);
    }
}

static void write_optimizer(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    const struct optimizer *optimizer = &checkpoint->state.optimizer;
    const struct optimizer_method *method = optimizer->method;
    char group[IO_GROUP_SIZE];
    make_group(to, "/optimizer");
    set_text(to, "/optimizer", "kind", method->name);
    set_i64(to, "/optimizer", "updates", optimizer->updates);
    for (const struct optimizer_constant *c = method->constants; c->name; c++) {
        double value;
        memcpy(&value, (const char *)optimizer + c->offset, sizeof value);
        set_f64(to, "/optimizer", c->name, value);
    }
    write_tensors(to, checkpoint, io_moment_group(method->first, group),
                  optimizer->first);
    if (method->second)
        write_tensors(to, checkpoint, io_moment_group(method->second, group),
                      optimizer->second);
}

static void write_average(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    char text[HASH64_TEXT];
    if (!checkpoint->state.optimizer.average)
        return;
    write_tensors(to, checkpoint, "/average", checkpoint->state.optimizer.average);
    set_text(to, "/average", "weights_hash", hash64_text(checkpoint->average_hash, text));
}

static void write_history(struct checkpoint_io *to, const struct training_state *state)
{
    write_table(to, "/history", io_history_fields, state->history_count, state->history,
                sizeof *state->history);
    if (state->optimizer.average)
        write_table(to, "/history", io_average_fields, state->history_count,
                    state->history, sizeof *state->history);
}

static void write_state(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    make_group(to, "/state");
    set_fields(to, "/state", io_state_fields, &checkpoint->state);
    set_u64(to, "/state", "seed", checkpoint->options.train.seed);
    write_table(to, "/state/rows", io_row_fields, checkpoint->streams.row_count,
                checkpoint->streams.rows, sizeof *checkpoint->streams.rows);
    write_table(to, "/state/cursors", io_cursor_fields, checkpoint->streams.microbatches,
                checkpoint->streams.cursors, sizeof *checkpoint->streams.cursors);
    const size_t dims[2] = {checkpoint->streams.microbatches,
                            checkpoint->streams.hidden_size};
    write_values(to, "/state/hidden", H5_F32, 2, dims, checkpoint->streams.hidden);
    static const char *const axes_of_file[] = {"microbatch", "layer*kind*row*unit"};
    int64_t shape[HIDDEN_AXES];
    checkpoint_hidden_shape(checkpoint, shape);
    set_texts(to, "/state/hidden", "dimensions", 2, axes_of_file);
    set_texts(to, "/state/hidden", "axes", HIDDEN_AXES, hidden_axes);
    if (io_ok(to))
        to->status = h5_set_i64s(to->file, "/state/hidden", "shape", HIDDEN_AXES, shape);
}

/* ---- groups ---- */

static void write_config(struct checkpoint_io *to, const struct options *options)
{
    char *text = options_text(options, SECTION_ALL);
    char *recorded = text ? path_escape_lines(text) : NULL;
    if (!recorded)
        io_out_of_memory(to);
    if (io_ok(to))
        to->status = h5_write_text(to->file, "/config", recorded);
    set_text(to, "/config", IO_ESCAPES, "\\xHH: a byte that is not of UTF-8");
    free(recorded);
    free(text);
}

static void write_vocabulary(struct checkpoint_io *to, const struct encoding *encoding)
{
    size_t count = encoding->vocabulary;
    char(*names)[ENCODING_TOKEN_NAME] = malloc(count * sizeof *names), hash[HASH64_TEXT];
    const char **texts = malloc(count * sizeof *texts);
    if (!names || !texts)
        io_out_of_memory(to);
    for (size_t i = 0; io_ok(to) && i < count; i++)
        texts[i] =
            encoding->token_name(encoding, (token)i, names[i], ENCODING_TOKEN_NAME);
    if (io_ok(to))
        to->status = h5_write_texts(to->file, "/vocabulary/names", count, texts);
    if (io_ok(to))
        to->status = merges_write(to->file, encoding);
    if (io_ok(to))
        to->status = h5_write_text(to->file, "/vocabulary/hash",
                                   hash64_text(encoding_hash(encoding), hash));
    free(texts);
    free(names);
}

/* Writes one row for each pair that occurs, in order. */
static void write_pairs(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    size_t v = checkpoint->encoding->vocabulary, count = 0;
    for (size_t i = 0; i < v * v; i++)
        count += checkpoint->pairs[i] != 0;
    token *first = malloc((count + 1) * sizeof *first);
    token *second = malloc((count + 1) * sizeof *second);
    int64_t *counts = malloc((count + 1) * sizeof *counts);
    if (!first || !second || !counts)
        io_out_of_memory(to);
    for (size_t i = 0, row = 0; io_ok(to) && i < v * v; i++)
        if (checkpoint->pairs[i]) {
            first[row] = (token)(i / v);
            second[row] = (token)(i % v);
            counts[row++] = checkpoint->pairs[i];
        }
    write_values(to, "/pairs/first", H5_U16, 1, &count, first);
    write_values(to, "/pairs/second", H5_U16, 1, &count, second);
    write_values(to, "/pairs/count", H5_I64, 1, &count, counts);
    free(first);
    free(second);
    free(counts);
}

static void write_baselines(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    if (!checkpoint->pairs)
        return;
    make_group(to, "/pairs");
    set_text(to, "/pairs", "meaning",
             "count: how often token `second` comes after token `first` in the training "
             "split, read as END piece END piece END");
    set_f64(to, "/pairs", "valid_unigram", checkpoint->baselines.unigram);
    set_f64(to, "/pairs", "valid_bigram", checkpoint->baselines.bigram);
    write_pairs(to, checkpoint);
}

static void write_source(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    char text[HASH64_TEXT];
    const char *source = checkpoint->options.train.init_from;
    if (!source[0])
        return;
    set_recorded(to, "/provenance", "init_from", source);
    set_text(to, "/provenance", "init_weights_hash",
             hash64_text(checkpoint->provenance.init_hash, text));
}

static void write_provenance(struct checkpoint_io *to,
                             const struct checkpoint *checkpoint)
{
    make_group(to, "/provenance");
    set_text(to, "/provenance", "tutti", TUTTI_VERSION);
    set_recorded(to, "/provenance", "host", checkpoint->provenance.host);
    set_i64(to, "/provenance", "ranks", checkpoint->provenance.ranks);
    set_recorded(to, "/provenance", "mpi", comm_library_version());
    set_text(to, "/provenance", "hdf5", h5_library());
    set_text(to, "/provenance", "numerics", checkpoint->provenance.numerics);
    if (checkpoint->provenance.run[0])
        set_text(to, "/provenance", "run", checkpoint->provenance.run);
    write_source(to, checkpoint);
}

static void write_root(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    char text[HASH64_TEXT];
    set_text(to, "/", "format", IO_FORMAT);
    set_i64(to, "/", "format_version", CHECKPOINT_FORMAT_VERSION);
    set_text(to, "/", "weights_hash", hash64_text(checkpoint->weights_hash, text));
    set_text(to, "/", "dataset_hash", hash64_text(checkpoint->dataset_hash, text));
    set_i64(to, "/", "epoch", checkpoint->state.epoch);
    set_i64(to, "/", "step", checkpoint->state.step);
    set_i64(to, "/", "parameters", (int64_t)checkpoint->params.total);
}

static void set_description(void *context, const char *object, const char *attribute,
                            const char *text)
{
    set_text(context, object, attribute, text);
}

/* Injected faults occur when half of the weights and moments have been written. */
static void inject(struct checkpoint_io *to, const struct checkpoint *checkpoint)
{
    const struct optimizer *optimizer = &checkpoint->state.optimizer;
    size_t blocks = 2u + (optimizer->second != NULL) + (optimizer->average != NULL);
    uint64_t half = blocks * checkpoint->params.total * sizeof(float) / 2;
    if (inject_triggered(FAULT_FULL_DISK, checkpoint->state.step))
        h5_inject_fault(to->file, half, ENOSPC);
    else if (inject_triggered(FAULT_IO_ERROR, checkpoint->state.step))
        h5_inject_fault(to->file, half, EIO);
    else if (inject_triggered(FAULT_KILL_SAVE, checkpoint->state.step))
        h5_inject_fault(to->file, half, 0);
}

enum status checkpoint_write(const char *path, struct checkpoint *checkpoint)
{
    struct checkpoint_io to = {0};
    checkpoint->weights_hash = params_hash(&checkpoint->params, checkpoint->weights);
    const float *average = checkpoint->state.optimizer.average;
    checkpoint->average_hash = average ? params_hash(&checkpoint->params, average) : 0;
    to.status = h5_create_unique(path, &to.file);
    if (!io_ok(&to))
        return to.status;
    inject(&to, checkpoint);
    write_root(&to, checkpoint);
    write_tensors(&to, checkpoint, "/model", checkpoint->weights);
    write_optimizer(&to, checkpoint);
    write_average(&to, checkpoint);
    write_state(&to, checkpoint);
    write_config(&to, &checkpoint->options);
    write_vocabulary(&to, checkpoint->encoding);
    write_history(&to, &checkpoint->state);
    write_baselines(&to, checkpoint);
    write_provenance(&to, checkpoint);
    checkpoint_describe(checkpoint, set_description, &to);
    if (io_ok(&to))
        return h5_close(to.file);
    h5_abandon(to.file);
    return to.status;
}
