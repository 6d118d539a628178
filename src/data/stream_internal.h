/* Shared by stream.c and streams.c: the source of a stream's tokens. */
#ifndef TUTTI_DATA_STREAM_INTERNAL_H
#define TUTTI_DATA_STREAM_INTERNAL_H

#include "token_cache.h"
#include "stream.h"

/* A piece: its first token, in `tokens` or in its shard, and the number of tokens. */
struct stream_piece {
    uint64_t first, count;
};

/* A shard that holds the pieces from `piece` up to, but excluding, `piece` of the next
 * stream_shard. */
struct stream_shard {
    size_t piece, cache_index;
};

struct stream_source { /* zero-initialise; freed with stream_close */
    struct stream_piece *pieces;
    size_t piece_count, piece_capacity;
    uint64_t token_count;
    token *tokens;             /* all of them; NULL: read through `cache` */
    struct token_cache *cache; /* borrowed */
    struct stream_shard *shards;
    size_t shard_count, shard_capacity;
};

enum { VIEW_TOKENS = 1024 }; /* that a row reads from the cache at a time */

/* Takes ownership of the source, also on failure. */
enum status stream_create(struct stream_source *source, token end, int microbatch,
                          int rows, uint64_t seed, struct stream **out);

/* Memory of a stream of `pieces` pieces and `rows` rows, without `tokens`, `shards` and
 * the cache. */
uint64_t stream_table_bytes(uint64_t pieces, int rows, bool cached);

uint64_t stream_bytes(const struct stream *stream); /* without the cache */

#endif
