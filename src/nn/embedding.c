/* embedding: a table look-up, and its gradient. */
#include <string.h>

#include "layers.h"

void embedding_forward(const real *weight, int width, const token *inputs, int rows,
                       real *y)
{
    size_t e = (size_t)width;
    for (int i = 0; i < rows; i++)
        memcpy(y + (size_t)i * e, weight + inputs[i] * e, e * sizeof *y);
}

void embedding_gradient(const real *dy, int vocabulary, int width, const token *inputs,
                        int rows, real *dweight)
{
    size_t e = (size_t)width;
    memset(dweight, 0, (size_t)vocabulary * e * sizeof *dweight);
    for (int i = 0; i < rows; i++) {
        real *sum = dweight + inputs[i] * e;
        for (size_t j = 0; j < e; j++)
            sum[j] += dy[(size_t)i * e + j];
    }
}
