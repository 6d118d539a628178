/* augmentation: random variations of the pieces that a model is trained on. A piece as a
 * whole is transposed, played louder or softer, and faster or slower; each microbatch
 * epoch draws another variation of it (after Oore et al., "This time with feeling", 2018:
 * by up to five or six semitones, and by five factors from 0.95 to 1.05).
 *
 * Every variation that the configured limits and the piece's own range allow is equally
 * probable: no note leaves the encoding's pitches, and no velocity its bins. (Velocities
 * are not clamped: two bins would coincide, and a VELOCITY that is in force must not be
 * repeated.) So a piece remains well formed. Only stretching time changes its number of
 * tokens.
 */
#ifndef TUTTI_DATA_AUGMENTATION_H
#define TUTTI_DATA_AUGMENTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "encode/encoding.h"

struct augmentation {                  /* all zero: off */
    const struct encoding *encoding;   /* must outlive its users */
    int transpose_low, transpose_high; /* semitones, low <= 0 <= high */
    int velocity_shift;  /* bins up or down; > 0 only if the encoding has velocities */
    double time_stretch; /* up to 0.5; > 0 only if the encoding has longest_shift */
};

bool augmentation_is_on(const struct augmentation *augmentation);

struct variation { /* of a piece in one microbatch epoch */
    int semitones, velocity_bins;
    int tempo; /* from -2 to 2: time is stretched by 1 + time_stretch * tempo / 2 */
};

struct variation_bounds {       /* both ends belong to them */
    struct variation low, high; /* low <= 0 <= high */
};

/* The bounds of a piece without tokens: the configured limits. */
struct variation_bounds variation_bounds_of(const struct augmentation *augmentation);

/* Narrows the bounds to variations in which the encoding has the token `value`. */
void variation_bounds_narrow(struct variation_bounds *bounds,
                             const struct encoding *encoding, token value);

/* Draws uniformly from the bounds. The result depends on nothing but the arguments;
 * `position`: of the piece in the queue of the microbatch epoch. */
struct variation variation_draw(const struct variation_bounds *bounds, uint64_t seed,
                                uint64_t epoch, uint64_t microbatch, uint64_t position);

/* The token that replaces `value`, a token of a piece within whose bounds the variation
 * is, or END. */
token variation_apply(const struct variation *variation, const struct encoding *encoding,
                      token value);

/* Stretches the time of a piece: tokens that advance time are collected, and others are
 * written at their stretched times. These are rounded from absolute times, so errors do
 * not accumulate; but events of different times remain at least one grid step apart, so
 * that their order and all lengths remain valid. */
struct time_stretch {
    const struct encoding *encoding;
    double factor;      /* 1: tokens pass unchanged */
    uint64_t time;      /* of the original, in grid steps */
    uint64_t stretched; /* the time written, `pending` included */
    uint64_t pending;   /* grid steps to write */
    bool collecting;    /* time has advanced since the last event */
};

/* Starts a piece. */
struct time_stretch time_stretch_of(const struct augmentation *augmentation,
                                    const struct variation *variation);

/* True if `value` advances time and has been collected; otherwise it is an event, to be
 * written after all that time_stretch_next returns. */
bool time_stretch_collect(struct time_stretch *stretch, token value);

/* True if *out, a token that advances time, comes before the next event. */
bool time_stretch_next(struct time_stretch *stretch, token *out);

#endif
