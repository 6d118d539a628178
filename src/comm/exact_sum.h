/* exact_sum: a sum of floating-point vectors whose bits don't depend on the order of the
 * additions, on the number of ranks, or on the allreduce algorithm.
 *
 * Each addend x becomes the 64-bit integer round(x * scale), where scale is a power of
 * two fixed by the configuration; the integers are added locally and over the ranks
 * (comm_allreduce). Integer addition is associative and commutative, so any order gives
 * the same bits. The resolution is 1/scale. An addend that is not finite, or so large
 * that `addends` addends of its size could overflow, is rejected: counted instead of
 * added, so a sum never overflows.
 *
 * A vector has two parts: `count` values for the gradient, and a few integers (`extras`:
 * loss, counts, stop flag) that are summed along with them.
 *
 * Usage: create once; then for each sum: clear or begin; add_block or add for all values;
 * ready as values become final, with progress in between; add_extra and
 * add_extra_integer; reduce; read.
 */
#ifndef TUTTI_COMM_EXACT_SUM_H
#define TUTTI_COMM_EXACT_SUM_H

#include <stddef.h>
#include <stdint.h>

#include "comm.h"
#include "base/status.h"

struct exact_sum;

/* `count` values and `extras` integers, for up to `addends` (at least 1) addends per
 * element, counted over all ranks, at scale 2^scale_bits (0..60). Summed over the ranks
 * in buckets of `bucket` elements (0: a default), which does not affect the result. The
 * caller must not add more than `addends` addends to any element, over all ranks: this
 * keeps the sums from overflowing. STATUS_MISUSE for values out of range. Collective if
 * count > 0. */
enum status exact_sum_create(struct comm *comm, size_t count, size_t extras,
                             int64_t addends, int scale_bits, size_t bucket,
                             struct exact_sum **out);
void exact_sum_free(struct exact_sum *sum); /* NULL is fine */

/* Zeroes everything. Not collective. */
void exact_sum_clear(struct exact_sum *sum);
/* Zeroes all but the values, for a caller that overwrites each of them
 * (EXACT_OVERWRITE). */
void exact_sum_begin(struct exact_sum *sum);

enum exact_mode { EXACT_OVERWRITE, EXACT_ADD };

/* values[rows][width] with leading dimension ld_values, and its destination: row r begins
 * at element first + r * ld of the sum. */
struct exact_block {
    size_t first, ld;
    int rows, width;
    const float *values;
    size_t ld_values;
};

/* sum[first + r * ld + j] += values[r * ld_values + j], or := with EXACT_OVERWRITE, for
 * r < rows and j < width. Threads may add to different elements at the same time. Not
 * collective. */
void exact_sum_add_block(struct exact_sum *sum, enum exact_mode mode,
                         const struct exact_block *block);

/* sum[first + i] += values[i] for i < n. Not collective. */
void exact_sum_add(struct exact_sum *sum, size_t first, const float *values, size_t n);

/* extra[i] += round(value * 2^EXACT_EXTRA_BITS). A value that is not finite or exceeds
 * 2^31 in magnitude is counted as rejected. */
enum { EXACT_EXTRA_BITS = 24 };
void exact_sum_add_extra(struct exact_sum *sum, size_t extra, double value);
/* extra[i] += value, unscaled. An extra of either kind that exceeds 64 bits here, or that
 * could do so in the reduction, becomes 0 and is counted as rejected. */
void exact_sum_add_extra_integer(struct exact_sum *sum, size_t extra, int64_t value);

/* Declares that the values from `first` on include all addends of this rank. Their
 * reduction starts, and they must not be accessed until exact_sum_reduce returns. Called
 * with decreasing `first`, the same on all ranks. Even first = 0 does not include the
 * extras: they are reduced last. Ordered. */
enum status exact_sum_ready(struct exact_sum *sum, size_t first);

/* Progresses the reductions under way. Call it often: until exact_sum_reduce,
 * communication progresses only here. Not collective. */
void exact_sum_progress(struct exact_sum *sum);

/* Starts the reduction of everything that remains, and waits for all. Collective. */
enum status exact_sum_reduce(struct exact_sum *sum);

/* Results; after the reduction they are the same on all ranks, except for
 * first_rejected. */
/* Number of addends that were not finite or too large. */
int64_t exact_sum_rejected(const struct exact_sum *sum);
/* Lowest index of such an addend on this rank; SIZE_MAX: none. */
size_t exact_sum_first_rejected(const struct exact_sum *sum);
double exact_sum_extra(const struct exact_sum *sum, size_t extra); /* of add_extra */
int64_t exact_sum_extra_integer(const struct exact_sum *sum,
                                size_t extra); /* of add_extra_integer */

/* The sum of squares of sum[first + i] / scale * factor for i < n, in double, in an order
 * that depends only on n. */
double exact_sum_squares(const struct exact_sum *sum, size_t first, size_t n,
                         double factor);

/* values[i] := (float)(sum[first + i] / scale * factor) for i < n: the double product,
 * rounded once. */
void exact_sum_read(const struct exact_sum *sum, size_t first, size_t n, double factor,
                    float *values);

#endif
