/* gru: one time step of one row of the GRU. The formulas are in kernels.h. */
#include "recurrent.h"

void gru_step_forward(struct recurrent *layer, size_t at, real *h_next, struct keep keep)
{
    size_t h = (size_t)layer->hidden;
    kernels()->gru_forward(layer->hidden, layer->gate + at * 3 * h, layer->bias_ih,
                           layer->product + at * 3 * h, layer->h_prev + at * h, h_next,
                           layer->h + at * h, keep);
}

void gru_step_backward(struct recurrent *layer, size_t at, const real *dh,
                       struct keep keep, size_t state)
{
    size_t h = (size_t)layer->hidden;
    kernels()->gru_backward(layer->hidden, layer->gate + at * 3 * h,
                            layer->product + at * 3 * h, layer->h_prev + at * h,
                            dh + at * h, keep, layer->dh + state);
}
