/* lstm: one time step of one row of the LSTM. The formulas are in kernels.h. */
#include "recurrent.h"

void lstm_step_forward(struct recurrent *layer, size_t at, real *c_next, real *h_next,
                       struct keep keep)
{
    size_t h = (size_t)layer->hidden;
    kernels()->lstm_forward(layer->hidden, layer->gate + at * 4 * h, layer->bias_ih,
                            layer->c_prev + at * h, c_next, layer->tanh_c + at * h,
                            h_next, layer->h + at * h, keep);
}

void lstm_step_backward(struct recurrent *layer, size_t at, const real *dh,
                        struct keep keep, size_t state)
{
    size_t h = (size_t)layer->hidden;
    kernels()->lstm_backward(layer->hidden, layer->gate + at * 4 * h,
                             layer->c_prev + at * h, layer->tanh_c + at * h, dh + at * h,
                             keep, layer->dh + state, layer->dc + state);
}
