/* blake2s: a keyed hash, to authenticate messages between holders of a shared key.
 *
 * BLAKE2s as RFC 7693 defines it. xxHash (hash.h) is no substitute: anyone who sees its
 * values can forge others. A library (libsodium, libcrypto) would be another dependency
 * to build where packages can't be installed, for one function of eighty lines that has
 * not changed since 2012 and whose specification includes a test of all input lengths.
 *
 * Allocates nothing and calls only memcpy and memset, so it may be used in signal
 * handlers. The result is the same on hosts of either byte order.
 */
#ifndef TUTTI_BASE_BLAKE2S_H
#define TUTTI_BASE_BLAKE2S_H

#include <stdbool.h>
#include <stddef.h>

enum { BLAKE2S_KEY = 32, BLAKE2S_TAG = 32 }; /* maxima, in bytes */

/* tag[tag_size] := BLAKE2s of bytes[size] under key[key_size]. tag_size from 1 to
 * BLAKE2S_TAG; tags of different sizes are unrelated. key_size from 0 (no key)
 * to BLAKE2S_KEY. */
void blake2s_hash(void *tag, size_t tag_size, const void *key, size_t key_size,
                  const void *bytes, size_t size);

/* True if two tags are equal. Constant time, independent of where they differ. */
bool blake2s_equal(const void *a, const void *b, size_t size);

#endif
