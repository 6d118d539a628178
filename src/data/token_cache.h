/* token_cache: a cache of bounded size for the tokens of some shards, read in chunks.
 *
 * Used by streams, which read short parts of pieces in random order. A chunk is verified
 * when it is read from disk: its checksum, and every token against the vocabulary. Not
 * thread-safe.
 */
#ifndef TUTTI_DATA_TOKEN_CACHE_H
#define TUTTI_DATA_TOKEN_CACHE_H

#include "dataset_internal.h"
#include "base/token.h"

struct token_cache;

enum status token_cache_create(const struct dataset *dataset, struct token_cache **out);
void token_cache_free(struct token_cache *cache); /* NULL is fine */

/* Records the location of the shard's tokens; `file` can be closed afterwards. *index:
 * the shard's index for token_cache_read, from 0. */
enum status token_cache_add(struct token_cache *cache, struct shard_file *file,
                            size_t *index);

/* Limits the cached chunks to `bytes`, but to no less than one chunk. Call it once, after
 * the last token_cache_add. */
void token_cache_set_limit(struct token_cache *cache, uint64_t bytes);

/* out[i] = token first + i of the shard, for i < count. */
enum status token_cache_read(struct token_cache *cache, size_t index, uint64_t first,
                             size_t count, token *out);

/* Frees the chunks and closes the files, until the next token_cache_read. */
void token_cache_release(struct token_cache *cache);

/* Bytes of the tables of a shard with `tokens` tokens, without chunks; and of a chunk of
 * such a shard. */
uint64_t token_cache_table_bytes(uint64_t tokens);
uint64_t token_cache_chunk_bytes(uint64_t tokens);

uint64_t
token_cache_bytes(const struct token_cache *cache); /* upper bound on the total */

#endif
