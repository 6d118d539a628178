/* cache: finds where the latest tokens of a piece occurred in it before, so that phrases
 * can return.
 *
 * The tokens before the next one are its context. Of all earlier places whose latest
 * tokens equal the context's, those that agree for the longest are the match, as in PPM*
 * (Cleary and Teahan, 1997) and in the short-term model of music of Conklin and Witten
 * (1995). What followed there is a prediction of what follows here, which is the more
 * reliable the longer the match is; mixed with the network's it is a cache model (Grave et
 * al., 2017).
 */
#ifndef TUTTI_GENERATE_CACHE_H
#define TUTTI_GENERATE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/token.h"

enum { CACHE_TOKENS = 1 << 14 }; /* only as many of the latest tokens are searched */

struct cache { /* zero-initialise; free with cache_free */
    token *tokens;
    /* [n]: how many base tokens up to and including token n equal the latest */
    uint32_t *matched;
    size_t count, token_capacity, matched_capacity;
};

/* The places with the longest match of those whose next token is allowed. */
struct cache_match {
    size_t length; /* in base tokens; 0: no match */
    size_t places; /* with that length */
};

/* Appends a token, which stands for `base_count` >= 1 base tokens (more than 1: a merged
 * token, encode/bpe.h). O(CACHE_TOKENS). STATUS_FAILED if out of memory. */
enum status cache_accept(struct cache *cache, token value, size_t base_count);

/* Forgets all tokens, keeps the memory. */
void cache_clear(struct cache *cache);
void cache_free(struct cache *cache);

/* O(CACHE_TOKENS). allowed[vocabulary]. */
struct cache_match cache_find(const struct cache *cache, const bool *allowed);

/* The token that followed at a place of the match, from 0, the latest. */
token cache_next(const struct cache *cache, const bool *allowed,
                 const struct cache_match *match, size_t place);

/* The probability with which the next token is taken from a match: n / (n + 1), where n is
 * the number of its tokens from the `context`th on; 0 if it is shorter. Of the formulas
 * that were tried, it gives validation pieces nearly the largest likelihood, together with
 * the defaults of `context`, for folk tunes and for chorales (docs/usage.md). */
double cache_weight(const struct cache_match *match, int64_t context);

#endif
