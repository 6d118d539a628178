/* guard: keeps generated music from falling silent or repeating itself for ever. What it
 * forbids is defined with struct sampler_settings. */
#ifndef TUTTI_GENERATE_GUARD_H
#define TUTTI_GENERATE_GUARD_H

#include "sampler.h"

struct guard {               /* a plain value; zero-initialised it has heard nothing */
    uint64_t count;          /* tokens heard */
    uint64_t sounding;       /* how many there were when the last sound came; 0: none */
    double sounding_seconds; /* when that was; 0: none yet */
    token recent[GUARD_PERIOD];          /* token n at n % GUARD_PERIOD */
    uint64_t repeated[GUARD_PERIOD + 1]; /* by period p: tokens in a row, up to the last,
                                            that equal the one p before them */
    double repeated_since[GUARD_PERIOD + 1]; /* when that row began */
};

/* Hears any token, after which the piece is at `seconds`. O(GUARD_PERIOD). */
void guard_accept(struct guard *guard, const struct encoding *encoding, token value,
                  double seconds);

/* Takes from allowed[0..vocabulary) what the guard forbids at `seconds`. */
void guard_restrict(const struct guard *guard, const struct encoding *encoding,
                    double max_silence, double seconds, bool *allowed);

#endif
