/* string_pool: see the header. */
#include "string_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum status pool_append(struct string_pool *pool, const char *text, uint64_t *offset)
{
    size_t length = strlen(text) + 1;
    char *bytes = array_reserve(pool->bytes, &pool->capacity, pool->size + length, 1);
    if (!bytes)
        return STATUS_FAILED;
    pool->bytes = bytes;
    memcpy(pool->bytes + pool->size, text, length);
    *offset = pool->size;
    pool->size += length;
    return STATUS_OK;
}

void pool_free(struct string_pool *pool)
{
    free(pool->bytes);
    *pool = (struct string_pool){0};
}
