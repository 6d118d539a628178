/* memory: huge pages are requested with madvise, but not required. */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { LINE = 64, HUGE = 1 << 21 };

/* calloc does not write to fresh pages. The address that it returned is stored in front
 * of the aligned block. */
void *memory_zeroed(size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t unit = size >= HUGE ? HUGE : LINE;
    size_t whole = (size + unit) / unit * unit; /* never 0 */
    char *allocated = calloc(1, whole + unit);
    if (!allocated)
        return NULL;
    size_t offset = unit - (uintptr_t)allocated % unit; /* at least that of a pointer */
    char *memory = allocated + offset;
    ((void **)memory)[-1] = allocated;
    if (unit == HUGE)
        (void)madvise(memory, whole, MADV_HUGEPAGE);
    return memory;
}

void memory_free(void *memory)
{
    if (memory)
        free(((void **)memory)[-1]);
}
