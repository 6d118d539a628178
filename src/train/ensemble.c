/* ensemble: see the header. */
#include "ensemble.h"

#include <math.h>

bool ensemble_rows_are_independent(const struct ensemble *ensemble)
{
    for (int m = 0; m < ensemble->count; m++)
        if (!model_rows_are_independent(ensemble->models[m]))
            return false;
    return true;
}

/* ---- states ---- */

size_t ensemble_state_size(const struct ensemble *ensemble)
{
    size_t size = 0;
    for (int m = 0; m < ensemble->count; m++)
        size += model_state_size(ensemble->models[m]);
    return size;
}

void ensemble_get_state(const struct ensemble *ensemble, int microbatch, real *state)
{
    for (int m = 0; m < ensemble->count; m++) {
        model_get_state(ensemble->models[m], microbatch, state);
        state += model_state_size(ensemble->models[m]);
    }
}

void ensemble_set_state(const struct ensemble *ensemble, int microbatch,
                        const real *state)
{
    for (int m = 0; m < ensemble->count; m++) {
        model_set_state(ensemble->models[m], microbatch, state);
        state += model_state_size(ensemble->models[m]);
    }
}

void ensemble_clear_states(const struct ensemble *ensemble)
{
    for (int m = 0; m < ensemble->count; m++)
        model_clear_states(ensemble->models[m]);
}

void ensemble_copy_state(const struct ensemble *ensemble, int from, int to)
{
    for (int m = 0; m < ensemble->count; m++)
        model_copy_state(ensemble->models[m], from, to);
}

/* ---- predictions ---- */

void ensemble_forward_first(const struct ensemble *ensemble, int microbatches,
                            const token *const *inputs, const int32_t *const *targets,
                            struct microbatch_loss *losses)
{
    for (int m = 0; m < ensemble->count; m++)
        model_forward_first(ensemble->models[m], microbatches, inputs, targets, losses);
}

/* The log-mean-exp of the models' log-probabilities. The largest is taken out, so that
 * improbable targets do not underflow. */
double ensemble_target_log_probability(const struct ensemble *ensemble, int microbatch,
                                       int i)
{
    double max = -(double)INFINITY, sum = 0;
    for (int m = 0; m < ensemble->count; m++)
        max = fmax(max, model_target_log_probability(ensemble->models[m], microbatch)[i]);
    if (ensemble->count == 1 || !isfinite(max))
        return model_target_log_probability(ensemble->models[0], microbatch)[i];
    for (int m = 0; m < ensemble->count; m++)
        sum +=
            exp(model_target_log_probability(ensemble->models[m], microbatch)[i] - max);
    return max + log(sum / ensemble->count);
}

/* M times the mixture's probability of token v. A model's logits and log-probabilities
 * differ by a constant, which the target gives. */
static double sum_of_probabilities(const struct ensemble *ensemble, int microbatch, int i,
                                   int32_t target, int v)
{
    double sum = 0;
    for (int m = 0; m < ensemble->count; m++) {
        const struct model *model = ensemble->models[m];
        const real *logits =
            model_logits(model, microbatch) + (size_t)i * (size_t)model_vocabulary(model);
        sum += exp((double)logits[v] - (double)logits[target] +
                   model_target_log_probability(model, microbatch)[i]);
    }
    return sum;
}

bool ensemble_target_correct(const struct ensemble *ensemble, int microbatch, int i,
                             int32_t target)
{
    if (ensemble->count == 1)
        return model_target_correct(ensemble->models[0], microbatch)[i];
    double found = sum_of_probabilities(ensemble, microbatch, i, target, target);
    for (int v = 0; v < model_vocabulary(ensemble->models[0]); v++) {
        double other = sum_of_probabilities(ensemble, microbatch, i, target, v);
        if (other > found || (other == found && v < target))
            return false;
    }
    return true;
}
