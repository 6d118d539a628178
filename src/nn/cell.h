/* cell: the kinds of recurrent cell, as a table. Everything specific to one cell is in
 * its row: names, tensor shapes, the buffers and matmuls that it needs from the recurrent
 * layer, one time step forward and backward, and its description in a checkpoint. The
 * arithmetic and struct cell_step are in kernels.h. H: hidden.
 */
#ifndef TUTTI_NN_CELL_H
#define TUTTI_NN_CELL_H

#include <stdbool.h>

#include "base/options.h"
#include "kernels/kernels.h"

struct cell {
    const char *name;  /* "lstm": in settings and in tensor names */
    const char *title; /* "LSTM": in messages */

    int gate_count;                /* blocks of H rows in weight_ih and weight_hh */
    const char *const *gate_names; /* [gate_count], in the order of the blocks */
    int forget_gate; /* its bias is initialised to 1, the others to 0; -1: none */
    int state_count; /* carried vectors of width H: 1 is h; 2 is h and c */
    /* True: W_hh h_prev has its own buffer, gates_hh, and there are two biases, bias_ih
     * and bias_hh. False: W_hh h_prev is added to gates, and there is one bias. */
    bool has_gates_hh;
    bool has_tanh_c;      /* forward saves tanh(c) for backward */
    bool has_direct_path; /* h also depends on h_prev directly, not only through W_hh */

    void (*forward)(const struct cell_step *step);
    void (*backward)(const struct cell_step *step);

    /* Attributes of the layer in a checkpoint; `reset` may be NULL. */
    const char *equations, *biases, *reset;
};

/* The row of an enum option_cell. */
const struct cell *cell_of(int kind);

#endif
