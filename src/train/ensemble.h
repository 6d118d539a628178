/* ensemble: models that predict together, by the mean of their probabilities:
 *
 *     p(token) = 1/M sum over the models m of p_m(token)
 *
 * An ensemble of one model is that model: it returns the model's own bits.
 *
 * Letters: M models, S microbatches, B rows of a microbatch, T time steps. Not
 * collective.
 */
#ifndef TUTTI_TRAIN_ENSEMBLE_H
#define TUTTI_TRAIN_ENSEMBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/model.h"

/* Models with the same vocabulary and end token, planned with the same S, B and T; not
 * for training if there are several, since training overwrites the logits. They may
 * differ in everything else. */
struct ensemble {
    struct model *const *models; /* [M]; borrowed */
    int count;                   /* M, at least 1 */
};

/* model_rows_are_independent of all models. */
bool ensemble_rows_are_independent(const struct ensemble *ensemble);

/* The carried states of a microbatch, of one model after the other; see model.h. */
size_t ensemble_state_size(const struct ensemble *ensemble);
void ensemble_get_state(const struct ensemble *ensemble, int microbatch, real *state);
void ensemble_set_state(const struct ensemble *ensemble, int microbatch,
                        const real *state);
void ensemble_clear_states(const struct ensemble *ensemble);
void ensemble_copy_state(const struct ensemble *ensemble, int from, int to);

/* model_forward_first of all models. `losses`, [S], are workspace. */
void ensemble_forward_first(const struct ensemble *ensemble, int microbatches,
                            const token *const *inputs, const int32_t *const *targets,
                            struct microbatch_loss *losses);

/* After ensemble_forward_first, of the target at position i = t B + b of a microbatch,
 * which must not be -1: its log-probability (nats), and whether it is the most probable
 * token, the first one in a tie. */
double ensemble_target_log_probability(const struct ensemble *ensemble, int microbatch,
                                       int i);
bool ensemble_target_correct(const struct ensemble *ensemble, int microbatch, int i,
                             int32_t target);

#endif
