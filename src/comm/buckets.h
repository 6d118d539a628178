/* buckets: sums a long vector over the ranks in parts of equal size (buckets). The
 * reduction of a bucket starts as soon as the caller has finished its elements.
 *
 * The caller finishes the vector from its end to its beginning, as back-propagation does
 * with the layers. Integer sums are bitwise independent of the bucket size.
 */
#ifndef TUTTI_COMM_BUCKETS_H
#define TUTTI_COMM_BUCKETS_H

#include <stddef.h>

#include "comm_allreduce.h"

struct buckets;

enum { DEFAULT_BUCKET_ELEMENTS = 1 << 18 };

/* Cuts values[count] into buckets of `bucket` elements (0: DEFAULT_BUCKET_ELEMENTS). The
 * vector is borrowed; it lies in `memory`, or anywhere if `memory` is NULL. With one
 * rank there is nothing to sum and little is allocated. STATUS_MISUSE for more than
 * COMM_ALLREDUCES_MAX buckets. Ordered. */
enum status buckets_create(struct comm *comm, struct comm_memory *memory,
                           enum comm_type type, void *values, size_t count, size_t bucket,
                           struct buckets **out);
/* The number of buckets: `allreduces` of comm_memory_create. */
size_t buckets_count(size_t count, size_t bucket);
void buckets_free(struct buckets *buckets); /* NULL is fine */

/* Declares the elements from `first` on final on this rank. Starts all buckets that
 * contain only such elements; they must not be accessed until buckets_wait returns. All
 * ranks call it with the same values of `first`. Ordered. */
enum status buckets_ready(struct buckets *buckets, size_t first);

/* Progresses the sums under way. Not collective. */
void buckets_progress(struct buckets *buckets);

/* Declares all elements final, starts the remaining buckets and waits for all buckets.
 * Afterwards the next sum may begin. Collective. */
enum status buckets_wait(struct buckets *buckets);

#endif
