/* token_cache: the tokens of some shards, read chunk by chunk into a bounded memory.
 *
 * For streams, which read short parts of pieces that lie anywhere. A chunk is tested when
 * it comes from the disk: its checksum, and every token against the vocabulary. One
 * thread at a time.
 */
#ifndef TUTTI_DATA_TOKEN_CACHE_H
#define TUTTI_DATA_TOKEN_CACHE_H

#include "dataset_internal.h"
#include "base/token.h"

struct token_cache;

enum status token_cache_create(const struct dataset *dataset, struct token_cache **out);
void token_cache_free(struct token_cache *cache); /* NULL is fine */

/* Remembers where the shard's tokens lie; `file` may be closed afterwards. *number: how
 * token_cache_read calls it, counted from 0. */
enum status token_cache_add(struct token_cache *cache, struct shard_file *file,
                            size_t *number);

/* Behind the last token_cache_add: so many bytes of chunks, but at least one chunk and
 * not more than there are. */
void token_cache_plan(struct token_cache *cache, uint64_t bytes);

/* out[i] = token first + i of the shard, for i < count. */
enum status token_cache_read(struct token_cache *cache, size_t number, uint64_t first,
                             size_t count, token *out);

/* Gives back the chunks and closes the files, until the next token_cache_read. */
void token_cache_rest(struct token_cache *cache);

/* Bytes of what is remembered about shards with `tokens` tokens each, chunks not counted;
 * and of a chunk of the largest. */
uint64_t token_cache_table_bytes(uint64_t tokens);
uint64_t token_cache_chunk_bytes(uint64_t tokens);

uint64_t token_cache_bytes(const struct token_cache *cache); /* all of it, at most */

#endif
