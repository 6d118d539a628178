/* cell: the table of cells. */
#include "cell.h"

/* ---- LSTM ----
 *
 * Hochreiter and Schmidhuber, 1997; forget gate: Gers, Schmidhuber and Cummins, 2000. */

static void lstm_forward(const struct cell_step *step)
{
    kernels()->lstm_forward(step);
}

static void lstm_backward(const struct cell_step *step)
{
    kernels()->lstm_backward(step);
}

static const char *const lstm_gates[] = {"i", "f", "g", "o"};

/* ---- GRU ----
 *
 * Cho et al., 2014; the reset gate is applied after the matmul, as in cuDNN. */

static void gru_forward(const struct cell_step *step)
{
    kernels()->gru_forward(step);
}

static void gru_backward(const struct cell_step *step)
{
    kernels()->gru_backward(step);
}

static const char *const gru_gates[] = {"r", "z", "n"};

/* ---- the table ---- */

static const struct cell cells[] = {
    [CELL_LSTM] = {.name = "lstm",
                   .title = "LSTM",
                   .gate_count = 4,
                   .gate_names = lstm_gates,
                   .forget_gate = 1,
                   .state_count = 2,
                   .has_tanh_c = true,
                   .forward = lstm_forward,
                   .backward = lstm_backward,
                   .equations =
                       "i, f, g, o = split(weight_ih x + weight_hh h + bias); "
                       "c = sigmoid(f) * c + sigmoid(i) * tanh(g); h = sigmoid(o) * "
                       "tanh(c)",
                   .biases = "one: the sum of PyTorch's bias_ih and bias_hh"},
    [CELL_GRU] = {.name = "gru",
                  .title = "GRU",
                  .gate_count = 3,
                  .gate_names = gru_gates,
                  .forget_gate = -1,
                  .state_count = 1,
                  .has_gates_hh = true,
                  .has_direct_path = true,
                  .forward = gru_forward,
                  .backward = gru_backward,
                  .equations =
                      "xr, xz, xn = split(weight_ih x + bias_ih); "
                      "hr, hz, hn = split(weight_hh h + bias_hh); "
                      "r = sigmoid(xr + hr); z = sigmoid(xz + hz); n = tanh(xn + r * "
                      "hn); h = (1 - z) * n + z * h",
                  .biases = "two: bias_ih and bias_hh",
                  .reset = "after the product: r multiplies weight_hn h + bias_hn, as in "
                           "PyTorch, cuDNN and Keras with reset_after=True"},
};

_Static_assert(sizeof cells / sizeof *cells == CELLS, "one row each");

const struct cell *cell_of(int kind)
{
    return &cells[kind];
}
