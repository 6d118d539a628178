/* transpose: blocks of a matrix, of floats or of pairs of bfloat16.
 *
 * A set may define HAS_TRANSPOSE_16X16 and the function transpose_16x16, for 16 x 16
 * elements of 4 bytes.
 */
#ifndef TUTTI_KERNELS_TRANSPOSE_H
#define TUTTI_KERNELS_TRANSPOSE_H

#include "kernels.h"

#if defined(HAS_TRANSPOSE_16X16)
#define TRY_TRANSPOSE_16X16(rows, columns, x, ldx, y, ldy)                               \
    if (rows == 16 && columns == 16) {                                                   \
        transpose_16x16((const float *)x, ldx, (float *)y, ldy);                         \
        return;                                                                          \
    }
#else
#define TRY_TRANSPOSE_16X16(rows, columns, x, ldx, y, ldy)
#endif

#define TRANSPOSE(name, type)                                                            \
    static void name(int rows, int columns, const type *restrict x, size_t ldx,          \
                     type *restrict y, size_t ldy)                                       \
    {                                                                                    \
        TRY_TRANSPOSE_16X16(rows, columns, x, ldx, y, ldy)                               \
        for (size_t i = 0; i < (size_t)rows; i++)                                        \
            for (size_t j = 0; j < (size_t)columns; j++)                                 \
                y[j * ldy + i] = x[i * ldx + j];                                         \
    }
TRANSPOSE(transpose, real)
TRANSPOSE(transpose_pairs, struct bf16_pair)
#undef TRANSPOSE
#undef TRY_TRANSPOSE_16X16

#endif
