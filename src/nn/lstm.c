/* lstm: one time step of one row of the LSTM. The formulas are in kernels.h. */
#include "recurrent.h"

void lstm_step_forward(struct recurrent *layer, size_t at, real *c_next, real *h_next)
{
    size_t h = (size_t)layer->hidden;
    kernels()->lstm_forward(layer->hidden, layer->gate + at * 4 * h, layer->bias_ih,
                            layer->c_prev + at * h, c_next, layer->tanh_c + at * h,
                            layer->h + at * h, h_next);
}

void lstm_step_backward(struct recurrent *layer, size_t at, real *dh, real *dc)
{
    size_t h = (size_t)layer->hidden;
    kernels()->lstm_backward(layer->hidden, layer->gate + at * 4 * h,
                             layer->c_prev + at * h, layer->tanh_c + at * h, dh, dc);
}
