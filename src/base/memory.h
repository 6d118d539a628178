/* memory: large aligned blocks. */
#ifndef TUTTI_BASE_MEMORY_H
#define TUTTI_BASE_MEMORY_H

#include <stddef.h>

/* `size` bytes, zeroed and 64-byte aligned; blocks of 2 MiB and more use huge pages where
 * available, which makes streaming through them up to twice as fast. A page takes memory
 * from its first write on, near the core of the thread that writes (NUMA first touch);
 * pages that are read before become huge only later, if at all. NULL if out of memory. */
void *memory_zeroed(size_t size);
void memory_free(void *memory); /* NULL is fine */

#endif
