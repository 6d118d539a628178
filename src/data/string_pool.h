/* string_pool: many short strings in one growing block, identified by offset, so that a
 * table with millions of paths is two allocations and can be sent between ranks as is. */
#ifndef TUTTI_DATA_STRING_POOL_H
#define TUTTI_DATA_STRING_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct string_pool { /* zero-initialise; free with pool_free */
    char *bytes;
    size_t size, capacity;
};

/* Appends a copy of `text` with its terminating zero; *offset: its position. */
enum status pool_append(struct string_pool *pool, const char *text, uint64_t *offset);
void pool_free(struct string_pool *pool);

#endif
