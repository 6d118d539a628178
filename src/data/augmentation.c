/* augmentation: see the header. */
#include "augmentation.h"

#include <math.h>

#include "base/rng.h"

enum { TEMPO_MAX = 2 };

/* Of a random number; results depend on these values. */
enum property { TRANSPOSITION, VELOCITY_SHIFT, TEMPO, PROPERTIES = 4 };

bool augmentation_is_on(const struct augmentation *augmentation)
{
    return augmentation->transpose_low < 0 || augmentation->transpose_high > 0 ||
           augmentation->velocity_shift > 0 || augmentation->time_stretch > 0;
}

struct variation_bounds variation_bounds_of(const struct augmentation *augmentation)
{
    int tempo = augmentation->time_stretch > 0 ? TEMPO_MAX : 0;
    return (struct variation_bounds){
        .low = {augmentation->transpose_low, -augmentation->velocity_shift, -tempo},
        .high = {augmentation->transpose_high, augmentation->velocity_shift, tempo}};
}

/* The part of `limit` that the encoding allows for the token, nearest to it. */
static int narrow(const struct encoding *encoding,
                  token (*shift)(const struct encoding *self, token value, int by),
                  token value, int limit)
{
    while (limit != 0 && shift(encoding, value, limit) == encoding->end)
        limit += limit < 0 ? 1 : -1;
    return limit;
}

void variation_bounds_narrow(struct variation_bounds *bounds,
                             const struct encoding *encoding, token value)
{
    int *low = &bounds->low.semitones, *high = &bounds->high.semitones;
    *low = narrow(encoding, encoding->transpose, value, *low);
    *high = narrow(encoding, encoding->transpose, value, *high);
    low = &bounds->low.velocity_bins;
    high = &bounds->high.velocity_bins;
    *low = narrow(encoding, encoding->shift_velocity, value, *low);
    *high = narrow(encoding, encoding->shift_velocity, value, *high);
}

/* In [low, high]. */
static int draw(int low, int high, uint64_t seed, const uint64_t key[3],
                enum property property)
{
    uint64_t count = (uint64_t)(high - low) + 1;
    return low + (int)rng_below(count, seed, RNG_AUGMENTATION, key[0], key[1],
                                key[2] * PROPERTIES + property);
}

struct variation variation_draw(const struct variation_bounds *bounds, uint64_t seed,
                                uint64_t epoch, uint64_t microbatch, uint64_t position)
{
    const uint64_t key[] = {epoch, microbatch, position};
    return (struct variation){
        draw(bounds->low.semitones, bounds->high.semitones, seed, key, TRANSPOSITION),
        draw(bounds->low.velocity_bins, bounds->high.velocity_bins, seed, key,
             VELOCITY_SHIFT),
        draw(bounds->low.tempo, bounds->high.tempo, seed, key, TEMPO)};
}

token variation_apply(const struct variation *variation, const struct encoding *encoding,
                      token value)
{
    if (variation->semitones != 0)
        value = encoding->transpose(encoding, value, variation->semitones);
    if (variation->velocity_bins != 0)
        value = encoding->shift_velocity(encoding, value, variation->velocity_bins);
    return value;
}

/* ---- time ---- */

struct time_stretch time_stretch_of(const struct augmentation *augmentation,
                                    const struct variation *variation)
{
    return (struct time_stretch){.encoding = augmentation->encoding,
                                 .factor = 1 + augmentation->time_stretch *
                                                   variation->tempo / TEMPO_MAX};
}

bool time_stretch_collect(struct time_stretch *stretch, token value)
{
    if (stretch->factor == 1)
        return false;
    uint64_t steps = stretch->encoding->advance(stretch->encoding, NULL, value);
    stretch->time += steps;
    stretch->collecting |= steps > 0;
    return steps > 0;
}

bool time_stretch_next(struct time_stretch *stretch, token *out)
{
    if (stretch->collecting) {
        uint64_t time = (uint64_t)llround((double)stretch->time * stretch->factor);
        time = time > stretch->stretched ? time : stretch->stretched + 1;
        stretch->pending = time - stretch->stretched;
        stretch->stretched = time;
        stretch->collecting = false;
    }
    if (stretch->pending == 0)
        return false;
    *out = stretch->encoding->longest_shift(stretch->encoding, stretch->pending);
    stretch->pending -= stretch->encoding->advance(stretch->encoding, NULL, *out);
    return true;
}
