/* model: embedding -> LSTM or GRU layers with dropout between -> optional dense layer
 * with its activation -> dropout -> output -> softmax with cross-entropy.
 *
 * A model is planned for `microbatches` microbatches of `rows` rows and `steps` time
 * steps and allocates everything then. Each microbatch is computed with the same shapes
 * wherever and with however many others it is computed; the bits of a microbatch's loss
 * and gradient depend on that microbatch's tokens, state and the weights only.
 *
 * Letters: B rows of a microbatch, T steps, E embedding, H hidden, F dense, V vocabulary.
 * Buffers of a microbatch are [T][B][width], time outermost.
 *
 * Hidden states are carried from one call to the next (stateful truncated
 * back-propagation through time; Williams and Peng, 1990); a row's state is cleared where
 * its input token is `end`. Gradients do not flow across calls, nor across END.
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
 * ask for. STATUS_FAILED if it is OpenBLAS, which can't be loaded. */
enum status model_matmul_backend(const struct options *options,
                                 const struct matmul_backend **out);

struct model_plan {
    const struct model_shape *shape;
    token end; /* clears a row's state */
    int microbatches, rows, steps;
    /* False: model_backward must not be called; needs much less memory, and uses the
     * backend's inference backend. */
    bool training;
    const struct matmul_backend *backend;
};

/* Weights are all zero at first. */
enum status model_create(const struct model_plan *plan, struct model **out);
void model_free(struct model *model);

const struct params *model_params(const struct model *model);

/* The flat block of weights, to be written by initialisation, optimizer or checkpoint.
 * After writing, model_weights_changed must be called before the next forward. */
real *model_weights(struct model *model);
void model_weights_changed(struct model *model);

/* The key of dropout's randomness. rate 0: none (dropout is then the identity). The mask
 * of a unit depends on (seed, step, layer, first_row + microbatch * rows + row, t, unit):
 * inverted dropout (kept values are scaled by 1 / (1 - rate)), a new mask for each time
 * step. */
struct dropout {
    double rate;
    uint64_t seed;
    int64_t step;
    int64_t first_row; /* global row of the model's row 0 */
};

struct microbatch_loss {
    double loss;     /* sum of -log p over counted targets, nats, in a fixed order */
    int64_t targets; /* counted targets */
    int64_t correct; /* of which the most probable token was right */
};

/* Forward over the whole window. inputs[s], targets[s] are of microbatch s, [T][B]; a
 * target of -1 is not counted. losses[s] (may be NULL when targets is NULL: only logits
 * then). `dropout` may be NULL (evaluation). */
void model_forward(struct model *model, const token *const *inputs,
                   const int32_t *const *targets, const struct dropout *dropout,
                   struct microbatch_loss *losses);

/* What becomes of the weight gradients while they come about, from the output layer down
 * to the embedding. Any member may be NULL. */
struct model_gradients {
    /* A block of one microbatch's gradient (product.h). Every element of the flat block
     * comes once for each microbatch; of any one element microbatch 0's comes first. */
    void (*microbatch)(void *context, int microbatch, const struct gradient_block *block);
    /* The elements from `first` on have been given for all microbatches; at last 0. */
    void (*complete)(void *context, size_t first);
    /* Called often in between, some hundred times: messages may be moved. */
    void (*meanwhile)(void *context);
    void *context;
};

/* Back-propagates the sum (not the mean) of the counted losses of the last model_forward,
 * which had targets: every layer's activations, then its weights' gradient block by
 * block. The bits of a microbatch's gradient don't depend on the other microbatches. */
void model_backward(struct model *model, const struct model_gradients *to);

/* Logits of microbatch s after model_forward without targets: [T][B][V]. */
const real *model_logits(const struct model *model, int microbatch);

/* Log-probabilities of the targets: after model_forward with targets, [T][B] of
 * microbatch s; 0 where the target is -1. */
const double *model_target_log_probability(const struct model *model, int microbatch);

/* A microbatch's carried states: model_state_size elements, [layer][h then c][B][H] (GRU:
 * h only). model_clear_states sets all to zero. */
size_t model_state_size(const struct model *model);
void model_get_state(const struct model *model, int microbatch, real *state);
void model_set_state(struct model *model, int microbatch, const real *state);
void model_clear_states(struct model *model);

/* Multiply-adds of matrix products for one token, forward: the training step costs 6 FLOP
 * for each. */
uint64_t model_products_per_token(const struct model *model);

/* Bytes allocated. */
size_t model_bytes(const struct model *model);

#endif
