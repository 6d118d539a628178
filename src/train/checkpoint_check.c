/* checkpoint_check: see the header. */
#include "checkpoint_check.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "schedule.h"

/* Sums of a few such counts fit in 64 bits, and doubles hold them exactly. */
static const int64_t MAX_COUNT = INT64_C(1) << 53;
enum { MAX_RANKS = 1 << 24 };

static const double MAX_SECONDS = 1e12; /* 30 000 years */
static const double MAX_TOKENS_PER_SECOND = 1e15;
static const double MAX_LOSS = 1e15;  /* loss of an epoch, sum or mean */
static const double MIN_LOSS = -1e-3; /* loss of a token: 0 up to rounding */
static const double MAX_LEARNING_RATE = 1e3;

/* ---- /state ---- */

static enum status check_count(const char *path, const char *name, int64_t found,
                               int64_t min, int64_t max)
{
    if (found >= min && found <= max)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: %s: %" PRId64 " (expected %" PRId64 " to %" PRId64 ")", path,
                       name, found, min, max);
}

static enum status check_number(const char *path, const char *name, double found,
                                double min, double max)
{
    if (found >= min && found <= max)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: %g (expected %g to %g)", path, name, found,
                       min, max);
}

/* Maximum number of targets in one step. */
static int64_t max_targets_per_step(const struct checkpoint *checkpoint)
{
    return checkpoint->options.train.batch * checkpoint->options.train.sequence_length;
}

static enum status check_current_epoch(const char *path, const struct checkpoint *c)
{
    enum status status = check_count(path, "/state: attribute epoch_step",
                                     c->state.epoch_step, 0, c->state.step);
    if (status != STATUS_OK)
        return status;
    int64_t max = c->state.epoch_step < MAX_COUNT / max_targets_per_step(c)
                      ? c->state.epoch_step * max_targets_per_step(c)
                      : MAX_COUNT;
    status = check_count(path, "/state: attribute epoch_targets", c->state.epoch_targets,
                         c->state.epoch_step, max);
    if (status == STATUS_OK)
        status = check_count(path, "/state: attribute epoch_correct",
                             c->state.epoch_correct, 0, c->state.epoch_targets);
    if (status == STATUS_OK)
        status = check_number(
            path, "/state: attribute epoch_loss", c->state.epoch_loss,
            c->state.epoch_targets ? MIN_LOSS * (double)c->state.epoch_targets : 0,
            c->state.epoch_targets ? MAX_LOSS : 0);
    return status;
}

/* ---- /history ---- */

struct metric_range {
    const char *column;
    size_t offset;
    double min, max;
    bool may_be_nan; /* NaN: nothing was measured */
};

#define METRIC(member) #member, offsetof(struct history_row, member)

static enum status check_metric(const char *path, const struct metric_range *range,
                                size_t at, double found)
{
    if (found >= range->min && found <= range->max)
        return STATUS_OK;
    if (isnan(found) && range->may_be_nan)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /history/%s: %g in row %zu (expected %g to %g%s)", path,
                       range->column, found, at, range->min, range->max,
                       range->may_be_nan ? ", or nan" : "");
}

static enum status check_metrics(const char *path, size_t at,
                                 const struct history_row *row)
{
    const struct metric_range ranges[] = {
        {METRIC(train_loss), MIN_LOSS, MAX_LOSS, false},
        {METRIC(train_accuracy), 0, 1, false},
        {METRIC(valid_loss), MIN_LOSS, MAX_LOSS, true},
        {METRIC(valid_accuracy), 0, 1, true},
        {METRIC(valid_loss_average), MIN_LOSS, MAX_LOSS, true},
        {METRIC(learning_rate), 0, MAX_LEARNING_RATE, false},
        {METRIC(seconds), 0, MAX_SECONDS, false},
        {METRIC(tokens_per_second), 0, MAX_TOKENS_PER_SECOND, false},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges && status == STATUS_OK; i++) {
        double found;
        memcpy(&found, (const char *)row + ranges[i].offset, sizeof found);
        status = check_metric(path, &ranges[i], at, found);
    }
    return status;
}

/* Checks a row: there is one per epoch, in order, with increasing steps. */
static enum status check_row(const char *path, const struct checkpoint *c, size_t at)
{
    const struct history_row *row = &c->state.history[at];
    int64_t min = at ? row[-1].step + 1 : 1, epoch = (int64_t)at + 1;
    if (row->epoch != epoch)
        return status_fail(STATUS_FAILED,
                           "%s: /history/epoch: %" PRId64 " in row %zu (expected %" PRId64
                           ")",
                           path, row->epoch, at, epoch);
    if (row->step < min || row->step > c->state.step)
        return status_fail(STATUS_FAILED,
                           "%s: /history/step: %" PRId64 " in row %zu (expected %" PRId64
                           " to %" PRId64 ")",
                           path, row->step, at, min, c->state.step);
    return check_metrics(path, at, row);
}

/* The steps of the completed epochs and of the current one must add up. */
static enum status check_history(const char *path, const struct checkpoint *c)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < c->state.history_count && status == STATUS_OK; i++)
        status = check_row(path, c, i);
    int64_t completed =
        c->state.history_count ? c->state.history[c->state.history_count - 1].step : 0;
    if (status == STATUS_OK && c->state.step - completed != c->state.epoch_step)
        status = status_fail(STATUS_FAILED,
                             "%s: /state: attribute epoch_step: %" PRId64
                             " (expected %" PRId64 ", the steps after the last epoch)",
                             path, c->state.epoch_step, c->state.step - completed);
    return status;
}

/* ---- derived from /history ---- */

static enum status check_derived_count(const char *path, const char *name, int64_t found,
                                       int64_t expected)
{
    if (found == expected)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /state: attribute %s: %" PRId64 " (expected %" PRId64
                       ", by /history)",
                       path, name, found, expected);
}

static enum status check_derived_number(const char *path, const char *name, double found,
                                        double expected)
{
    if (found == expected)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /state: attribute %s: %g (expected %g, by /history)", path,
                       name, found, expected);
}

/* The schedule's state is a function of the losses in the history, as its settings can't
 * change within a run. */
static enum status check_schedule(const char *path, const struct checkpoint *c)
{
    const struct schedule_state *schedule = &c->state.schedule;
    struct schedule_state expected;
    schedule_init(&expected);
    for (size_t i = 0; i < c->state.history_count; i++)
        if (!isnan(c->state.history[i].valid_loss))
            schedule_epoch(&expected, &c->options, c->state.history[i].epoch,
                           c->state.history[i].valid_loss);
    enum status status = check_derived_count(path, "best_epoch", schedule->best_epoch,
                                             expected.best_epoch);
    if (status == STATUS_OK)
        status = check_derived_number(path, "best_valid", schedule->best_valid,
                                      expected.best_valid);
    if (status == STATUS_OK)
        status = check_derived_count(path, "bad_epochs", schedule->bad_epochs,
                                     expected.bad_epochs);
    if (status == STATUS_OK)
        status = check_derived_count(path, "plateau_wait", schedule->plateau_wait,
                                     expected.plateau_wait);
    if (status == STATUS_OK)
        status = check_derived_number(path, "factor", schedule->factor, expected.factor);
    return status;
}

/* Before the first step of an epoch the weights are those at the end of the previous one.
 */
static enum status check_last_weights(const char *path, const struct checkpoint *c)
{
    if (c->state.epoch_step != 0 || c->state.history_count == 0)
        return STATUS_OK;
    uint64_t last = c->state.history[c->state.history_count - 1].weights_hash;
    if (last == c->weights_hash)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /history/weights_hash: %016" PRIx64
                       " in row %zu (expected %016" PRIx64 ", the weights' hash)",
                       path, last, c->state.history_count - 1, c->weights_hash);
}

/* ---- /pairs ---- */

static enum status check_pairs(const char *path, const struct checkpoint *c)
{
    size_t v = c->pairs ? c->encoding->vocabulary : 0;
    int64_t all = 0;
    for (size_t i = 0; i < v * v; i++) {
        if (c->pairs[i] > MAX_COUNT - all)
            return status_fail(STATUS_FAILED,
                               "%s: /pairs/count: more than 2^53 pairs of tokens", path);
        all += c->pairs[i];
    }
    const double baselines[] = {c->baselines.unigram, c->baselines.bigram};
    static const char *const names[] = {"valid_unigram", "valid_bigram"};
    for (int i = 0; v && i < 2; i++)
        if (!isnan(baselines[i]) && !(baselines[i] >= 0 && baselines[i] <= MAX_LOSS))
            return status_fail(STATUS_FAILED,
                               "%s: /pairs: attribute %s: %g (expected 0 to %g, or nan)",
                               path, names[i], baselines[i], MAX_LOSS);
    return STATUS_OK;
}

enum status checkpoint_check(const char *path, const struct checkpoint *c)
{
    enum status status =
        check_count(path, "/state: attribute step", c->state.step, 0, MAX_COUNT);
    if (status == STATUS_OK)
        status = check_count(path, "/state: attribute epoch", c->state.epoch, 0,
                             c->state.step);
    if (status == STATUS_OK)
        status = check_current_epoch(path, c);
    if (status == STATUS_OK)
        status = check_history(path, c);
    if (status == STATUS_OK)
        status = check_schedule(path, c);
    if (status == STATUS_OK)
        status = check_last_weights(path, c);
    if (status == STATUS_OK)
        status = check_pairs(path, c);
    if (status == STATUS_OK)
        status = check_count(path, "/provenance: attribute ranks", c->provenance.ranks, 1,
                             MAX_RANKS);
    return status;
}

/* ---- values ---- */

/* Branch-free, so that it costs no more than reading the values. */
static bool all_finite(const float *values, size_t count)
{
    bool bad = false;
    for (size_t i = 0; i < count; i++)
        bad |= !(fabsf(values[i]) <= FLT_MAX);
    return !bad;
}

static bool none_negative(const float *values, size_t count)
{
    bool bad = false;
    for (size_t i = 0; i < count; i++)
        bad |= !(values[i] >= 0);
    return !bad;
}

static enum status fail_value(const char *path, const char *group,
                              const struct param *param, const float *values, float min)
{
    size_t at = 0;
    while (at + 1 < param->count && values[at] >= min && values[at] <= FLT_MAX)
        at++;
    return status_fail(STATUS_FAILED, "%s: %s/%s: value %zu is %g (expected %s)", path,
                       group, param->name, at, (double)values[at],
                       min < 0 ? "finite numbers" : "finite numbers, none below 0");
}

/* Checks all tensors of a block; `min` is 0 or -FLT_MAX. */
static enum status check_tensors(const char *path, const char *group,
                                 const struct params *params, const float *block,
                                 float min)
{
    for (size_t i = 0; i < params->count; i++) {
        const struct param *param = &params->list[i];
        const float *values = block + param->offset;
        if (!all_finite(values, param->count) ||
            (min >= 0 && !none_negative(values, param->count)))
            return fail_value(path, group, param, values, min);
    }
    return STATUS_OK;
}

enum status checkpoint_check_weights(const char *path, const struct checkpoint *c)
{
    return check_tensors(path, "/model", &c->params, c->weights, -FLT_MAX);
}

enum status checkpoint_check_average(const char *path, const struct checkpoint *c,
                                     const float *average)
{
    return check_tensors(path, "/average", &c->params, average, -FLT_MAX);
}

static enum status check_moment(const char *path, const char *name, bool is_squares,
                                const struct checkpoint *c, const float *values)
{
    char group[64];
    snprintf(group, sizeof group, "/optimizer/%s", name);
    return check_tensors(path, group, &c->params, values, is_squares ? 0 : -FLT_MAX);
}

static enum status check_optimizer(const char *path, const struct checkpoint *c)
{
    const struct optimizer *optimizer = &c->state.optimizer;
    if (optimizer->updates != c->state.step)
        return status_fail(STATUS_FAILED,
                           "%s: /optimizer: attribute updates: %" PRId64
                           " (expected %" PRId64 ", one a step)",
                           path, optimizer->updates, c->state.step);
    const struct optimizer_method *method = optimizer->method;
    enum status status =
        check_moment(path, method->first, method->first_is_squares, c, optimizer->first);
    if (status == STATUS_OK && method->second)
        status = check_moment(path, method->second, method->second_is_squares, c,
                              optimizer->second);
    return status;
}

/* ---- streams ---- */

/* Upper bound on the pieces, and on the passes over its pieces, that a stream can have
 * started: a row yields one token per time step, and a piece has at least one. Also on the
 * independent windows that it has visited: a row has one per step. */
static int64_t max_pieces(const struct checkpoint *c)
{
    int64_t of_step = max_targets_per_step(c);
    return c->state.step < MAX_COUNT / of_step
               ? c->state.step * of_step + (int64_t)c->streams.row_count
               : MAX_COUNT;
}

static enum status fail_position(const char *path, const char *column, size_t row,
                                 int64_t found)
{
    return status_fail(STATUS_FAILED,
                       "%s: %s: %" PRId64 " in row %zu: not reachable in the steps that "
                       "were made",
                       path, column, found, row);
}

static enum status check_cursor(const char *path, const struct checkpoint *c, size_t at)
{
    const struct stream_cursor *cursor = &c->streams.cursors[at];
    int64_t max = max_pieces(c);
    if (cursor->epoch < 0 || cursor->epoch > max)
        return fail_position(path, "/state/cursors/epoch", at, cursor->epoch);
    if (cursor->next < 0 || cursor->next > max)
        return fail_position(path, "/state/cursors/next", at, cursor->next);
    return STATUS_OK;
}

/* A row is in a piece before its microbatch's cursor, or in none. */
static enum status check_stream_row(const char *path, const struct checkpoint *c,
                                    size_t at)
{
    const struct stream_row *row = &c->streams.rows[at];
    const struct stream_cursor *cursor =
        &c->streams.cursors[at / (c->streams.row_count / c->streams.microbatches)];
    int64_t pieces = row->epoch == cursor->epoch ? cursor->next : max_pieces(c);
    if (row->epoch < 0 || row->epoch > cursor->epoch)
        return fail_position(path, "/state/rows/epoch", at, row->epoch);
    if (row->piece < -1 || row->piece >= pieces)
        return fail_position(path, "/state/rows/piece", at, row->piece);
    if (row->offset < 0 || row->offset > max_pieces(c))
        return fail_position(path, "/state/rows/offset", at, row->offset);
    return STATUS_OK;
}

static enum status check_streams(const char *path, const struct checkpoint *c)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < c->streams.microbatches && status == STATUS_OK; i++)
        status = check_cursor(path, c, i);
    for (size_t i = 0; i < c->streams.row_count && status == STATUS_OK; i++)
        status = check_stream_row(path, c, i);
    if (status == STATUS_OK &&
        !all_finite(c->streams.hidden, c->streams.microbatches * c->streams.hidden_size))
        status = status_fail(
            STATUS_FAILED, "%s: /state/hidden: not all values are finite numbers", path);
    return status;
}

enum status checkpoint_check_training(const char *path, const struct checkpoint *c)
{
    enum status status = checkpoint_check_weights(path, c);
    if (status == STATUS_OK)
        status = check_optimizer(path, c);
    if (status == STATUS_OK)
        status = check_streams(path, c);
    return status;
}
