/* cache: every accepted token extends or ends the match at every earlier place, so no
 * search is needed: token n matches for one token more than token n - 1 did before. */
#include "cache.h"

#include <stdlib.h>

#include "base/array.h"

static enum status reserve(struct cache *cache)
{
    token *tokens = array_reserve(cache->tokens, &cache->token_capacity, cache->count + 1,
                                  sizeof *cache->tokens);
    if (!tokens)
        return STATUS_FAILED;
    cache->tokens = tokens;
    uint32_t *matched = array_reserve(cache->matched, &cache->matched_capacity,
                                      cache->count + 1, sizeof *cache->matched);
    if (!matched)
        return STATUS_FAILED;
    cache->matched = matched;
    return STATUS_OK;
}

/* The earliest token that is searched. */
static size_t first_token(const struct cache *cache)
{
    return cache->count > CACHE_TOKENS ? cache->count - CACHE_TOKENS : 0;
}

enum status cache_accept(struct cache *cache, token value, size_t base_count)
{
    enum status status = reserve(cache);
    if (status != STATUS_OK)
        return status;
    size_t first = first_token(cache);
    for (size_t n = cache->count; n-- > first;) { /* n - 1 has its value from before */
        uint32_t before = n > 0 ? cache->matched[n - 1] : 0;
        cache->matched[n] = cache->tokens[n] == value ? before + (uint32_t)base_count : 0;
    }
    cache->tokens[cache->count] = value;
    cache->matched[cache->count++] = 0; /* the latest token is no place of a match */
    return STATUS_OK;
}

void cache_clear(struct cache *cache)
{
    cache->count = 0;
}

void cache_free(struct cache *cache)
{
    free(cache->tokens);
    free(cache->matched);
    *cache = (struct cache){0};
}

struct cache_match cache_find(const struct cache *cache, const bool *allowed)
{
    struct cache_match match = {0};
    for (size_t n = first_token(cache); n + 1 < cache->count; n++) {
        size_t length = cache->matched[n];
        if (length < match.length || length == 0 || !allowed[cache->tokens[n + 1]])
            continue;
        match.places = length == match.length ? match.places + 1 : 1;
        match.length = length;
    }
    return match;
}

token cache_next(const struct cache *cache, const bool *allowed,
                 const struct cache_match *match, size_t place)
{
    size_t n = cache->count - 1;
    while (n-- > 0) {
        token next = cache->tokens[n + 1];
        if (cache->matched[n] == match->length && allowed[next] && place-- == 0)
            break;
    }
    return cache->tokens[n + 1];
}

double cache_weight(const struct cache_match *match, int64_t context)
{
    double n = (double)match->length - (double)context + 1;
    return n > 0 ? n / (n + 1) : 0;
}
