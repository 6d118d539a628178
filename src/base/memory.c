/* memory: huge pages are requested with madvise, but not required. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE = 64, HUGE = 1 << 21 };

void *memory_zeroed(size_t size)
{
    size_t unit = size >= HUGE ? HUGE : LINE;
    size_t whole = (size + unit) / unit * unit; /* never 0 */
    void *memory = aligned_alloc(unit, whole);
    if (!memory)
        return NULL;
    if (unit == HUGE)
        (void)madvise(memory, whole, MADV_HUGEPAGE);
    return memset(memory, 0, whole);
}

void memory_free(void *memory)
{
    free(memory);
}
