/* softmax: softmax and cross-entropy of one row of logits. */
#ifndef TUTTI_KERNELS_SOFTMAX_H
#define TUTTI_KERNELS_SOFTMAX_H

#include "simd16_math.h"

/* The index of the largest value, the lowest index in a tie; NaN is ignored. Each lane
 * keeps its maximum so far and that value's index, which a real represents exactly.
 */
static int find_argmax(int n, const real *values)
{
    real lane_index[VECTOR], lane_max[VECTOR], lane_argmax[VECTOR];
    for (int i = 0; i < VECTOR; i++)
        lane_index[i] = (real)i;
    simd16 max = simd16_set(-(real)INFINITY), argmax = simd16_set(0);
    simd16 indices = simd16_load(lane_index);
    int full = n - n % VECTOR;
    for (int i = 0; i < full; i += VECTOR) {
        simd16 value = simd16_load(values + i);
        argmax = simd16_select_less(max, value, indices, argmax);
        max = simd16_select_less(max, value, value, max);
        indices = simd16_add(indices, simd16_set(VECTOR));
    }
    simd16_store(lane_max, max);
    simd16_store(lane_argmax, argmax);
    int first = 0;
    for (int i = 1; i < VECTOR; i++)
        if (lane_max[i] > lane_max[first] ||
            (lane_max[i] == lane_max[first] && lane_argmax[i] < lane_argmax[first]))
            first = i;
    int found = (int)lane_argmax[first];
    for (int i = full; i < n; i++)
        if (values[i] > lane_max[first]) {
            lane_max[first] = values[i];
            found = i;
        }
    return found;
}

/* out[n] := exp(x - max); returns their sum, accumulated in 16 partial sums. */
static double exp_and_sum(int n, const real *x, real max, real *out)
{
    real partial[VECTOR];
    simd16 sum = simd16_set(0);
    for (int j = 0; j < n; j += VECTOR) {
        int remaining = n - j;
        simd16 e =
            simd16_exp(simd16_subtract(load_partial(x + j, remaining), simd16_set(max)));
        store_partial(out + j, e, remaining);
        sum = simd16_add(sum, load_partial(out + j, remaining)); /* zeros after the end */
    }
    simd16_store(partial, sum);
    double total = 0;
    for (int i = 0; i < VECTOR; i++)
        total += (double)partial[i];
    return total;
}

static double softmax_cross_entropy(int n, real *logits, int target, bool gradient,
                                    double smoothing, int *argmax)
{
    *argmax = find_argmax(n, logits);
    real max = logits[*argmax], target_logit = logits[target];
    if (!gradient) {
        real scratch[VECTOR];
        double total = 0;
        for (int j = 0; j < n; j += VECTOR)
            total +=
                exp_and_sum(n - j < VECTOR ? n - j : VECTOR, logits + j, max, scratch);
        return (double)(target_logit - max) - log(total);
    }
    double total = exp_and_sum(n, logits, max, logits);
    simd16 inverse = simd16_set((real)(1 / total));
    simd16 uniform = simd16_set((real)(smoothing / n));
    for (int j = 0; j < n; j += VECTOR) {
        simd16 p = simd16_multiply(load_partial(logits + j, n - j), inverse);
        store_partial(logits + j, simd16_subtract(p, uniform), n - j);
    }
    logits[target] -= (real)(1 - smoothing);
    return (double)(target_logit - max) - log(total);
}

#endif
