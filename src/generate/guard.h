/* guard: prevents generated music from staying silent or repeating itself indefinitely.
 * Its restrictions are defined with struct sampler_settings; the encodings implement the
 * one on the length of notes, because the grammar knows which notes sound. */
#ifndef TUTTI_GENERATE_GUARD_H
#define TUTTI_GENERATE_GUARD_H

#include "sampler.h"

struct guard {                  /* a plain value; zero-initialise */
    uint64_t count;             /* base tokens accepted */
    uint64_t last_sound;        /* `count` just after the last NOTE_ON or KEY; 0: none */
    double last_sound_seconds;  /* its time; 0: none yet */
    token recent[GUARD_PERIOD]; /* token n at n % GUARD_PERIOD */
    /* For each period p: number of latest consecutive tokens that equal the token p
     * earlier. */
    uint64_t repeated[GUARD_PERIOD + 1];
    double repeated_since[GUARD_PERIOD + 1]; /* start time of that run */
};

/* Accepts any base token (see encode/bpe.h); `seconds` is the piece's time after it. O(GUARD_PERIOD). */
void guard_accept(struct guard *guard, const struct encoding *encoding, token value,
                  double seconds);

/* Clears the elements of allowed[0..vocabulary) that the guard forbids after the piece
 * that `grammar` has accepted. */
void guard_restrict(const struct guard *guard, const struct encoding *encoding,
                    const struct grammar *grammar, double max_silence, bool *allowed);

#endif
