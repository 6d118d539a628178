/* gradient_sum: a table of two methods, exact and float.
 *
 * The scale of the exact sum. The model gives gradients of the summed loss; with B rows
 * and T steps there are B T targets, so a microbatch's gradient is B T / S times the
 * microbatch's mean per target. Addends with a mean of up to 2^11 in magnitude must fit:
 * with S addends the integers reach 2^11 B T 2^bits, which must stay below 2^62. So
 *     bits = 62 - 11 - ceil(log2(B T)),  within 0 .. 60,
 * a function of the configuration alone. The resolution of the mean gradient is then
 * about 2^-51, far below anything that matters beside Adam's epsilon.
 */
#include "gradient_sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "comm/buckets.h"

enum {
    HEADROOM_BITS = 11,
    SUM_BITS = 62,
    SCALE_BITS_MAX = 60,
    NORM_CHUNK = 1 << 14 /* elements whose squares are added up by one thread */
};

struct gradient_sum_method {
    enum status (*open)(struct gradient_sum *sum, struct comm *comm,
                        const struct options *options, size_t extras);
    void (*begin)(struct gradient_sum *sum);
    void (*add)(struct gradient_sum *sum, enum exact_mode mode,
                const struct gradient_block *block);
    enum status (*ready)(struct gradient_sum *sum, size_t first);
    void (*progress)(struct gradient_sum *sum);
    enum status (*reduce)(struct gradient_sum *sum);
    double (*squares)(const struct gradient_sum *sum, size_t first, size_t n,
                      double factor);
    void (*read)(const struct gradient_sum *sum, size_t first, size_t n, double factor,
                 float *values);
};

static size_t chunk_count(const struct gradient_sum *sum)
{
    return (sum->count + NORM_CHUNK - 1) / NORM_CHUNK;
}

/* Bits after the binary point. */
static int scale_bits(int64_t batch, int64_t time)
{
    int bits = SUM_BITS - HEADROOM_BITS;
    for (int64_t reach = 1; reach < batch * time; reach *= 2)
        bits--;
    return bits < 0 ? 0 : bits > SCALE_BITS_MAX ? SCALE_BITS_MAX : bits;
}

static enum status create_exact(struct gradient_sum *sum, struct comm *comm,
                                const struct options *options, size_t count,
                                size_t extras)
{
    int64_t blocks =
        options->model.tie_embeddings ? 2 : 1; /* of a microbatch's gradient */
    return exact_sum_create(
        comm, count, extras, blocks * options->train.microbatches,
        scale_bits(options->train.batch, options->train.sequence_length),
        (size_t)options->train.bucket, &sum->exact);
}

/* ---- exact: gradient and extras in one exact sum ---- */

static enum status exact_open(struct gradient_sum *sum, struct comm *comm,
                              const struct options *options, size_t extras)
{
    return create_exact(sum, comm, options, sum->count, extras);
}

static void exact_begin(struct gradient_sum *sum)
{
    exact_sum_begin(sum->exact);
}

static void exact_add(struct gradient_sum *sum, enum exact_mode mode,
                      const struct gradient_block *block)
{
    const struct exact_block exact = {.first = block->first,
                                      .ld = block->ld,
                                      .rows = block->rows,
                                      .width = block->width,
                                      .values = block->values,
                                      .ld_values = block->ld_values};
    exact_sum_add_block(sum->exact, mode, &exact);
}

static enum status exact_ready(struct gradient_sum *sum, size_t first)
{
    return exact_sum_ready(sum->exact, first);
}

static void exact_progress(struct gradient_sum *sum)
{
    exact_sum_progress(sum->exact);
}

static enum status exact_reduce(struct gradient_sum *sum)
{
    return exact_sum_reduce(sum->exact);
}

static double exact_squares(const struct gradient_sum *sum, size_t first, size_t n,
                            double factor)
{
    return exact_sum_squares(sum->exact, first, n, factor);
}

static void exact_read(const struct gradient_sum *sum, size_t first, size_t n,
                       double factor, float *values)
{
    exact_sum_read(sum->exact, first, n, factor, values);
}

static const struct gradient_sum_method exact_method = {
    exact_open,     exact_begin,  exact_add,     exact_ready,
    exact_progress, exact_reduce, exact_squares, exact_read};

/* ---- float: the gradient in float32, the extras in an exact sum ---- */

static enum status open_values(struct gradient_sum *sum, struct comm *comm, size_t bucket)
{
    enum status status =
        comm_memory_create(comm, sum->count * sizeof *sum->values,
                           buckets_count(sum->count, bucket), &sum->memory);
    if (status != STATUS_OK)
        return status;
    sum->values = comm_memory_block(sum->memory);
    return buckets_create(comm, sum->memory, COMM_F32, sum->values, sum->count, bucket,
                          &sum->buckets);
}

/* Calls the collective open_values even if the exact sum failed on this rank. */
static enum status float_open(struct gradient_sum *sum, struct comm *comm,
                              const struct options *options, size_t extras)
{
    enum status status = create_exact(sum, comm, options, 0, extras);
    enum status values_status = open_values(sum, comm, (size_t)options->train.bucket);
    return status == STATUS_OK ? values_status : status;
}

static void clear_share(void *context)
{
    const struct gradient_sum *sum = context;
    struct team_share share = team_share(sum->count, NORM_CHUNK);
    if (share.end > share.first)
        memset(sum->values + share.first, 0,
               (share.end - share.first) * sizeof *sum->values);
}

static void float_begin(struct gradient_sum *sum)
{
    exact_sum_begin(sum->exact);
    team_run(sum->threads, clear_share, sum);
}

static void float_add(struct gradient_sum *sum, enum exact_mode mode,
                      const struct gradient_block *block)
{
    (void)mode; /* float_begin has zeroed the values */
    for (size_t r = 0; r < (size_t)block->rows; r++) {
        float *to = sum->values + block->first + r * block->ld;
        const float *from = block->values + r * block->ld_values;
        for (int j = 0; j < block->width; j++)
            to[j] += from[j];
    }
}

static enum status float_ready(struct gradient_sum *sum, size_t first)
{
    return buckets_ready(sum->buckets, first);
}

static void float_progress(struct gradient_sum *sum)
{
    buckets_progress(sum->buckets);
}

static enum status float_reduce(struct gradient_sum *sum)
{
    enum status status = exact_sum_reduce(sum->exact);
    return status == STATUS_OK ? buckets_wait(sum->buckets) : status;
}

static double float_squares(const struct gradient_sum *sum, size_t first, size_t n,
                            double factor)
{
    double squares = 0;
    for (size_t i = first; i < first + n; i++) {
        double value = (double)sum->values[i] * factor;
        squares += value * value;
    }
    return squares;
}

static void float_read(const struct gradient_sum *sum, size_t first, size_t n,
                       double factor, float *values)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (float)((double)sum->values[first + i] * factor);
}

static const struct gradient_sum_method float_method = {
    float_open,     float_begin,  float_add,     float_ready,
    float_progress, float_reduce, float_squares, float_read};

/* ---- the interface ---- */

enum status gradient_sum_open(struct gradient_sum *sum, struct comm *comm,
                              const struct options *options, size_t count, size_t extras)
{
    static const struct gradient_sum_method *const methods[REDUCES] = {
        [REDUCE_EXACT] = &exact_method, [REDUCE_FLOAT] = &float_method};
    *sum = (struct gradient_sum){.method = methods[options->train.reduce],
                                 .count = count,
                                 .threads = team_threads(options->train.threads)};
    sum->squares = calloc(chunk_count(sum) + 1, sizeof *sum->squares);
    enum status status = sum->method->open(sum, comm, options, extras);
    if (status == STATUS_OK && !sum->squares)
        return status_fail(STATUS_FAILED, "out of memory for the gradient's norm");
    return status;
}

void gradient_sum_close(struct gradient_sum *sum)
{
    buckets_free(sum->buckets);
    comm_memory_free(sum->memory);
    exact_sum_free(sum->exact);
    free(sum->squares);
    *sum = (struct gradient_sum){0};
}

void gradient_sum_begin(struct gradient_sum *sum)
{
    sum->method->begin(sum);
}

void gradient_sum_add(struct gradient_sum *sum, enum exact_mode mode,
                      const struct gradient_block *block)
{
    sum->method->add(sum, mode, block);
}

enum status gradient_sum_ready(struct gradient_sum *sum, size_t first)
{
    return sum->method->ready(sum, first);
}

void gradient_sum_progress(struct gradient_sum *sum)
{
    sum->method->progress(sum);
}

enum status gradient_sum_reduce(struct gradient_sum *sum)
{
    return sum->method->reduce(sum);
}

struct norm {
    const struct gradient_sum *sum;
    double factor;
};

static void add_squares_of_share(void *context)
{
    const struct norm *norm = context;
    const struct gradient_sum *sum = norm->sum;
    struct team_share chunks = team_share(chunk_count(sum), 1);
    for (size_t i = chunks.first; i < chunks.end; i++) {
        size_t first = i * NORM_CHUNK, left = sum->count - first;
        sum->squares[i] = sum->method->squares(
            sum, first, left < NORM_CHUNK ? left : NORM_CHUNK, norm->factor);
    }
}

double gradient_sum_norm(const struct gradient_sum *sum, double factor)
{
    double squares = 0;
    struct norm norm = {sum, factor};
    team_run(sum->threads, add_squares_of_share, &norm);
    for (size_t i = 0; i < chunk_count(sum); i++)
        squares += sum->squares[i];
    return sqrt(squares);
}

void gradient_sum_read(const struct gradient_sum *sum, size_t first, size_t n,
                       double factor, float *values)
{
    sum->method->read(sum, first, n, factor, values);
}
