/* key_heap: a binary heap of 64-bit keys, the least first. */
#ifndef TUTTI_ENCODE_KEY_HEAP_H
#define TUTTI_ENCODE_KEY_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct key_heap { /* zero-initialise; free with key_heap_free */
    uint64_t *keys;
    size_t count, capacity;
};

/* Equal keys are kept as often as they are pushed. STATUS_FAILED if out of memory. */
enum status key_heap_push(struct key_heap *heap, uint64_t key);

/* Removes the least key; false if the heap is empty. */
bool key_heap_pop(struct key_heap *heap, uint64_t *key);
void key_heap_free(struct key_heap *heap);

#endif
