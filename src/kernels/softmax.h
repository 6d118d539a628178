/* softmax: softmax and cross-entropy of one row of logits. */
#ifndef TUTTI_KERNELS_SOFTMAX_H
#define TUTTI_KERNELS_SOFTMAX_H

#include "simd16_math.h"

/* The index of the largest value, the lowest index in a tie; NaN is ignored. Each lane
 * keeps its largest value so far and that value's index, which a real represents exactly.
 */
static int index_of_largest(int n, const real *values)
{
    real counting[VECTOR], size[VECTOR], index[VECTOR];
    for (int i = 0; i < VECTOR; i++)
        counting[i] = (real)i;
    simd16 largest = simd16_set(-(real)INFINITY), best = simd16_set(0);
    simd16 at = simd16_load(counting);
    int whole = n - n % VECTOR;
    for (int i = 0; i < whole; i += VECTOR) {
        simd16 value = simd16_load(values + i);
        best = simd16_if_less(largest, value, at, best);
        largest = simd16_if_less(largest, value, value, largest);
        at = simd16_add(at, simd16_set(VECTOR));
    }
    simd16_store(size, largest);
    simd16_store(index, best);
    int first = 0;
    for (int i = 1; i < VECTOR; i++)
        if (size[i] > size[first] || (size[i] == size[first] && index[i] < index[first]))
            first = i;
    int found = (int)index[first];
    for (int i = whole; i < n; i++)
        if (values[i] > size[first]) {
            size[first] = values[i];
            found = i;
        }
    return found;
}

/* out[n] := exp(x - largest); returns their sum, accumulated in 16 partial sums. */
static double exponentials(int n, const real *x, real largest, real *out)
{
    real partial[VECTOR];
    simd16 sum = simd16_set(0);
    for (int j = 0; j < n; j += VECTOR) {
        int left = n - j;
        simd16 e =
            simd16_exp(simd16_subtract(load_part(x + j, left), simd16_set(largest)));
        store_part(out + j, e, left);
        sum = simd16_add(sum, load_part(out + j, left)); /* zeros after the end */
    }
    simd16_store(partial, sum);
    double total = 0;
    for (int i = 0; i < VECTOR; i++)
        total += (double)partial[i];
    return total;
}

static double softmax_cross_entropy(int n, real *logits, int target, bool gradient,
                                    int *best)
{
    *best = index_of_largest(n, logits);
    real largest = logits[*best], wanted = logits[target];
    if (!gradient) {
        real scratch[VECTOR];
        double total = 0;
        for (int j = 0; j < n; j += VECTOR)
            total += exponentials(n - j < VECTOR ? n - j : VECTOR, logits + j, largest,
                                  scratch);
        return (double)(wanted - largest) - log(total);
    }
    double total = exponentials(n, logits, largest, logits);
    simd16 inverse = simd16_set((real)(1 / total));
    for (int j = 0; j < n; j += VECTOR)
        store_part(logits + j, simd16_multiply(load_part(logits + j, n - j), inverse),
                   n - j);
    logits[target] -= 1;
    return (double)(wanted - largest) - log(total);
}

#endif
