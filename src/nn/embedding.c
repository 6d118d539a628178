/* embedding: table lookup and its gradient. */
#include <string.h>

#include "layers.h"

void embedding_forward(const real *weight, const token *tokens, int rows, int width,
                       real *y)
{
    size_t e = (size_t)width;
    for (int i = 0; i < rows; i++)
        memcpy(y + (size_t)i * e, weight + tokens[i] * e, e * sizeof *y);
}

void embedding_backward(const real *dy, const token *tokens, int rows, int width,
                        int vocabulary, real *dweight)
{
    size_t e = (size_t)width;
    memset(dweight, 0, (size_t)vocabulary * e * sizeof *dweight);
    for (int i = 0; i < rows; i++) {
        real *sum = dweight + tokens[i] * e;
        for (size_t j = 0; j < e; j++)
            sum[j] += dy[(size_t)i * e + j];
    }
}
