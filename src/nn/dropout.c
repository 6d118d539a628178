/* dropout: masks from counters, so a unit's fate depends on its place alone.
 *
 * One Philox block decides eight units: its four words, halved. */
#include <math.h>
#include <string.h>

#include "layers.h"
#include "tutti/rng.h"

enum { UNITS_PER_BLOCK = 8 };

/* The units of one row at one time step. */
static void mask_row(const struct dropout *dropout, int layer, int64_t row, int t,
                     int width, uint8_t *kept)
{
    uint32_t threshold = (uint32_t)lrint(ldexp(dropout->rate, 32));
    uint64_t place = (uint64_t)layer << 32 | (uint64_t)row;
    uint64_t blocks = ((uint64_t)width + UNITS_PER_BLOCK - 1) / UNITS_PER_BLOCK;
    for (uint64_t i = 0; i < blocks; i++) {
        struct rng_block block =
            rng_block(dropout->seed, RNG_DROPOUT, (uint64_t)dropout->step, place,
                      (uint64_t)t * blocks + i);
        int first = (int)i * UNITS_PER_BLOCK;
        for (int j = 0; j < UNITS_PER_BLOCK && first + j < width; j++) {
            uint32_t draw = (uint32_t)(block.word[j / 2] >> (j % 2 ? 32 : 0));
            kept[first + j] = draw >= threshold;
        }
    }
}

static void scale_kept(double rate, const uint8_t *kept, size_t count, real *values)
{
    real factor = (real)(1 / (1 - rate));
    for (size_t i = 0; i < count; i++)
        values[i] = kept[i] ? values[i] * factor : 0;
}

void dropout_forward(const struct dropout *dropout, int layer, int64_t first_row,
                     int steps, int rows, int width, real *y, uint8_t *kept)
{
    size_t count = (size_t)steps * (size_t)rows * (size_t)width;
    if (dropout->rate <= 0) {
        memset(kept, 1, count);
        return;
    }
    for (int t = 0; t < steps; t++)
        for (int b = 0; b < rows; b++)
            mask_row(dropout, layer, first_row + b, t, width,
                     kept + (size_t)(t * rows + b) * (size_t)width);
    scale_kept(dropout->rate, kept, count, y);
}

void dropout_backward(const struct dropout *dropout, const uint8_t *kept, size_t count,
                      real *dy)
{
    if (dropout->rate > 0)
        scale_kept(dropout->rate, kept, count, dy);
}
