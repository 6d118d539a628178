/* Shared by bench*.c. Every measurement is a row of one table. */
#ifndef TUTTI_CLI_BENCH_H
#define TUTTI_CLI_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "comm/comm.h"
#include "encode/encoding.h"
#include "kernels/matmul.h"
#include "train/matmul_choice.h"

enum { BENCH_ROWS_MAX = 64, BENCH_NAME_SIZE = 48 };

struct bench_limit {
    const char *name; /* of the limit that bounds the value; NULL: none measured */
    double value;     /* in the row's unit */
};
extern const struct bench_limit bench_unlimited;

struct bench_row {
    const char *group, *unit;
    char name[BENCH_NAME_SIZE];
    double value;
    struct bench_limit limit;
};

struct bench {
    struct comm *comm;
    const struct options *options;
    const struct matmul_backend *backend; /* selected by the options */
    char matmul_note[MATMUL_NOTE];        /* see matmul_choice.h */
    struct encoding *encoding;
    size_t vocabulary; /* of the encoding and data.bpe merges */
    double seconds;    /* measuring time per row */
    struct bench_row rows[BENCH_ROWS_MAX];
    size_t count;
    double flops;  /* peak during the last bench_time, FLOP/s */
    double memory; /* read bandwidth of memory beyond the caches, bytes/s */
};

/* Names of limits. */
extern const char *const bench_peak, *const bench_bandwidth;

/* A unit of work that can be repeated. */
typedef void bench_work(void *context);

/* Seconds per call of `work`, after one warm-up call: the median of several timings, each
 * of which spans enough calls to be measurable. Sets bench->flops to the median of the
 * peaks measured between them. Collective: all ranks run `work` at the same time. */
double bench_time(struct bench *bench, bench_work *work, void *context);

/* Appends a row with a printf-formatted name. Ignored once there are BENCH_ROWS_MAX rows.
 */
void bench_add(struct bench *bench, const char *group, const char *unit, double value,
               struct bench_limit limit, const char *name, ...)
    __attribute__((format(printf, 6, 7)));

/* *rate: bandwidth of repeatedly reading a block of `bytes` bytes, in bytes/s.
 * Collective. */
enum status bench_read_rate(struct bench *bench, size_t bytes, double *rate);

/* Fills values[count] with pseudo-random floats in [-0.5, 0.5). */
void bench_fill(float *values, size_t count);
/* The same in newly allocated memory; free with memory_free. NULL if out of memory. */
float *bench_random(size_t count);

/* Each adds its rows. Collective. */
enum status bench_limits(struct bench *bench);
enum status bench_layout(struct bench *bench);
enum status bench_matmuls(struct bench *bench);
enum status bench_cells(struct bench *bench);
enum status bench_sums(struct bench *bench);
enum status bench_steps(struct bench *bench);
enum status bench_generation(struct bench *bench);
enum status bench_preprocess(struct bench *bench);

#endif
