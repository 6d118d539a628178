/* bench_measure: times a unit of work and adds rows to the table. */
#include "bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/progress.h"
#include "base/rng.h"
#include "kernels/kernels.h"

const char *const bench_peak = "peak", *const bench_bandwidth = "memory bandwidth";
const struct bench_limit bench_unlimited = {0};

enum { TIMINGS = 7 };

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Total seconds for `calls` calls. */
static double time_calls(bench_work *work, void *context, int64_t calls)
{
    double start = clock_seconds();
    for (int64_t i = 0; i < calls; i++)
        work(context);
    return clock_seconds() - start;
}

/* FLOP/s of multiply-adds on registers, measured for a few milliseconds. */
static double measure_peak(void)
{
    const double duration = 3e-3;
    double start = clock_seconds(), elapsed = 0, flop = 0;
    for (; elapsed < duration; elapsed = clock_seconds() - start)
        flop += kernels()->peak(10000);
    return flop / elapsed;
}

double bench_time(struct bench *bench, bench_work *work, void *context)
{
    double timings[TIMINGS], flops[TIMINGS];
    work(context);
    double once = time_calls(work, context, 1), target = bench->seconds / TIMINGS;
    int64_t calls = once < target ? (int64_t)(target / fmax(once, 1e-9)) : 1;
    calls =
        comm_max_i64(bench->comm, calls); /* equal on all ranks: work may be collective */
    for (int i = 0; i < TIMINGS; i++) {
        comm_barrier(bench->comm);
        timings[i] = time_calls(work, context, calls) / (double)calls;
        flops[i] = measure_peak();
    }
    qsort(timings, TIMINGS, sizeof *timings, compare_doubles);
    qsort(flops, TIMINGS, sizeof *flops, compare_doubles);
    bench->flops = flops[TIMINGS / 2];
    return timings[TIMINGS / 2];
}

void bench_add(struct bench *bench, const char *group, const char *unit, double value,
               struct bench_limit limit, const char *name, ...)
{
    if (bench->count == BENCH_ROWS_MAX)
        return;
    struct bench_row *row = &bench->rows[bench->count++];
    *row =
        (struct bench_row){.group = group, .unit = unit, .value = value, .limit = limit};
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(row->name, sizeof row->name, name, arguments);
    va_end(arguments);
}

void bench_fill(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(rng_uniform(1, RNG_TEST, 0, i % 65536, 0) - 0.5);
}

float *bench_random(size_t count)
{
    float *values = memory_zeroed(count * sizeof *values);
    if (values)
        bench_fill(values, count);
    return values;
}
