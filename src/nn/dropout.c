/* dropout: inverted dropout (Srivastava et al., 2014): kept units are scaled by 1 / (1 -
 * rate) in training, so that evaluation needs no scaling. Masks come from counter-based
 * random numbers, so a unit's mask depends only on its coordinates; a mask of a sequence
 * is that of time step 0.
 *
 * One Philox block decides sixteen units: each of its four words gives four 16-bit draws.
 */
#include <math.h>

#include "layers.h"
#include "base/rng.h"
#include "base/team.h"

enum { UNITS_PER_BLOCK = 16, UNITS_PER_WORD = 4, DRAWS = 1 << 16 };

/* The number of draws, of the DRAWS possible, that drop a unit; some keep it. */
static int dropping_draws(const struct dropout *dropout)
{
    int draws = (int)lrint(dropout->rate * DRAWS);
    return draws < DRAWS ? draws : DRAWS - 1;
}

/* The `count` elements of a block, at most UNITS_PER_BLOCK. */
static void draw_block(struct rng_block block, int dropping, size_t count, uint8_t *mask)
{
    for (size_t j = 0; j < count && j < UNITS_PER_BLOCK; j++) {
        uint64_t word = block.word[j / UNITS_PER_WORD];
        int draw = (int)(word >> 16 * (j % UNITS_PER_WORD)) & (DRAWS - 1);
        mask[j] = draw >= dropping;
    }
}

static size_t blocks_of(size_t count)
{
    return (count + UNITS_PER_BLOCK - 1) / UNITS_PER_BLOCK;
}

/* Draws mask[width] of one row at time step t; `row` is a global row of the batch. */
static void draw_row(const struct dropout *dropout, int site, int64_t row, int t,
                     int width, uint8_t *mask)
{
    const int dropping = dropping_draws(dropout);
    uint64_t site_and_row = (uint64_t)site << 32 | (uint64_t)row;
    size_t count = (size_t)width, blocks = blocks_of(count);
    for (size_t i = 0; i < blocks; i++) {
        size_t first = i * UNITS_PER_BLOCK;
        draw_block(rng_block(dropout->seed, RNG_DROPOUT, (uint64_t)dropout->step,
                             site_and_row, (uint64_t)t * blocks + i),
                   dropping, count - first, mask + first);
    }
}

void dropout_draw_elements(const struct dropout *dropout, enum rng_purpose purpose,
                           int layer, size_t count, uint8_t *mask)
{
    struct team_share share = team_share(blocks_of(count), 1);
    for (size_t i = share.first; i < share.end; i++) {
        size_t first = i * UNITS_PER_BLOCK;
        draw_block(rng_block(dropout->seed, purpose, (uint64_t)dropout->step,
                             (uint64_t)layer, i),
                   dropping_draws(dropout), count - first, mask + first);
    }
}

real dropout_scale(const struct dropout *dropout)
{
    return (real)DRAWS / (real)(DRAWS - dropping_draws(dropout));
}

void dropout_draw(const struct dropout *dropout, int site, struct batch_shape batch,
                  int width, uint8_t *mask)
{
    struct team_share share = team_share(batch_rows(batch), 1);
    size_t rows = (size_t)batch.rows, steps = (size_t)batch.steps;
    bool of_sequence = dropout->mask == DROPOUT_MASK_SEQUENCE;
    for (size_t i = share.first; i < share.end; i++) {
        size_t s = i / (steps * rows), t = i / rows % steps, b = i % rows;
        draw_row(dropout, site, dropout->first_row + (int64_t)(s * rows + b),
                 of_sequence ? 0 : (int)t, width, mask + i * (size_t)width);
    }
}

void dropout_apply(const struct dropout *dropout, struct batch_shape batch, int width,
                   const uint8_t *mask, real *y)
{
    struct team_share share = team_share(batch_rows(batch), 1);
    real scale = dropout_scale(dropout);
    if (dropout->rate <= 0)
        return;
    for (size_t i = share.first * (size_t)width; i < share.end * (size_t)width; i++)
        y[i] = mask[i] ? y[i] * scale : 0;
}
