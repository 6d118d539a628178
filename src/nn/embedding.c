/* embedding: table lookup and its gradient. */
#include <string.h>

#include "layers.h"
#include "base/team.h"
#include "kernels/kernels.h"

/* y[width] := x after the dropout of its token. */
static void copy_vector(const real *x, size_t width, bool kept, real scale, real *y)
{
    for (size_t j = 0; j < width; j++)
        y[j] = kept ? x[j] * scale : 0;
}

void embedding_forward(const real *weight, const token *tokens, int rows, int width,
                       struct token_dropout dropout, real *y)
{
    size_t e = (size_t)width;
    struct team_share share = team_share((size_t)rows, 1);
    for (size_t i = share.first; i < share.end; i++)
        if (dropout.mask)
            copy_vector(weight + tokens[i] * e, e, dropout.mask[tokens[i]], dropout.scale,
                        y + i * e);
        else
            memcpy(y + i * e, weight + tokens[i] * e, e * sizeof *y);
}

void embedding_backward(const real *dy, const token *tokens, int rows, int width,
                        int vocabulary, real *dweight)
{
    size_t e = (size_t)width;
    struct team_share columns = team_share(e, VECTOR);
    size_t bytes = (columns.end - columns.first) * sizeof *dweight;
    for (size_t v = 0; v < (size_t)vocabulary; v++)
        memset(dweight + v * e + columns.first, 0, bytes);
    for (size_t i = 0; i < (size_t)rows; i++) {
        real *sum = dweight + tokens[i] * e;
        for (size_t j = columns.first; j < columns.end; j++)
            sum[j] += dy[i * e + j];
    }
}

void embedding_drop_gradient(struct token_dropout dropout, int width, int vocabulary,
                             real *dweight)
{
    size_t e = (size_t)width;
    struct team_share columns = team_share(e, VECTOR);
    for (size_t v = 0; dropout.mask && v < (size_t)vocabulary; v++) {
        real *row = dweight + v * e + columns.first;
        copy_vector(row, columns.end - columns.first, dropout.mask[v], dropout.scale,
                    row);
    }
}
