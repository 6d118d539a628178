/* model: embedding -> LSTM or GRU layers with dropout between them -> optional dense
 * layer with activation -> dropout -> output layer -> softmax with cross-entropy.
 *
 * A model is created for S microbatches of B rows and T time steps; all memory is
 * allocated then. Each microbatch is computed with the same shapes on any rank and with
 * any number of others: the bits of its loss and gradient depend only on its tokens, its
 * states and the weights.
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

/* The matmul backend for training that train.products, train.precision and train.threads
 * select. STATUS_FAILED if it is OpenBLAS and cannot be loaded. */
enum status model_matmul_backend(const struct options *options,
                                 const struct matmul_backend **out);

struct model_plan {
    const struct model_shape *shape; /* copied */
    token end;                       /* resets a row's state */
    int microbatches, rows, steps;   /* S, B, T; each at least 1 */
    /* False: needs much less memory, uses the backend's inference backend, and must not
     * run model_backward. */
    bool training;
    const struct matmul_backend *backend;
};

/* Weights and states are zero at first. STATUS_MISUSE if the shape is out of range
 * (params_layout), STATUS_FAILED without memory; *out is set on success only. */
enum status model_create(const struct model_plan *plan, struct model **out);
void model_free(struct model *model); /* NULL is fine */

const struct params *model_params(const struct model *model);

/* The flat block of weights, [model_params()->total]: written by initialisation,
 * optimizer or checkpoint. Call model_weights_changed after writing, before the next
 * forward. */
real *model_weights(struct model *model);
void model_weights_changed(struct model *model);

/* Inverted dropout: kept units are scaled by 1 / (1 - rate); a new mask for each time
 * step. A unit's mask depends on (seed, step, layer, first_row + microbatch * rows + row,
 * t, unit) only. */
struct dropout {
    double rate; /* in [0, 1); 0: dropout is the identity */
    uint64_t seed;
    int64_t step;
    int64_t first_row; /* global row of the model's row 0 */
};

struct microbatch_loss {
    double loss;     /* sum of -log p over counted targets, nats, in a fixed order */
    int64_t targets; /* counted targets */
    int64_t correct; /* those whose token was the most probable one */
};

/* Forward over the window. inputs[s] and targets[s] are microbatch s's, [T][B]; a target
 * of -1 is not counted. `targets` NULL: computes logits only, and `losses` (otherwise
 * [S]) may be NULL. `dropout` NULL: none (evaluation). `inputs` is borrowed until
 * model_backward. */
void model_forward(struct model *model, const token *const *inputs,
                   const int32_t *const *targets, const struct dropout *dropout,
                   struct microbatch_loss *losses);

/* Receives the weight gradients as the backward pass computes them, from the output layer
 * down to the embedding. Any function may be NULL. */
struct backward_callbacks {
    /* A block of one microbatch's gradient (matmul.h). Every element of the flat block
     * comes once for each microbatch, microbatch 0 first. */
    void (*block)(void *context, int microbatch, const struct gradient_block *block);
    /* All elements from `first` on are final, for all microbatches; 0 in the last
     * call. */
    void (*ready)(void *context, size_t first);
    /* Called some hundred times a pass, to let communication progress. */
    void (*progress)(void *context);
    void *context;
};

/* Back-propagates the sum (not the mean) of the counted losses of the last model_forward,
 * which must have had targets. The bits of a microbatch's gradient do not depend on the
 * other microbatches. */
void model_backward(struct model *model, const struct backward_callbacks *callbacks);

/* Logits of microbatch s after model_forward without targets: [T][B][V]. */
const real *model_logits(const struct model *model, int microbatch);

/* Log-probabilities (nats) of the targets of microbatch s after model_forward with
 * targets: [T][B]; 0 where the target is -1. */
const double *model_target_log_probability(const struct model *model, int microbatch);

/* The carried states of a microbatch: model_state_size elements, [layer][h then c][B][H]
 * (GRU: h only). model_clear_states zeroes those of all microbatches. */
size_t model_state_size(const struct model *model);
void model_get_state(const struct model *model, int microbatch, real *state);
void model_set_state(struct model *model, int microbatch, const real *state);
void model_clear_states(struct model *model);

/* Multiply-adds (MACs) of all matmuls of the forward pass for one token. A training step
 * costs 6 FLOP for each: forward 2, backward 4. */
uint64_t model_macs_per_token(const struct model *model);

/* Bytes of all the memory planned for the model. */
size_t model_bytes(const struct model *model);

#endif
