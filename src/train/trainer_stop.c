/* trainer_stop: see the header. */
#include "trainer_stop.h"

#include <math.h>

#include "stop.h"
#include "base/log.h"
#include "base/progress.h"

static const double margin_factor = 1.5, margin_seconds = 5;

enum status stop_policy_open(struct stop_policy *policy,
                             const struct persistence *persistence, double minutes,
                             double validation_windows)
{
    *policy = (struct stop_policy){.persistence = persistence,
                                   .validation_windows = validation_windows};
    return comm_rank(persistence->comm) == 0 ? deadline_open(minutes, &policy->deadline)
                                             : STATUS_OK;
}

void stop_policy_close(struct stop_policy *policy)
{
    deadline_close(policy->deadline);
    *policy = (struct stop_policy){0};
}

/* ---- time ---- */

/* Before the first measurement, a safe estimate: a forward pass costs a third of a step,
 * and a partly filled window costs as much as a full one. */
static double epoch_end_seconds(const struct stop_policy *policy)
{
    if (policy->worst.epoch_end > 0)
        return policy->worst.epoch_end;
    return (policy->validation_windows + 1) * policy->worst.step;
}

/* True if the time left, less a margin, does not suffice for `seconds` and a
 * checkpoint. */
static bool runs_out_of_time(struct stop_policy *policy, double seconds)
{
    char left_text[64], need_text[64];
    double left = deadline_left(policy->deadline);
    if (left == HUGE_VAL || policy->out_of_time)
        return policy->out_of_time;
    double need = seconds + persist_estimate_seconds(policy->persistence);
    if (left > margin_factor * need + margin_seconds)
        return false;
    policy->out_of_time = true;
    log_info("time limit       %s left, and up to %s may pass before the next chance to "
             "stop with a checkpoint: stopping",
             duration_text(left > 0 ? left : 0, left_text, sizeof left_text),
             duration_text(need, need_text, sizeof need_text));
    return true;
}

/* ---- the policy ---- */

bool stop_policy_in_step(struct stop_policy *policy, bool ends_epoch)
{
    if (stop_signal() || !policy->deadline)
        return stop_signal() != 0;
    double seconds = 2 * policy->worst.step; /* the rest of this one, and the next */
    return runs_out_of_time(policy,
                            seconds + (ends_epoch ? epoch_end_seconds(policy) : 0));
}

/* A run that starts with a validation stops it for a signal, but not for its time limit:
 * it has nothing to lose yet, and under a limit that is too short for a validation no run
 * would ever complete one. */
bool stop_policy_while_waiting(struct stop_policy *policy)
{
    bool has_made_steps = policy->worst.step > 0;
    if (stop_signal() || !policy->deadline || !has_made_steps)
        return stop_signal() != 0;
    return runs_out_of_time(policy, policy->worst.step); /* a window is cheaper */
}

bool stop_policy_after_validation(struct stop_policy *policy)
{
    if (stop_signal() || !policy->deadline)
        return stop_signal() != 0;
    return runs_out_of_time(policy, policy->worst.step);
}
