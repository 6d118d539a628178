/* buckets: a long vector summed over the ranks in equal parts, each of which starts as
 * soon as the caller has completed it.
 *
 * The caller completes the vector from its end to its beginning, as back-propagation does
 * with the layers. Which parts there are changes no bit of an integer sum.
 */
#ifndef TUTTI_COMM_BUCKETS_H
#define TUTTI_COMM_BUCKETS_H

#include <stddef.h>

#include "comm.h"

struct buckets;

enum { BUCKET_ELEMENTS = 1 << 18 };

/* In buckets of `bucket` elements (0: BUCKET_ELEMENTS). The vector is borrowed; it
 * lies in `memory`, or anywhere if it is NULL. With one
 * rank there is nothing to do, and nothing is allocated. Not collective, but all ranks
 * must do it in the same order. */
enum status buckets_create(struct comm *comm, struct comm_memory *memory,
                           enum comm_type type, void *values, size_t count, size_t bucket,
                           struct buckets **out);
/* How many they are: sums for comm_memory_create. */
size_t buckets_count(size_t count, size_t bucket);
void buckets_free(struct buckets *buckets); /* NULL is fine */

/* Elements from `first` on are complete: the buckets of nothing but such elements start.
 * They may not be touched until buckets_wait. */
enum status buckets_ready(struct buckets *buckets, size_t first);

/* Moves what is under way. Not collective. */
void buckets_progress(struct buckets *buckets);

/* All elements are complete: starts the rest and waits. Afterwards the next sum may
 * begin. */
enum status buckets_wait(struct buckets *buckets);

#endif
