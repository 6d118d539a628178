/* arena: one block of zeroed memory, handed out from its start. */
#include "arena.h"

#include <stdint.h>

#include "memory.h"

enum { CACHE_LINE = 64, HUGE_PAGE = 1 << 21 };

static size_t aligned(size_t offset, size_t alignment)
{
    return (offset + alignment - 1) / alignment * alignment;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        arena->used > SIZE_MAX - 2 * HUGE_PAGE - bytes) {
        arena->overflow = true;
        return NULL;
    }
    if (!bytes)
        return NULL;
    size_t offset = aligned(arena->used, bytes < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE);
    arena->used = offset + bytes;
    if (arena->used > arena->size) /* measuring, or more than was measured */
        return NULL;
    return arena->block + offset;
}

bool arena_allocate(struct arena *arena)
{
    size_t size = arena->used;
    bool possible = !arena->overflow;
    *arena = (struct arena){0};
    if (possible)
        arena->block = memory_zeroed(size);
    arena->size = size;
    return arena->block != NULL;
}

void arena_free(struct arena *arena)
{
    memory_free(arena->block);
    *arena = (struct arena){0};
}
