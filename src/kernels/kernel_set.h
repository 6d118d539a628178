/* kernel_set: the kernels of one instruction set, generic code over simd16. Included last
 * by the source file of the set. Every such file is compiled on all architectures; #if
 * leaves it empty where the set is not available. It defines:
 *
 *     KERNELS, KERNELS_NAME      the table, and its name as a string
 *     simd16 and its operations  listed in simd16.h
 *     PART_INPUTS                inputs of a panel multiplied at a time, see kernels.h
 *     BF16_ROWS, BF16_VECTORS    sums that microkernel_bf16.h keeps in registers
 *     PEAK_CHAINS                independent chains of multiply-adds needed for peak
 *     HAS_...                    optional: replace generic functions, see
 *                                microkernel_float32.h, microkernel_bf16.h, transpose.h,
 *                                fixed_point.h
 */
#include "simd16.h"

#include "cells.h"
#include "fixed_point.h"
#include "microkernel_bf16.h"
#include "microkernel_float32.h"
#include "simd16_math.h"
#include "softmax.h"
#include "transpose.h"
#include "kernel_sets.h"

/* Only amx has state to set up. */
static void no_op(void)
{
}

static double peak(size_t iterations)
{
    simd16 sums[PEAK_CHAINS], half = simd16_set((real)0.5);
    real lanes[VECTOR];
    volatile real opaque = 0; /* keeps the compiler from dropping the loop, or registers
                                 of equal values */
    for (int i = 0; i < VECTOR; i++)
        lanes[i] = (real)i + opaque;
#pragma GCC unroll 24
    for (int i = 0; i < PEAK_CHAINS; i++)
        sums[i] = simd16_add(simd16_load(lanes), simd16_set((real)i));
    for (size_t n = 0; n < iterations; n++) {
#pragma GCC unroll 24
        for (int i = 0; i < PEAK_CHAINS; i++)
            sums[i] = simd16_fma(half, half, sums[i]);
    }
#pragma GCC unroll 24
    for (int i = 1; i < PEAK_CHAINS; i++)
        sums[0] = simd16_add(sums[0], sums[i]);
    simd16_store(lanes, sums[0]);
    for (int i = 0; i < VECTOR; i++)
        opaque = lanes[i];
    return 2.0 * VECTOR * PEAK_CHAINS * (double)iterations;
}

const struct kernels KERNELS = {
    .name = KERNELS_NAME,
    .part_inputs = PART_INPUTS,
    .microkernel = microkernel,
    .bf16_begin = no_op,
    .bf16_end = no_op,
    .microkernel_bf16 = microkernel_bf16,
    .round_bf16 = round_bf16,
    .round_bf16_pairs = round_bf16_pairs,
    .transpose = transpose,
    .transpose_pairs = transpose_pairs,
    CELL_KERNELS,
    .softmax_cross_entropy = softmax_cross_entropy,
    .fixed_point_add = fixed_point_add,
    .fixed_point_add_squares = fixed_point_add_squares,
    .fixed_point_to_float = fixed_point_to_float,
    .exp = map_exp,
    .tanh = map_tanh,
    .sigmoid = map_sigmoid,
    .peak = peak,
};
