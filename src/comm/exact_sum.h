/* exact_sum: a sum of floating-point vectors whose bits don't depend on the order of the
 * additions, on the number of ranks, or on the allreduce algorithm.
 *
 * Each addend x becomes the 64-bit integer round(x * scale), scale a power of two fixed
 * by the configuration; integers are added, locally and over the ranks (comm_sum).
 * Integer addition is associative and commutative, so any order gives the same bits. The
 * resolution is 1/scale. An addend that is not finite, or too large for `addends` such
 * addends to be summed without overflow, is counted instead of added: never wrapped.
 *
 * One vector has two parts: `count` values for the gradient, and a few named integers
 * (`extras`: loss, counts, stop flag) that ride in the same sum.
 */
#ifndef TUTTI_COMM_EXACT_SUM_H
#define TUTTI_COMM_EXACT_SUM_H

#include <stddef.h>
#include <stdint.h>

#include "comm.h"
#include "base/status.h"

struct exact_sum;

/* `count` values, `extras` integers, room for `addends` addends in all over all ranks, at
 * scale 2^scale_bits (0..60); summed over the ranks in buckets of `bucket` elements (0: a
 * default), which changes no bit. Collective if there are values (count > 0). */
enum status exact_sum_create(struct comm *comm, size_t count, size_t extras,
                             int64_t addends, int scale_bits, size_t bucket,
                             struct exact_sum **out);
void exact_sum_free(struct exact_sum *sum); /* NULL is fine */

/* All to zero. Not collective. */
void exact_sum_clear(struct exact_sum *sum);
/* The same for a caller that will put every value: they are left as they are. */
void exact_sum_begin(struct exact_sum *sum);

/* What add_block does with what is there. */
enum exact_mode { EXACT_PUT, EXACT_ADD };

/* sum[first + r * pitch + j] += values[r * stride + j], or := with EXACT_PUT, for r <
 * rows and j < width. Not collective. */
void exact_sum_block(struct exact_sum *sum, enum exact_mode mode, size_t first,
                     size_t pitch, int rows, int width, const float *values,
                     size_t stride);

/* sum[first + i] += values[i] for i < n. No element may get more than the `addends` of
 * exact_sum_create, over all ranks: that is what keeps the sums from overflowing. Not
 * collective. */
void exact_sum_add(struct exact_sum *sum, size_t first, const float *values, size_t n);

/* The same for one double as an extra: extra[i] += round(value * 2^EXACT_EXTRA_BITS). A
 * value that is not finite or exceeds 2^31 in magnitude is counted as bad. */
enum { EXACT_EXTRA_BITS = 24 };
void exact_sum_add_extra(struct exact_sum *sum, size_t extra, double value);
/* extra[i] += value, as it is. A sum of either kind that would leave 64 bits, here or in
 * the reduction, is set to 0 and counted as bad. */
void exact_sum_add_count(struct exact_sum *sum, size_t extra, int64_t value);

/* The values from `first` on have got all their addends of this rank: their sum over the
 * ranks begins, and they may not be touched until exact_sum_reduce. Called with ever
 * lower `first`, by all ranks with the same ones. Extras go last, with value 0. */
enum status exact_sum_ready(struct exact_sum *sum, size_t first);

/* Moves what is under way: to be called often in between, as messages move only here. Not
 * collective. */
void exact_sum_progress(struct exact_sum *sum);

/* Everything is complete: the rest begins, and all is waited for. Collective. */
enum status exact_sum_reduce(struct exact_sum *sum);

/* After the reduction, same value on all ranks: */
int64_t exact_sum_bad(const struct exact_sum *sum); /* addends not finite or too large */
/* This rank's first; SIZE_MAX: none. */
size_t exact_sum_first_bad(const struct exact_sum *sum);
double exact_sum_extra(const struct exact_sum *sum, size_t extra);  /* of add_extra */
int64_t exact_sum_count(const struct exact_sum *sum, size_t extra); /* of add_count */

/* The sum of squares of sum[i] / scale * factor over all values, in double, taken in a
 * fixed order (independent of ranks): the global norm. */
double exact_sum_squares(const struct exact_sum *sum, double factor);

/* values[i] = (float)(sum[first + i] / scale * factor) for i < n: one rounding from the
 * double product. */
void exact_sum_read(const struct exact_sum *sum, size_t first, size_t n, double factor,
                    float *values);

#endif
