/* inspect, several runs: a table with one row per run, best first. Its columns include
 * the settings that differ between the runs, such as those varied by a sweep. */
#include "inspect.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/text.h"
#include "train/checkpoint.h"
#include "train/checkpoint_path.h"
#include "train/metrics_lines.h"

enum { CELL = 160, RESULTS = 6 }; /* characters of a cell; columns after the settings */
static const char *const result_names[RESULTS] = {"epoch",    "step",     "valid loss",
                                                  "of epoch", "tokens/s", "weights hash"};

struct run {
    const char *path;
    char *reason; /* why the run can't be read, owned; else NULL */
    int64_t epoch, epochs, step;
    int64_t best_epoch, best_step;        /* best_epoch 0: none yet */
    bool best_is_partial;                 /* best_epoch is partial: the run ended in it */
    double best_valid, tokens_per_second; /* tokens_per_second 0: no epoch yet */
    uint64_t weights_hash;
    struct inspect_settings settings; /* all settings, in `first` */
    size_t position;                  /* position among the arguments */
};

/* The table's runs, and which of their settings are shown: indices into settings. */
struct runs {
    struct run *items;
    size_t count, readable;
    size_t *columns, column_count;
};

/* ---- reading ---- */

/* The number after "KEY": in a line of metrics; NAN if absent or null. */
static double find_number(const char *line, const char *key)
{
    char *end;
    const char *at = strstr(line, key);
    if (!at)
        return (double)NAN;
    at += strlen(key);
    at += strspn(at, ": ");
    double number = strtod(at, &end);
    return end > at ? number : (double)NAN;
}

/* The validation loss in the last line with this weights hash. */
static double valid_loss_of(const char *path, const char *hash)
{
    double found = (double)NAN;
    struct metrics_lines metrics;
    if (metrics_lines_open(path, &metrics) != STATUS_OK)
        return found;
    while (metrics_lines_next(&metrics))
        if (strstr(metrics.lines.text, hash) &&
            strstr(metrics.lines.text, "\"valid_loss\""))
            found = find_number(metrics.lines.text, "\"valid_loss\"");
    if (metrics.status != STATUS_OK)
        log_warn("%s: reading stops here", status_message());
    metrics_lines_close(&metrics);
    return found;
}

double inspect_partial_epoch_loss(const char *file, const struct checkpoint *checkpoint)
{
    char hash[HASH64_TEXT];
    if (checkpoint->state.epoch_step == 0)
        return (double)NAN;
    char *directory = path_directory(file);
    char *path = directory ? path_join(directory, "../metrics.jsonl") : NULL;
    hash64_text(checkpoint->weights_hash, hash);
    double found = path ? valid_loss_of(path, hash) : (double)NAN;
    free(path);
    free(directory);
    return found;
}

static int64_t step_of_epoch(const struct checkpoint *checkpoint, int64_t epoch)
{
    for (size_t i = 0; i < checkpoint->state.history_count; i++)
        if (checkpoint->state.history[i].epoch == epoch)
            return checkpoint->state.history[i].step;
    return 0;
}

/* Sets the best validation loss: of a complete epoch, or of a final partial epoch ended
 * by train.max_steps if that is better. */
static void set_best(const char *file, const struct checkpoint *checkpoint,
                     struct run *run)
{
    double partial = inspect_partial_epoch_loss(file, checkpoint);
    if (isfinite(checkpoint->state.schedule.best_valid)) {
        run->best_epoch = checkpoint->state.schedule.best_epoch;
        run->best_step = step_of_epoch(checkpoint, run->best_epoch);
        run->best_valid = checkpoint->state.schedule.best_valid;
    }
    if (isfinite(partial) && (run->best_epoch == 0 || partial < run->best_valid)) {
        run->best_epoch = checkpoint->state.epoch + 1;
        run->best_step = checkpoint->state.step;
        run->best_valid = partial;
        run->best_is_partial = true;
    }
}

static enum status read_summary(const char *file, const struct checkpoint *checkpoint,
                                struct run *run)
{
    run->epoch = checkpoint->state.epoch;
    run->epochs = checkpoint->options.train.epochs;
    run->step = checkpoint->state.step;
    run->weights_hash = checkpoint->weights_hash;
    set_best(file, checkpoint, run);
    if (checkpoint->state.history_count)
        run->tokens_per_second =
            checkpoint->state.history[checkpoint->state.history_count - 1]
                .tokens_per_second;
    return inspect_settings_compare(&checkpoint->options, &checkpoint->options,
                                    SECTION_ALL, false, &run->settings);
}

static enum status read_run(struct run *run)
{
    char *file = NULL;
    struct checkpoint checkpoint = {0};
    enum status status = checkpoint_path_resolve(run->path, "latest", &file);
    if (status == STATUS_OK)
        status = checkpoint_read(file, CHECKPOINT_TO_INSPECT, &checkpoint);
    if (status == STATUS_OK)
        status = read_summary(file, &checkpoint, run);
    checkpoint_free(&checkpoint);
    free(file);
    return status;
}

static enum status read_all(const char *const *paths, size_t count, struct runs *runs)
{
    runs->items = calloc(count, sizeof *runs->items);
    if (!runs->items)
        return status_fail(STATUS_FAILED, "no memory for %zu runs", count);
    runs->count = count;
    for (size_t i = 0; i < count; i++) {
        struct run *run = &runs->items[i];
        *run = (struct run){.path = paths[i], .position = i};
        if (read_run(run) == STATUS_OK)
            runs->readable++;
        else if (!(run->reason = strdup(status_message())))
            return status_fail(STATUS_FAILED, "no memory for %zu runs", count);
    }
    if (runs->readable == 0)
        return status_fail(STATUS_FAILED, "inspect: none of %zu runs can be read; %s",
                           count, runs->items[0].reason);
    return STATUS_OK;
}

static void free_runs(struct runs *runs)
{
    for (size_t i = 0; i < runs->count; i++) {
        free(runs->items[i].reason);
        inspect_settings_free(&runs->items[i].settings);
    }
    free(runs->items);
    free(runs->columns);
}

/* ---- order and columns ---- */

/* Readable runs first, sorted by validation loss; runs without a loss in the given order.
 */
static int compare_runs(const void *left, const void *right)
{
    const struct run *a = left, *b = right;
    if (!a->reason != !b->reason)
        return a->reason ? 1 : -1;
    if ((a->best_epoch > 0) != (b->best_epoch > 0))
        return a->best_epoch > 0 ? -1 : 1;
    if (a->best_epoch > 0 && a->best_valid != b->best_valid)
        return a->best_valid < b->best_valid ? -1 : 1;
    return a->position < b->position ? -1 : 1;
}

/* True if the readable runs, which come first, differ in this setting. */
static bool setting_varies(const struct runs *runs, size_t setting)
{
    const struct inspect_setting *reference = &runs->items[0].settings.items[setting];
    if (strcmp(reference->section, "run") == 0 && strcmp(reference->key, "dir") == 0)
        return false; /* differs for every run, and is already the first column */
    for (size_t i = 1; i < runs->readable; i++)
        if (strcmp(reference->first, runs->items[i].settings.items[setting].first) != 0)
            return true;
    return false;
}

static enum status choose_columns(struct runs *runs)
{
    size_t settings = runs->items[0].settings.count;
    runs->columns = calloc(settings + 1, sizeof *runs->columns);
    if (!runs->columns)
        return status_fail(STATUS_FAILED, "no memory for the settings");
    for (size_t i = 0; i < settings; i++)
        if (setting_varies(runs, i))
            runs->columns[runs->column_count++] = i;
    return STATUS_OK;
}

static const struct inspect_setting *setting_of(const struct runs *runs, size_t run,
                                                size_t column)
{
    return &runs->items[run].settings.items[runs->columns[column]];
}

/* ---- table ---- */

static const char *result_text(const struct run *run, size_t which, char *text)
{
    strcpy(text, "-");
    if (which == 0)
        snprintf(text, CELL, "%" PRId64 "/%" PRId64, run->epoch, run->epochs);
    else if (which == 1)
        snprintf(text, CELL, "%" PRId64, run->step);
    else if (which == 2 && run->best_epoch > 0)
        snprintf(text, CELL, "%.4f", run->best_valid);
    else if (which == 3 && run->best_is_partial)
        snprintf(text, CELL, "%" PRId64 " (step %" PRId64 ")", run->best_epoch,
                 run->best_step);
    else if (which == 3 && run->best_epoch > 0)
        snprintf(text, CELL, "%" PRId64, run->best_epoch);
    else if (which == 4 && run->tokens_per_second > 0)
        snprintf(text, CELL, "%.0f", run->tokens_per_second);
    else if (which == 5)
        snprintf(text, CELL, "%016" PRIx64, run->weights_hash);
    return text;
}

/* The text of a cell; row 0 is the header, column 0 the path. */
static const char *cell(const struct runs *runs, size_t row, size_t column, char *text)
{
    size_t settings = runs->column_count;
    if (column == 0) {
        text_excerpt(row ? runs->items[row - 1].path : "run", text, CELL);
    } else if (column <= settings) {
        const struct inspect_setting *setting =
            setting_of(runs, row ? row - 1 : 0, column - 1);
        if (row)
            text_excerpt(setting->first, text, CELL);
        else
            snprintf(text, CELL, "%s.%s", setting->section, setting->key);
    } else if (row) {
        result_text(&runs->items[row - 1], column - 1 - settings, text);
    } else {
        snprintf(text, CELL, "%s", result_names[column - 1 - settings]);
    }
    return text;
}

static int width_of(const struct runs *runs, size_t column)
{
    char text[CELL];
    size_t width = 0;
    for (size_t row = 0; row <= runs->readable; row++) {
        size_t length = strlen(cell(runs, row, column, text));
        width = length > width ? length : width;
    }
    return (int)width;
}

static enum status print_table(const struct runs *runs)
{
    char text[CELL];
    size_t columns = 1 + runs->column_count + RESULTS;
    int *widths = calloc(columns, sizeof *widths);
    if (!widths)
        return status_fail(STATUS_FAILED, "no memory for a table");
    for (size_t column = 0; column < columns; column++)
        widths[column] = width_of(runs, column);
    for (size_t row = 0; row <= runs->readable; row++)
        for (size_t column = 0; column < columns; column++)
            printf("%*s%s", column ? widths[column] : -widths[column],
                   cell(runs, row, column, text), column + 1 < columns ? "  " : "\n");
    free(widths);
    if (runs->readable < runs->count)
        putchar('\n');
    for (size_t i = runs->readable; i < runs->count; i++)
        printable_line(stdout, "%s", runs->items[i].reason);
    return STATUS_OK;
}

/* ---- JSON ---- */

static void run_json(struct json *json, const struct runs *runs, size_t index)
{
    const struct run *run = &runs->items[index];
    json_object(json, NULL);
    json_string(json, "path", run->path);
    if (run->reason) {
        json_string(json, "error", run->reason);
        json_close(json);
        return;
    }
    json_object(json, "settings");
    for (size_t column = 0; column < runs->column_count; column++)
        inspect_setting_json(json, setting_of(runs, index, column));
    json_close(json);
    json_integer(json, "epoch", run->epoch);
    json_integer(json, "epochs", run->epochs);
    json_integer(json, "step", run->step);
    json_number(json, "best_valid_loss",
                run->best_epoch > 0 ? run->best_valid : (double)NAN);
    json_integer(json, "best_epoch", run->best_epoch);
    json_integer(json, "best_step", run->best_step);
    json_number(json, "tokens_per_second",
                run->tokens_per_second > 0 ? run->tokens_per_second : (double)NAN);
    json_hash(json, "weights_hash", run->weights_hash);
    json_close(json);
}

static enum status table_json(const struct runs *runs)
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_string(&json, "kind", "runs");
    json_array(&json, "runs");
    for (size_t i = 0; i < runs->count; i++)
        run_json(&json, runs, i);
    json_close(&json);
    json_close(&json);
    return json_end(&json);
}

enum status inspect_runs(const char *const *paths, size_t count, bool json)
{
    struct runs runs = {0};
    enum status status = read_all(paths, count, &runs);
    if (status == STATUS_OK) {
        qsort(runs.items, runs.count, sizeof *runs.items, compare_runs);
        status = choose_columns(&runs);
    }
    if (status == STATUS_OK)
        status = json ? table_json(&runs) : print_table(&runs);
    free_runs(&runs);
    return status;
}
