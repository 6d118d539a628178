/* bench: what the files of the command share: one row for each thing measured. */
#ifndef TUTTI_CLI_BENCH_H
#define TUTTI_CLI_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "comm/comm.h"
#include "encode/encoding.h"
#include "kernels/matmul.h"

enum { BENCH_ROWS = 64, BENCH_NAME = 48 };

struct bench_row {
    const char *group, *unit;
    char name[BENCH_NAME];
    double value;
    const char *limit_name; /* what bounds it; NULL: nothing that is measured here */
    double limit;           /* in the same unit */
};

struct bench {
    struct comm *comm;
    const struct options *options;
    const struct matmul_backend *backend; /* of the options */
    struct encoding *encoding;
    double seconds; /* that each row may take */
    struct bench_row rows[BENCH_ROWS];
    size_t count;
    double flops;  /* the multiply-add limit, FLOP/s, beside the last timing */
    double memory; /* bytes a second that can be read of what no cache holds */
};

/* Something that can be done again and again. */
typedef void bench_work(void *context);

/* Seconds that one call takes: the median of several timings, of as many calls as take
 * long enough to be timed, after one to warm up. Sets bench->flops, likewise a median.
 * All ranks at once: collective. */
double bench_time(struct bench *bench, bench_work *work, void *context);

void bench_add(struct bench *bench, const char *group, const char *unit, double value,
               const char *limit_name, double limit, const char *name, ...)
    __attribute__((format(printf, 7, 8)));

/* Bytes a second that can be read again and again of a block of `bytes`. Collective. */
enum status bench_read_rate(struct bench *bench, size_t bytes, double *rate);

/* Each adds its rows. Collective. */
enum status bench_limits(struct bench *bench);
enum status bench_products(struct bench *bench);
enum status bench_cells(struct bench *bench);
enum status bench_sums(struct bench *bench);
enum status bench_steps(struct bench *bench);
enum status bench_generation(struct bench *bench);
enum status bench_preprocess(struct bench *bench);

#endif
