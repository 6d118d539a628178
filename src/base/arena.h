/* arena: one block of memory, planned once at set-up.
 *
 * A unit lists its arrays in one function, which runs twice on the same arena: first to
 * measure, then to place them in the block allocated in between. So sizes are never
 * listed separately, and one call frees everything:
 *
 *     static void plan(struct model *model, struct arena *arena)
 *     {
 *         model->weights = arena_array(arena, model->params.total, sizeof(real));
 *         ...
 *     }
 *
 *     plan(model, &model->arena);
 *     status = arena_allocate(&model->arena) ? STATUS_OK : status_fail(...);
 *     if (status == STATUS_OK)
 *         plan(model, &model->arena);
 *     ...
 *     arena_free(&model->arena);
 */
#ifndef TUTTI_BASE_ARENA_H
#define TUTTI_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* A zero-initialised arena measures. */
struct arena {
    char *block;   /* NULL while it measures */
    size_t size;   /* bytes of the block, once allocated */
    size_t used;   /* bytes measured or placed so far */
    bool overflow; /* the sizes exceed size_t: arena_allocate will fail */
};

/* An array of `count` elements of `size` bytes, all zero, 64-byte aligned; in huge pages
 * where available. NULL while the arena measures, for an empty array, and for one that
 * exceeds the measured size. */
void *arena_array(struct arena *arena, size_t count, size_t size);

/* Ends measuring and allocates the block. False if out of memory; the arena then needs no
 * arena_free. */
bool arena_allocate(struct arena *arena);

void arena_free(struct arena *arena); /* a zero arena is fine; leaves it zero */

#endif
