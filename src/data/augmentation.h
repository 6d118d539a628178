/* augmentation: random variations of the pieces that a model is trained on. A piece is
 * transposed as a whole, and played louder or softer as a whole; each microbatch epoch
 * draws another variation of it (as Oore et al., "This time with feeling", 2018, transpose
 * by up to five or six semitones).
 *
 * Every variation that the configured limits and the piece's own range allow is equally
 * probable: no note leaves the encoding's pitches, and no velocity its bins. (Velocities
 * are not clamped: two bins would coincide, and a VELOCITY that is in force must not be
 * repeated.) So a piece keeps its number of tokens and remains well formed.
 */
#ifndef TUTTI_DATA_AUGMENTATION_H
#define TUTTI_DATA_AUGMENTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "encode/encoding.h"

struct augmentation {                  /* all zero: off */
    const struct encoding *encoding;   /* must outlive its users */
    int transpose_low, transpose_high; /* semitones, low <= 0 <= high */
    int velocity_shift; /* bins up or down, >= 0; > 0 only if the encoding has velocities */
};

bool augmentation_is_on(const struct augmentation *augmentation);

struct variation { /* of a piece in one microbatch epoch */
    int semitones, velocity_bins;
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

#endif
