/* microkernel_float32: up to MR x NR elements of y, whose sums stay in registers.
 *
 * A set may define HAS_MULTIPLY_MICROTILE and the function multiply_microtile, which is
 * inlined here with constant `rows` and `vectors`.
 */
#ifndef TUTTI_KERNELS_MICROKERNEL_FLOAT32_H
#define TUTTI_KERNELS_MICROKERNEL_FLOAT32_H

#include <math.h>
#include <string.h>

#include "kernels.h"

#if !defined(HAS_MULTIPLY_MICROTILE)
#ifdef TUTTI_DOUBLE
#define CHAIN_FMA(a, b, c) ((a) * (b) + (c)) /* the reference need not be bit-exact */
#else
#define CHAIN_FMA fmaf
#endif
static inline void multiply_microtile(int rows, int vectors, const struct microtile *t)
{
    int width = vectors * VECTOR;
    for (int i = 0; i < rows; i++) {
        real sum[NR];
        for (int j = 0; j < width; j++)
            sum[j] = t->overwrite ? 0 : t->y[i][j];
        for (size_t l = 0; l < (size_t)t->k; l++)
            for (int j = 0; j < width; j++)
                sum[j] =
                    CHAIN_FMA(t->x[i][l * t->ldx], t->panel[l * NR + (size_t)j], sum[j]);
        memcpy(t->y[i], sum, (size_t)width * sizeof *sum);
    }
}
#endif

#define DEFINE_MICROKERNEL(V)                                                            \
    static void microkernel_##V(const struct microtile *t)                               \
    {                                                                                    \
        switch (t->rows) {                                                               \
        case 8:                                                                          \
            multiply_microtile(8, V, t);                                                 \
            break;                                                                       \
        case 7:                                                                          \
            multiply_microtile(7, V, t);                                                 \
            break;                                                                       \
        case 6:                                                                          \
            multiply_microtile(6, V, t);                                                 \
            break;                                                                       \
        case 5:                                                                          \
            multiply_microtile(5, V, t);                                                 \
            break;                                                                       \
        case 4:                                                                          \
            multiply_microtile(4, V, t);                                                 \
            break;                                                                       \
        case 3:                                                                          \
            multiply_microtile(3, V, t);                                                 \
            break;                                                                       \
        case 2:                                                                          \
            multiply_microtile(2, V, t);                                                 \
            break;                                                                       \
        default:                                                                         \
            multiply_microtile(1, V, t);                                                 \
        }                                                                                \
    }
DEFINE_MICROKERNEL(1)
DEFINE_MICROKERNEL(2)
DEFINE_MICROKERNEL(3)
#undef DEFINE_MICROKERNEL

static void microkernel(const struct microtile *t)
{
    if (t->vectors == 3)
        microkernel_3(t);
    else if (t->vectors == 2)
        microkernel_2(t);
    else
        microkernel_1(t);
}

#endif
