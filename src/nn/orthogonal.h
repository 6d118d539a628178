/* orthogonal: random matrices with orthonormal columns (Saxe, McClelland and Ganguli:
 * "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
 * 2014). */
#ifndef TUTTI_NN_ORTHOGONAL_H
#define TUTTI_NN_ORTHOGONAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/real.h"
#include "base/status.h"

/* matrix[rows][columns] := Q of the QR decomposition of a matrix of standard normal
 * numbers, with the signs that make R's diagonal positive: uniform over all such matrices
 * (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).
 * rows >= columns >= 1. A function of (seed, tensor, rows, columns), with the same bits
 * on every processor: all operations are IEEE double, in a fixed order. STATUS_FAILED
 * without memory for it in double. Takes 2 rows columns^2 FLOP on one thread. */
enum status orthogonal_draw(uint64_t seed, size_t tensor, size_t rows, size_t columns,
                            real *matrix);

#endif
