/* Shared by stream.c, stream_windows.c and streams.c. */
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

/* Covers the inputs from .. to - 1 of a piece; tokens[0] is the piece's token `first`. */
struct view {
    size_t piece;
    uint64_t from, to, first;
    const token *tokens;
};

/* How a row reads a variation of its piece: from its beginning, token by token. */
struct varied_piece {
    bool begun; /* else the rest is not valid */
    bool ended; /* its last target, END, has been read */
    struct variation variation;
    struct time_stretch time;
    uint64_t next; /* token of the original to read next */
    token input;   /* the target before; END at the beginning */
};

struct stream {
    struct stream_source source;
    token end;
    int microbatch, rows;
    uint64_t seed;
    struct stream_cursor cursor;
    uint32_t *queue;        /* the order of microbatch epoch cursor.epoch */
    struct stream_row *row; /* [rows] */
    size_t *row_piece;      /* [rows]: the piece that the row reads */
    struct view *view;      /* [rows] */
    token *buffer;          /* [rows][VIEW_TOKENS], if there is a cache */
    struct augmentation augmentation;
    struct varied_piece *varied; /* [rows]; used if the augmentation is on */
    uint64_t *window_first;      /* [pieces + 1], of independent windows: the number of
                                  * windows before each piece; NULL: rows are endless */
    /* of the single pass: */
    size_t pass_next;   /* next piece to start */
    size_t *pass_piece; /* [rows]; NO_PIECE: none */
    uint64_t *pass_offset;
};

/* Takes ownership of the source, also on failure. */
enum status stream_create(struct stream_source *source, token end, int microbatch,
                          int rows, uint64_t seed, struct stream **out);

/* Memory of a stream of `pieces` pieces and `rows` rows, without `tokens`, `shards` and
 * the cache. */
uint64_t stream_table_bytes(uint64_t pieces, int rows, bool cached);

uint64_t stream_bytes(const struct stream *stream); /* without the cache */

/* Input `offset` of a piece, and its target, read through the view of row r. */
enum status stream_read_input(struct stream *stream, int r, size_t piece, uint64_t offset,
                              token *input, int32_t *target);

/* stream_windows.c: bytes of window_first; the number of windows; stream_next of
 * independent windows, for a stream with pieces. */
uint64_t stream_windows_bytes(uint64_t pieces);
uint64_t stream_window_count(const struct stream *stream);
enum status stream_next_windows(struct stream *stream, int steps, token *inputs,
                                int32_t *targets);

#endif
