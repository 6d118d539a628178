/* cells: one row of the LSTM and of the GRU, forward and backward; see kernels.h. */
#ifndef TUTTI_KERNELS_CELLS_H
#define TUTTI_KERNELS_CELLS_H

#include "simd16_math.h"

/* Gradients through sigmoid and tanh, from their outputs y: dy y (1 - y) and dy (1 -
 * y^2). */
static inline simd16 sigmoid_backward(simd16 y, simd16 dy)
{
    return simd16_multiply(dy, simd16_multiply(y, simd16_subtract(simd16_set(1), y)));
}

static inline simd16 tanh_backward(simd16 y, simd16 dy)
{
    return simd16_multiply(dy, simd16_subtract(simd16_set(1), simd16_multiply(y, y)));
}

/* ---- LSTM ---- */

static void lstm_forward(const struct cell_step *step)
{
    enum { GATE_G = 2 };
    const int hidden = step->hidden, units = step->units;
    const struct dropout_mask dropout = step->dropout;
    const real *bias = step->bias, *c_prev = step->c_prev;
    real *gates = step->gates, *c_next = step->c_next, *tanh_c = step->tanh_c,
         *h_next = step->h_next, *h = step->h;
    for (int q = 0; q < 4; q++)
        for (int j = 0; j < units; j += VECTOR) {
            int at = q * hidden + j, n = units - j;
            simd16 a =
                simd16_add(load_partial(gates + at, n), load_partial(bias + at, n));
            store_partial(gates + at, q == GATE_G ? simd16_tanh(a) : simd16_sigmoid(a),
                          n);
        }
    const real *gate_i = gates, *gate_f = gate_i + hidden, *gate_g = gate_f + hidden,
               *gate_o = gate_g + hidden;
    for (int j = 0; j < units; j += VECTOR) {
        int n = units - j;
        simd16 i_g =
            simd16_multiply(load_partial(gate_i + j, n), load_partial(gate_g + j, n));
        simd16 c =
            simd16_fma(load_partial(gate_f + j, n), load_partial(c_prev + j, n), i_g);
        simd16 t = simd16_tanh(c);
        simd16 out = simd16_multiply(load_partial(gate_o + j, n), t);
        store_partial(c_next + j, c, n);
        store_partial(tanh_c + j, t, n);
        store_partial(h_next + j, out, n);
        store_partial(h + j, dropout_partial(out, &dropout, j, n), n);
    }
}

static void lstm_backward(const struct cell_step *step)
{
    const int hidden = step->hidden, units = step->units;
    const struct dropout_mask dropout = step->dropout;
    const real *c_prev = step->c_prev, *tanh_c = step->tanh_c, *dh = step->dh,
               *dh_next = step->dh_next;
    real *gates = step->gates, *dc = step->dc;
    for (int j = 0; j < units; j += VECTOR) {
        int n = units - j;
        real *gate_i = gates + j, *gate_f = gate_i + hidden, *gate_g = gate_f + hidden,
             *gate_o = gate_g + hidden;
        simd16 i = load_partial(gate_i, n), f = load_partial(gate_f, n),
               g = load_partial(gate_g, n), o = load_partial(gate_o, n),
               t = load_partial(tanh_c + j, n);
        simd16 dout = dropout_partial(load_partial(dh + j, n), &dropout, j, n);
        dout = simd16_add(dout, load_partial(dh_next + j, n));
        simd16 dcell = simd16_add(load_partial(dc + j, n),
                                  tanh_backward(t, simd16_multiply(dout, o)));
        store_partial(gate_o, sigmoid_backward(o, simd16_multiply(dout, t)), n);
        store_partial(gate_i, sigmoid_backward(i, simd16_multiply(dcell, g)), n);
        store_partial(gate_g, tanh_backward(g, simd16_multiply(dcell, i)), n);
        simd16 prev = load_partial(c_prev + j, n);
        store_partial(gate_f, sigmoid_backward(f, simd16_multiply(dcell, prev)), n);
        store_partial(dc + j, simd16_multiply(dcell, f), n);
    }
}

/* ---- GRU ---- */

static void gru_forward(const struct cell_step *step)
{
    const int hidden = step->hidden, units = step->units;
    const struct dropout_mask dropout = step->dropout;
    const real *bias_ih = step->bias, *u = step->gates_hh, *h_prev = step->h_prev;
    real *x = step->gates, *h_next = step->h_next, *h = step->h;
    for (int q = 0; q < 2; q++)
        for (int j = 0; j < units; j += VECTOR) {
            int at = q * hidden + j, n = units - j;
            simd16 a = simd16_add(load_partial(x + at, n), load_partial(bias_ih + at, n));
            a = simd16_sigmoid(simd16_add(a, load_partial(u + at, n)));
            store_partial(x + at, a, n);
        }
    const real *gate_r = x, *gate_z = gate_r + hidden;
    real *gate_n = x + 2 * hidden;
    bias_ih += 2 * hidden;
    u += 2 * hidden;
    for (int j = 0; j < units; j += VECTOR) {
        int n = units - j;
        simd16 c = simd16_add(load_partial(gate_n + j, n), load_partial(bias_ih + j, n));
        c = simd16_tanh(
            simd16_fma(load_partial(gate_r + j, n), load_partial(u + j, n), c));
        simd16 delta = simd16_subtract(load_partial(h_prev + j, n), c);
        simd16 out = simd16_fma(load_partial(gate_z + j, n), delta, c);
        store_partial(gate_n + j, c, n);
        store_partial(h_next + j, out, n);
        store_partial(h + j, dropout_partial(out, &dropout, j, n), n);
    }
}

static void gru_backward(const struct cell_step *step)
{
    const int hidden = step->hidden, units = step->units;
    const struct dropout_mask dropout = step->dropout;
    const real *h_prev = step->h_prev, *dh = step->dh;
    real *x = step->gates, *u = step->gates_hh, *dh_next = step->dh_next;
    for (int j = 0; j < units; j += VECTOR) {
        int n = units - j, gate_z = hidden + j, gate_n = 2 * hidden + j;
        simd16 r = load_partial(x + j, n), z = load_partial(x + gate_z, n),
               c = load_partial(x + gate_n, n);
        simd16 dout = dropout_partial(load_partial(dh + j, n), &dropout, j, n);
        dout = simd16_add(dout, load_partial(dh_next + j, n));
        simd16 prev = load_partial(h_prev + j, n);
        simd16 dz = sigmoid_backward(z, simd16_multiply(dout, simd16_subtract(prev, c)));
        simd16 dn =
            tanh_backward(c, simd16_multiply(dout, simd16_subtract(simd16_set(1), z)));
        simd16 dr = sigmoid_backward(r, simd16_multiply(dn, load_partial(u + gate_n, n)));
        store_partial(x + j, dr, n);
        store_partial(x + gate_z, dz, n);
        store_partial(x + gate_n, dn, n);
        store_partial(u + j, dr, n);
        store_partial(u + gate_z, dz, n);
        store_partial(u + gate_n, simd16_multiply(dn, r), n);
        store_partial(dh_next + j, simd16_multiply(dout, z), n);
    }
}

/* The members of struct kernels for the cells. */
#define CELL_KERNELS                                                                     \
    .lstm_forward = lstm_forward, .lstm_backward = lstm_backward,                        \
    .gru_forward = gru_forward, .gru_backward = gru_backward

#endif
