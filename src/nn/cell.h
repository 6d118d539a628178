/* cell: the kinds of recurrent cell, as a table. Everything specific to one cell is in
 * its row: names, tensor shapes, the buffers and matmuls that the recurrent layer
 * provides, one time step forward and backward, and the checkpoint's description of it.
 * The arithmetic is in kernels.h.
 *
 * Letters: H hidden, G = gates * H.
 */
#ifndef TUTTI_NN_CELL_H
#define TUTTI_NN_CELL_H

#include <stdbool.h>

#include "base/options.h"
#include "base/real.h"
#include "kernels/kernels.h"

/* One row of the batch at one time step. Members that the cell does not use are NULL. */
struct cell_step {
    int hidden;
    /* [G]: W_ih x, plus W_hh h_prev unless split_gates. Forward overwrites it with the
     * activations, backward with the gradient. */
    real *gates;
    real *gates_hh;     /* [G], split_gates: W_hh h_prev + bias_hh; then its gradient */
    const real *bias;   /* [G]: bias, or bias_ih */
    const real *h_prev; /* [H] */
    const real *c_prev; /* [H], two states */
    real *saved;        /* [H], has_saved: written by forward, read by backward */
    struct dropout_mask dropout; /* of h */

    /* Forward: */
    real *h;               /* [H]: output, after dropout */
    real *h_next, *c_next; /* [H]: carried to the next step */

    /* Backward: */
    const real *dh; /* [H]: gradient of h after dropout */
    /* [H]: gradient of h_next; with direct_path it is overwritten with the part of the
     * gradient of h_prev that bypasses W_hh. */
    real *dh_next;
    real *dc; /* [H]: gradient of c_next, overwritten with that of c_prev */
};

struct cell {
    const char *name;  /* "lstm": in settings and in tensor names */
    const char *title; /* "LSTM": in messages */

    int gates;                     /* blocks of H rows in weight_ih and weight_hh */
    const char *const *gate_names; /* [gates], in the order of the blocks */
    int forget_gate; /* whose bias is initialised to 1, the others' to 0; -1: none */
    int states;      /* carried vectors of width H: 1 is h; 2 is h and c */
    /* W_hh h_prev has a buffer of its own, gates_hh, and there are two biases, bias_ih
     * and bias_hh. Otherwise it is added to gates, with one bias. */
    bool split_gates;
    bool has_saved;   /* forward saves one more vector for backward */
    bool direct_path; /* h also depends on h_prev other than through W_hh */

    void (*forward)(const struct cell_step *step);
    void (*backward)(const struct cell_step *step);

    /* Attributes of the layer in a checkpoint; `reset` may be NULL. */
    const char *equations, *biases, *reset;
};

/* The row of an enum option_cell. */
const struct cell *cell_of(int kind);

#endif
