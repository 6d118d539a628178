/* draw: one token from a row of logits. */
#ifndef TUTTI_GENERATE_DRAW_H
#define TUTTI_GENERATE_DRAW_H

#include "sampler.h"

struct candidate {
    double logit, weight;
    token value;
};

/* Draws one of the tokens with allowed[value], using the settings' temperature, top_k,
 * top_p and min_p and a uniform random number in [0, 1). candidates[vocabulary] is scratch.
 * STATUS_FAILED if an allowed token's logit is not finite, or if no token is allowed. */
enum status draw_token(const real *logits, const bool *allowed, size_t vocabulary,
                       const struct sampler_settings *settings, double uniform,
                       struct candidate *candidates, token *out);

/* -log of the token's probability by the logits of all tokens, at temperature 1. */
double draw_surprisal(const real *logits, size_t vocabulary, token value);

#endif
