/* optimizer: element-wise updates of the flat block of weights.
 *
 * Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019: decoupled weight decay)
 * and SGD with momentum (v := m v + g, w := w - lr v). Element-wise in a fixed order, so
 * the bits depend on neither ranks nor threads.
 */
#ifndef TUTTI_OPTIMIZER_H
#define TUTTI_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include "tutti/options.h"
#include "tutti/status.h"

struct optimizer {
    int kind;        /* enum option_optimizer */
    size_t count;    /* elements */
    int64_t updates; /* made so far: Adam's t */
    float *first;    /* Adam: mean of gradients; SGD: velocity */
    float *second;   /* Adam: mean of squared gradients; else NULL */
    double beta1, beta2, epsilon, momentum, weight_decay;
};

enum status optimizer_create(const struct options *options, size_t count,
                             struct optimizer *out);
void optimizer_free(struct optimizer *optimizer);

/* One update of weights[count] by gradient[count] (the mean over tokens, clipped). */
void optimizer_update(struct optimizer *optimizer, double learning_rate,
                      const float *gradient, float *weights);

#endif
