/* ranks: 1 2 3
 * gradient_sum: both methods against a plain sum in double; blocks with leading
 * dimensions; a second sum starts from zero; the norm has the same bits with any number of
 * threads. */
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
#include "comm/microbatches.h"
#include "train/gradient_sum.h"

/* A gradient of ROWS x COLUMNS elements and a tail of TAIL: more than two of the norm's
 * chunks. */
enum {
    ROWS = 230,
    COLUMNS = 170,
    TAIL = 9,
    COUNT = ROWS * COLUMNS + TAIL,
    MICROBATCHES = 6
};

static float addend(int microbatch, size_t i)
{
    struct rng_block random = rng_block(5, RNG_TEST, (uint64_t)microbatch, i, 0);
    return (float)((double)(random.word[0] >> 11) * 0x1p-53 - 0.5);
}

/* Adds one microbatch: the matrix in two blocks of columns, from buffers with a larger
 * leading dimension, then the tail. */
static void add_microbatch(struct gradient_sum *sum, enum exact_mode mode, int microbatch)
{
    enum { CUT = 32, LD = COLUMNS + 5 };
    float values[ROWS * LD], tail[TAIL];
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLUMNS; c++)
            values[r * LD + c] = addend(microbatch, r * COLUMNS + c);
    for (size_t i = 0; i < TAIL; i++)
        tail[i] = addend(microbatch, ROWS * COLUMNS + i);
    const struct gradient_block blocks[] = {
        {.ld = COLUMNS, .rows = ROWS, .width = CUT, .values = values, .ld_values = LD},
        {.first = CUT,
         .ld = COLUMNS,
         .rows = ROWS,
         .width = COLUMNS - CUT,
         .values = values + CUT,
         .ld_values = LD},
        {.first = (size_t)ROWS * COLUMNS, .rows = 1, .width = TAIL, .values = tail}};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        gradient_sum_add(sum, mode, &blocks[b]);
}

/* One sum of all microbatches, each on its rank, reduced in three parts. */
static void sum_once(struct comm *comm, struct gradient_sum *sum)
{
    struct microbatches own =
        microbatches_of_rank(MICROBATCHES, comm_rank(comm), comm_size(comm));
    gradient_sum_begin(sum);
    for (int m = 0; m < own.count; m++)
        add_microbatch(sum, m == 0 ? EXACT_OVERWRITE : EXACT_ADD, own.first + m);
    exact_sum_add_extra_integer(sum->exact, 1, own.count);
    expect(gradient_sum_ready(sum, COUNT / 2) == STATUS_OK);
    gradient_sum_progress(sum);
    expect(gradient_sum_ready(sum, 0) == STATUS_OK);
    expect(gradient_sum_reduce(sum) == STATUS_OK);
}

static void compare_with_plain_sum(const struct gradient_sum *sum, double tolerance)
{
    const double factor = 0.25;
    float values[COUNT];
    double squares = 0;
    gradient_sum_read(sum, 0, 100, factor, values);
    gradient_sum_read(sum, 100, COUNT - 100, factor, values + 100);
    for (size_t i = 0; i < COUNT; i++) {
        double expected = 0;
        for (int m = 0; m < MICROBATCHES; m++)
            expected += (double)addend(m, i) * factor;
        expect(fabs((double)values[i] - expected) <= tolerance);
        squares += expected * expected;
    }
    expect(fabs(gradient_sum_norm(sum, factor) - sqrt(squares)) <= 100 * tolerance);
    expect(exact_sum_extra_integer(sum->exact, 1) == MICROBATCHES);
    expect(exact_sum_rejected(sum->exact) == 0);
}

/* Returns the norm. */
static double sums_on_threads(struct comm *comm, int threads, int method,
                              double tolerance)
{
    struct options options;
    struct gradient_sum sum = {0};
    options_defaults(&options);
    options.train.reduce = method;
    options.train.threads = threads;
    options.train.microbatches = MICROBATCHES;
    options.train.batch = MICROBATCHES;
    options.train.bucket = 3000;
    expect(gradient_sum_open(&sum, comm, &options, COUNT, 2) == STATUS_OK);
    for (int repeat = 0; repeat < 2; repeat++) {
        sum_once(comm, &sum);
        compare_with_plain_sum(&sum, tolerance);
    }
    double norm = gradient_sum_norm(&sum, 1);
    gradient_sum_close(&sum);
    return norm;
}

static void sums_with(struct comm *comm, int method, double tolerance)
{
    double norm = sums_on_threads(comm, 1, method, tolerance);
    expect(sums_on_threads(comm, 2, method, tolerance) == norm);
    expect(sums_on_threads(comm, 3, method, tolerance) == norm);
}

static void exact_method_equals_plain_sum(void **state)
{
    sums_with(*state, REDUCE_EXACT, 0x1p-24); /* one rounding to float, of values < 1 */
    agree_on_verdict(*state);
}

static void float_method_equals_plain_sum(void **state)
{
    sums_with(*state, REDUCE_FLOAT, MICROBATCHES * 0x1p-23);
    agree_on_verdict(*state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exact_method_equals_plain_sum),
                                       cmocka_unit_test(float_method_equals_plain_sum)};
    return run_on_ranks(argc, argv, tests);
}
