/* array: dynamic arrays. */
#ifndef TUTTI_BASE_ARRAY_H
#define TUTTI_BASE_ARRAY_H

#include <stddef.h>

/* Grows an array to a capacity of at least `need` items of `size` bytes each. Returns the
 * array, possibly moved, and sets *capacity, in items. It grows by at least half, so that
 * appending one by one takes amortised constant time. An empty array is NULL with
 * *capacity 0. NULL if out of memory: the message is set; array and capacity are
 * unchanged. */
void *array_reserve(void *items, size_t *capacity, size_t need, size_t size);

#endif
