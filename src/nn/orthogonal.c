/* orthogonal: QR decomposition by the modified Gram-Schmidt process, which is accurate
 * here: a matrix of normal numbers with several times as many rows as columns is well
 * conditioned. */
#include "orthogonal.h"

#include <math.h>
#include <stdlib.h>

#include "base/phase.h"
#include "base/rng.h"

/* In partial sums that don't depend on each other, added in a fixed order. */
static double dot(const double *x, const double *y, size_t count)
{
    enum { SUMS = 8 };
    double sums[SUMS] = {0}, total = 0;
    size_t i = 0;
    for (; i + SUMS <= count; i += SUMS)
        for (size_t j = 0; j < SUMS; j++)
            sums[j] += x[i + j] * y[i + j];
    for (; i < count; i++)
        sums[i % SUMS] += x[i] * y[i];
    for (size_t j = 0; j < SUMS; j++)
        total += sums[j];
    return total;
}

/* Makes column `column` orthogonal to those before it, which are orthonormal, and of
 * length 1; columns are [columns][rows]. */
static void orthonormalise(double *columns, size_t rows, size_t column)
{
    double *y = columns + column * rows;
    for (size_t k = 0; k < column; k++) {
        const double *x = columns + k * rows;
        double product = dot(x, y, rows);
        for (size_t i = 0; i < rows; i++)
            y[i] -= product * x[i];
    }
    double length = sqrt(dot(y, y, rows));
    for (size_t i = 0; i < rows; i++)
        y[i] /= length;
}

enum status orthogonal_draw(uint64_t seed, size_t tensor, size_t rows, size_t columns,
                            real *matrix)
{
    double *drawn = calloc(rows * columns, sizeof *drawn); /* [columns][rows] */
    if (!drawn)
        return status_fail(STATUS_FAILED,
                           "out of memory for an orthogonal matrix of %zu x %zu", rows,
                           columns);
    for (size_t j = 0; j < columns; j++) {
        for (size_t i = 0; i < rows; i++)
            drawn[j * rows + i] =
                rng_normal_exact(seed, RNG_INITIALISE, tensor, i * columns + j);
        orthonormalise(drawn, rows, j);
        phase_progress(); /* a large matrix can take minutes */
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            matrix[i * columns + j] = (real)drawn[j * rows + i];
    free(drawn);
    return STATUS_OK;
}
