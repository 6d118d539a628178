/* arena: one block of zeroed memory, handed out from its start. */
#include "arena.h"

#include <stdint.h>

#include "memory.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#endif

#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum {
    CACHE_LINE = 64,
#ifdef ARENA_POISONS
    REDZONE =
        CACHE_LINE /* after each array, so that AddressSanitizer detects overflows */
#else
    REDZONE = 0
#endif
};

static size_t aligned(size_t offset)
{
    return (offset + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        bytes > SIZE_MAX / 2 - 2 * CACHE_LINE || arena->used > SIZE_MAX / 2 - bytes) {
        arena->overflow = true;
        return NULL;
    }
    if (!bytes)
        return NULL;
    size_t offset = arena->used;
    arena->used = aligned(offset + bytes + REDZONE);
    if (arena->used > arena->size) /* measuring, or beyond the measured size */
        return NULL;
    ASAN_UNPOISON_MEMORY_REGION(arena->block + offset, bytes);
    return arena->block + offset;
}

bool arena_allocate(struct arena *arena)
{
    size_t size = arena->used;
    bool valid = !arena->overflow;
    *arena = (struct arena){0};
    if (valid)
        arena->block = memory_zeroed(size);
    if (!arena->block)
        return false;
    arena->size = size;
    ASAN_POISON_MEMORY_REGION(arena->block, size);
    return true;
}

void arena_free(struct arena *arena)
{
    if (arena->block)
        ASAN_UNPOISON_MEMORY_REGION(arena->block, arena->size);
    memory_free(arena->block);
    *arena = (struct arena){0};
}
