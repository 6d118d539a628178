/* stream_files: shard files of random pieces for the tests of streams, and the same
 * pieces in memory. Most pieces are short; some are empty, of one token, or longer than
 * two chunks; about every second one is in another split, so the selected pieces are
 * scattered. */
#ifndef TUTTI_TESTS_STREAM_FILES_H
#define TUTTI_TESTS_STREAM_FILES_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/file.h"
#include "base/rng.h"
#include "data/stream_internal.h"

enum { END = 60000, FILES = 5, FILE_PIECES = 40, LONG_PIECE = 150000 };

struct stream_files {
    char directory[64];
    struct encoding encoding;
    struct dataset dataset;
    struct token_cache *cache;
    struct stream_source source; /* the pieces in the files */
    struct shard shard;          /* the selected pieces in memory */
    size_t first_of[FILES + 1];  /* each file's first selected token in shard.tokens */
};

static inline uint64_t stream_files_draw(uint64_t below, uint64_t file, uint64_t i,
                                         uint64_t purpose)
{
    return rng_below(below, 17, RNG_TEST, file, i, purpose);
}

static inline size_t stream_files_length(uint64_t file, uint64_t piece)
{
    if (piece == 7)
        return LONG_PIECE;
    uint64_t kind = stream_files_draw(6, file, piece, 0);
    return kind < 2 ? (size_t)kind : (size_t)stream_files_draw(3000, file, piece, 1);
}

static inline void stream_files_check(enum status status)
{
    if (status != STATUS_OK)
        fail_msg("unexpected failure: %s", status_message());
}

/* Writes one file and appends its pieces of split 0, the selected ones, to both sources. */
static inline void stream_files_add(struct stream_files *files, uint64_t number)
{
    static token tokens[LONG_PIECE + FILE_PIECES * 3000];
    static struct piece_row rows[FILE_PIECES];
    struct shard *shard = &files->shard;
    struct stream_source *source = &files->source;
    size_t count = 0;
    source->shards[source->shard_count].piece = source->piece_count;
    files->first_of[number] = shard->token_count;
    for (uint64_t p = 0; p < FILE_PIECES; p++) {
        size_t length = stream_files_length(number, p);
        rows[p] =
            (struct piece_row){.split = p != 7 && stream_files_draw(2, number, p, 2),
                               .token_first = count,
                               .token_count = length};
        for (size_t i = 0; i < length; i++)
            tokens[count + i] = (token)stream_files_draw(END, number, count + i, 3);
        if (rows[p].split == 0) {
            source->pieces[source->piece_count++] = (struct stream_piece){count, length};
            source->token_count += length;
            shard->pieces[shard->piece_count++] =
                (struct piece){.token_first = shard->token_count, .token_count = length};
            memcpy(shard->tokens + shard->token_count, tokens + count,
                   length * sizeof *tokens);
            shard->token_count += length;
        }
        count += length;
    }
    char *path = shard_path(files->directory, (size_t)number);
    struct shard_file file = {.rows = rows, .count = FILE_PIECES, .tokens = count};
    stream_files_check(h5_create(path, &file.file));
    stream_files_check(h5_create_1d(file.file, "/tokens", H5_U16, count));
    stream_files_check(h5_write_slice(file.file, "/tokens", H5_U16, 0, count, tokens));
    stream_files_check(h5_close(file.file));
    stream_files_check(h5_open(path, &file.file));
    stream_files_check(token_cache_add(
        files->cache, &file, &source->shards[source->shard_count++].cache_index));
    h5_abandon(file.file);
    free(path);
}

/* `memory`: bytes of chunks. */
static inline void stream_files_make(struct stream_files *files, uint64_t memory)
{
    *files = (struct stream_files){.directory = "/tmp/tutti-stream-XXXXXX",
                                   .encoding = {.end = END}};
    if (!mkdtemp(files->directory))
        abort();
    files->dataset.path = files->directory;
    files->dataset.encoding = &files->encoding;
    stream_files_check(token_cache_create(&files->dataset, &files->cache));
    size_t pieces = FILES * FILE_PIECES,
           tokens = FILES * (LONG_PIECE + FILE_PIECES * 3000);
    files->shard.pieces = calloc(pieces, sizeof *files->shard.pieces);
    files->shard.tokens = calloc(tokens, sizeof *files->shard.tokens);
    files->source =
        (struct stream_source){.pieces = calloc(pieces, sizeof *files->source.pieces),
                               .shards = calloc(FILES, sizeof *files->source.shards),
                               .cache = files->cache};
    for (uint64_t i = 0; i < FILES; i++)
        stream_files_add(files, i);
    files->first_of[FILES] = files->shard.token_count;
    token_cache_set_limit(files->cache, memory);
}

/* A stream over the pieces in the files, and one over the same in memory. */
static inline struct stream *stream_files_stream(struct stream_files *files, int rows)
{
    struct stream *stream = NULL;
    struct stream_source source = files->source;
    source.pieces = malloc(source.piece_count * sizeof *source.pieces);
    source.shards = malloc(source.shard_count * sizeof *source.shards);
    memcpy(source.pieces, files->source.pieces,
           source.piece_count * sizeof *source.pieces);
    memcpy(source.shards, files->source.shards,
           source.shard_count * sizeof *source.shards);
    stream_files_check(stream_create(&source, END, 3, rows, 11, &stream));
    return stream;
}

static inline struct stream *stream_files_in_memory(const struct stream_files *files,
                                                    int rows)
{
    struct stream *stream = NULL;
    struct shard shard = files->shard;
    shard.pieces = malloc(shard.piece_count * sizeof *shard.pieces);
    shard.tokens = malloc(shard.token_count * sizeof *shard.tokens);
    memcpy(shard.pieces, files->shard.pieces, shard.piece_count * sizeof *shard.pieces);
    memcpy(shard.tokens, files->shard.tokens, shard.token_count * sizeof *shard.tokens);
    stream_files_check(stream_from_shard(&shard, END, 3, rows, 11, &stream));
    return stream;
}

static inline void stream_files_remove(struct stream_files *files)
{
    token_cache_free(files->cache);
    free(files->source.pieces);
    free(files->source.shards);
    shard_free(&files->shard);
    file_remove_tree(files->directory);
}

#endif
