/* hash: non-cryptographic hashes (XXH3, from the xxhash library). */
#ifndef TUTTI_BASE_HASH_H
#define TUTTI_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash128 {
    uint64_t high, low;
};

uint64_t hash64(const void *bytes, size_t size);
struct hash128 hash128(const void *bytes, size_t size);

/* Negative, 0 or positive if a is less than, equal to or greater than b. Pieces within a
 * shard are in this order. */
int hash128_compare(struct hash128 a, struct hash128 b);

/* Writes lower-case hexadecimal and a zero byte to text[HASH64_TEXT]. Returns text. */
enum { HASH64_TEXT = 17 };
const char *hash64_text(uint64_t hash, char *text);

/* The inverse of hash64_text; false for any other text. */
bool hash64_parse(const char *text, uint64_t *hash);

#endif
