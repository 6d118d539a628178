/* dropout: masks from counters, so a unit's fate depends on its place alone.
 *
 * One Philox block decides eight units: its four words, halved. */
#include <math.h>
#include <string.h>

#include "layers.h"
#include "base/rng.h"

enum { UNITS_PER_BLOCK = 8 };

void dropout_row(const struct dropout *dropout, int place, int64_t row, int t, int width,
                 uint8_t *kept)
{
    uint32_t threshold = (uint32_t)lrint(ldexp(dropout->rate, 32));
    uint64_t where = (uint64_t)place << 32 | (uint64_t)row;
    uint64_t blocks = ((uint64_t)width + UNITS_PER_BLOCK - 1) / UNITS_PER_BLOCK;
    for (uint64_t i = 0; i < blocks; i++) {
        struct rng_block block =
            rng_block(dropout->seed, RNG_DROPOUT, (uint64_t)dropout->step, where,
                      (uint64_t)t * blocks + i);
        int first = (int)i * UNITS_PER_BLOCK;
        for (int j = 0; j < UNITS_PER_BLOCK && first + j < width; j++) {
            uint32_t draw = (uint32_t)(block.word[j / 2] >> (j % 2 ? 32 : 0));
            kept[first + j] = draw >= threshold;
        }
    }
}

real dropout_factor(const struct dropout *dropout)
{
    return (real)(1 / (1 - dropout->rate));
}

static void scale_kept(real factor, const uint8_t *kept, size_t count, real *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = kept[i] ? values[i] * factor : 0;
}

void dropout_forward(const struct dropout *dropout, int place, int64_t first_row,
                     int steps, int rows, int width, real *y, uint8_t *kept)
{
    if (dropout->rate <= 0)
        return;
    for (int t = 0; t < steps; t++)
        for (int b = 0; b < rows; b++)
            dropout_row(dropout, place, first_row + b, t, width,
                        kept + (size_t)(t * rows + b) * (size_t)width);
    scale_kept(dropout_factor(dropout), kept,
               (size_t)steps * (size_t)rows * (size_t)width, y);
}

void dropout_backward(const struct dropout *dropout, const uint8_t *kept, size_t count,
                      real *dy)
{
    if (dropout->rate > 0)
        scale_kept(dropout_factor(dropout), kept, count, dy);
}
