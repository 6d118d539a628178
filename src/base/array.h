/* array: the growing of arrays. */
#ifndef TUTTI_BASE_ARRAY_H
#define TUTTI_BASE_ARRAY_H

#include <stddef.h>

/* Room for `need` items of `size` bytes each: returns the array as it lies then, and sets
 * *capacity, in items, which grows by half at least, so that appending one by one is
 * cheap. `items` is NULL at first, with *capacity 0. NULL without memory: the message is
 * set, and array and capacity are as they were. */
void *array_reserve(void *items, size_t *capacity, size_t need, size_t size);

#endif
