/* string_pool: see the header. */
#include "string_pool.h"

#include <stdlib.h>
#include <string.h>

void *array_reserve(void **array, size_t *capacity, size_t need, size_t item)
{
    if (need <= *capacity && *array)
        return *array;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < need)
        wanted = need;
    if (wanted < 64)
        wanted = 64;
    void *grown = wanted > SIZE_MAX / item ? NULL : realloc(*array, wanted * item);
    if (!grown) {
        status_fail(STATUS_FAILED, "no memory for %zu records of %zu bytes", wanted,
                    item);
        return NULL;
    }
    *array = grown;
    *capacity = wanted;
    return grown;
}

enum status pool_append(struct string_pool *pool, const char *line, uint64_t *offset)
{
    size_t length = strlen(line) + 1;
    void *bytes = pool->bytes;
    if (!array_reserve(&bytes, &pool->capacity, pool->size + length, 1))
        return STATUS_FAILED;
    pool->bytes = bytes;
    memcpy(pool->bytes + pool->size, line, length);
    *offset = pool->size;
    pool->size += length;
    return STATUS_OK;
}

void pool_free(struct string_pool *pool)
{
    free(pool->bytes);
    *pool = (struct string_pool){0};
}
