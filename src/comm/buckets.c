/* buckets: one comm_allreduce per bucket. */
#include "buckets.h"

#include <stdlib.h>

struct buckets {
    struct comm_allreduce **allreduces;
    size_t count, elements; /* number of buckets; elements of each but the last */
    size_t first_started;   /* buckets [first_started, count) are under way */
};

size_t buckets_count(size_t count, size_t bucket)
{
    size_t elements = bucket ? bucket : DEFAULT_BUCKET_ELEMENTS;
    return (count + elements - 1) / elements;
}

enum status buckets_create(struct comm *comm, struct comm_memory *memory,
                           enum comm_type type, void *values, size_t count, size_t bucket,
                           struct buckets **out)
{
    const size_t element_size = type == COMM_I64 ? sizeof(int64_t) : sizeof(float);
    struct buckets *buckets = *out = calloc(1, sizeof *buckets);
    if (!buckets)
        return status_fail(STATUS_FAILED, "out of memory");
    buckets->elements = bucket ? bucket : DEFAULT_BUCKET_ELEMENTS;
    if (comm_size(comm) == 1)
        return STATUS_OK;
    buckets->count = buckets_count(count, bucket);
    if (buckets->count > COMM_ALLREDUCES_MAX) {
        status_fail(STATUS_MISUSE,
                    "%zu buckets of %zu elements are too many (at most %d): set a larger "
                    "train.bucket",
                    buckets->count, buckets->elements, COMM_ALLREDUCES_MAX);
        free(buckets);
        *out = NULL;
        return STATUS_MISUSE;
    }
    buckets->first_started = buckets->count;
    buckets->allreduces = calloc(buckets->count + 1, sizeof(struct comm_allreduce *));
    enum status status =
        buckets->allreduces ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory");
    for (size_t i = 0; status == STATUS_OK && i < buckets->count; i++) {
        size_t first = i * buckets->elements, remaining = count - first;
        status = comm_allreduce_init(
            comm, memory, type, (char *)values + first * element_size,
            remaining < buckets->elements ? remaining : buckets->elements,
            &buckets->allreduces[i]);
    }
    if (status != STATUS_OK) {
        buckets_free(buckets);
        *out = NULL;
    }
    return status;
}

void buckets_free(struct buckets *buckets)
{
    if (!buckets)
        return;
    for (size_t i = 0; buckets->allreduces && i < buckets->count; i++)
        comm_allreduce_free(buckets->allreduces[i]);
    free(buckets->allreduces);
    free(buckets);
}

enum status buckets_ready(struct buckets *buckets, size_t first)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && buckets->first_started > 0 &&
           (buckets->first_started - 1) * buckets->elements >= first)
        status = comm_allreduce_start(buckets->allreduces[--buckets->first_started]);
    return status;
}

void buckets_progress(struct buckets *buckets)
{
    for (size_t i = buckets->count; i > buckets->first_started; i--)
        comm_allreduce_progress(buckets->allreduces[i - 1]);
}

enum status buckets_wait(struct buckets *buckets)
{
    enum status status = buckets_ready(buckets, 0);
    for (size_t i = buckets->count; status == STATUS_OK && i > 0; i--)
        status = comm_allreduce_wait(buckets->allreduces[i - 1]);
    buckets->first_started = buckets->count;
    return status;
}
