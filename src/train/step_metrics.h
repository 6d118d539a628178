/* step_metrics: the metrics reported for one step. */
#ifndef TUTTI_TRAIN_STEP_METRICS_H
#define TUTTI_TRAIN_STEP_METRICS_H

#include <stdbool.h>
#include <stdint.h>

struct step_metrics {
    int64_t step, epoch;  /* from 1 */
    double loss;          /* nats per token */
    double accuracy;      /* share of tokens predicted as most probable */
    double gradient_norm; /* of the mean gradient, before clipping */
    double learning_rate;
    double seconds, tokens_per_second; /* wall time, over all ranks */
    bool hashed;                       /* weights_hash is set */
    uint64_t weights_hash;             /* after the step */
};

#endif
