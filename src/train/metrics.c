/* metrics: see the header. */
#include "metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run_claim.h"
#include "metrics_lines.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

/* The integer after "KEY": in a line of a run; -1 if there is none. */
static int64_t number_of(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    if (!at)
        return -1;
    at += strlen(key);
    at += strspn(at, ": ");
    return strtoll(at, NULL, 10);
}

static bool is_up_to(const char *line, int64_t step, int64_t epoch)
{
    int64_t line_step = number_of(line, "\"step\""),
            line_epoch = number_of(line, "\"epoch\"");
    bool ends_epoch = strstr(line, "\"train_loss\"") != NULL;
    return line_step >= 0 && line_step <= step && (!ends_epoch || line_epoch <= epoch);
}

/* True if the line starts like one that a run writes; a truncated line is compared up to
 * its end. */
static bool is_metrics_line(const struct text_lines *lines)
{
    static const char by_step[] = "{\"step\":", by_epoch[] = "{\"epoch\":";
    size_t length = strlen(lines->text);
    size_t as_step = strlen(by_step), as_epoch = strlen(by_epoch);
    if (!lines->terminated && length < as_step)
        as_step = length;
    if (!lines->terminated && length < as_epoch)
        as_epoch = length;
    return strncmp(lines->text, by_step, as_step) == 0 ||
           strncmp(lines->text, by_epoch, as_epoch) == 0;
}

/* Moves aside a file that contains other lines, or something other than lines. It stays
 * open. */
static enum status move_foreign_aside(const char *path, struct metrics_lines *old)
{
    bool own = true;
    while (metrics_lines_next(old))
        own = own && is_metrics_line(&old->lines);
    if (metrics_lines_read_failed(old))
        return STATUS_FAILED;
    if (old->status != STATUS_OK)
        log_warn("%s: not read any further", status_message());
    return own && old->status == STATUS_OK ? STATUS_OK : run_move_aside(path);
}

struct line_filter {
    struct metrics_lines old;
    int64_t step, epoch;
};

/* Copies the lines to keep. A last line without its newline was truncated and is
 * dropped. */
static bool copy_lines(FILE *out, struct line_filter *filter)
{
    const struct text_lines *line = &filter->old.lines;
    bool ok = true;
    metrics_lines_rewind(&filter->old);
    while (ok && metrics_lines_next(&filter->old))
        if (line->terminated && is_up_to(line->text, filter->step, filter->epoch))
            ok = fprintf(out, "%s\n", line->text) > 0;
    return ok && !metrics_lines_read_failed(&filter->old);
}

static int write_filtered(int descriptor, void *context)
{
    int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    FILE *out = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (copy >= 0 && !out)
        close(copy);
    bool ok = out && copy_lines(out, context);
    int reason = errno;
    if (out && fclose(out) != 0 && ok)
        return -1;
    errno = reason;
    return ok ? 0 : -1;
}

/* Reduces the file to the lines to keep. A file with other lines is moved aside. */
static enum status drop_later_lines(const char *path, int64_t step, int64_t epoch)
{
    struct line_filter filter = {.step = step, .epoch = epoch};
    if (!file_exists(path))
        return file_write_nofollow(path, "", 0);
    enum status status = metrics_lines_open(path, &filter.old);
    if (status != STATUS_OK)
        return status;
    status = move_foreign_aside(path, &filter.old);
    if (status == STATUS_OK)
        status = step > 0 ? file_write_nofollow_callback(path, write_filtered, &filter)
                          : file_write_nofollow(path, "", 0);
    metrics_lines_close(&filter.old);
    return status;
}

/* O_NOFOLLOW: the file must not have been replaced by a link. */
static FILE *open_for_append(const char *path)
{
    int file = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    FILE *stream = file >= 0 ? fdopen(file, "a") : NULL;
    if (file >= 0 && !stream)
        close(file);
    return stream;
}

enum status metrics_open(const char *directory, int64_t step, int64_t epoch,
                         struct metrics *out)
{
    *out = (struct metrics){.path = path_join(directory, "metrics.jsonl")};
    if (!out->path)
        return status_fail(STATUS_FAILED, "%s: out of memory", directory);
    enum status status = drop_later_lines(out->path, step, epoch);
    if (status == STATUS_OK && !(out->file = open_for_append(out->path)))
        status = status_fail_errno("%s: can't be opened for writing", out->path);
    if (status != STATUS_OK)
        metrics_close(out);
    else if (fseeko(out->file, 0, SEEK_END) == 0)
        out->size = ftello(out->file);
    return status;
}

void metrics_close(struct metrics *metrics)
{
    if (metrics->file)
        fclose(metrics->file);
    free(metrics->path);
    *metrics = (struct metrics){0};
}

/* Truncates a partly written line, so that the next one, once there is space again,
 * starts on a line of its own. */
static void truncate_line(struct metrics *metrics)
{
    __fpurge(metrics->file);
    clearerr(metrics->file);
    if (ftruncate(fileno(metrics->file), (off_t)metrics->size) != 0)
        log_warn("%s: a line is truncated: %s", metrics->path, strerror(errno));
}

static void end_line(struct metrics *metrics, struct json *json)
{
    json_close(json);
    if (json_end(json) == STATUS_OK) {
        metrics->size = ftello(metrics->file);
        return;
    }
    if (!metrics->failed)
        log_warn("%s: lines are missing: %s", metrics->path, status_message());
    metrics->failed = true;
    truncate_line(metrics);
}

void metrics_step(struct metrics *metrics, const struct step_metrics *values)
{
    struct json json;
    if (!metrics->file)
        return;
    json_begin(&json, metrics->file, false);
    json_object(&json, NULL);
    json_integer(&json, "step", values->step);
    json_integer(&json, "epoch", values->epoch);
    json_number(&json, "loss", values->loss);
    json_number(&json, "accuracy", values->accuracy);
    json_number(&json, "gradient_norm", values->gradient_norm);
    json_number(&json, "learning_rate", values->learning_rate);
    json_number(&json, "seconds", values->seconds);
    json_number(&json, "tokens_per_second", values->tokens_per_second);
    if (values->hashed)
        json_hash(&json, "weights_hash", values->weights_hash);
    end_line(metrics, &json);
}

void metrics_epoch(struct metrics *metrics, const struct history_row *row,
                   const struct baselines *baselines, const struct checkpoint_cost *cost)
{
    struct json json;
    if (!metrics->file)
        return;
    json_begin(&json, metrics->file, false);
    json_object(&json, NULL);
    json_integer(&json, "epoch", row->epoch);
    json_integer(&json, "step", row->step);
    json_number(&json, "train_loss", row->train_loss);
    json_number(&json, "train_accuracy", row->train_accuracy);
    json_number(&json, "valid_loss", row->valid_loss);
    json_number(&json, "valid_accuracy", row->valid_accuracy);
    if (row->valid_loss_average != 0)
        json_number(&json, "valid_loss_average", row->valid_loss_average);
    json_number(&json, "valid_unigram", baselines->unigram);
    json_number(&json, "valid_bigram", baselines->bigram);
    json_number(&json, "learning_rate", row->learning_rate);
    json_number(&json, "seconds", row->seconds);
    json_number(&json, "tokens_per_second", row->tokens_per_second);
    json_number(&json, "checkpoint_pause_seconds", cost->pause);
    json_number(&json, "checkpoint_seconds", cost->writing);
    json_hash(&json, "weights_hash", row->weights_hash);
    end_line(metrics, &json);
}

void metrics_time(struct metrics *metrics, int64_t epoch, int64_t step,
                  const struct time_breakdown *breakdown)
{
    struct json json;
    if (!metrics->file)
        return;
    json_begin(&json, metrics->file, false);
    json_object(&json, NULL);
    json_integer(&json, "epoch", epoch);
    json_integer(&json, "step", step);
    json_number(&json, "seconds_all", breakdown->total);
    for (int p = PHASE_READ; p < PHASE_END; p++) {
        char key[32];
        snprintf(key, sizeof key, "seconds_%s", phase_name((enum phase)p));
        json_number(&json, key, breakdown->seconds[p]);
    }
    if (breakdown->slow_rank >= 0) {
        json_integer(&json, "slow_rank", breakdown->slow_rank);
        json_string(&json, "slow_host", breakdown->slow_host);
        json_number(&json, "seconds_waited", breakdown->excess_wait);
    }
    end_line(metrics, &json);
}

void metrics_partial_epoch(struct metrics *metrics, const struct step_metrics *values,
                           const struct evaluation *valid)
{
    struct json json;
    if (!metrics->file)
        return;
    json_begin(&json, metrics->file, false);
    json_object(&json, NULL);
    json_integer(&json, "step", values->step);
    json_integer(&json, "epoch", values->epoch);
    json_number(&json, "valid_loss", valid->loss);
    json_number(&json, "valid_accuracy", valid->accuracy);
    json_hash(&json, "weights_hash", values->weights_hash);
    end_line(metrics, &json);
}
