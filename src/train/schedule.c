/* schedule: the learning rate as a function of the step and of the validation losses. */
#include "schedule.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

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

/* From 1 at the end of the warm-up to final_lr_ratio at the last step, half a cosine. */
static double cosine(const struct options *options, int64_t step, int64_t total_steps)
{
    int64_t length = total_steps - options->train.warmup_steps;
    int64_t after = step - options->train.warmup_steps;
    double progress = length > 0 ? fmin((double)after / (double)length, 1) : 1;
    double low = options->train.final_lr_ratio;
    return low + (1 - low) * 0.5 * (1 + cos(PI * progress));
}

double schedule_learning_rate(const struct schedule_state *state,
                              const struct options *options, int64_t step,
                              int64_t total_steps)
{
    double rate = options->train.learning_rate * state->factor;
    if (step < options->train.warmup_steps)
        return rate * (double)step / (double)options->train.warmup_steps;
    if (options->train.schedule == SCHEDULE_COSINE)
        return rate * cosine(options, step, total_steps);
    return rate;
}
