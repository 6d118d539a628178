/* trainer_step: one optimizer step on all ranks.
 *
 *     step_gradient   forward and backward on this rank's microbatches; the sum of the
 *                     gradient over the ranks starts during back-propagation
 *     step_reduce     the rest of the sum, including the requests of ranks to all ranks
 *     step_update     clipping and the optimizer
 *
 * A rank decides on its requests between the first two, as late as the reduction allows.
 * None of the three calls allocates memory. Nothing here depends on files, datasets or
 * the clock, so the same code runs on synthetic tokens (synthetic_run.h).
 */
#ifndef TUTTI_TRAIN_TRAINER_STEP_H
#define TUTTI_TRAIN_TRAINER_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gradient_sum.h"
#include "local_batch.h"
#include "state.h"
#include "step_metrics.h"
#include "window.h"
#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"
#include "nn/model.h"

struct step_engine { /* zero-initialise; free with step_close */
    struct comm *comm;
    const struct options *options; /* borrowed; [model] and [train] */
    struct local_batch batch;
    struct model_shape shape;
    struct params params; /* layout of weights and gradients */
    struct model *model;
    float *weights;      /* [params.total], the model's */
    int threads;         /* of the team that computes a step */
    int64_t total_steps; /* of the run, for the schedule; set by the caller */

    int64_t step;            /* number of the current step, from 1 */
    struct gradient_sum sum; /* gradient, losses, requests */
    enum status sum_status;  /* of the sum in progress */
};

/* Requests to all ranks. In: this rank's; out: true if any rank has set it. */
struct step_flags {
    bool stop;         /* stop after this step */
    bool save;         /* write a checkpoint after this step */
    bool input_failed; /* its window could not be read */
};

/* Creates the model on `backend` for `vocabulary` tokens, with all weights zero; the
 * token `end` ends a piece. Not collective. */
enum status step_open(struct step_engine *engine, struct comm *comm,
                      const struct options *options, const struct matmul_backend *backend,
                      size_t vocabulary, token end);

/* Initialises the weights at random, or copies `weights` if that is not NULL. STATUS_FAILED
 * if memory for this is lacking. */
enum status step_set_weights(struct step_engine *engine, const float *weights);

/* Exchanges the model's weights with `weights`, element by element. Not collective. */
void step_swap_weights(struct step_engine *engine, float *weights);

/* Plans the sum over the ranks. Collective. */
enum status step_open_sum(struct step_engine *engine);

void step_close(struct step_engine *engine);

/* Forward and backward pass of step state->step + 1 on `window`, whose losses are set, and
 * whose targets are restricted by train.loss_on. Independent windows start from zero
 * states. Collective. */
void step_gradient(struct step_engine *engine, const struct training_state *state,
                   struct window *window);

/* Completes the sum of the gradient, the window's losses and the flags. Fails only if
 * communication does. Collective. */
enum status step_reduce(struct step_engine *engine, const struct window *window,
                        struct step_flags *flags);

/* Updates weights and state; `metrics` gets step, epoch, loss (without label smoothing),
 * accuracy, gradient norm and learning rate. STATUS_FAILED on all ranks if training has diverged; then nothing is
 * updated, and the message names step, epoch, cause and remedy. Collective. */
enum status step_update(struct step_engine *engine, struct training_state *state,
                        struct step_metrics *metrics);

#endif
