/* What stream and streams share: how a stream comes by its tokens. */
#ifndef TUTTI_DATA_STREAM_INTERNAL_H
#define TUTTI_DATA_STREAM_INTERNAL_H

#include "token_cache.h"
#include "stream.h"

/* A piece: where its tokens begin, in `tokens` or in its shard, and how many there are. */
struct stream_piece {
    uint64_t first, count;
};

/* From piece `piece` on, up to the next of these, the pieces are in this shard. */
struct stream_shard {
    size_t piece, number; /* number: of the cache */
};

struct stream_source { /* zero-initialise; freed with stream_close */
    struct stream_piece *pieces;
    size_t piece_count, piece_room;
    uint64_t token_count;
    token *tokens;             /* all of them; or NULL, and then */
    struct token_cache *cache; /* borrowed */
    struct stream_shard *shards;
    size_t shard_count, shard_room;
};

enum { VIEW_TOKENS = 1024 }; /* that a row takes out of the cache at a time */

/* Takes over the source, also on failure. */
enum status stream_create(struct stream_source *source, token end, int microbatch,
                          int rows, uint64_t seed, struct stream **out);

/* Memory that a stream of so many pieces and rows holds, apart from `tokens`, from the
 * cache, and from `shards`. */
uint64_t stream_table_bytes(uint64_t pieces, int rows, bool cached);

uint64_t stream_bytes(const struct stream *stream); /* without the cache */

#endif
