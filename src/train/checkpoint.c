/* checkpoint: what a run keeps, and what it refuses to take back.
 *
 * Writing and reading go through a small carrier with a sticky status: after the first
 * failure the rest does nothing, so the two sides read as one list of names each. Plain
 * numbers of /state and the columns of its tables are rows of tables here; both sides
 * walk these.
 */
#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_check.h"
#include "checkpoint_describe.h"
#include "base/hash.h"
#include "base/inject.h"
#include "base/recorded_path.h"
#include "comm/comm.h"
#include "h5/h5.h"
#include "nn/cell.h"

static const char FORMAT[] = "tutti checkpoint";

struct carrier {
    struct h5_file *file;
    enum status status;
};

static bool going(const struct carrier *carrier)
{
    return carrier->status == STATUS_OK;
}

static void no_memory(struct carrier *carrier)
{
    carrier->status =
        status_fail(STATUS_FAILED, "%s: out of memory", h5_path(carrier->file));
}

/* A number that is an attribute, or a column of a table of plain structs: 8 bytes each.
 */
struct field {
    const char *name;
    enum h5_type type;
    size_t offset;
};

static const struct field state_fields[] = {
    {"epoch", H5_I64, offsetof(struct checkpoint, epoch)},
    {"step", H5_I64, offsetof(struct checkpoint, step)},
    {"epoch_step", H5_I64, offsetof(struct checkpoint, epoch_step)},
    {"epoch_loss", H5_F64, offsetof(struct checkpoint, epoch_loss)},
    {"epoch_targets", H5_I64, offsetof(struct checkpoint, epoch_targets)},
    {"epoch_correct", H5_I64, offsetof(struct checkpoint, epoch_correct)},
    {"best_valid", H5_F64, offsetof(struct checkpoint, schedule.best_valid)},
    {"best_epoch", H5_I64, offsetof(struct checkpoint, schedule.best_epoch)},
    {"bad_epochs", H5_I64, offsetof(struct checkpoint, schedule.bad_epochs)},
    {"plateau_wait", H5_I64, offsetof(struct checkpoint, schedule.plateau_wait)},
    {"factor", H5_F64, offsetof(struct checkpoint, schedule.factor)},
    {NULL, H5_I64, 0},
};

static const struct field row_fields[] = {
    {"epoch", H5_I64, offsetof(struct stream_row, epoch)},
    {"piece", H5_I64, offsetof(struct stream_row, piece)},
    {"offset", H5_I64, offsetof(struct stream_row, offset)},
    {NULL, H5_I64, 0},
};

static const struct field cursor_fields[] = {
    {"epoch", H5_I64, offsetof(struct stream_cursor, epoch)},
    {"next", H5_I64, offsetof(struct stream_cursor, next)},
    {NULL, H5_I64, 0},
};

static const struct field history_fields[] = {
    {"epoch", H5_I64, offsetof(struct history_row, epoch)},
    {"step", H5_I64, offsetof(struct history_row, step)},
    {"train_loss", H5_F64, offsetof(struct history_row, train_loss)},
    {"train_accuracy", H5_F64, offsetof(struct history_row, train_accuracy)},
    {"valid_loss", H5_F64, offsetof(struct history_row, valid_loss)},
    {"valid_accuracy", H5_F64, offsetof(struct history_row, valid_accuracy)},
    {"learning_rate", H5_F64, offsetof(struct history_row, learning_rate)},
    {"seconds", H5_F64, offsetof(struct history_row, seconds)},
    {"tokens_per_second", H5_F64, offsetof(struct history_row, tokens_per_second)},
    {"weights_hash", H5_U64, offsetof(struct history_row, weights_hash)},
    {NULL, H5_I64, 0},
};

enum { FIELD_SIZE = 8, NAME_SIZE = 128, GROUP_SIZE = 64, TOKEN_NAME = 32 };

size_t checkpoint_state_size(const struct model_shape *shape, size_t rows_of_microbatch)
{
    size_t states = (size_t)cell_of(shape->cell)->states;
    return (size_t)shape->layers * states * rows_of_microbatch * (size_t)shape->hidden;
}

/* ---- what a tensor's axes are ---- */

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_recurrent(const struct model_shape *shape, const char *tensor)
{
    return begins(tensor, cell_of(shape->cell)->name);
}

/* `gates` is memory for a name. */
static void axes(const struct model_shape *shape, const char *name, char gates[NAME_SIZE],
                 const char *axis[2])
{
    bool from_hidden = strstr(name, "weight_hh") != NULL;
    if (is_recurrent(shape, name)) {
        snprintf(gates, NAME_SIZE, "%d*hidden", cell_of(shape->cell)->gates);
        axis[0] = gates;
        axis[1] = from_hidden ? "hidden" : "input";
    } else if (begins(name, "embedding")) {
        axis[0] = "vocabulary";
        axis[1] = "embedding";
    } else if (begins(name, "dense")) {
        axis[0] = "dense";
        axis[1] = "hidden";
    } else {
        axis[0] = "vocabulary";
        axis[1] = shape->dense ? "dense" : "hidden";
    }
}

/* ---- writing ---- */

static void make_group(struct carrier *to, const char *name)
{
    if (going(to))
        to->status = h5_group(to->file, name);
}

static void set_i64(struct carrier *to, const char *name, const char *attribute,
                    int64_t n)
{
    if (going(to))
        to->status = h5_set_i64(to->file, name, attribute, n);
}

static void set_u64(struct carrier *to, const char *name, const char *attribute,
                    uint64_t n)
{
    if (going(to))
        to->status = h5_set_u64(to->file, name, attribute, n);
}

static void set_f64(struct carrier *to, const char *name, const char *attribute, double x)
{
    if (going(to))
        to->status = h5_set_f64(to->file, name, attribute, x);
}

static void set_text(struct carrier *to, const char *name, const char *attribute,
                     const char *text)
{
    if (going(to))
        to->status = h5_set_text(to->file, name, attribute, text);
}

/* Text that may hold any bytes: those of the user, or of the machine. */
static void set_recorded(struct carrier *to, const char *name, const char *attribute,
                         const char *text)
{
    char *recorded = path_to_recorded(text);
    if (!recorded)
        no_memory(to);
    set_text(to, name, attribute, recorded);
    free(recorded);
}

static void set_texts(struct carrier *to, const char *name, const char *attribute,
                      size_t count, const char *const *texts)
{
    if (going(to))
        to->status = h5_set_texts(to->file, name, attribute, count, texts);
}

static void write_values(struct carrier *to, const char *name, enum h5_type type,
                         int rank, const size_t *dims, const void *values)
{
    if (going(to))
        to->status = h5_write(to->file, name, type, rank, dims, values);
}

static void set_fields(struct carrier *to, const char *group, const struct field *fields,
                       const void *from)
{
    for (const struct field *field = fields; field->name; field++) {
        const char *at = (const char *)from + field->offset;
        if (field->type == H5_F64)
            set_f64(to, group, field->name, *(const double *)(const void *)at);
        else
            set_i64(to, group, field->name, *(const int64_t *)(const void *)at);
    }
}

/* One dataset GROUP/FIELD for each field of a table of `count` structs. */
static void write_table(struct carrier *to, const char *group, const struct field *fields,
                        size_t count, const void *table, size_t stride)
{
    char *column = malloc(FIELD_SIZE * (count + 1)), name[NAME_SIZE];
    if (!column)
        no_memory(to);
    for (const struct field *field = fields; going(to) && field->name; field++) {
        for (size_t i = 0; i < count; i++)
            memcpy(column + FIELD_SIZE * i,
                   (const char *)table + stride * i + field->offset, FIELD_SIZE);
        snprintf(name, sizeof name, "%s/%s", group, field->name);
        write_values(to, name, field->type, 1, &count, column);
    }
    free(column);
}

static void write_tensors(struct carrier *to, const struct checkpoint *checkpoint,
                          const char *group, const float *block)
{
    const struct cell *cell = cell_of(checkpoint->shape.cell);
    for (size_t i = 0; going(to) && i < checkpoint->params.count; i++) {
        const struct param *param = &checkpoint->params.list[i];
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "%s/%s", group, param->name);
        int rank = param->is_vector ? 1 : 2;
        const size_t dims[2] = {param->rows, param->columns};
        write_values(to, name, H5_F32, rank, dims, block + param->offset);
        const char *axis[2];
        char gates[NAME_SIZE];
        axes(&checkpoint->shape, param->name, gates, axis);
        set_texts(to, name, "dimensions", (size_t)rank, axis);
        if (is_recurrent(&checkpoint->shape, param->name))
            set_texts(to, name, "gate_order", (size_t)cell->gates, cell->gate_names);
    }
}

/* The state `which` of the optimizer, tensor by tensor: "/optimizer/first". */
static const char *state_group(const char *which, char name[GROUP_SIZE])
{
    snprintf(name, GROUP_SIZE, "/optimizer/%s", which);
    return name;
}

static void write_optimizer(struct carrier *to, const struct checkpoint *checkpoint)
{
    const struct optimizer *optimizer = &checkpoint->optimizer;
    const struct optimizer_method *method = optimizer->method;
    char group[GROUP_SIZE];
    make_group(to, "/optimizer");
    set_text(to, "/optimizer", "kind", method->name);
    set_i64(to, "/optimizer", "updates", optimizer->updates);
    for (const struct optimizer_constant *c = method->constants; c->name; c++) {
        double value;
        memcpy(&value, (const char *)optimizer + c->offset, sizeof value);
        set_f64(to, "/optimizer", c->name, value);
    }
    write_tensors(to, checkpoint, state_group(method->first, group), optimizer->first);
    if (method->second)
        write_tensors(to, checkpoint, state_group(method->second, group),
                      optimizer->second);
}

static void write_state(struct carrier *to, const struct checkpoint *checkpoint)
{
    make_group(to, "/state");
    set_fields(to, "/state", state_fields, checkpoint);
    set_u64(to, "/state", "seed", checkpoint->options.train.seed);
    write_table(to, "/state/rows", row_fields, checkpoint->rows, checkpoint->stream_rows,
                sizeof *checkpoint->stream_rows);
    write_table(to, "/state/cursors", cursor_fields, checkpoint->microbatches,
                checkpoint->cursors, sizeof *checkpoint->cursors);
    const size_t dims[2] = {checkpoint->microbatches, checkpoint->state_size};
    write_values(to, "/state/hidden", H5_F32, 2, dims, checkpoint->states);
    static const char *const axes_of_file[] = {"microbatch", "layer*kind*row*unit"};
    int64_t shape[HIDDEN_AXES];
    checkpoint_hidden_shape(checkpoint, shape);
    set_texts(to, "/state/hidden", "dimensions", 2, axes_of_file);
    set_texts(to, "/state/hidden", "axes", HIDDEN_AXES, hidden_axes);
    if (going(to))
        to->status = h5_set_i64s(to->file, "/state/hidden", "shape", HIDDEN_AXES, shape);
}

/* The attribute of a /config that is written as recorded_path.h says; older ones have the
 * bytes themselves. */
static const char escapes[] = "escapes";

static void write_config(struct carrier *to, const struct options *options)
{
    char *text = options_text(options, SECTION_ALL);
    char *recorded = text ? lines_to_recorded(text) : NULL;
    if (!recorded)
        no_memory(to);
    if (going(to))
        to->status = h5_write_text(to->file, "/config", recorded);
    set_text(to, "/config", escapes, "\\xHH: a byte that is not of UTF-8");
    free(recorded);
    free(text);
}

static void write_vocabulary(struct carrier *to, const struct encoding *encoding)
{
    size_t count = encoding->vocabulary;
    char(*names)[TOKEN_NAME] = malloc(count * sizeof *names), hash[HASH64_TEXT];
    const char **texts = malloc(count * sizeof *texts);
    if (!names || !texts)
        no_memory(to);
    for (size_t i = 0; going(to) && i < count; i++)
        texts[i] = encoding->token_name(encoding, (token)i, names[i], TOKEN_NAME);
    if (going(to))
        to->status = h5_write_texts(to->file, "/vocabulary/names", count, texts);
    if (going(to))
        to->status = h5_write_text(to->file, "/vocabulary/hash",
                                   hash64_text(encoding_hash(encoding), hash));
    free(texts);
    free(names);
}

/* The pairs that occur, one row each, in order. */
static void write_pairs(struct carrier *to, const struct checkpoint *checkpoint)
{
    size_t v = checkpoint->encoding->vocabulary, count = 0;
    for (size_t i = 0; i < v * v; i++)
        count += checkpoint->pairs[i] != 0;
    token *first = malloc((count + 1) * sizeof *first);
    token *second = malloc((count + 1) * sizeof *second);
    int64_t *counts = malloc((count + 1) * sizeof *counts);
    if (!first || !second || !counts)
        no_memory(to);
    for (size_t i = 0, row = 0; going(to) && i < v * v; i++)
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

static void write_baselines(struct carrier *to, const struct checkpoint *checkpoint)
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

static void write_provenance(struct carrier *to, const struct checkpoint *checkpoint)
{
    make_group(to, "/provenance");
    set_text(to, "/provenance", "tutti", TUTTI_VERSION);
    set_recorded(to, "/provenance", "host", checkpoint->host);
    set_i64(to, "/provenance", "ranks", checkpoint->ranks);
    set_recorded(to, "/provenance", "mpi", comm_library());
    set_text(to, "/provenance", "hdf5", h5_library());
    set_text(to, "/provenance", "numerics", checkpoint->core);
    if (checkpoint->run[0])
        set_text(to, "/provenance", "run", checkpoint->run);
}

static void write_root(struct carrier *to, const struct checkpoint *checkpoint)
{
    char text[HASH64_TEXT];
    set_text(to, "/", "format", FORMAT);
    set_i64(to, "/", "format_version", CHECKPOINT_FORMAT_VERSION);
    set_text(to, "/", "weights_hash", hash64_text(checkpoint->weights_hash, text));
    set_text(to, "/", "dataset_hash", hash64_text(checkpoint->dataset_hash, text));
    set_i64(to, "/", "epoch", checkpoint->epoch);
    set_i64(to, "/", "step", checkpoint->step);
    set_i64(to, "/", "parameters", (int64_t)checkpoint->params.total);
}

static void set_description(void *context, const char *object, const char *attribute,
                            const char *text)
{
    set_text(context, object, attribute, text);
}

/* Faults on purpose strike when half of the numbers are on their way. */
static void inject(struct carrier *to, const struct checkpoint *checkpoint)
{
    size_t blocks = checkpoint->optimizer.second ? 3 : 2;
    uint64_t half = blocks * checkpoint->params.total * sizeof(float) / 2;
    if (inject_due(FAULT_FULL_DISK, checkpoint->step))
        h5_break(to->file, half, ENOSPC);
    else if (inject_due(FAULT_IO_ERROR, checkpoint->step))
        h5_break(to->file, half, EIO);
    else if (inject_due(FAULT_KILL_SAVE, checkpoint->step))
        h5_break(to->file, half, 0);
}

enum status checkpoint_write(const char *path, struct checkpoint *checkpoint)
{
    struct carrier to = {0};
    checkpoint->weights_hash = params_hash(&checkpoint->params, checkpoint->weights);
    to.status = h5_create_apart(path, &to.file);
    if (!going(&to))
        return to.status;
    inject(&to, checkpoint);
    write_root(&to, checkpoint);
    write_tensors(&to, checkpoint, "/model", checkpoint->weights);
    write_optimizer(&to, checkpoint);
    write_state(&to, checkpoint);
    write_config(&to, &checkpoint->options);
    write_vocabulary(&to, checkpoint->encoding);
    write_table(&to, "/history", history_fields, checkpoint->history_count,
                checkpoint->history, sizeof *checkpoint->history);
    write_baselines(&to, checkpoint);
    write_provenance(&to, checkpoint);
    checkpoint_describe(checkpoint, set_description, &to);
    if (going(&to))
        return h5_close(to.file);
    h5_abandon(to.file);
    return to.status;
}

/* ---- reading ---- */

static void get_i64(struct carrier *from, const char *name, const char *attribute,
                    int64_t *value)
{
    if (going(from))
        from->status = h5_get_i64(from->file, name, attribute, value);
}

static void get_f64(struct carrier *from, const char *name, const char *attribute,
                    double *value)
{
    if (going(from))
        from->status = h5_get_f64(from->file, name, attribute, value);
}

static void get_text(struct carrier *from, const char *name, const char *attribute,
                     char *text, size_t size)
{
    if (going(from))
        from->status = h5_get_text(from->file, name, attribute, text, size);
}

static void parse_hash(struct carrier *from, const char *name, const char *text,
                       uint64_t *hash)
{
    if (going(from) && !hash64_parse(text, hash))
        from->status =
            status_fail(STATUS_FAILED, "%s: %s is \"%s\", not 16 hexadecimal digits",
                        h5_path(from->file), name, text);
}

static void get_hash(struct carrier *from, const char *attribute, uint64_t *hash)
{
    char text[CHECKPOINT_TEXT] = "";
    get_text(from, "/", attribute, text, sizeof text);
    parse_hash(from, attribute, text, hash);
}

static void get_fields(struct carrier *from, const char *group,
                       const struct field *fields, void *into)
{
    for (const struct field *field = fields; going(from) && field->name; field++) {
        void *at = (char *)into + field->offset;
        from->status = field->type == H5_F64
                           ? h5_get_f64(from->file, group, field->name, at)
                           : h5_get_i64(from->file, group, field->name, at);
    }
}

/* What the file says again, in another place, must be what it said. */
static void expect_i64(struct carrier *from, const char *name, const char *attribute,
                       int64_t expected)
{
    int64_t found = 0;
    get_i64(from, name, attribute, &found);
    if (going(from) && found != expected)
        from->status = status_fail(
            STATUS_FAILED, "%s: %s: attribute %s: %" PRId64 " (expected %" PRId64 ")",
            h5_path(from->file), name, attribute, found, expected);
}

static void expect_text(struct carrier *from, const char *name, const char *attribute,
                        const char *expected)
{
    char found[CHECKPOINT_TEXT] = "";
    get_text(from, name, attribute, found, sizeof found);
    if (going(from) && strcmp(found, expected) != 0)
        from->status =
            status_fail(STATUS_FAILED, "%s: %s: attribute %s: \"%s\" (expected \"%s\")",
                        h5_path(from->file), name, attribute, found, expected);
}

/* /config describes a model that can't be stored in so small a file? Asked before memory
 * is taken for it. */
static void expect_room(struct carrier *from, size_t weights)
{
    if (going(from) && weights > h5_size(from->file) / sizeof(float))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: /config: a model of %zu weights: more than the "
                                   "file, of %" PRIu64 " bytes, can hold",
                                   h5_path(from->file), weights, h5_size(from->file));
}

static void *reserve(struct carrier *from, size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory && going(from))
        no_memory(from);
    return memory;
}

static void read_table(struct carrier *from, const char *group,
                       const struct field *fields, size_t count, void *table,
                       size_t stride)
{
    char *column = reserve(from, count, FIELD_SIZE), name[NAME_SIZE];
    for (const struct field *field = fields; going(from) && field->name; field++) {
        snprintf(name, sizeof name, "%s/%s", group, field->name);
        from->status = h5_read(from->file, name, field->type, 1, &count, column);
        for (size_t i = 0; going(from) && i < count; i++)
            memcpy((char *)table + stride * i + field->offset, column + FIELD_SIZE * i,
                   FIELD_SIZE);
    }
    free(column);
}

static void read_tensors(struct carrier *from, const struct params *params,
                         const char *group, float *block)
{
    for (size_t i = 0; going(from) && i < params->count; i++) {
        const struct param *param = &params->list[i];
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "%s/%s", group, param->name);
        const size_t dims[2] = {param->rows, param->columns};
        from->status = h5_read(from->file, name, H5_F32, param->is_vector ? 1 : 2, dims,
                               block + param->offset);
    }
}

static void check_format(struct carrier *from)
{
    char format[CHECKPOINT_TEXT] = "";
    int64_t version = 0;
    if (h5_get_text(from->file, "/", "format", format, sizeof format) != STATUS_OK ||
        strcmp(format, FORMAT) != 0)
        from->status =
            status_fail(STATUS_FAILED,
                        "%s: not a tutti checkpoint (its format is \"%s\"; expected "
                        "\"%s\")",
                        h5_path(from->file), format, FORMAT);
    get_i64(from, "/", "format_version", &version);
    if (going(from) && (version < 1 || version > CHECKPOINT_FORMAT_VERSION))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: written by a newer tutti (format version %" PRId64
                                   "; this program, %s, reads up to %d)",
                                   h5_path(from->file), version, TUTTI_VERSION,
                                   CHECKPOINT_FORMAT_VERSION);
}

static void get_recorded(struct carrier *from, const char *name, const char *attribute,
                         char *text, size_t size)
{
    char recorded[4 * CHECKPOINT_TEXT];
    get_text(from, name, attribute, recorded, sizeof recorded);
    char *original = going(from) ? path_from_recorded(recorded) : NULL;
    if (going(from) && !original)
        no_memory(from);
    if (original)
        snprintf(text, size, "%s", original);
    free(original);
}

static void read_config(struct carrier *from, struct options *options)
{
    char *recorded = NULL, *text = NULL, origin[STATUS_MESSAGE_SIZE / 2];
    options_defaults(options);
    if (going(from))
        from->status = h5_read_text(from->file, "/config", &recorded);
    bool escaped = going(from) && h5_get_text(from->file, "/config", escapes, origin,
                                              sizeof origin) == STATUS_OK;
    if (going(from) &&
        !(text = escaped ? path_from_recorded(recorded) : strdup(recorded)))
        no_memory(from);
    free(recorded);
    if (going(from)) {
        snprintf(origin, sizeof origin, "%s: /config", h5_path(from->file));
        from->status = options_read_text(options, text, origin);
    }
    if (text && going(from) && options_check(options) != STATUS_OK)
        from->status = status_fail(STATUS_FAILED, "%s: /config: %s", h5_path(from->file),
                                   status_message());
    if (from->status == STATUS_MISUSE) /* the file is at fault, not the user */
        from->status = STATUS_FAILED;
    free(text);
}

static void read_vocabulary(struct carrier *from, struct checkpoint *out)
{
    char *text = NULL;
    if (going(from))
        from->status = encoding_of_options(&out->options, &out->encoding);
    if (going(from))
        from->status = h5_read_text(from->file, "/vocabulary/hash", &text);
    parse_hash(from, "/vocabulary/hash", text ? text : "", &out->vocabulary_hash);
    if (going(from) && out->vocabulary_hash != encoding_hash(out->encoding))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: its vocabulary is not what this program's "
                                   "encoding %s has (%zu tokens); it "
                                   "was written by another version of tutti",
                                   h5_path(from->file), out->encoding->name,
                                   out->encoding->vocabulary);
    free(text);
}

/* The names of the tokens, which nothing here needs, but others read. */
static void check_names(struct carrier *from, const struct encoding *encoding)
{
    size_t count = 0;
    char **names = NULL, name[TOKEN_NAME];
    if (going(from))
        from->status = h5_read_texts(from->file, "/vocabulary/names", &count, &names);
    if (going(from) && count != encoding->vocabulary)
        from->status =
            status_fail(STATUS_FAILED, "%s: /vocabulary/names: %zu names (expected %zu)",
                        h5_path(from->file), count, encoding->vocabulary);
    for (size_t i = 0; going(from) && i < count; i++)
        if (strcmp(names[i],
                   encoding->token_name(encoding, (token)i, name, sizeof name)) != 0)
            from->status =
                status_fail(STATUS_FAILED, "%s: /vocabulary/names: row %zu is not \"%s\"",
                            h5_path(from->file), i, name);
    free(names);
}

static void read_weights(struct carrier *from, struct checkpoint *out)
{
    if (!going(from))
        return;
    out->shape = model_shape_of(&out->options, out->encoding->vocabulary);
    from->status = params_layout(&out->shape, &out->params);
    expect_room(from, out->params.total);
    if (!going(from))
        return;
    out->weights = reserve(from, out->params.total, sizeof *out->weights);
    read_tensors(from, &out->params, "/model", out->weights);
    get_hash(from, "weights_hash", &out->weights_hash);
    if (!going(from))
        return;
    uint64_t found = params_hash(&out->params, out->weights);
    if (found != out->weights_hash)
        from->status = status_fail(STATUS_FAILED,
                                   "%s: damaged: the weights' hash is %016" PRIx64
                                   ", not %016" PRIx64 " as recorded",
                                   h5_path(from->file), found, out->weights_hash);
}

static void read_history(struct carrier *from, struct checkpoint *out)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    if (going(from))
        from->status = h5_shape(from->file, "/history/epoch", &rank, dims);
    if (going(from) && (rank != 1 || (int64_t)dims[0] != out->epoch))
        from->status = status_fail(STATUS_FAILED,
                                   "%s: /history/epoch: %zu rows (expected %" PRId64
                                   ", one for each epoch of /state)",
                                   h5_path(from->file), dims[0], out->epoch);
    if (!going(from))
        return;
    out->history_count = dims[0];
    out->history = reserve(from, out->history_count, sizeof *out->history);
    read_table(from, "/history", history_fields, out->history_count, out->history,
               sizeof *out->history);
}

/* Rows of /pairs into the table; a row that can't be is damage. */
static void scatter_pairs(struct carrier *from, size_t count, const token *first,
                          const token *second, const int64_t *counts,
                          struct checkpoint *out)
{
    size_t v = out->encoding->vocabulary;
    for (size_t i = 0; going(from) && i < count; i++)
        if (first[i] < v && second[i] < v && counts[i] > 0 &&
            !out->pairs[first[i] * v + second[i]])
            out->pairs[first[i] * v + second[i]] = counts[i];
        else
            from->status =
                status_fail(STATUS_FAILED,
                            "%s: /pairs: row %zu is token %d after %d, %" PRId64 " times",
                            h5_path(from->file), i, second[i], first[i], counts[i]);
}

static void read_pairs(struct carrier *from, struct checkpoint *out)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0}, v = out->encoding->vocabulary;
    from->status = h5_shape(from->file, "/pairs/count", &rank, dims);
    if (going(from) && (rank != 1 || dims[0] > v * v))
        from->status =
            status_fail(STATUS_FAILED, "%s: /pairs/count: %zu rows (at most %zu)",
                        h5_path(from->file), dims[0], v * v);
    if (!going(from))
        return;
    size_t count = dims[0];
    token *first = reserve(from, count, sizeof *first);
    token *second = reserve(from, count, sizeof *second);
    int64_t *counts = reserve(from, count, sizeof *counts);
    out->pairs = reserve(from, v * v, sizeof *out->pairs);
    if (going(from))
        from->status = h5_read(from->file, "/pairs/first", H5_U16, 1, &count, first);
    if (going(from))
        from->status = h5_read(from->file, "/pairs/second", H5_U16, 1, &count, second);
    if (going(from))
        from->status = h5_read(from->file, "/pairs/count", H5_I64, 1, &count, counts);
    scatter_pairs(from, count, first, second, counts, out);
    free(first);
    free(second);
    free(counts);
}

/* Older checkpoints don't have them. */
static void read_baselines(struct carrier *from, struct checkpoint *out)
{
    if (!going(from) || !h5_has(from->file, "/pairs"))
        return;
    get_f64(from, "/pairs", "valid_unigram", &out->baselines.unigram);
    get_f64(from, "/pairs", "valid_bigram", &out->baselines.bigram);
    if (going(from))
        read_pairs(from, out);
}

static void read_optimizer(struct carrier *from, struct checkpoint *out)
{
    struct optimizer *optimizer = &out->optimizer;
    if (going(from))
        from->status = optimizer_create(&out->options, out->params.total, optimizer);
    if (!going(from))
        return;
    const struct optimizer_method *method = optimizer->method;
    char group[GROUP_SIZE];
    expect_text(from, "/optimizer", "kind", method->name);
    get_i64(from, "/optimizer", "updates", &optimizer->updates);
    read_tensors(from, &out->params, state_group(method->first, group), optimizer->first);
    if (method->second)
        read_tensors(from, &out->params, state_group(method->second, group),
                     optimizer->second);
}

static void expect_shape(struct carrier *from, const char *name, size_t rows,
                         size_t columns)
{
    int rank = 0;
    size_t dims[H5_MAX_RANK] = {0};
    if (going(from))
        from->status = h5_shape(from->file, name, &rank, dims);
    if (going(from) &&
        (rank > 2 || dims[0] != rows || (rank == 2 ? dims[1] : 1) != columns))
        from->status = status_fail(
            STATUS_FAILED, "%s: %s: %zu rows of %zu (expected %zu of %zu)",
            h5_path(from->file), name, dims[0], rank == 1 ? 1 : dims[1], rows, columns);
}

/* What /config says of a batch must be what the streams have: whoever predicts plans by
 * it, too. */
static void size_streams(struct carrier *from, struct checkpoint *out)
{
    if (!going(from))
        return;
    out->rows = (size_t)out->options.train.batch;
    out->microbatches = (size_t)out->options.train.slices;
    out->state_size = checkpoint_state_size(&out->shape, out->rows / out->microbatches);
    expect_shape(from, "/state/rows/epoch", out->rows, 1);
    expect_shape(from, "/state/cursors/epoch", out->microbatches, 1);
    expect_shape(from, "/state/hidden", out->microbatches, out->state_size);
}

static void read_streams(struct carrier *from, struct checkpoint *out)
{
    if (!going(from))
        return;
    out->stream_rows = reserve(from, out->rows, sizeof *out->stream_rows);
    out->cursors = reserve(from, out->microbatches, sizeof *out->cursors);
    out->states = reserve(from, out->microbatches * out->state_size, sizeof *out->states);
    read_table(from, "/state/rows", row_fields, out->rows, out->stream_rows,
               sizeof *out->stream_rows);
    read_table(from, "/state/cursors", cursor_fields, out->microbatches, out->cursors,
               sizeof *out->cursors);
    const size_t dims[2] = {out->microbatches, out->state_size};
    if (going(from))
        from->status = h5_read(from->file, "/state/hidden", H5_F32, 2, dims, out->states);
}

/* The root's attributes, and others that repeat what is known by now. */
static void check_repeated(struct carrier *from, const struct checkpoint *out)
{
    uint64_t seed = 0;
    expect_i64(from, "/", "epoch", out->epoch);
    expect_i64(from, "/", "step", out->step);
    expect_i64(from, "/", "parameters", (int64_t)out->params.total);
    if (going(from))
        from->status = h5_get_u64(from->file, "/state", "seed", &seed);
    if (going(from) && seed != out->options.train.seed)
        from->status = status_fail(STATUS_FAILED,
                                   "%s: /state: attribute seed: %" PRIu64
                                   " (expected %" PRIu64 ", as in /config)",
                                   h5_path(from->file), seed, out->options.train.seed);
    check_names(from, out->encoding);
}

static void read_all(struct carrier *from, enum checkpoint_use use,
                     struct checkpoint *out)
{
    check_format(from);
    if (going(from)) /* also what isn't read here: a damaged file is refused whole */
        from->status = h5_verify(from->file);
    if (going(from))
        read_config(from, &out->options);
    read_vocabulary(from, out);
    read_weights(from, out);
    get_hash(from, "dataset_hash", &out->dataset_hash);
    get_fields(from, "/state", state_fields, out);
    read_history(from, out);
    read_baselines(from, out);
    get_text(from, "/provenance", "numerics", out->core, sizeof out->core);
    get_recorded(from, "/provenance", "host", out->host, sizeof out->host);
    get_i64(from, "/provenance", "ranks", &out->ranks);
    size_streams(from, out);
    if (use == CHECKPOINT_TO_TRAIN) {
        read_optimizer(from, out);
        read_streams(from, out);
    }
}

static void check_all(struct carrier *from, enum checkpoint_use use,
                      const struct checkpoint *out)
{
    const char *path = h5_path(from->file);
    if (going(from))
        from->status = checkpoint_check(path, out);
    if (going(from))
        check_repeated(from, out);
    if (going(from) && use == CHECKPOINT_TO_PREDICT)
        from->status = checkpoint_check_weights(path, out);
    if (going(from) && use == CHECKPOINT_TO_TRAIN)
        from->status = checkpoint_check_training(path, out);
}

enum status checkpoint_read(const char *path, enum checkpoint_use use,
                            struct checkpoint *out)
{
    struct carrier from = {0};
    *out = (struct checkpoint){0};
    from.status = h5_open(path, &from.file);
    if (!going(&from))
        return from.status;
    read_all(&from, use, out);
    check_all(&from, use, out);
    h5_abandon(from.file);
    if (!going(&from))
        checkpoint_free(out);
    return from.status;
}

/* "performance (389 tokens)", "pianoroll 1/4 (90 tokens)". */
static const char *describe(const struct encoding *encoding, char *text, size_t size)
{
    char grid[32] = "";
    if (encoding->grid.ticks)
        snprintf(grid, sizeof grid, " %d ticks", encoding->grid.ticks);
    else if (encoding->grid.denominator)
        snprintf(grid, sizeof grid, " %d/%d", encoding->grid.numerator,
                 encoding->grid.denominator);
    snprintf(text, size, "%s%s (%zu tokens)", encoding->name, grid, encoding->vocabulary);
    return text;
}

enum status checkpoint_check_vocabulary(const char *path,
                                        const struct checkpoint *checkpoint,
                                        const struct dataset *dataset)
{
    char before[CHECKPOINT_TEXT * 2], now[CHECKPOINT_TEXT * 2];
    if (checkpoint->vocabulary_hash == dataset->vocabulary_hash)
        return STATUS_OK;
    return status_fail(
        STATUS_MISUSE,
        "%s was trained on encoding %s, the dataset %s has %s: give a dataset "
        "made with the same data.encoding and data.grid",
        path, describe(checkpoint->encoding, before, sizeof before), dataset->path,
        describe(dataset->encoding, now, sizeof now));
}

enum status checkpoint_model(const struct checkpoint *checkpoint,
                             const struct matmul_backend *backend, int microbatches,
                             int rows, int steps, struct model **out)
{
    const struct model_plan plan = {.shape = &checkpoint->shape,
                                    .end = checkpoint->encoding->end,
                                    .microbatches = microbatches,
                                    .rows = rows,
                                    .steps = steps,
                                    .backend = backend};
    enum status status = model_create(&plan, out);
    if (status != STATUS_OK)
        return status;
    memcpy(model_weights(*out), checkpoint->weights,
           checkpoint->params.total * sizeof *checkpoint->weights);
    model_weights_changed(*out);
    return STATUS_OK;
}

void checkpoint_free_streams(struct checkpoint *checkpoint)
{
    free(checkpoint->stream_rows);
    free(checkpoint->cursors);
    free(checkpoint->states);
    checkpoint->stream_rows = NULL;
    checkpoint->cursors = NULL;
    checkpoint->states = NULL;
}

void checkpoint_free(struct checkpoint *checkpoint)
{
    encoding_free(checkpoint->encoding);
    optimizer_free(&checkpoint->optimizer);
    checkpoint_free_streams(checkpoint);
    free(checkpoint->weights);
    free(checkpoint->history);
    free(checkpoint->pairs);
    *checkpoint = (struct checkpoint){0};
}
