/* exact_sum: fixed-point sums.
 *
 * All integers of a vector lie in one block: the number of rejected addends, the extras,
 * the values. So one reduction includes them all; it proceeds from the end to the
 * beginning, so the elements that become final last are reduced last. The loops over
 * values are kernels (kernels/fixed_point.h).
 */
#include "exact_sum.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "kernels/kernels.h"

enum { ALIGNMENT = 64, BLOCK = 4096, HEADER_MULTIPLE = 8 /* elements */ };

struct exact_sum {
    size_t count, extras;
    double scale;
    float bound;           /* largest addend that may be added */
    size_t first_rejected; /* on this rank; SIZE_MAX: none */
    int ranks;
    struct comm_memory *memory; /* NULL if there are only extras */
    int64_t *block;             /* rejected, extras, padding, values */
    size_t header;              /* elements before the values */
    int64_t *values;            /* block + header */
    struct buckets *buckets;
};

static int64_t *rejected_of(const struct exact_sum *sum)
{
    return sum->block;
}

static int64_t *extra_of(const struct exact_sum *sum, size_t extra)
{
    return sum->block + 1 + extra;
}

static size_t sum_length(const struct exact_sum *sum)
{
    return sum->header + sum->count;
}

/* The largest float whose product with scale is at most 2^63 / addends. */
static float largest_addend(int64_t addends, double scale)
{
    double limit = (double)(INT64_MAX / addends) * (1 - 0x1p-50) / scale;
    float bound = (float)limit;
    return (double)bound > limit ? nextafterf(bound, 0) : bound;
}

/* A sum with extras only uses private memory: it is not worth a collective. */
static enum status allocate_block(struct comm *comm, struct exact_sum *sum,
                                  size_t bucket_count)
{
    size_t bytes = sum_length(sum) * sizeof *sum->block;
    if (sum->count > 0) {
        enum status status = comm_memory_create(comm, bytes, bucket_count, &sum->memory);
        sum->block = status == STATUS_OK ? comm_memory_block(sum->memory) : NULL;
        return status;
    }
    sum->block =
        aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    return sum->block ? STATUS_OK : status_fail(STATUS_FAILED, "out of memory");
}

enum status exact_sum_create(struct comm *comm, size_t count, size_t extras,
                             int64_t addends, int scale_bits, size_t bucket,
                             struct exact_sum **out)
{
    *out = NULL;
    if (addends < 1 || scale_bits < 0 || scale_bits > 60)
        return status_fail(STATUS_MISUSE,
                           "exact sum: %lld addends (at least 1), scale 2^%d (0 to 60)",
                           (long long)addends, scale_bits);
    struct exact_sum *sum = calloc(1, sizeof *sum);
    if (!sum && count > 0)
        comm_abort(comm, STATUS_FAILED); /* the other ranks are in comm_memory_create */
    if (!sum)
        return status_fail(STATUS_FAILED, "out of memory");
    sum->count = count;
    sum->extras = extras;
    sum->scale = ldexp(1, scale_bits);
    sum->bound = largest_addend(addends, sum->scale);
    sum->ranks = comm_size(comm);
    sum->header = (1 + extras + HEADER_MULTIPLE - 1) / HEADER_MULTIPLE * HEADER_MULTIPLE;
    enum status status =
        allocate_block(comm, sum, buckets_count(sum_length(sum), bucket));
    if (status != STATUS_OK) {
        exact_sum_free(sum);
        return status;
    }
    sum->values = sum->block + sum->header;
    exact_sum_clear(sum);
    status = buckets_create(comm, sum->memory, COMM_I64, sum->block, sum_length(sum),
                            bucket, &sum->buckets);
    if (status == STATUS_OK)
        *out = sum;
    else
        exact_sum_free(sum);
    return status;
}

void exact_sum_free(struct exact_sum *sum)
{
    if (!sum)
        return;
    buckets_free(sum->buckets);
    if (sum->memory)
        comm_memory_free(sum->memory);
    else
        free(sum->block);
    free(sum);
}

void exact_sum_clear(struct exact_sum *sum)
{
    memset(sum->values, 0, sum->count * sizeof *sum->values);
    exact_sum_begin(sum);
}

void exact_sum_begin(struct exact_sum *sum)
{
    memset(sum->block, 0, sum->header * sizeof *sum->block);
    sum->first_rejected = SIZE_MAX;
}

/* ---- adding ---- */

static size_t find_rejected(const struct exact_sum *sum, size_t first,
                            const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(values[i]) <= sum->bound))
            return first + i;
    return SIZE_MAX;
}

/* From any thread. */
static void count_rejected(struct exact_sum *sum, int64_t rejected, size_t index)
{
    size_t lowest = __atomic_load_n(&sum->first_rejected, __ATOMIC_RELAXED);
    __atomic_fetch_add(rejected_of(sum), rejected, __ATOMIC_RELAXED);
    while (index < lowest &&
           !__atomic_compare_exchange_n(&sum->first_rejected, &lowest, index, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

void exact_sum_add_block(struct exact_sum *sum, enum exact_mode mode,
                         const struct exact_block *block)
{
    const struct fixed_point_block operands = {.sums = sum->values + block->first,
                                               .ld_sums = block->ld,
                                               .values = block->values,
                                               .ld_values = block->ld_values,
                                               .rows = block->rows,
                                               .width = block->width,
                                               .overwrite = mode == EXACT_OVERWRITE,
                                               .scale = sum->scale,
                                               .bound = sum->bound};
    int rejected = kernels()->fixed_point_add(&operands);
    for (size_t r = 0; rejected && r < (size_t)block->rows; r++)
        count_rejected(sum, 0,
                       find_rejected(sum, block->first + r * block->ld,
                                     block->values + r * block->ld_values,
                                     (size_t)block->width));
    if (rejected)
        count_rejected(sum, rejected, SIZE_MAX);
}

void exact_sum_add(struct exact_sum *sum, size_t first, const float *values, size_t n)
{
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t size = n - at < BLOCK ? n - at : BLOCK;
        const struct exact_block block = {
            .first = first + at, .rows = 1, .width = (int)size, .values = values + at};
        exact_sum_add_block(sum, EXACT_ADD, &block);
    }
}

void exact_sum_add_extra_integer(struct exact_sum *sum, size_t extra, int64_t value)
{
    int64_t *total = extra_of(sum, extra);
    if (__builtin_add_overflow(*total, value, total)) {
        *total = 0;
        count_rejected(sum, 1, SIZE_MAX);
    }
}

void exact_sum_add_extra(struct exact_sum *sum, size_t extra, double value)
{
    if (fabs(value) <= 0x1p31)
        exact_sum_add_extra_integer(sum, extra, llrint(ldexp(value, EXACT_EXTRA_BITS)));
    else
        count_rejected(sum, 1, SIZE_MAX);
}

/* ---- over the ranks ---- */

/* Zeroes extras that could overflow. Values can't overflow, by the choice of the
 * bound. */
static void clear_large_extras(struct exact_sum *sum, int ranks)
{
    int64_t limit = INT64_MAX / ranks;
    for (size_t i = 0; i < sum->extras; i++) {
        int64_t *extra = extra_of(sum, i);
        if (*extra <= limit && *extra >= -limit)
            continue;
        *extra = 0;
        count_rejected(sum, 1, SIZE_MAX);
    }
}

enum status exact_sum_ready(struct exact_sum *sum, size_t first)
{
    return buckets_ready(sum->buckets, sum->header + first);
}

void exact_sum_progress(struct exact_sum *sum)
{
    buckets_progress(sum->buckets);
}

enum status exact_sum_reduce(struct exact_sum *sum)
{
    clear_large_extras(sum, sum->ranks);
    return buckets_wait(sum->buckets);
}

int64_t exact_sum_rejected(const struct exact_sum *sum)
{
    return *rejected_of(sum);
}

size_t exact_sum_first_rejected(const struct exact_sum *sum)
{
    return sum->first_rejected;
}

double exact_sum_extra(const struct exact_sum *sum, size_t extra)
{
    return ldexp((double)*extra_of(sum, extra), -EXACT_EXTRA_BITS);
}

int64_t exact_sum_extra_integer(const struct exact_sum *sum, size_t extra)
{
    return *extra_of(sum, extra);
}

/* ---- reading ---- */

double exact_sum_squares(const struct exact_sum *sum, size_t first, size_t n,
                         double factor)
{
    double squares[FIXED_POINT_LANES] = {0}, total = 0;
    kernels()->fixed_point_add_squares(sum->values + first, n, 1 / sum->scale, factor,
                                       squares);
    for (int lane = 0; lane < FIXED_POINT_LANES; lane++)
        total += squares[lane];
    return total;
}

void exact_sum_read(const struct exact_sum *sum, size_t first, size_t n, double factor,
                    float *values)
{
    kernels()->fixed_point_to_float(sum->values + first, n, 1 / sum->scale, factor,
                                    values);
}
