/* optimizer: element-wise updates of the flat block of weights.
 *
 * Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019: decoupled weight decay)
 * and SGD with momentum (v := m v + g, w := w - lr v). Element-wise in a fixed order, so
 * the bits depend on neither ranks nor threads.
 */
#ifndef TUTTI_TRAIN_OPTIMIZER_H
#define TUTTI_TRAIN_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"

struct optimizer {
    int kind;        /* enum option_optimizer */
    size_t count;    /* elements */
    int64_t updates; /* made so far: Adam's t */
    float *first;    /* Adam: mean of gradients; SGD: velocity */
    float *second;   /* Adam: mean of squared gradients; else NULL */
    double beta1, beta2, epsilon, momentum, weight_decay;
    float rate, unbias, keep; /* of the update under way */
};

enum status optimizer_create(const struct options *options, size_t count,
                             struct optimizer *out);
void optimizer_free(struct optimizer *optimizer);

/* One update: optimizer_begin, then optimizer_update for every element once, in any parts
 * and order. `gradient` (the mean over tokens, clipped) and `weights` are those of the
 * elements [first, first + count). */
void optimizer_begin(struct optimizer *optimizer, double learning_rate);
void optimizer_update(struct optimizer *optimizer, size_t first, size_t count,
                      const float *gradient, float *weights);

#endif
