/* key_heap: see the header. */
#include "key_heap.h"

#include <stdlib.h>

#include "base/array.h"

enum status key_heap_push(struct key_heap *heap, uint64_t key)
{
    if (heap->count == heap->capacity) {
        uint64_t *keys =
            array_reserve(heap->keys, &heap->capacity, heap->count + 1, sizeof *keys);
        if (!keys)
            return STATUS_FAILED;
        heap->keys = keys;
    }
    size_t at = heap->count++;
    for (; at > 0 && heap->keys[(at - 1) / 2] > key; at = (at - 1) / 2)
        heap->keys[at] = heap->keys[(at - 1) / 2];
    heap->keys[at] = key;
    return STATUS_OK;
}

bool key_heap_pop(struct key_heap *heap, uint64_t *key)
{
    if (heap->count == 0)
        return false;
    uint64_t *keys = heap->keys, last = keys[--heap->count];
    size_t at = 0, child;
    *key = keys[0];
    while ((child = 2 * at + 1) < heap->count) {
        child += child + 1 < heap->count && keys[child + 1] < keys[child];
        if (keys[child] >= last)
            break;
        keys[at] = keys[child];
        at = child;
    }
    keys[at] = last;
    return true;
}

void key_heap_free(struct key_heap *heap)
{
    free(heap->keys);
    *heap = (struct key_heap){0};
}
