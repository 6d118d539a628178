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
static const int64_t MOST = INT64_C(1) << 53;
enum { MOST_RANKS = 1 << 24 };

static const double LONGEST = 1e12; /* seconds: 30 000 years */
static const double FASTEST = 1e15; /* tokens a second */
static const double LARGEST = 1e15; /* loss of an epoch, sum or mean */
static const double LEAST = -1e-3;  /* loss of a token: 0 up to rounding */
static const double STEEPEST = 1e3; /* learning rate */

/* ---- /state ---- */

static enum status check_count(const char *path, const char *name, int64_t found,
                               int64_t least, int64_t most)
{
    if (found >= least && found <= most)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: %s: %" PRId64 " (expected %" PRId64 " to %" PRId64 ")", path,
                       name, found, least, most);
}

static enum status check_number(const char *path, const char *name, double found,
                                double least, double most)
{
    if (found >= least && found <= most)
        return STATUS_OK;
    return status_fail(STATUS_FAILED, "%s: %s: %g (expected %g to %g)", path, name, found,
                       least, most);
}

/* Maximum number of targets in one step. */
static int64_t targets_of_step(const struct checkpoint *checkpoint)
{
    return checkpoint->options.train.batch * checkpoint->options.train.sequence_length;
}

static enum status check_current_epoch(const char *path, const struct checkpoint *c)
{
    enum status status = check_count(path, "/state: attribute epoch_step",
                                     c->state.epoch_step, 0, c->state.step);
    if (status != STATUS_OK)
        return status;
    int64_t most = c->state.epoch_step < MOST / targets_of_step(c)
                       ? c->state.epoch_step * targets_of_step(c)
                       : MOST;
    status = check_count(path, "/state: attribute epoch_targets", c->state.epoch_targets,
                         c->state.epoch_step, most);
    if (status == STATUS_OK)
        status = check_count(path, "/state: attribute epoch_correct",
                             c->state.epoch_correct, 0, c->state.epoch_targets);
    if (status == STATUS_OK)
        status = check_number(
            path, "/state: attribute epoch_loss", c->state.epoch_loss,
            c->state.epoch_targets ? LEAST * (double)c->state.epoch_targets : 0,
            c->state.epoch_targets ? LARGEST : 0);
    return status;
}

/* ---- /history ---- */

struct figure {
    const char *column;
    size_t offset;
    double least, most;
    bool may_be_missing; /* NaN: nothing was measured */
};

#define FIGURE(member) #member, offsetof(struct history_row, member)

static enum status check_figure(const char *path, const struct figure *figure, size_t at,
                                double found)
{
    if (found >= figure->least && found <= figure->most)
        return STATUS_OK;
    if (isnan(found) && figure->may_be_missing)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /history/%s: %g in row %zu (expected %g to %g%s)", path,
                       figure->column, found, at, figure->least, figure->most,
                       figure->may_be_missing ? ", or nan" : "");
}

static enum status check_figures(const char *path, size_t at,
                                 const struct history_row *row)
{
    const struct figure figures[] = {
        {FIGURE(train_loss), LEAST, LARGEST, false},
        {FIGURE(train_accuracy), 0, 1, false},
        {FIGURE(valid_loss), LEAST, LARGEST, true},
        {FIGURE(valid_accuracy), 0, 1, true},
        {FIGURE(learning_rate), 0, STEEPEST, false},
        {FIGURE(seconds), 0, LONGEST, false},
        {FIGURE(tokens_per_second), 0, FASTEST, false},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof figures / sizeof *figures && status == STATUS_OK; i++) {
        double found;
        memcpy(&found, (const char *)row + figures[i].offset, sizeof found);
        status = check_figure(path, &figures[i], at, found);
    }
    return status;
}

/* Checks a row: there is one per epoch, in order, with increasing steps. */
static enum status check_row(const char *path, const struct checkpoint *c, size_t at)
{
    const struct history_row *row = &c->state.history[at];
    int64_t least = at ? row[-1].step + 1 : 1, epoch = (int64_t)at + 1;
    if (row->epoch != epoch)
        return status_fail(STATUS_FAILED,
                           "%s: /history/epoch: %" PRId64 " in row %zu (expected %" PRId64
                           ")",
                           path, row->epoch, at, epoch);
    if (row->step < least || row->step > c->state.step)
        return status_fail(STATUS_FAILED,
                           "%s: /history/step: %" PRId64 " in row %zu (expected %" PRId64
                           " to %" PRId64 ")",
                           path, row->step, at, least, c->state.step);
    return check_figures(path, at, row);
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

static enum status check_follows(const char *path, const char *name, int64_t found,
                                 int64_t expected)
{
    if (found == expected)
        return STATUS_OK;
    return status_fail(STATUS_FAILED,
                       "%s: /state: attribute %s: %" PRId64 " (expected %" PRId64
                       ", by /history)",
                       path, name, found, expected);
}

static enum status check_figure_follows(const char *path, const char *name, double found,
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
    schedule_start(&expected);
    for (size_t i = 0; i < c->state.history_count; i++)
        if (!isnan(c->state.history[i].valid_loss))
            schedule_epoch(&expected, &c->options, c->state.history[i].epoch,
                           c->state.history[i].valid_loss);
    enum status status =
        check_follows(path, "best_epoch", schedule->best_epoch, expected.best_epoch);
    if (status == STATUS_OK)
        status = check_figure_follows(path, "best_valid", schedule->best_valid,
                                      expected.best_valid);
    if (status == STATUS_OK)
        status =
            check_follows(path, "bad_epochs", schedule->bad_epochs, expected.bad_epochs);
    if (status == STATUS_OK)
        status = check_follows(path, "plateau_wait", schedule->plateau_wait,
                               expected.plateau_wait);
    if (status == STATUS_OK)
        status = check_figure_follows(path, "factor", schedule->factor, expected.factor);
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
        if (c->pairs[i] > MOST - all)
            return status_fail(STATUS_FAILED,
                               "%s: /pairs/count: more than 2^53 pairs of tokens", path);
        all += c->pairs[i];
    }
    const double baselines[] = {c->baselines.unigram, c->baselines.bigram};
    static const char *const names[] = {"valid_unigram", "valid_bigram"};
    for (int i = 0; v && i < 2; i++)
        if (!isnan(baselines[i]) && !(baselines[i] >= 0 && baselines[i] <= LARGEST))
            return status_fail(STATUS_FAILED,
                               "%s: /pairs: attribute %s: %g (expected 0 to %g, or nan)",
                               path, names[i], baselines[i], LARGEST);
    return STATUS_OK;
}

enum status checkpoint_check(const char *path, const struct checkpoint *c)
{
    enum status status =
        check_count(path, "/state: attribute step", c->state.step, 0, MOST);
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
                             MOST_RANKS);
    return status;
}

/* ---- values ---- */

/* Branch-free, so that it costs no more than reading the values. */
static bool all_finite(const float *values, size_t count)
{
    bool wrong = false;
    for (size_t i = 0; i < count; i++)
        wrong |= !(fabsf(values[i]) <= FLT_MAX);
    return !wrong;
}

static bool none_negative(const float *values, size_t count)
{
    bool wrong = false;
    for (size_t i = 0; i < count; i++)
        wrong |= !(values[i] >= 0);
    return !wrong;
}

static enum status wrong_value(const char *path, const char *group,
                               const struct param *param, const float *values,
                               float least)
{
    size_t at = 0;
    while (at + 1 < param->count && values[at] >= least && values[at] <= FLT_MAX)
        at++;
    return status_fail(STATUS_FAILED, "%s: %s/%s: value %zu is %g (expected %s)", path,
                       group, param->name, at, (double)values[at],
                       least < 0 ? "finite numbers" : "finite numbers, none below 0");
}

/* Checks all tensors of a block; `least` is 0 or -FLT_MAX. */
static enum status check_tensors(const char *path, const char *group,
                                 const struct params *params, const float *block,
                                 float least)
{
    for (size_t i = 0; i < params->count; i++) {
        const struct param *param = &params->list[i];
        const float *values = block + param->offset;
        if (!all_finite(values, param->count) ||
            (least >= 0 && !none_negative(values, param->count)))
            return wrong_value(path, group, param, values, least);
    }
    return STATUS_OK;
}

enum status checkpoint_check_weights(const char *path, const struct checkpoint *c)
{
    return check_tensors(path, "/model", &c->params, c->weights, -FLT_MAX);
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
 * started: a row yields one token per time step, and a piece has at least one. */
static int64_t most_pieces(const struct checkpoint *c)
{
    int64_t of_step = targets_of_step(c);
    return c->state.step < MOST / of_step
               ? c->state.step * of_step + (int64_t)c->streams.row_count
               : MOST;
}

static enum status wrong_position(const char *path, const char *column, size_t row,
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
    int64_t most = most_pieces(c);
    if (cursor->epoch < 0 || cursor->epoch > most)
        return wrong_position(path, "/state/cursors/epoch", at, cursor->epoch);
    if (cursor->next < 0 || cursor->next > most)
        return wrong_position(path, "/state/cursors/next", at, cursor->next);
    return STATUS_OK;
}

/* A row is in a piece before its microbatch's cursor, or in none. */
static enum status check_stream_row(const char *path, const struct checkpoint *c,
                                    size_t at)
{
    const struct stream_row *row = &c->streams.rows[at];
    const struct stream_cursor *cursor =
        &c->streams.cursors[at / (c->streams.row_count / c->streams.microbatches)];
    int64_t pieces = row->epoch == cursor->epoch ? cursor->next : most_pieces(c);
    if (row->epoch < 0 || row->epoch > cursor->epoch)
        return wrong_position(path, "/state/rows/epoch", at, row->epoch);
    if (row->piece < -1 || row->piece >= pieces)
        return wrong_position(path, "/state/rows/piece", at, row->piece);
    if (row->offset < 0 || row->offset > most_pieces(c))
        return wrong_position(path, "/state/rows/offset", at, row->offset);
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
