/* token_cache: caches chunks in slots, which form a ring.
 *
 * Slots are evicted by the clock algorithm (Corbato, "A Paging Experiment with the
 * Multics System", 1968): a hand moves round the ring and evicts the first slot that has
 * not been referenced since its last visit. The position of a piece's first tokens is
 * unpredictable, so a more elaborate policy would not do better; hits come from the rest
 * of the piece.
 *
 * Few files are open at a time, as the number of descriptors is limited (ulimit -n). They
 * are reopened when needed, and must then be unchanged.
 */
#include "token_cache.h"

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/phase.h"

enum { OPEN_FILES_MAX = 256, RESERVED_DESCRIPTORS = 64 };

static const uint32_t NO_SLOT = UINT32_MAX;

struct cached_shard {
    char *path;
    struct h5_chunks chunks;
    uint32_t *slot_of; /* [chunks.count]; NO_SLOT: not cached */
    int64_t size;      /* of the file, with `modified`: to detect a modification */
    struct timespec modified;
    int descriptor;     /* -1: closed */
    uint64_t last_used; /* the cache's clock when it was last read */
};

struct slot {
    size_t shard, chunk;
    bool filled, referenced;
};

struct token_cache {
    const struct dataset *dataset;
    struct cached_shard *shards;
    size_t shard_count, shard_capacity;
    size_t slot_size; /* bytes of a slot in `bytes` */
    uint8_t *bytes;   /* [slot_count][slot_size]; NULL until used */
    struct slot *slots;
    size_t slot_count, hand;
    int open_count, max_open;
    uint64_t clock;
};

/* ---- set-up ---- */

static int max_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur > 2 * OPEN_FILES_MAX + RESERVED_DESCRIPTORS)
        return OPEN_FILES_MAX;
    int available = (int)limit.rlim_cur - RESERVED_DESCRIPTORS;
    return available > 2 ? available / 2 : 1;
}

enum status token_cache_create(const struct dataset *dataset, struct token_cache **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return dataset_out_of_memory(dataset->path);
    (*out)->dataset = dataset;
    (*out)->max_open = max_open_files();
    return STATUS_OK;
}

static void free_shard(struct cached_shard *shard)
{
    h5_chunks_free(&shard->chunks);
    free(shard->slot_of);
    free(shard->path);
}

void token_cache_free(struct token_cache *cache)
{
    if (!cache)
        return;
    token_cache_release(cache);
    for (size_t i = 0; i < cache->shard_count; i++)
        free_shard(&cache->shards[i]);
    free(cache->shards);
    free(cache);
}

static enum status check_chunks(const struct shard_file *file,
                                const struct h5_chunks *chunks)
{
    if (chunks->length != file->tokens)
        return status_fail(STATUS_FAILED, "%s: /tokens: %zu (expected %llu)",
                           h5_path(file->file), chunks->length,
                           (unsigned long long)file->tokens);
    if (chunks->chunk_length > H5_MAX_CHUNK)
        return status_fail(STATUS_FAILED,
                           "%s: /tokens: in chunks of %zu (at most %d expected): "
                           "preprocess again",
                           h5_path(file->file), chunks->chunk_length, H5_MAX_CHUNK);
    return STATUS_OK;
}

static enum status record_file(const struct shard_file *file, struct cached_shard *shard)
{
    struct stat st;
    if (stat(h5_path(file->file), &st) != 0)
        return status_fail_errno("%s: can't read", h5_path(file->file));
    shard->size = st.st_size;
    shard->modified = st.st_mtim;
    shard->path = strdup(h5_path(file->file));
    shard->slot_of = malloc((shard->chunks.count + 1) * sizeof *shard->slot_of);
    if (!shard->path || !shard->slot_of)
        return dataset_out_of_memory(h5_path(file->file));
    for (size_t i = 0; i < shard->chunks.count; i++)
        shard->slot_of[i] = NO_SLOT;
    return STATUS_OK;
}

enum status token_cache_add(struct token_cache *cache, struct shard_file *file,
                            size_t *index)
{
    struct cached_shard shard = {.descriptor = -1};
    struct cached_shard *shards = array_reserve(cache->shards, &cache->shard_capacity,
                                                cache->shard_count + 1, sizeof *shards);
    if (!shards)
        return STATUS_FAILED;
    cache->shards = shards;
    enum status status = h5_chunks_find(file->file, "/tokens", H5_U16, &shard.chunks);
    if (status == STATUS_OK)
        status = check_chunks(file, &shard.chunks);
    if (status == STATUS_OK)
        status = record_file(file, &shard);
    if (status != STATUS_OK) {
        free_shard(&shard);
        return status;
    }
    *index = cache->shard_count;
    cache->shards[cache->shard_count++] = shard;
    return STATUS_OK;
}

static size_t slot_bytes(const struct token_cache *cache)
{
    return cache->slot_size + sizeof *cache->slots;
}

void token_cache_set_limit(struct token_cache *cache, uint64_t bytes)
{
    size_t chunks = 0;
    for (size_t i = 0; i < cache->shard_count; i++) {
        size_t slot_size = h5_chunk_buffer_size(&cache->shards[i].chunks);
        cache->slot_size = slot_size > cache->slot_size ? slot_size : cache->slot_size;
        chunks += cache->shards[i].chunks.count;
    }
    uint64_t slots = bytes / slot_bytes(cache);
    slots = slots < chunks ? slots : chunks;
    slots = slots < NO_SLOT ? slots : NO_SLOT - 1;
    cache->slot_count = slots > 0 ? (size_t)slots : 1;
}

uint64_t token_cache_table_bytes(uint64_t tokens)
{
    enum { PATH_BYTES = 128 }; /* approximately */
    uint64_t chunks = tokens / H5_MAX_CHUNK + 2;
    return sizeof(struct cached_shard) + PATH_BYTES +
           chunks * (sizeof(uint64_t) + sizeof(uint32_t));
}

uint64_t token_cache_chunk_bytes(uint64_t tokens)
{
    struct h5_chunks chunks = {.chunk_length =
                                   tokens < H5_MAX_CHUNK ? (size_t)tokens : H5_MAX_CHUNK,
                               .element_size = sizeof(token)};
    return h5_chunk_buffer_size(&chunks) + sizeof(token) + sizeof(struct slot);
}

uint64_t token_cache_bytes(const struct token_cache *cache)
{
    uint64_t bytes = (uint64_t)cache->slot_count * slot_bytes(cache);
    for (size_t i = 0; i < cache->shard_count; i++)
        bytes += token_cache_table_bytes(cache->shards[i].chunks.length);
    return bytes;
}

/* ---- files ---- */

static void close_shard(struct token_cache *cache, struct cached_shard *shard)
{
    if (shard->descriptor < 0)
        return;
    close(shard->descriptor);
    shard->descriptor = -1;
    cache->open_count--;
}

static void close_least_recent(struct token_cache *cache)
{
    struct cached_shard *least_recent = NULL;
    for (size_t i = 0; i < cache->shard_count; i++) {
        struct cached_shard *shard = &cache->shards[i];
        if (shard->descriptor >= 0 &&
            (!least_recent || shard->last_used < least_recent->last_used))
            least_recent = shard;
    }
    close_shard(cache, least_recent);
}

static bool is_unchanged(const struct cached_shard *shard)
{
    struct stat st;
    return fstat(shard->descriptor, &st) == 0 && st.st_size == shard->size &&
           st.st_mtim.tv_sec == shard->modified.tv_sec &&
           st.st_mtim.tv_nsec == shard->modified.tv_nsec;
}

static enum status open_shard(struct token_cache *cache, struct cached_shard *shard)
{
    shard->last_used = ++cache->clock;
    if (shard->descriptor >= 0)
        return STATUS_OK;
    if (cache->open_count >= cache->max_open)
        close_least_recent(cache);
    shard->descriptor = open(shard->path, O_RDONLY | O_CLOEXEC);
    if (shard->descriptor < 0)
        return status_fail_errno("%s: can't open", shard->path);
    cache->open_count++;
    if (!is_unchanged(shard)) {
        close_shard(cache, shard);
        return status_fail(STATUS_FAILED,
                           "%s: has been changed since this run began to read it: "
                           "restore the original dataset",
                           shard->path);
    }
    posix_fadvise(shard->descriptor, 0, 0, POSIX_FADV_RANDOM);
    return STATUS_OK;
}

/* ---- chunks ---- */

static enum status allocate_slots(struct token_cache *cache)
{
    if (cache->bytes)
        return STATUS_OK;
    cache->bytes = malloc(cache->slot_count * cache->slot_size);
    cache->slots = calloc(cache->slot_count, sizeof *cache->slots);
    if (cache->bytes && cache->slots)
        return STATUS_OK;
    token_cache_release(cache);
    return dataset_out_of_memory(cache->dataset->path);
}

void token_cache_release(struct token_cache *cache)
{
    for (size_t i = 0; i < cache->shard_count; i++)
        close_shard(cache, &cache->shards[i]);
    for (size_t i = 0; cache->slots && i < cache->slot_count; i++)
        if (cache->slots[i].filled)
            cache->shards[cache->slots[i].shard].slot_of[cache->slots[i].chunk] = NO_SLOT;
    free(cache->bytes);
    free(cache->slots);
    cache->bytes = NULL;
    cache->slots = NULL;
    cache->hand = 0;
}

/* Evicts a chunk and returns its slot, now empty. */
static size_t evict_slot(struct token_cache *cache)
{
    struct slot *slot;
    for (;;) {
        slot = &cache->slots[cache->hand];
        if (!slot->referenced)
            break;
        slot->referenced = false;
        cache->hand = (cache->hand + 1) % cache->slot_count;
    }
    size_t index = cache->hand;
    cache->hand = (cache->hand + 1) % cache->slot_count;
    if (slot->filled)
        cache->shards[slot->shard].slot_of[slot->chunk] = NO_SLOT;
    *slot = (struct slot){0};
    return index;
}

static token *slot_tokens(const struct token_cache *cache, size_t slot)
{
    return (token *)(void *)(cache->bytes + slot * cache->slot_size);
}

/* Converts from the file's byte order; every token must be in the vocabulary. */
static enum status check_tokens(const struct token_cache *cache, const char *path,
                                uint64_t first, size_t count, token *tokens)
{
    token end = cache->dataset->encoding->end, largest = 0;
    for (size_t i = 0; i < count; i++) {
        tokens[i] = le16toh(tokens[i]);
        largest = tokens[i] > largest ? tokens[i] : largest;
    }
    if (largest < end)
        return STATUS_OK;
    size_t invalid = 0;
    while (tokens[invalid] < end)
        invalid++;
    return status_fail(STATUS_FAILED,
                       "%s: /tokens: %u at %llu, the vocabulary has %u: damaged, "
                       "preprocess again",
                       path, tokens[invalid], (unsigned long long)(first + invalid), end);
}

static enum status load_chunk(struct token_cache *cache, size_t index, size_t chunk)
{
    struct cached_shard *shard = &cache->shards[index];
    size_t slot = evict_slot(cache);
    token *tokens = slot_tokens(cache, slot);
    uint64_t first = (uint64_t)chunk * shard->chunks.chunk_length;
    uint64_t left = shard->chunks.length - first;
    size_t count =
        left < shard->chunks.chunk_length ? (size_t)left : shard->chunks.chunk_length;
    phase_progress(); /* a slow disk is not a hang */
    enum status status = open_shard(cache, shard);
    if (status == STATUS_OK)
        status = h5_chunk_read(&shard->chunks, chunk, shard->descriptor, shard->path,
                               "/tokens", tokens);
    if (status == STATUS_OK)
        status = check_tokens(cache, shard->path, first, count, tokens);
    if (status != STATUS_OK)
        return status;
    cache->slots[slot] = (struct slot){.shard = index, .chunk = chunk, .filled = true};
    shard->slot_of[chunk] = (uint32_t)slot;
    return STATUS_OK;
}

static enum status find_chunk(struct token_cache *cache, size_t index, size_t chunk,
                              const token **tokens)
{
    struct cached_shard *shard = &cache->shards[index];
    enum status status = allocate_slots(cache);
    if (status == STATUS_OK && shard->slot_of[chunk] == NO_SLOT)
        status = load_chunk(cache, index, chunk);
    if (status != STATUS_OK)
        return status;
    cache->slots[shard->slot_of[chunk]].referenced = true;
    *tokens = slot_tokens(cache, shard->slot_of[chunk]);
    return STATUS_OK;
}

enum status token_cache_read(struct token_cache *cache, size_t index, uint64_t first,
                             size_t count, token *out)
{
    size_t size = cache->shards[index].chunks.chunk_length;
    while (count > 0) {
        const token *tokens = NULL;
        size_t chunk = (size_t)(first / size), offset = (size_t)(first % size);
        size_t part = size - offset < count ? size - offset : count;
        enum status status = find_chunk(cache, index, chunk, &tokens);
        if (status != STATUS_OK)
            return status;
        memcpy(out, tokens + offset, part * sizeof *out);
        out += part;
        first += part;
        count -= part;
    }
    return STATUS_OK;
}
