/* schedule: the learning rate as a function of the step and of the validation losses. */
#include "schedule.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

/* one_cycle: the first rate as a fraction of the peak, and the part of the steps with a
 * rising rate. */
static const double ONE_CYCLE_START = 1.0 / 25, ONE_CYCLE_RISE = 0.3;

void schedule_init(struct schedule_state *state)
{
    *state = (struct schedule_state){.best_valid = HUGE_VAL, .factor = 1};
}

bool schedule_epoch(struct schedule_state *state, const struct options *options,
                    int64_t epoch, double valid_loss)
{
    if (valid_loss < state->best_valid) {
        state->best_valid = valid_loss;
        state->best_epoch = epoch;
        state->bad_epochs = 0;
        state->plateau_wait = 0;
        return true;
    }
    state->bad_epochs++;
    state->plateau_wait++;
    if (options->train.schedule == SCHEDULE_PLATEAU &&
        state->plateau_wait >= options->train.plateau_patience) {
        state->factor *= options->train.plateau_factor;
        state->plateau_wait = 0;
    }
    return false;
}

/* Half a cosine from `first` at progress 0 to `last` at 1 and beyond. */
static double half_cosine(double first, double last, double progress)
{
    return last + (first - last) * 0.5 * (1 + cos(PI * fmin(progress, 1)));
}

/* From 1 at the end of the warm-up to final_lr_ratio at the last step. */
static double cosine(const struct options *options, int64_t step, int64_t total_steps)
{
    int64_t length = total_steps - options->train.warmup_steps;
    int64_t after = step - options->train.warmup_steps;
    double progress = length > 0 ? (double)after / (double)length : 1;
    return half_cosine(1, options->train.final_lr_ratio, progress);
}

/* Positions count from 0 at the first step; `peak` is not an integer in general, and
 * below 0 if there are fewer than four steps. */
static double one_cycle(const struct options *options, int64_t step, int64_t total_steps)
{
    double position = (double)(step - 1), last = (double)(total_steps - 1);
    double peak = ONE_CYCLE_RISE * (double)total_steps - 1;
    if (position < peak)
        return half_cosine(ONE_CYCLE_START, 1, position / peak);
    return half_cosine(1, options->train.final_lr_ratio,
                       (position - peak) / (last - peak));
}

double schedule_learning_rate(const struct schedule_state *state,
                              const struct options *options, int64_t step,
                              int64_t total_steps)
{
    double rate = options->train.learning_rate * state->factor;
    if (options->train.schedule == SCHEDULE_ONE_CYCLE)
        return rate * one_cycle(options, step, total_steps);
    if (step < options->train.warmup_steps)
        return rate * (double)step / (double)options->train.warmup_steps;
    if (options->train.schedule == SCHEDULE_COSINE)
        return rate * cosine(options, step, total_steps);
    return rate;
}
