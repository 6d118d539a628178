/* cells: one row of the LSTM and of the GRU, forward and backward; see kernels.h. */
#ifndef TUTTI_KERNELS_CELLS_H
#define TUTTI_KERNELS_CELLS_H

#include "simd16_math.h"

/* Gradients through sigmoid and tanh, from their outputs x: dy x (1 - x) and dy (1 -
 * x^2). */
static inline simd16 through_sigmoid(simd16 x, simd16 dy)
{
    return simd16_multiply(dy, simd16_multiply(x, simd16_subtract(simd16_set(1), x)));
}

static inline simd16 through_tanh(simd16 x, simd16 dy)
{
    return simd16_multiply(dy, simd16_subtract(simd16_set(1), simd16_multiply(x, x)));
}

/* ---- LSTM ---- */

static void lstm_forward(const struct cell_step *step)
{
    enum { CELL = 2 };
    const int hidden = step->hidden;
    const struct dropout_mask dropout = step->dropout;
    const real *bias = step->bias, *c_prev = step->c_prev;
    real *gates = step->gates, *c_next = step->c_next, *tanh_c = step->saved,
         *h_next = step->h_next, *h = step->h;
    for (int q = 0; q < 4; q++)
        for (int j = 0; j < hidden; j += VECTOR) {
            int at = q * hidden + j, n = hidden - j;
            simd16 a = simd16_add(load_part(gates + at, n), load_part(bias + at, n));
            store_part(gates + at, q == CELL ? simd16_tanh(a) : simd16_sigmoid(a), n);
        }
    const real *at_i = gates, *at_f = at_i + hidden, *at_g = at_f + hidden,
               *at_o = at_g + hidden;
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j;
        simd16 new = simd16_multiply(load_part(at_i + j, n), load_part(at_g + j, n));
        simd16 c = simd16_fma(load_part(at_f + j, n), load_part(c_prev + j, n), new);
        simd16 t = simd16_tanh(c);
        simd16 out = simd16_multiply(load_part(at_o + j, n), t);
        store_part(c_next + j, c, n);
        store_part(tanh_c + j, t, n);
        store_part(h_next + j, out, n);
        store_part(h + j, drop_part(out, &dropout, j, n), n);
    }
}

static void lstm_backward(const struct cell_step *step)
{
    const int hidden = step->hidden;
    const struct dropout_mask dropout = step->dropout;
    const real *c_prev = step->c_prev, *tanh_c = step->saved, *dh = step->dh,
               *dh_next = step->dh_next;
    real *gates = step->gates, *dc = step->dc;
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j;
        real *at_i = gates + j, *at_f = at_i + hidden, *at_g = at_f + hidden,
             *at_o = at_g + hidden;
        simd16 i = load_part(at_i, n), f = load_part(at_f, n), g = load_part(at_g, n),
               o = load_part(at_o, n), t = load_part(tanh_c + j, n);
        simd16 dout = drop_part(load_part(dh + j, n), &dropout, j, n);
        dout = simd16_add(dout, load_part(dh_next + j, n));
        simd16 dcell =
            simd16_add(load_part(dc + j, n), through_tanh(t, simd16_multiply(dout, o)));
        store_part(at_o, through_sigmoid(o, simd16_multiply(dout, t)), n);
        store_part(at_i, through_sigmoid(i, simd16_multiply(dcell, g)), n);
        store_part(at_g, through_tanh(g, simd16_multiply(dcell, i)), n);
        simd16 before = load_part(c_prev + j, n);
        store_part(at_f, through_sigmoid(f, simd16_multiply(dcell, before)), n);
        store_part(dc + j, simd16_multiply(dcell, f), n);
    }
}

/* ---- GRU ---- */

static void gru_forward(const struct cell_step *step)
{
    const int hidden = step->hidden;
    const struct dropout_mask dropout = step->dropout;
    const real *bias_ih = step->bias, *u = step->gates_hh, *h_prev = step->h_prev;
    real *x = step->gates, *h_next = step->h_next, *h = step->h;
    for (int j = 0; j < 2 * hidden; j += VECTOR) {
        int n = 2 * hidden - j;
        simd16 a = simd16_add(load_part(x + j, n), load_part(bias_ih + j, n));
        store_part(x + j, simd16_sigmoid(simd16_add(a, load_part(u + j, n))), n);
    }
    const real *at_r = x, *at_z = at_r + hidden;
    real *at_n = x + 2 * hidden;
    bias_ih += 2 * hidden;
    u += 2 * hidden;
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j;
        simd16 c = simd16_add(load_part(at_n + j, n), load_part(bias_ih + j, n));
        c = simd16_tanh(simd16_fma(load_part(at_r + j, n), load_part(u + j, n), c));
        simd16 change = simd16_subtract(load_part(h_prev + j, n), c);
        simd16 out = simd16_fma(load_part(at_z + j, n), change, c);
        store_part(at_n + j, c, n);
        store_part(h_next + j, out, n);
        store_part(h + j, drop_part(out, &dropout, j, n), n);
    }
}

static void gru_backward(const struct cell_step *step)
{
    const int hidden = step->hidden;
    const struct dropout_mask dropout = step->dropout;
    const real *h_prev = step->h_prev, *dh = step->dh;
    real *x = step->gates, *u = step->gates_hh, *dh_next = step->dh_next;
    for (int j = 0; j < hidden; j += VECTOR) {
        int n = hidden - j, at_z = hidden + j, at_n = 2 * hidden + j;
        simd16 r = load_part(x + j, n), z = load_part(x + at_z, n),
               c = load_part(x + at_n, n);
        simd16 dout = drop_part(load_part(dh + j, n), &dropout, j, n);
        dout = simd16_add(dout, load_part(dh_next + j, n));
        simd16 before = load_part(h_prev + j, n);
        simd16 dz = through_sigmoid(z, simd16_multiply(dout, simd16_subtract(before, c)));
        simd16 dn =
            through_tanh(c, simd16_multiply(dout, simd16_subtract(simd16_set(1), z)));
        simd16 dr = through_sigmoid(r, simd16_multiply(dn, load_part(u + at_n, n)));
        store_part(x + j, dr, n);
        store_part(x + at_z, dz, n);
        store_part(x + at_n, dn, n);
        store_part(u + j, dr, n);
        store_part(u + at_z, dz, n);
        store_part(u + at_n, simd16_multiply(dn, r), n);
        store_part(dh_next + j, simd16_multiply(dout, z), n);
    }
}

/* The members of struct kernels for the cells. */
#define CELL_KERNELS                                                                     \
    .lstm_forward = lstm_forward, .lstm_backward = lstm_backward,                        \
    .gru_forward = gru_forward, .gru_backward = gru_backward

#endif
