/* dense: the affine layer (also the output's) and the activations. */
#include <math.h>
#include <string.h>

#include "layers.h"
#include "tutti/gemm.h"
#include "tutti/options.h"

void affine_forward(const real *weight, const real *bias, const real *x, int rows, int in,
                    int out, real *y)
{
    for (int i = 0; i < rows; i++)
        memcpy(y + (size_t)i * (size_t)out, bias, (size_t)out * sizeof *y);
    gemm(GEMM_PLAIN, GEMM_TRANSPOSED, rows, out, in, x, in, weight, in, 1, y, out);
}

void affine_backward(const real *weight, const real *dy, int rows, int in, int out,
                     real *dx)
{
    gemm(GEMM_PLAIN, GEMM_PLAIN, rows, in, out, dy, out, weight, in, 0, dx, in);
}

void affine_gradient(const real *x, const real *dy, int rows, int in, int out,
                     real *dweight, real *dbias)
{
    gemm(GEMM_TRANSPOSED, GEMM_PLAIN, out, in, rows, dy, out, x, in, 0, dweight, in);
    memset(dbias, 0, (size_t)out * sizeof *dbias);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < out; j++)
            dbias[j] += dy[(size_t)i * (size_t)out + (size_t)j];
}

void activation_forward(int kind, real *y, size_t count)
{
    if (kind == ACTIVATION_RELU)
        for (size_t i = 0; i < count; i++)
            y[i] = y[i] < 0 ? 0 : y[i]; /* NaN stays NaN */
    else if (kind == ACTIVATION_TANH)
        for (size_t i = 0; i < count; i++)
            y[i] = (real)tanh((double)y[i]);
}

void activation_backward(int kind, const real *y, real *dy, size_t count)
{
    if (kind == ACTIVATION_RELU)
        for (size_t i = 0; i < count; i++)
            dy[i] = y[i] > 0 ? dy[i] : 0;
    else if (kind == ACTIVATION_TANH)
        for (size_t i = 0; i < count; i++)
            dy[i] *= 1 - y[i] * y[i];
}
