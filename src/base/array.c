/* array: see the header. */
#include "array.h"

#include <stdint.h>
#include <stdlib.h>

#include "status.h"

enum { FIRST_CAPACITY = 64 };

void *array_reserve(void *items, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity && items)
        return items;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < need)
        wanted = need;
    if (wanted < FIRST_CAPACITY)
        wanted = FIRST_CAPACITY;
    void *grown = wanted > SIZE_MAX / size ? NULL : realloc(items, wanted * size);
    if (grown)
        *capacity = wanted;
    else
        status_fail(STATUS_FAILED, "no memory for %zu items of %zu bytes", wanted, size);
    return grown;
}
