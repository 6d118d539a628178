/* What set-up and step agree on about the exact sum. */
#ifndef TUTTI_TRAIN_TRAINER_SCALE_H
#define TUTTI_TRAIN_TRAINER_SCALE_H

#include <stdint.h>

/* The extras that ride with the gradient. */
enum { SUM_LOSS, SUM_TARGETS, SUM_CORRECT, SUM_STOP, SUM_SAVE, SUM_FAILED, SUMS };

/* The scale of the gradient's sum; see trainer_step.c. */
int trainer_scale_bits(int64_t batch, int64_t time);

#endif
