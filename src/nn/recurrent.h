/* recurrent: a recurrent layer of any cell (cell.h): buffers, the products over all time
 * steps, and which row comes from where.
 *
 * Letters: S microbatches, T steps, B rows of a microbatch, D input width, H hidden, G =
 * gates * H. Buffers are [S][T][B][width]: a microbatch's part is contiguous, so the
 * products over time have one microbatch's shape; the recurrent products take the rows of
 * all microbatches at a time step together, through lists of row pointers.
 */
#ifndef TUTTI_NN_RECURRENT_H
#define TUTTI_NN_RECURRENT_H

#include <stddef.h>

#include "cell.h"
#include "layers.h"
#include "params.h"
#include "base/token.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"

struct extent { /* of one model: the same for all its layers */
    int microbatches, rows, steps;
};

struct recurrent {
    struct extent extent;
    int number; /* from below */
    const struct cell *cell;
    int input, hidden, gates;                              /* D, H, G */
    const real *weight_ih, *weight_hh, *bias_ih, *bias_hh; /* in the flat block */
    size_t at_weight_ih, at_weight_hh, at_bias_ih,
        at_bias_hh; /* offsets of the gradients */
    size_t first;   /* the first element of all its tensors */
    struct matmul_weights forward_ih, forward_hh;   /* weight_ih, weight_hh */
    struct matmul_weights backward_ih, backward_hh; /* their transposes; in training */
    struct matmul_workspace *room;                  /* the model's; in training */
    const real *x; /* [S][T][B][D]: the input of the last forward, borrowed */
    real *gate;    /* [S][T][B][G]: before, after activation; then their gradient */
    real *product; /* [S][T][B][G], cell->split_product: W_hh h_prev + bias_hh; then its
                      gradient */
    real *h_prev;  /* [S][T][B][H]: what step t consumed (zero behind END) */
    real *c_prev;  /* the same of c, with two states */
    real *saved;   /* [S][T][B][H], cell->saves */
    real *h;       /* [S][T][B][H]: the output, behind dropout */
    const struct dropout *dropout; /* of the last forward, NULL: none; borrowed, and */
    uint8_t *kept;                 /* [S][T][B][H]: its mask, borrowed */
    real *h_state, *c_state;       /* [S][B][H]: carried to the next window */
    real *dh, *dc;     /* [S][B][H]: of what step t gave to t + 1; dc: two states */
    const real **from; /* [S * B] row pointers of one recurrent product */
    real **to;
};

/* Allocates the buffers of layer `layer` and finds its tensors. Without `training` there
 * is no backward pass. `room` is borrowed. */
enum status recurrent_create(const struct model_shape *shape, const struct params *params,
                             const real *block, int layer, struct extent extent,
                             int training, const struct matmul_backend *backend,
                             struct matmul_workspace *room, struct recurrent *out);
void recurrent_free(struct recurrent *layer);
size_t recurrent_bytes(const struct recurrent *layer);

/* After every change of the weights. */
void recurrent_pack(struct recurrent *layer);

/* x [S][T][B][D] -> layer->h. inputs[s] [T][B] tells where rows start anew (`end`).
 * dropout->rate 0, or dropout NULL: none; otherwise kept [S][T][B][H] gets its mask,
 * which recurrent_backward reads. */
void recurrent_forward(struct recurrent *layer, const real *x, const token *const *inputs,
                       token end, const struct dropout *dropout, uint8_t *kept);

/* dh [S][T][B][H]: the gradient of h. Back through all time steps, down to the gates;
 * `meanwhile` (may be NULL) is called after each. */
void recurrent_backward(struct recurrent *layer, const real *dh,
                        const token *const *inputs, token end,
                        void (*meanwhile)(void *context), void *context);

/* After recurrent_backward: gives the gradients of the layer's tensors. */
void recurrent_gradient(const struct recurrent *layer, const struct gradient_sink *sink);

/* After recurrent_backward: the gradient of x goes to dx [S][T][B][D]. */
void recurrent_backward_input(struct recurrent *layer, real *dx);

/* Row `at` = (s T + t) B + b of a [S][T][B][width] buffer starts at at * width. */
static inline size_t row_at(struct extent extent, int s, int t, int b)
{
    return ((size_t)s * (size_t)extent.steps + (size_t)t) * (size_t)extent.rows +
           (size_t)b;
}

static inline struct matmul_batch over_time(struct extent extent)
{
    return (struct matmul_batch){extent.microbatches, extent.steps * extent.rows};
}

static inline size_t extent_rows(struct extent extent)
{
    return (size_t)extent.microbatches * (size_t)extent.steps * (size_t)extent.rows;
}

#endif
