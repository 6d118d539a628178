/* streams: the streams of a rank's microbatches, opened together because they share one
 * memory limit.
 *
 * The tables of pieces and the rows' views are allocated first; the rest of the limit
 * holds chunks of tokens. The minimum follows from the index alone, so a limit that is
 * too small is refused before any shard is opened.
 */
#include <stdlib.h>
#include <string.h>

#include "stream_internal.h"
#include "base/array.h"

/* ---- memory ---- */

static uint64_t total_tokens(const struct split_counts *shard)
{
    uint64_t tokens = 0;
    for (int split = 0; split < SPLITS; split++)
        tokens += shard->tokens[split];
    return tokens;
}

static bool is_requested(const struct streams_request *request, size_t shard)
{
    int microbatch = request->assigned[shard] - request->first;
    return microbatch >= 0 && microbatch < request->count &&
           request->dataset->shards[shard].pieces[request->split] > 0;
}

/* While a shard is being opened, its table of the pieces of all splits is in memory. */
static uint64_t opening_bytes(const struct dataset *dataset)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < dataset->shard_count; i++) {
        uint64_t pieces = 0;
        for (int split = 0; split < SPLITS; split++)
            pieces += dataset->shards[i].pieces[split];
        largest = pieces > largest ? pieces : largest;
    }
    return largest * (sizeof(struct piece_row) + sizeof(uint64_t));
}

uint64_t streams_min_idle_bytes(const struct streams_request *request)
{
    const struct dataset *dataset = request->dataset;
    uint64_t pieces = 0, bytes = 0;
    for (size_t i = 0; i < dataset->shard_count; i++)
        if (is_requested(request, i)) {
            pieces += dataset->shards[i].pieces[request->split];
            bytes += token_cache_table_bytes(total_tokens(&dataset->shards[i])) +
                     sizeof(struct stream_shard);
        }
    bytes += stream_table_bytes(pieces, request->rows * request->count, true);
    if (request->independent)
        bytes += (uint64_t)request->count * stream_windows_bytes(0) +
                 pieces * sizeof(uint64_t);
    return bytes + (uint64_t)(request->count - 1) * stream_table_bytes(0, 0, true);
}

static uint64_t largest_chunk(const struct streams_request *request)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < request->dataset->shard_count; i++)
        if (is_requested(request, i)) {
            uint64_t bytes =
                token_cache_chunk_bytes(total_tokens(&request->dataset->shards[i]));
            largest = bytes > largest ? bytes : largest;
        }
    return largest;
}

uint64_t streams_min_bytes(const struct streams_request *request)
{
    uint64_t working = largest_chunk(request), opening = opening_bytes(request->dataset);
    return streams_min_idle_bytes(request) + (working > opening ? working : opening);
}

uint64_t streams_bytes(const struct streams *streams)
{
    uint64_t bytes = streams->cache ? token_cache_bytes(streams->cache) : 0;
    for (int s = 0; s < streams->count; s++)
        bytes += stream_bytes(streams->list[s]);
    return bytes;
}

/* ---- opening ---- */

static enum status add_pieces(const struct shard_file *file, enum split split,
                              struct stream_source *source)
{
    size_t count = 0;
    for (size_t i = 0; i < file->count; i++)
        count += file->rows[i].split == (uint8_t)split;
    struct stream_piece *pieces =
        realloc(source->pieces, (source->piece_count + count) * sizeof *pieces);
    if (!pieces)
        return dataset_out_of_memory(h5_path(file->file));
    source->pieces = pieces;
    for (size_t i = 0; i < file->count; i++) {
        const struct piece_row *row = &file->rows[i];
        if (row->split != (uint8_t)split)
            continue;
        pieces[source->piece_count++] =
            (struct stream_piece){row->token_first, row->token_count};
        source->token_count += row->token_count;
    }
    return STATUS_OK;
}

static enum status add_shard(const struct streams_request *request, size_t index,
                             struct stream_source *source)
{
    struct shard_file file;
    struct stream_shard shard = {.piece = source->piece_count};
    enum status status = shard_file_open(request->dataset, index, &file);
    if (status != STATUS_OK)
        return status;
    struct stream_shard *shards =
        realloc(source->shards, (source->shard_count + 1) * sizeof *shards);
    if (shards)
        source->shards = shards;
    else
        status = dataset_out_of_memory(h5_path(file.file));
    if (status == STATUS_OK)
        status = token_cache_add(source->cache, &file, &shard.cache_index);
    if (status == STATUS_OK)
        status = add_pieces(&file, request->split, source);
    if (status == STATUS_OK)
        source->shards[source->shard_count++] = shard;
    shard_file_close(&file);
    return status;
}

/* Reads only the tables of pieces; the tokens stay in the files. */
static enum status open_cached(const struct streams_request *request, int microbatch,
                               struct token_cache *cache, struct stream **out)
{
    struct stream_source source = {.cache = cache};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < request->dataset->shard_count; i++)
        if (request->assigned[i] == microbatch && is_requested(request, i))
            status = add_shard(request, i, &source);
    if (status != STATUS_OK) {
        free(source.pieces);
        free(source.shards);
        return status;
    }
    return stream_create(&source, request->dataset->encoding->end, microbatch,
                         request->rows, request->seed, out);
}

static enum status open_in_memory(const struct streams_request *request, int microbatch,
                                  struct stream **out)
{
    struct shard shard = {0};
    for (size_t i = 0; i < request->dataset->shard_count; i++) {
        if (request->assigned[i] != microbatch || !is_requested(request, i))
            continue;
        enum status status =
            dataset_read_shard(request->dataset, i, request->split, &shard);
        if (status != STATUS_OK) {
            shard_free(&shard);
            return status;
        }
    }
    return stream_from_shard(&shard, request->dataset->encoding->end, microbatch,
                             request->rows, request->seed, out);
}

static enum status check_memory(const struct streams_request *request)
{
    uint64_t minimum = streams_min_bytes(request);
    if (request->memory >= minimum)
        return STATUS_OK;
    const double megabyte = 1e6;
    return status_fail(STATUS_MISUSE,
                       "%s: %.2f MB of memory are too little for its %s split: at least "
                       "%.2f are needed",
                       request->dataset->path, (double)request->memory / megabyte,
                       split_name(request->split), (double)minimum / megabyte + 0.005);
}

enum status streams_open(const struct streams_request *request, struct streams *out)
{
    *out = (struct streams){0};
    enum status status = STATUS_OK;
    if (request->memory > 0)
        status = check_memory(request);
    if (status == STATUS_OK && request->memory > 0)
        status = token_cache_create(request->dataset, &out->cache);
    out->list = calloc((size_t)request->count, sizeof(struct stream *));
    if (!out->list)
        status = dataset_out_of_memory(request->dataset->path);
    for (; status == STATUS_OK && out->count < request->count; out->count++) {
        struct stream **stream = &out->list[out->count];
        int microbatch = request->first + out->count;
        status = out->cache ? open_cached(request, microbatch, out->cache, stream)
                            : open_in_memory(request, microbatch, stream);
        if (status == STATUS_OK && request->independent)
            status = stream_use_windows(*stream);
        if (status == STATUS_OK)
            stream_augment(*stream, &request->augmentation);
    }
    if (status == STATUS_OK && out->cache)
        token_cache_set_limit(out->cache,
                              request->memory - streams_min_idle_bytes(request));
    if (status != STATUS_OK)
        streams_close(out);
    return status;
}

void streams_close(struct streams *streams)
{
    for (int s = 0; s < streams->count; s++)
        stream_close(streams->list[s]);
    free(streams->list);
    token_cache_free(streams->cache);
    *streams = (struct streams){0};
}

void streams_release(struct streams *streams)
{
    if (streams->cache)
        token_cache_release(streams->cache);
}
