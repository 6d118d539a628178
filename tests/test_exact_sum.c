/* ranks: 1 2 3 4
 * exact_sum: the same bits for any order, split over ranks, bucket size and algorithm of
 * MPI; correct bits, against a plain loop over 128-bit integers; no overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"
#include "base/rng.h"
#include "comm/exact_sum.h"

__extension__ typedef __int128 wide;

enum { COUNT = 10007, ADDENDS = 24, SCALE = 40 };

/* Addend a of element i: both signs, magnitudes from far below the resolution to the
 * bound. */
static float addend(int a, size_t i)
{
    struct rng_block random = rng_block(3, RNG_TEST, (uint64_t)a, i, 0);
    double magnitude = ldexp(1, (int)(random.word[0] % 70) - 52);
    double mantissa = 0.5 + 0.5 * (double)(random.word[1] >> 11) * 0x1p-53;
    return (float)((random.word[2] & 1 ? -1 : 1) * mantissa * magnitude);
}

/* round(x * 2^scale) by definition: integer arithmetic on the float's bits, ties to
 * even. */
static wide fixed_point(float x, int scale)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 23 & 255);
    wide mantissa = bits & 0x7fffff;
    if (exponent > 0)
        mantissa |= 0x800000;
    else
        exponent = 1;
    int shift = exponent - 150 + scale;
    wide value = 0;
    if (shift >= 0) {
        value = mantissa << shift;
    } else if (shift > -30) {
        wide unit = (wide)1 << -shift, rest = mantissa % unit;
        value = mantissa / unit;
        if (2 * rest > unit || (2 * rest == unit && value % 2))
            value++;
    }
    return bits >> 31 ? -value : value;
}

/* Rank `rank` adds the addends order[a] with a % size == rank, in chunks of `chunk`. */
static void add_share(struct exact_sum *sum, const uint32_t *order, int rank, int size,
                      size_t chunk)
{
    float *values = malloc(COUNT * sizeof *values);
    for (int a = rank; a < ADDENDS; a += size) {
        for (size_t i = 0; i < COUNT; i++)
            values[i] = addend((int)order[a], i);
        for (size_t at = 0; at < COUNT; at += chunk)
            exact_sum_add(sum, at, values + at, COUNT - at < chunk ? COUNT - at : chunk);
        exact_sum_add_extra(sum, 0, 1.0 / (1 + order[a]));
        exact_sum_add_extra_integer(sum, 1, order[a]);
    }
    free(values);
}

static void expect_exact(const struct exact_sum *sum)
{
    float *found = malloc(COUNT * sizeof *found);
    const double factor = 0.37;
    double squares = exact_sum_squares(sum, 0, COUNT, factor);
    exact_sum_read(sum, 0, 5, factor, found);
    exact_sum_read(sum, 5, COUNT - 5, factor, found + 5);
    long double expected_squares = 0;
    for (size_t i = 0; i < COUNT; i++) {
        wide total = 0;
        for (int a = 0; a < ADDENDS; a++)
            total += fixed_point(addend(a, i), SCALE);
        double product = (double)(int64_t)total / ldexp(1, SCALE) * factor;
        expect(found[i] == (float)product);
        expected_squares += (long double)product * (long double)product;
    }
    expect(fabsl((long double)squares / expected_squares - 1) < 1e-13L);
    double extra = 0;
    for (int a = 0; a < ADDENDS; a++)
        extra += nearbyint(0x1p24 / (1 + a)) * 0x1p-24;
    expect(exact_sum_extra(sum, 0) == extra);
    expect(exact_sum_extra_integer(sum, 1) == ADDENDS * (ADDENDS - 1) / 2);
    expect(exact_sum_rejected(sum) == 0);
    expect(exact_sum_first_rejected(sum) == SIZE_MAX);
    free(found);
}

static void bits_do_not_depend_on_order_ranks_or_buckets(void **state)
{
    struct comm *comm = *state;
    static const size_t buckets[] = {0, COUNT + 2, 4096, 1000, 61};
    static const size_t chunks[] = {COUNT, 1, 5000, 64, 333};
    struct exact_sum *sum;
    double squares[5];
    for (int round = 0; round < 5; round++) {
        expect(exact_sum_create(comm, COUNT, 2, ADDENDS, SCALE, buckets[round], &sum) ==
               STATUS_OK);
        uint32_t order[ADDENDS];
        for (uint32_t a = 0; a < ADDENDS; a++)
            order[a] = a;
        rng_shuffle(order, ADDENDS, 4, RNG_TEST, (uint64_t)round, 0);
        exact_sum_clear(sum);
        add_share(sum, order, comm_rank(comm), comm_size(comm), chunks[round]);
        for (size_t first = COUNT; first > 0;) { /* in parts, during "computation" */
            first -= first < 1111 ? first : 1111;
            expect(exact_sum_ready(sum, first) == STATUS_OK);
            exact_sum_progress(sum);
        }
        expect(exact_sum_reduce(sum) == STATUS_OK);
        expect_exact(sum);
        squares[round] = exact_sum_squares(sum, 0, COUNT, 1.5);
        expect(memcmp(&squares[round], &squares[0], sizeof *squares) == 0);
        exact_sum_free(sum);
    }
    exact_sum_free(NULL);
    agree_on_verdict(comm);
}

/* Single values for every rounding case of every scale: ties, the largest addend,
 * denormals, -0. */
static void single_values_round_as_defined(void **state)
{
    struct comm *comm = *state;
    static const float special[] = {0.0f,           -0.0f,          0.5f,     1.5f,
                                    2.5f,           -0.5f,          -1.5f,    -2.5f,
                                    0x1p-149f,      0x1.8p-41f,     0x1p-41f, 0x1.4p-39f,
                                    0x1.fffffep22f, -0x1.fffffep22f};
    enum {
        SPECIAL = sizeof special / sizeof *special,
        RANDOM = 5000,
        ALL = SPECIAL + RANDOM
    };
    for (int scale = 0; scale <= 60; scale += 4) {
        float values[ALL], found[ALL];
        for (size_t i = 0; i < ALL; i++)
            values[i] = i < SPECIAL ? ldexpf(special[i], i < 8 ? -scale : 39 - scale)
                                    : ldexpf(addend(1, i), 44 - scale);
        struct exact_sum *sum;
        expect(exact_sum_create(comm, ALL, 0, 1, scale, 0, &sum) == STATUS_OK);
        exact_sum_add(sum, 0, values, ALL);
        expect(exact_sum_rejected(sum) == 0);
        exact_sum_read(sum, 0, ALL, 1, found);
        for (size_t i = 0; i < ALL; i++)
            expect(found[i] ==
                   (float)ldexp((double)(int64_t)fixed_point(values[i], scale), -scale));
        exact_sum_free(sum);
    }
    agree_on_verdict(comm);
}

/* With a bound for n addends, n times the largest accepted one must not overflow, in
 * either direction, and the next larger float is rejected. */
static void bound_is_tight_and_prevents_overflow(void **state)
{
    struct comm *comm = *state;
    for (int n = 1; n < 300; n = n * 2 + 1) {
        float low = 0, high = 0x1p30f;
        struct exact_sum *sum;
        expect(exact_sum_create(comm, 1, 0, n, SCALE, 0, &sum) == STATUS_OK);
        while (nextafterf(low, high) < high) { /* bisects for the largest accepted one */
            float middle = low + (high - low) / 2;
            exact_sum_clear(sum);
            exact_sum_add(sum, 0, &middle, 1);
            *(exact_sum_rejected(sum) ? &high : &low) = middle;
        }
        expect(fixed_point(low, SCALE) * n <= INT64_MAX);
        expect((double)fixed_point(high, SCALE) * n > (double)INT64_MAX * (1 - 1e-6));
        for (int sign = -1; sign <= 1; sign += 2) {
            float value = (float)sign * low, found;
            exact_sum_clear(sum);
            for (int i = 0; i < n; i++)
                exact_sum_add(sum, 0, &value, 1);
            exact_sum_read(sum, 0, 1, 1, &found);
            wide total = fixed_point(value, SCALE) * n;
            expect(found == (float)ldexp((double)(int64_t)total, -SCALE));
            expect(exact_sum_rejected(sum) == 0);
        }
        exact_sum_free(sum);
    }
    agree_on_verdict(comm);
}

/* Every rank has addends to reject at different elements; they are counted but not
 * added. */
static void rejected_addends_are_counted_not_added(void **state)
{
    struct comm *comm = *state;
    const float invalid[] = {NAN, -NAN, INFINITY, -INFINITY, 1e30f, -3e9f};
    enum { KINDS = sizeof invalid / sizeof *invalid };
    int rank = comm_rank(comm), size = comm_size(comm);
    float *values = malloc(COUNT * sizeof *values);
    for (size_t i = 0; i < COUNT; i++)
        values[i] = 1;
    for (size_t k = 0; k < KINDS; k++)
        values[COUNT - 1 - (k * 1501 + (size_t)rank)] = invalid[k];
    struct exact_sum *sum;
    expect(exact_sum_create(comm, COUNT, 1, size, SCALE, 100, &sum) == STATUS_OK);
    exact_sum_add(sum, 0, values, COUNT);
    size_t first = COUNT - 1 - ((KINDS - 1) * 1501 + (size_t)rank);
    expect(exact_sum_first_rejected(sum) == first);
    expect(exact_sum_reduce(sum) == STATUS_OK);
    expect(exact_sum_rejected(sum) == KINDS * size);
    exact_sum_read(sum, 0, COUNT, 1, values);
    for (size_t i = 0; i < COUNT; i++) {
        size_t reversed = COUNT - 1 - i;
        int missing = reversed / 1501 < KINDS && reversed % 1501 < (size_t)size;
        expect(values[i] == (float)(size - missing));
    }
    exact_sum_clear(sum);
    expect(exact_sum_rejected(sum) == 0 && exact_sum_first_rejected(sum) == SIZE_MAX);
    exact_sum_add(sum, 70, invalid, 1);
    exact_sum_add(sum, 60, invalid, 1); /* the first by element, not by time */
    expect(exact_sum_first_rejected(sum) == 60);
    exact_sum_free(sum);
    free(values);
    agree_on_verdict(comm);
}

static void extras_never_overflow(void **state)
{
    struct comm *comm = *state;
    int size = comm_size(comm);
    struct exact_sum *sum;
    expect(exact_sum_create(comm, 0, 5, 1, SCALE, 0, &sum) == STATUS_OK);
    exact_sum_add_extra(sum, 0, (double)NAN);
    exact_sum_add_extra(sum, 0, 0x1.00001p31);
    exact_sum_add_extra(sum, 0, (double)-INFINITY);
    for (int i = 0; i < 300; i++) /* exceeds 2^63 after 256 */
        exact_sum_add_extra(sum, 1, -0x1p31);
    exact_sum_add_extra_integer(sum, 2, INT64_MAX); /* fits one rank, not two */
    exact_sum_add_extra(sum, 3, -1.25);
    exact_sum_add_extra_integer(sum, 4, INT64_MAX / size);
    expect(exact_sum_reduce(sum) == STATUS_OK);
    expect(exact_sum_rejected(sum) == (3 + 1 + (size > 1)) * size);
    expect(exact_sum_extra(sum, 0) == 0);
    expect(exact_sum_extra(sum, 3) == -1.25 * size);
    expect(exact_sum_extra_integer(sum, 4) == INT64_MAX / size * size);
    exact_sum_free(sum);
    agree_on_verdict(comm);
}

static void invalid_arguments_are_refused(void **state)
{
    struct comm *comm = *state;
    struct exact_sum *sum;
    expect(exact_sum_create(comm, 1, 0, 0, 40, 0, &sum) == STATUS_MISUSE);
    expect(exact_sum_create(comm, 1, 0, 1, 61, 0, &sum) == STATUS_MISUSE);
    expect(exact_sum_create(comm, 1, 0, 1, -1, 0, &sum) == STATUS_MISUSE);
    agree_on_verdict(comm);
}

/* Blocks of a matrix overwrite the sums or are added to them, element by element as for
 * vectors; the first rejected value is reported by its index in the flat block. */
static void blocks_overwrite_or_add(void **state)
{
    enum { LD = 50, ROWS = 7, WIDTH = 19, LD_VALUES = 23, FIRST = 31, ALL = 400 };
    struct comm *comm = *state;
    struct exact_sum *blocks, *plain;
    float values[ROWS * LD_VALUES], sums[2][ALL];
    const struct exact_block block = {.first = FIRST,
                                      .ld = LD,
                                      .rows = ROWS,
                                      .width = WIDTH,
                                      .values = values,
                                      .ld_values = LD_VALUES};
    expect(exact_sum_create(comm, ALL, 1, ADDENDS, SCALE, 0, &blocks) == STATUS_OK);
    expect(exact_sum_create(comm, ALL, 1, ADDENDS, SCALE, 0, &plain) == STATUS_OK);
    for (int i = 0; i < ROWS * LD_VALUES; i++)
        values[i] = addend(0, (size_t)i);
    for (size_t i = 0; i < ALL; i++)
        exact_sum_add(blocks, i, &(float){3}, 1); /* old sums, to be overwritten */
    exact_sum_begin(blocks);
    for (int mode = EXACT_OVERWRITE; mode <= EXACT_ADD; mode++)
        exact_sum_add_block(blocks, (enum exact_mode)mode, &block);
    for (size_t i = 0; i < ALL; i++)
        if (i < FIRST || (i - FIRST) % LD >= WIDTH || (i - FIRST) / LD >= ROWS)
            exact_sum_add(plain, i, &(float){3}, 1);
        else
            for (int twice = 0; twice < 2; twice++)
                exact_sum_add(plain, i,
                              &values[(i - FIRST) / LD * LD_VALUES + (i - FIRST) % LD],
                              1);
    exact_sum_read(blocks, 0, ALL, 1, sums[0]);
    exact_sum_read(plain, 0, ALL, 1, sums[1]);
    expect(memcmp(sums[0], sums[1], sizeof sums[0]) == 0);
    expect(exact_sum_rejected(blocks) == 0 &&
           exact_sum_first_rejected(blocks) == SIZE_MAX);
    values[2 * LD_VALUES + 5] = NAN;
    values[4 * LD_VALUES + 1] = INFINITY;
    exact_sum_add_block(blocks, EXACT_ADD, &block);
    expect(exact_sum_rejected(blocks) == 2);
    expect(exact_sum_first_rejected(blocks) == FIRST + 2 * LD + 5);
    exact_sum_free(blocks);
    exact_sum_free(plain);
    agree_on_verdict(comm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_order_ranks_or_buckets),
        cmocka_unit_test(single_values_round_as_defined),
        cmocka_unit_test(bound_is_tight_and_prevents_overflow),
        cmocka_unit_test(rejected_addends_are_counted_not_added),
        cmocka_unit_test(extras_never_overflow),
        cmocka_unit_test(invalid_arguments_are_refused),
        cmocka_unit_test(blocks_overwrite_or_add),
    };
    return run_on_ranks(argc, argv, tests);
}
