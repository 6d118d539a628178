/* dropout: inverted dropout (Srivastava et al., 2014): kept units are scaled by 1 / (1 -
 * rate) in training, so that evaluation needs no scaling. Masks come from counter-based
 * random numbers, so a unit's mask depends only on its coordinates.
 *
 * One Philox block decides eight units: each of its four words gives two 32-bit draws. */
#include <math.h>

#include "layers.h"
#include "base/rng.h"

enum { UNITS_PER_BLOCK = 8 };

void dropout_draw_row(const struct dropout *dropout, int site, int64_t row, int t,
                      int width, uint8_t *mask)
{
    uint32_t threshold = (uint32_t)lrint(ldexp(dropout->rate, 32));
    uint64_t site_and_row = (uint64_t)site << 32 | (uint64_t)row;
    uint64_t blocks = ((uint64_t)width + UNITS_PER_BLOCK - 1) / UNITS_PER_BLOCK;
    for (uint64_t i = 0; i < blocks; i++) {
        struct rng_block block =
            rng_block(dropout->seed, RNG_DROPOUT, (uint64_t)dropout->step, site_and_row,
                      (uint64_t)t * blocks + i);
        int first = (int)i * UNITS_PER_BLOCK;
        for (int j = 0; j < UNITS_PER_BLOCK && first + j < width; j++) {
            uint32_t draw = (uint32_t)(block.word[j / 2] >> (j % 2 ? 32 : 0));
            mask[first + j] = draw >= threshold;
        }
    }
}

real dropout_scale(const struct dropout *dropout)
{
    return (real)(1 / (1 - dropout->rate));
}

static void apply_mask(real scale, const uint8_t *mask, size_t count, real *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = mask[i] ? values[i] * scale : 0;
}

static void draw_masks(const struct dropout *dropout, int site, struct batch_shape batch,
                       int width, uint8_t *mask)
{
    for (int s = 0; s < batch.microbatches; s++)
        for (int t = 0; t < batch.steps; t++)
            for (int b = 0; b < batch.rows; b++)
                dropout_draw_row(dropout, site, dropout->first_row + s * batch.rows + b,
                                 t, width,
                                 mask + row_index(batch, s, t, b) * (size_t)width);
}

void dropout_forward(const struct dropout *dropout, int site, struct batch_shape batch,
                     int width, uint8_t *mask, real *y)
{
    if (dropout->rate <= 0)
        return;
    draw_masks(dropout, site, batch, width, mask);
    apply_mask(dropout_scale(dropout), mask, batch_rows(batch) * (size_t)width, y);
}

void dropout_backward(const struct dropout *dropout, struct batch_shape batch, int width,
                      const uint8_t *mask, real *dy)
{
    if (dropout->rate > 0)
        apply_mask(dropout_scale(dropout), mask, batch_rows(batch) * (size_t)width, dy);
}
