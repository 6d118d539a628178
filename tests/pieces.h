/* pieces: random notes for tests, rich in edge cases: equal onsets, overlaps, zero
 * durations, long pauses, percussion, all channels, several ports. The seed is printed;
 * TUTTI_TEST_SEED repeats it. */
#ifndef TUTTI_TESTS_PIECES_H
#define TUTTI_TESTS_PIECES_H

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "midi/notes.h"

static inline uint64_t test_seed(void)
{
    const char *text = getenv("TUTTI_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 20240607;
    printf("TUTTI_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

struct dice { /* a sequence of random numbers */
    uint64_t seed, piece, drawn;
};

static inline uint64_t dice_below(struct dice *dice, uint64_t n)
{
    return rng_below(n, dice->seed, RNG_TEST, dice->piece, dice->drawn++, 0);
}

/* Appends `count` notes between pitches low and high at a random division and tempo,
 * sorted. */
static inline void random_piece(struct dice *dice, size_t count, int low, int high,
                                struct notes *out)
{
    static const double divisions[] = {1, 24, 96, 100, 120, 220, 480, 960, 32767};
    out->ticks_per_beat = divisions[dice_below(dice, 9)];
    double tick = (0.2 + (double)dice_below(dice, 1000) / 1000) / out->ticks_per_beat;
    uint64_t spread =
        (uint64_t)(out->ticks_per_beat * (1 + (double)dice_below(dice, 4))) + 1;
    uint32_t now = (uint32_t)dice_below(dice, 5000);
    for (size_t i = 0; i < count; i++) {
        if (dice_below(dice, 3))
            now +=
                (uint32_t)dice_below(dice, dice_below(dice, 20) ? spread : 12 * spread);
        uint32_t length =
            dice_below(dice, 4) ? (uint32_t)dice_below(dice, 2 * spread) : 0;
        struct note note = {
            .start = now * tick,
            .duration = length * tick,
            .start_tick = now,
            .duration_ticks = length,
            .track = (uint16_t)dice_below(dice, 4),
            .pitch = (uint8_t)(low + (int)dice_below(dice, (uint64_t)(high - low + 1))),
            .velocity = (uint8_t)(1 + dice_below(dice, 127)),
            .program = (uint8_t)dice_below(dice, 128),
            .channel = (uint8_t)dice_below(dice, 16),
            .port = (uint8_t)(dice_below(dice, 4) ? 0 : dice_below(dice, 3)),
            .percussion = dice_below(dice, 12) == 0};
        if (notes_append(out, &note) != STATUS_OK)
            abort();
    }
    notes_sort(out);
}

#endif
