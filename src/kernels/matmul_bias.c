/* matmul_bias: the gradient of a bias, the same for all backends. */
#include "matmul_internal.h"

#include <string.h>

/* sums[width] := the column sums of `rows` rows of values. */
static void sum_columns(const real *values, size_t ld, size_t rows, int width,
                        real *restrict sums)
{
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (size_t i = 0; i < rows; i++, values += ld)
        for (int j = 0; j < width; j++)
            sums[j] += values[j];
}

void gradient_write_bias(const struct matmul_gradient *g, int microbatch, int first,
                         int width, real *sums)
{
    const struct gradient_block block = {.first = g->bias_offset + (size_t)first,
                                         .rows = 1,
                                         .width = width,
                                         .values = sums};
    size_t rows = (size_t)g->batch.rows, n = (size_t)g->n;
    if (g->bias_offset == NO_BIAS)
        return;
    sum_columns(g->dy + (size_t)microbatch * rows * n + first, n, rows, width, sums);
    g->sink->write(g->sink->context, microbatch, &block);
}
