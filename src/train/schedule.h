/* schedule: the learning rate of a step.
 *
 * Linear warm-up from 0 over warmup_steps, then constant, cosine (to final_lr_ratio at
 * the last step; Loshchilov and Hutter, 2017) or plateau (multiplied by plateau_factor
 * after plateau_patience epochs without improvement of the validation loss).
 *
 * one_cycle (Smith and Topin, 2018) has no warmup_steps: half a cosine from 1/25 of
 * learning_rate at the first step up to learning_rate after 30 % of all steps, and half a
 * cosine down to final_lr_ratio of it at the last step, as PyTorch's OneCycleLR with its
 * defaults and final_lr_ratio = 1 / (div_factor final_div_factor), there 4e-6. Momentum
 * and Adam's beta1 are not cycled. */
#ifndef TUTTI_TRAIN_SCHEDULE_H
#define TUTTI_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"

struct schedule_state { /* kept in the checkpoint */
    double best_valid;  /* lowest validation loss so far; HUGE_VAL before the first */
    int64_t best_epoch;
    int64_t bad_epochs;   /* since the best, for early stopping */
    int64_t plateau_wait; /* since the best or the last reduction */
    double factor;        /* product of the reductions so far; 1 at first */
};

void schedule_init(struct schedule_state *state);

/* Records an epoch's validation loss. True if it is the best so far. */
bool schedule_epoch(struct schedule_state *state, const struct options *options,
                    int64_t epoch, double valid_loss);

/* The learning rate of step 1, 2, ..., total_steps. */
double schedule_learning_rate(const struct schedule_state *state,
                              const struct options *options, int64_t step,
                              int64_t total_steps);

#endif
