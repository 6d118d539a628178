/* hash: XXH3, from the xxhash library. */
#include "hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

uint64_t hash64(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size);
}

struct hash128 hash128(const void *bytes, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, size);
    return (struct hash128){hash.high64, hash.low64};
}

int hash128_compare(struct hash128 a, struct hash128 b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    if (a.low != b.low)
        return a.low < b.low ? -1 : 1;
    return 0;
}

const char *hash64_text(uint64_t hash, char *text)
{
    snprintf(text, HASH64_TEXT, "%016" PRIx64, hash);
    return text;
}

bool hash64_parse(const char *text, uint64_t *hash)
{
    if (strlen(text) != HASH64_TEXT - 1 ||
        strspn(text, "0123456789abcdef") != HASH64_TEXT - 1)
        return false;
    *hash = strtoull(text, NULL, 16);
    return true;
}
