/* optimizer: element-wise updates of the flat block of weights.
 *
 * Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019: decoupled weight decay)
 * and SGD with momentum (v := m v + g, w := w - lr v). Element-wise in a fixed order, so
 * the results are bitwise independent of ranks and threads.
 *
 * With train.average = ema also an exponential moving average of the weights (Polyak and
 * Juditsky, 1992, with decaying memory): after update t
 *
 *     average := average + (1 - d) (w - average),  d = min(average_decay, (1 + t) / (10 + t))
 *
 * with the warm-up of TensorFlow's ExponentialMovingAverage. It begins as the initial
 * weights and changes no bit of the weights.
 */
#ifndef TUTTI_TRAIN_OPTIMIZER_H
#define TUTTI_TRAIN_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/options.h"
#include "base/status.h"

struct optimizer { /* free with optimizer_free */
    const struct optimizer_method *method;
    size_t count;       /* elements */
    int64_t updates;    /* completed: Adam's t */
    float *first;       /* [count]: the moment called method->first */
    float *second;      /* [count]: the one called method->second; NULL without one */
    float *average;     /* [count]: of the weights; NULL: none */
    bool averages;      /* there is an average */
    struct arena arena; /* of the moments and the average */
    double beta1, beta2, epsilon, momentum, weight_decay, average_decay;
    /* Factors of the current update; average_rate is 1 - d. */
    float rate, bias_correction, decay_factor, average_rate;
};

enum { OPTIMIZER_CONSTANTS = 4 };

/* All that differs between optimizers. */
struct optimizer_method {
    const char *name; /* "adam": in settings */
    /* The moments' names in a checkpoint; NULL: none, second only. A moment that is a
     * mean of squares is never negative, which checkpoint_check verifies. */
    const char *first, *second;
    bool first_is_squares, second_is_squares;
    /* Attributes of /optimizer in a checkpoint, by their offset in struct optimizer. */
    struct optimizer_constant {
        const char *name;
        size_t offset;
    } constants[OPTIMIZER_CONSTANTS + 1]; /* ends with a NULL name */
    const char *formula;                  /* of the update, for readers of checkpoints */
    void (*begin)(struct optimizer *optimizer, double learning_rate);
    /* Elements [first, first + count). */
    void (*update)(const struct optimizer *optimizer, size_t first, size_t count,
                   const float *gradient, float *weights);
};

/* For `count` weights, with the constants of [train]; all moments are zero. */
enum status optimizer_create(const struct options *options, size_t count,
                             struct optimizer *out);
void optimizer_free(struct optimizer *optimizer);

/* Lets the average begin as `weights`, [count]. No effect without an average. */
void optimizer_start_average(struct optimizer *optimizer, const float *weights);

/* Places moments and average in another arena, by method and count; see arena.h. Such an
 * optimizer needs no optimizer_free. */
void optimizer_plan(struct optimizer *optimizer, struct arena *arena);

/* One update: optimizer_begin, then optimizer_update for every element once, in any parts
 * and order. `gradient` (the mean over tokens, clipped) and `weights` are those of the
 * elements [first, first + count). */
void optimizer_begin(struct optimizer *optimizer, double learning_rate);
void optimizer_update(struct optimizer *optimizer, size_t first, size_t count,
                      const float *gradient, float *weights);

#endif
