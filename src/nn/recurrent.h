/* recurrent: a recurrent layer of any cell (cell.h): its buffers, the matmuls over all
 * time steps, and the time loop.
 *
 * Letters: S microbatches, T time steps, B rows of a microbatch, D input width, H hidden,
 * G = gates * H. Buffers are [S][T][B][width] (batch_shape.h): a microbatch is
 * contiguous, so the matmuls over all time steps have the shape of one microbatch. The
 * hidden-to-hidden matmul of a time step processes the rows of all microbatches together,
 * through arrays of row pointers.
 */
#ifndef TUTTI_NN_RECURRENT_H
#define TUTTI_NN_RECURRENT_H

#include <stdbool.h>
#include <stddef.h>

#include "batch_shape.h"
#include "cell.h"
#include "layers.h"
#include "model.h"
#include "one_hot.h"
#include "params.h"
#include "base/arena.h"
#include "base/token.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"

/* Offsets of the layer's tensors in the flat block; weight_ih is the first. */
struct recurrent_offsets {
    size_t weight_ih, weight_hh, bias_ih, bias_hh;
};

struct recurrent {
    const struct cell *cell;
    struct batch_shape batch;
    int index;                      /* position from the bottom: 0, 1, ... */
    int input, hidden, gates_width; /* D, H, G */
    bool takes_tokens;              /* x is one-hot, D = V: `one_hot` replaces forward_ih
                                     * and backward_ih, and x is not used */
    struct one_hot one_hot;
    struct recurrent_offsets offset;

    struct matmul_weights forward_ih, forward_hh; /* weight_ih [G][D], weight_hh [G][H] */
    struct matmul_weights backward_ih, backward_hh; /* their transposes; training only */
    const real *bias_ih,
        *bias_hh; /* [G]: views of the flat block; bias_hh only if has_gates_hh */

    const real *x;  /* [S][T][B][D]: input of the last forward, borrowed */
    real *gates_ih; /* [S][T][B][G]: gates before and after activation, then gradient */
    real *gates_hh; /* [S][T][B][G], cell->has_gates_hh: W_hh h_prev + bias_hh; then its
                     * gradient */
    real *h_prev;   /* [S][T][B][H]: h as read by step t; zero after END */
    real *c_prev;   /* [S][T][B][H]: the same for c; state_count == 2 */
    real *tanh_c;   /* [S][T][B][H], cell->has_tanh_c */
    real *h;        /* [S][T][B][H]: the output, after dropout */

    const struct dropout *dropout; /* of the last forward; NULL: none; borrowed */
    uint8_t *mask;                 /* [S][T][B][H]: its mask, borrowed */

    const real *weights;           /* the flat block, as last packed; borrowed */
    struct dropout weight_dropout; /* of the packed weight_hh; rate 0: none */
    bool hh_is_packed;             /* since the weights changed, or in the next forward */
    bool repack_hh;                /* in the next forward */
    uint8_t *weight_mask;          /* [G][H], plan->dropout_recurrent: its mask */
    real *dropped_hh;              /* [G][H], and weight_hh after it */

    /* [S][B][H]: carried to the next window; c: state_count == 2 */
    real *h_state, *c_state;
    real *dh, *dc;       /* [S][B][H]: gradient of the state read by step t */
    const real **x_rows; /* [threads][S B]: row pointers of one hidden-to-hidden */
    real **y_rows;       /* matmul, inputs and results */
};

/* Layer `index` of a model: sizes and offsets, no memory yet. */
void recurrent_init(const struct model_shape *shape, const struct params *params,
                    int index, struct batch_shape batch, struct recurrent *layer);

/* Plans the zero-initialised buffers and the packed weights (base/arena.h), with the
 * model's scratch memory. */
void recurrent_plan(struct recurrent *layer, const struct model_plan *plan,
                    struct matmul_scratch *scratch, struct arena *arena);

/* The input x [S][T][B][D] of the next forward. If dropout->rate > 0, its mask
 * [S][T][B][H] is drawn then; dropout NULL: no dropout. All are borrowed until the end of
 * the backward pass. Called by one thread. */
void recurrent_set_input(struct recurrent *layer, const real *x,
                         const struct dropout *dropout, uint8_t *mask);

/* The dropout of weight_hh in the next forward and its backward; rate 0: none. The flat
 * block is not changed. Called by one thread. */
void recurrent_set_weight_dropout(struct recurrent *layer, const struct dropout *dropout);

/* The functions below are called by all threads of the team (base/team.h), and each
 * computes its share. */

/* Packs the weights of the flat block, which is borrowed; must be called before the first
 * forward and after every change of the weights. */
void recurrent_pack(struct recurrent *layer, const real *weights);

/* layer->x -> layer->h. A row is reset where its token is `end`: tokens[s] is [T][B].
 * x must be complete; h is complete at the end. With takes_tokens, x is the tokens. */
void recurrent_forward(struct recurrent *layer, const token *const *tokens, token end);

/* From dh [S][T][B][H], the gradient of layer->h, to the gradient of the gates, through
 * all time steps; thread 0 calls `progress` (may be NULL) after each step. dh need not be
 * complete. */
void recurrent_backward(struct recurrent *layer, const real *dh,
                        const token *const *tokens, token end,
                        void (*progress)(void *context), void *context);

/* After recurrent_backward: dx [S][T][B][D], the gradient of x. Not with takes_tokens. */
void recurrent_backward_input(struct recurrent *layer, real *dx);

/* After recurrent_backward: sends the gradients of the layer's tensors to `sink`. */
void recurrent_backward_weights(const struct recurrent *layer,
                                struct matmul_workspace *workspace,
                                const token *const *tokens,
                                const struct gradient_sink *sink);

#endif
