/* model: embedding -> LSTM or GRU layers with dropout between them -> optional dense
 * layer with activation -> dropout -> output layer -> softmax with cross-entropy. Without
 * an embedding (E = 0) the first recurrent layer reads one-hot tokens, and dropout of
 * inputs and of the embedding has no effect.
 *
 * A model is created for S microbatches of B rows and T time steps; all memory is
 * allocated then. The shapes in which a microbatch is computed depend neither on the rank
 * nor on the number of microbatches: the bits of its loss and gradient depend only on its
 * tokens, its states and the weights.
 *
 * Letters: S microbatches, B rows of a microbatch, T time steps, E embedding, H hidden, F
 * dense, V vocabulary. Buffers of a microbatch are [T][B][width], time outermost.
 *
 * Hidden states are carried from one call to the next (stateful truncated
 * back-propagation through time; Williams and Peng, 1990). A row's state is reset where
 * its input token is the end token. Gradients flow neither across calls nor across an end
 * token.
 *
 * Not collective: a model belongs to one rank. Pointers returned by accessors are
 * borrowed and valid until model_free.
 */
#ifndef TUTTI_NN_MODEL_H
#define TUTTI_NN_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "params.h"
#include "base/options.h"
#include "base/real.h"
#include "base/status.h"
#include "base/token.h"
#include "kernels/matmul.h"

struct model;

/* The matmul backend for training, as selected by train.matmul and train.precision.
 * train.matmul = auto counts as packed: a run resolves it first (train/matmul_choice.h).
 * STATUS_FAILED if it is OpenBLAS and cannot be loaded. */
enum status model_matmul_backend(const struct options *options,
                                 const struct matmul_backend **out);

struct model_plan {
    const struct model_shape *shape; /* copied */
    token end;                       /* resets a row's state */
    int microbatches, rows, steps;   /* S, B, T; each at least 1 */
    /* False: much less memory, the inference backend of `backend`, and model_backward
     * must not be called. */
    bool training;
    const struct matmul_backend *backend;
    double label_smoothing; /* of model_backward's gradient, in [0, 1) */
    /* For training with dropout->input_rate and recurrent_rate > 0. */
    bool dropout_input, dropout_recurrent;
    /* Threads of the team (base/team.h) that computes the model; 0 is 1. No bit depends
     * on it. */
    int threads;
};

/* Weights and states are initially zero. STATUS_MISUSE if the shape is out of range
 * (params_layout) or the threads are not available (team_check), STATUS_FAILED without
 * memory; *out is set on success only. */
enum status model_create(const struct model_plan *plan, struct model **out);
void model_free(struct model *model); /* NULL is fine */

const struct params *model_params(const struct model *model);

/* The flat block of weights, [model_params()->total]: written by initialisation,
 * optimizer or checkpoint. Call model_weights_changed after writing, before the next
 * forward. */
real *model_weights(struct model *model);
void model_weights_changed(struct model *model);

/* Inverted dropout: kept units are scaled by 1 / (1 - rate). A unit's mask depends only
 * on (seed, step, layer, first_row + microbatch * rows + row, t, unit). With
 * DROPOUT_MASK_SEQUENCE it does not depend on the time step t: a row has one mask for the
 * whole window (Gal and Ghahramani, 2016), also where a piece ends and another begins.
 *
 * The embedding drops whole tokens: the vector of a dropped token is 0 in all rows at all
 * time steps (Gal and Ghahramani, 2016; Merity, Keskar and Socher, 2018). Which tokens
 * depends only on (seed, step, token).
 *
 * Of the hidden-to-hidden matrices, elements are dropped (DropConnect: Wan et al., 2013;
 * Merity, Keskar and Socher, 2018), the same ones in all rows at all time steps. Which
 * ones depends only on (seed, step, layer, element). */
struct dropout {
    /* In [0, 1), used as multiples of 2^-16 below 1; 0: the identity. */
    double rate;           /* of each layer's output */
    double input_rate;     /* of the embedded tokens; needs plan->dropout_input */
    double embedding_rate; /* of the tokens of the embedding */
    double recurrent_rate; /* of weight_hh's elements; needs plan->dropout_recurrent */
    int mask;              /* enum option_dropout_mask */
    uint64_t seed;
    int64_t step;
    int64_t first_row; /* global row of the model's row 0 */
};

struct microbatch_loss {
    double loss;     /* sum of -log p over counted targets, nats, in a fixed order;
                        without label smoothing */
    int64_t targets; /* counted targets */
    int64_t correct; /* those whose token had the highest probability */
};

/* Forward over the window. inputs[s] and targets[s] belong to microbatch s, [T][B];
 * targets of -1 are not counted. `targets` NULL: computes logits only, and `losses`
 * (otherwise [S]) may be NULL. `dropout` NULL: none (evaluation). `inputs` is borrowed
 * until model_backward. */
void model_forward(struct model *model, const token *const *inputs,
                   const int32_t *const *targets, const struct dropout *dropout,
                   struct microbatch_loss *losses);

/* model_forward with targets and without dropout over the first `microbatches` of the
 * model's microbatches only (1 .. S); model_backward must not follow. */
void model_forward_first(struct model *model, int microbatches,
                         const token *const *inputs, const int32_t *const *targets,
                         struct microbatch_loss *losses);

/* True if the bits of a row's values do not depend on its position in the batch. False
 * with OpenBLAS. */
bool model_rows_are_independent(const struct model *model);

/* Receives the weight gradients as the backward pass computes them, from the output layer
 * down to the embedding. Any function may be NULL. */
struct backward_callbacks {
    /* A block of one microbatch's gradient (matmul.h). Every element of the flat block is
     * reported once per microbatch, microbatch 0 first; a tied embedding twice, with
     * block->accumulate the second time. Called by all threads of the
     * team, each for its own elements. */
    void (*block)(void *context, int microbatch, const struct gradient_block *block);
    /* All elements from `first` on are final, for all microbatches; `first` is 0 in the
     * last call. Called, like `progress`, by thread 0. */
    void (*ready)(void *context, size_t first);
    /* Called a few hundred times per pass, to progress communication. */
    void (*progress)(void *context);
    void *context;
};

/* Back-propagates the sum (not the mean) of the counted losses of the last model_forward,
 * which must have been given targets. With label smoothing s, the loss of a target is
 * (1 - s) times its -log p, plus s times the mean of -log p over the vocabulary (Szegedy
 * et al., "Rethinking the Inception Architecture", 2016, section 7). The bits of a
 * microbatch's gradient do not depend on the other microbatches. */
void model_backward(struct model *model, const struct backward_callbacks *callbacks);

/* Logits of microbatch s after model_forward without targets: [T][B][V]. */
const real *model_logits(const struct model *model, int microbatch);

/* Log-probabilities (nats) of the targets of microbatch s after model_forward with
 * targets: [T][B]; 0 where the target is -1. */
const double *model_target_log_probability(const struct model *model, int microbatch);
/* And whether the target was the most probable token: [T][B]. */
const bool *model_target_correct(const struct model *model, int microbatch);

/* The carried states of a microbatch: model_state_size elements, [layer][h then c][B][H]
 * (GRU: h only). model_clear_states zeroes the states of all microbatches. */
size_t model_state_size(const struct model *model);
void model_get_state(const struct model *model, int microbatch, real *state);
void model_set_state(struct model *model, int microbatch, const real *state);
void model_clear_states(struct model *model);

/* Copies the carried states of row `from` to row `to`; row b of microbatch s is row
 * s B + b. */
void model_copy_state(struct model *model, int from, int to);

/* Multiply-adds (MACs) of all matmuls of the forward pass for one token. A training step
 * costs 6 FLOP per MAC: 2 forward, 4 backward. */
uint64_t model_macs_per_token(const struct model *model);

/* Total memory planned for the model, in bytes. */
size_t model_bytes(const struct model *model);

#endif
