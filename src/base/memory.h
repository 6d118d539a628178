/* memory: large blocks for arithmetic. */
#ifndef TUTTI_BASE_MEMORY_H
#define TUTTI_BASE_MEMORY_H

#include <stddef.h>

/* `size` bytes, all zero, 64-byte aligned; in huge pages where the system has them and
 * the block is large: streaming through it is then up to twice as fast. NULL: no memory. */
void *memory_zeroed(size_t size);
void memory_free(void *memory); /* NULL is fine */

#endif
