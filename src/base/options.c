/* options: defaults, single settings, constraints between settings, and the difference
 * between two sets of settings. The rows are in options_table.c, the lookup of names in
 * options_find.c, one value in options_value.c, files in options_read.c, printing in
 * options_text.c. */
#include "options_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

void options_defaults(struct options *options)
{
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < option_row_count; i++)
        option_parse(&option_rows[i], options, option_rows[i].default_value, "default");
}

/* The correction of "epochs=3": "train.epochs=3". */
static const char *example(const char *assignment, size_t equals, char *text, size_t size)
{
    snprintf(text, size, "train.batch=64");
    for (size_t i = 0; i < option_row_count; i++)
        if (strlen(option_rows[i].key) == equals &&
            strncmp(option_rows[i].key, assignment, equals) == 0) {
            snprintf(text, size, "%s.%.60s", option_rows[i].section, assignment);
            break;
        }
    return text;
}

enum status options_set(struct options *options, const char *assignment,
                        const char *origin)
{
    char section[32], shown[100], hint[100];
    size_t dot = strcspn(assignment, ".="), equals = strcspn(assignment, "=");
    if (assignment[dot] != '.' || assignment[equals] != '=' || dot >= sizeof section)
        return status_fail(STATUS_MISUSE,
                           "%s %s: expected section.key=value, for example %s", origin,
                           text_excerpt(assignment, shown, sizeof shown),
                           example(assignment, equals, hint, sizeof hint));
    char key[64];
    snprintf(section, sizeof section, "%.*s", (int)dot, assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - dot - 1), assignment + dot + 1);
    const struct option_row *row = option_find(section, key);
    if (!row)
        return option_unknown(section, key, origin);
    return option_parse_user(row, options, assignment + equals + 1, origin);
}

enum status options_set_key(struct options *options, const char *section, const char *key,
                            const char *value, bool *known)
{
    const struct option_row *row = option_find(section, key);
    *known = row != NULL;
    if (!row)
        return STATUS_OK;
    char origin[80];
    snprintf(origin, sizeof origin, "--%.70s", key);
    return option_parse_user(row, options, value, origin);
}

/* The microbatches must divide the batch evenly; the message proposes values that do. */
static enum status check_microbatches(int64_t batch, int64_t microbatches)
{
    if (batch % microbatches == 0)
        return STATUS_OK;
    int64_t divisor = microbatches < batch ? microbatches : batch;
    while (batch % divisor != 0)
        divisor--;
    int64_t above = batch - batch % microbatches + microbatches;
    return status_fail(STATUS_MISUSE,
                       "train.microbatches = %" PRId64
                       " does not divide train.batch = %" PRId64
                       ": set train.batch = %" PRId64 " or train.microbatches = %" PRId64,
                       microbatches, batch, above, divisor);
}

static enum status check_split(const double *split)
{
    const double rounding = 1e-5; /* thirds may be written as 0.333333 */
    double sum = split[0] + split[1] + split[2];
    if (split[0] > 0 && fabs(sum - 1) <= rounding)
        return STATUS_OK;
    char part[3][TEXT_NUMBER], total[TEXT_NUMBER];
    for (int i = 0; i < 3; i++)
        text_number(split[i], part[i], sizeof part[i]);
    snprintf(total, sizeof total, "%.6g", sum);
    return status_fail(STATUS_MISUSE,
                       "data.split = %s %s %s %s: for example data.split = 0.9 0.05 0.05",
                       part[0], part[1], part[2],
                       split[0] > 0 ? "does not sum to 1" : "leaves nothing to train on");
}

/* One matrix has the width of the embedding and that of the output layer's input. */
static enum status check_tied(int64_t embedding, int64_t hidden, int64_t dense)
{
    int64_t width = dense ? dense : hidden;
    if (embedding == width)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "model.tie_embeddings = yes needs model.embedding = %s, the input "
                       "of the output layer: set model.embedding = %" PRId64
                       ", not %" PRId64,
                       dense ? "model.dense" : "model.hidden", width, embedding);
}

static enum status fail_without_embedding(const char *key, const char *cure)
{
    return status_fail(STATUS_MISUSE,
                       "model.%s needs an embedding, but model.embedding = 0: set "
                       "model.embedding = 256, or model.%s = %s",
                       key, key, cure);
}

/* The settings that have no meaning without an embedding. */
static enum status check_embedding(const struct options *options)
{
    if (options->model.embedding > 0)
        return STATUS_OK;
    if (options->model.dropout_input > 0)
        return fail_without_embedding("dropout_input", "0");
    if (options->model.dropout_embedding > 0)
        return fail_without_embedding("dropout_embedding", "0");
    return STATUS_OK;
}

/* Pieces are varied as a whole, while they are read from end to end. */
static enum status check_windows(const struct options *options)
{
    const char *key = options->train.transpose[0] < 0 || options->train.transpose[1] > 0
                          ? "transpose"
                      : options->train.velocity_shift > 0 ? "velocity_shift"
                      : options->train.time_stretch > 0   ? "time_stretch"
                                                          : NULL;
    if (options->train.windows == WINDOWS_STREAM || !key)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "train.%s needs train.windows = stream: independent windows "
                       "are not varied",
                       key);
}

static enum status check_samples(const struct options *options)
{
    if (options->sample.min_seconds > options->run.sample_seconds)
        return status_fail(STATUS_MISUSE,
                           "sample.min_seconds = %g is above run.sample_seconds = %g",
                           options->sample.min_seconds, options->run.sample_seconds);
    if (options->run.samples > 0 &&
        options->sample.best_of > SAMPLES_DRAWN_MAX / options->run.samples)
        return status_fail(STATUS_MISUSE,
                           "sample.best_of = %" PRId64 " of run.samples = %" PRId64
                           ": more than %d pieces would be drawn after an epoch",
                           options->sample.best_of, options->run.samples,
                           (int)SAMPLES_DRAWN_MAX);
    if (options->sample.tempo > 0 && options->sample.tempo < 4)
        return status_fail(STATUS_MISUSE,
                           "sample.tempo = %g: a MIDI file has at least 4 beats per "
                           "minute",
                           options->sample.tempo);
    return STATUS_OK;
}

enum status options_check(const struct options *options)
{
    enum status status =
        check_microbatches(options->train.batch, options->train.microbatches);
    if (status == STATUS_OK)
        status = check_split(options->data.split);
    if (status == STATUS_OK)
        status = check_embedding(options);
    if (status == STATUS_OK)
        status = check_windows(options);
    if (status == STATUS_OK && options->model.tie_embeddings)
        status = check_tied(options->model.embedding, options->model.hidden,
                            options->model.dense);
    if (status == STATUS_OK && options->model.residual && options->model.layers < 2)
        status = status_fail(
            STATUS_MISUSE, "model.residual = yes needs model.layers = 2 or more, not 1: "
                           "the first layer has no residual connection");
    if (status == STATUS_OK && options->data.min_notes > options->data.max_notes)
        status =
            status_fail(STATUS_MISUSE,
                        "data.min_notes = %" PRId64 " is above data.max_notes = %" PRId64
                        ": every file would be skipped; set data.min_notes = 1",
                        options->data.min_notes, options->data.max_notes);
    if (status == STATUS_OK && options->train.precision == PRECISION_BFLOAT16 &&
        options->train.matmul == MATMUL_OPENBLAS)
        status =
            status_fail(STATUS_MISUSE,
                        "train.precision = bfloat16 needs train.matmul = packed or auto");
    if (status == STATUS_OK)
        status = check_samples(options);
    if (status == STATUS_OK && options->run.dir[0] == '\0')
        status = status_fail(
            STATUS_MISUSE, "run.dir is empty: set it, for example run.dir = runs/first");
    return status;
}

const char *options_vocabulary_difference(const struct options *first,
                                          const struct options *second, char *text,
                                          size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        char first_value[OPTIONS_TEXT], second_value[OPTIONS_TEXT];
        if (!row->in_vocabulary)
            continue;
        option_format(row, first, first_value, sizeof first_value);
        option_format(row, second, second_value, sizeof second_value);
        size_t used = strlen(text);
        if (strcmp(first_value, second_value) != 0)
            snprintf(text + used, size - used, "%s%s.%s", used ? ", " : "", row->section,
                     row->key);
    }
    return text;
}

void options_copy_dataset(struct options *options, const struct options *dataset)
{
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->in_dataset)
            memcpy((char *)options + row->offset, (const char *)dataset + row->offset,
                   row->size);
    }
}

void options_difference(const struct options *stored, const struct options *requested,
                        char **report, int *count)
{
    size_t size;
    *count = 0;
    *report = NULL;
    FILE *lines = open_memstream(report, &size);
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        char stored_value[OPTIONS_TEXT], requested_value[OPTIONS_TEXT];
        option_format(row, stored, stored_value, sizeof stored_value);
        option_format(row, requested, requested_value, sizeof requested_value);
        if (row->may_change || strcmp(stored_value, requested_value) == 0)
            continue;
        ++*count;
        if (lines)
            fprintf(lines, "%s%s.%s: %s in the checkpoint, %s requested",
                    *count > 1 ? "\n" : "", row->section, row->key,
                    options_shown(stored_value), options_shown(requested_value));
    }
    if (lines)
        fclose(lines);
    if (*count == 0) {
        free(*report);
        *report = NULL;
    }
}
