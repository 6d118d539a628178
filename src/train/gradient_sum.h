/* gradient_sum: the gradient, summed over all microbatches of all ranks, with a few
 * integers (extras: loss, counts, requests) in the same reduction.
 *
 * Two methods, selected by train.reduce, behind one interface:
 *     exact   64-bit fixed point (comm/exact_sum.h): the bits don't depend on the number
 *             of ranks
 *     float   float32, summed in place: half the bytes; the bits depend on the number of
 *             ranks
 * The extras are exact with both.
 *
 * For each step: begin; add every block of every microbatch, microbatch 0 first; ready as
 * elements become final, with progress in between; add the extras; reduce; read.
 */
#ifndef TUTTI_TRAIN_GRADIENT_SUM_H
#define TUTTI_TRAIN_GRADIENT_SUM_H

#include <stddef.h>

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"
#include "comm/exact_sum.h"
#include "kernels/matmul.h"

struct gradient_sum_method;

struct gradient_sum { /* zero-initialise; free with gradient_sum_close */
    const struct gradient_sum_method *method;
    size_t count;            /* elements of the gradient */
    struct exact_sum *exact; /* the extras, and with `exact` the gradient */
    float *values;           /* with `float`: [count], in `memory`; else NULL */
    struct comm_memory *memory;
    struct buckets *buckets;
    int threads;     /* of the team that clears values and computes the norm */
    double *squares; /* scratch of the norm: one sum for each chunk of elements */
};

/* For gradients of `count` elements and `extras` integers; method, scale and bucket size
 * follow from [train]. Collective. */
enum status gradient_sum_open(struct gradient_sum *sum, struct comm *comm,
                              const struct options *options, size_t count, size_t extras);
void gradient_sum_close(struct gradient_sum *sum);

/* Starts a new sum; the extras are zero. Not collective. */
void gradient_sum_begin(struct gradient_sum *sum);

/* Adds a block of a microbatch's gradient; EXACT_OVERWRITE for this rank's first
 * microbatch, EXACT_ADD for the others and for blocks that accumulate (of a tied
 * embedding, one per microbatch). Not collective. */
void gradient_sum_add(struct gradient_sum *sum, enum exact_mode mode,
                      const struct gradient_block *block);

/* Declares the elements from `first` on final on this rank; their reduction starts. As
 * exact_sum_ready. Ordered. */
enum status gradient_sum_ready(struct gradient_sum *sum, size_t first);

/* Progresses the reductions under way. Not collective. */
void gradient_sum_progress(struct gradient_sum *sum);

/* Reduces everything that remains, extras included, and waits for all. Collective. */
enum status gradient_sum_reduce(struct gradient_sum *sum);

/* The Euclidean norm of `factor` times the sum, added up in double in a fixed order, by a
 * team of train.threads threads. */
double gradient_sum_norm(const struct gradient_sum *sum, double factor);

/* values[i] := sum[first + i] * factor for i < n: the double product, rounded once. */
void gradient_sum_read(const struct gradient_sum *sum, size_t first, size_t n,
                       double factor, float *values);

#endif
