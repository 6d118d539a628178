/* cell: the kinds of recurrent cell, as a table. Everything that is particular to one
 * cell is in its row: its names, the shape of its tensors, the buffers and products that
 * the recurrent layer provides, one step forward and backward, and what the checkpoint
 * says of it. The arithmetic is in kernels.h.
 *
 * Letters: H hidden, G = gates * H.
 */
#ifndef TUTTI_NN_CELL_H
#define TUTTI_NN_CELL_H

#include <stdbool.h>

#include "base/options.h"
#include "base/real.h"
#include "kernels/kernels.h"

/* One row of the batch at one time step. Members that the cell has no use for are NULL. */
struct cell_step {
    int hidden;
    real *gates;        /* [G]: W_ih x, plus W_hh h_prev unless split_product; forward
                             overwrites it with activations, backward with the gradient */
    real *product;      /* [G], split_product: W_hh h_prev + bias_hh; then its gradient */
    const real *bias;   /* [G]: bias, or bias_ih */
    const real *h_prev; /* [H] */
    const real *c_prev; /* [H], two states */
    real *saved;        /* [H], saves: from forward to backward */
    struct dropout_mask keep; /* dropout of h */
    real *h;                  /* forward: [H], output, after dropout */
    real *h_next, *c_next;    /* forward: [H], carried to the next step */
    const real *dh;           /* backward: [H], gradient of h after dropout */
    real *dh_next;            /* backward: [H], gradient of h_next; with direct_path it is
                             overwritten with what reaches h_prev without W_hh */
    real *dc; /* backward: [H], gradient of c_next, overwritten with that of
                             c_prev */
};

struct cell {
    const char *name;  /* "lstm": in settings and in names of tensors */
    const char *title; /* "LSTM": for people */

    int gates;                     /* blocks of H rows in weight_ih and weight_hh */
    const char *const *gate_names; /* [gates], in the order of the blocks */
    int open_gate;                 /* whose bias is 1 at first, the others' 0; -1: none */
    int states;                    /* vectors of H carried: 1 is h; 2 is h and c */
    bool split_product; /* W_hh h_prev is not just added to W_ih x: there are two biases,
                           bias_ih and bias_hh, instead of one, bias */
    bool saves;         /* backward needs one more vector of forward's */
    bool direct_path;   /* h_prev reaches h without W_hh, too */

    void (*forward)(const struct cell_step *step);
    void (*backward)(const struct cell_step *step);

    /* Attributes of the layer in a checkpoint; `reset` may be NULL. */
    const char *equations, *biases, *reset;
};

/* The row of an enum option_cell. */
const struct cell *cell_of(int kind);

#endif
