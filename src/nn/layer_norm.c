/* layer_norm: see the header. A sum over a row consists of VECTOR partial sums in double,
 * so that the compiler can use any vector registers; they are added in a fixed order, so
 * the bits depend neither on the instruction set nor on the threads.
 */
#include "layer_norm.h"

#include <math.h>
#include <stdio.h>

#include "base/team.h"
#include "kernels/kernels.h"

/* ---- set-up ---- */

static size_t offset_of(const struct params *params, int index, const char *tensor)
{
    char name[PARAM_NAME];
    snprintf(name, sizeof name, "norm%d/%s", index, tensor);
    return params_find(params, name)->offset;
}

void layer_norm_init(const struct params *params, int index, struct layer_norm *norm)
{
    char name[PARAM_NAME];
    snprintf(name, sizeof name, "norm%d/weight", index);
    *norm = (struct layer_norm){.width = (int)params_find(params, name)->rows,
                                .weight_offset = offset_of(params, index, "weight"),
                                .bias_offset = offset_of(params, index, "bias")};
}

void layer_norm_plan(struct layer_norm *norm, size_t rows, bool training,
                     struct arena *arena)
{
    size_t h = (size_t)norm->width;
    norm->y = arena_array(arena, rows * h, sizeof(real));
    norm->mean = arena_array(arena, rows, sizeof(real));
    norm->scale = arena_array(arena, rows, sizeof(real));
    norm->d_gain = arena_array(arena, training ? h : 0, sizeof(real));
    norm->d_bias = arena_array(arena, training ? h : 0, sizeof(real));
}

void layer_norm_pack(struct layer_norm *norm, const real *weights)
{
    if (team_thread() != 0)
        return;
    norm->gain = weights + norm->weight_offset;
    norm->bias = weights + norm->bias_offset;
}

/* ---- sums over a row ---- */

struct sum {
    double lane[VECTOR];
};

/* Of the lanes, divided by n. */
static double mean_of_lanes(const struct sum *sum, int n)
{
    double total = 0;
    for (int k = 0; k < VECTOR; k++)
        total += sum->lane[k];
    return total / n;
}

static inline void add_values(struct sum *sum, const real *x, int lanes)
{
    for (int k = 0; k < lanes; k++)
        sum->lane[k] += (double)x[k];
}

static inline void add_squares(struct sum *sum, const real *x, real mean, int lanes)
{
    for (int k = 0; k < lanes; k++) {
        real difference = x[k] - mean;
        sum->lane[k] += (double)(difference * difference);
    }
}

static real mean_of(int n, const real *x)
{
    struct sum sum = {0};
    int whole = n - n % VECTOR;
    for (int j = 0; j < whole; j += VECTOR)
        add_values(&sum, x + j, VECTOR);
    add_values(&sum, x + whole, n - whole);
    return (real)mean_of_lanes(&sum, n);
}

static double variance_of(int n, const real *x, real mean)
{
    struct sum sum = {0};
    int whole = n - n % VECTOR;
    for (int j = 0; j < whole; j += VECTOR)
        add_squares(&sum, x + j, mean, VECTOR);
    add_squares(&sum, x + whole, mean, n - whole);
    return mean_of_lanes(&sum, n);
}

/* ---- forward ---- */

void layer_norm_forward(struct layer_norm *norm, struct batch_shape batch, const real *x)
{
    size_t h = (size_t)norm->width;
    struct team_share rows = team_share(batch_rows(batch), 1);
    const real *gain = norm->gain, *bias = norm->bias;
    for (size_t i = rows.first; i < rows.end; i++) {
        const real *row = x + i * h;
        real *restrict y = norm->y + i * h;
        real mean = mean_of(norm->width, row);
        double variance = variance_of(norm->width, row, mean);
        real scale = (real)(1 / sqrt(variance + LAYER_NORM_EPSILON));
        for (size_t j = 0; j < h; j++)
            y[j] = gain[j] * ((row[j] - mean) * scale) + bias[j];
        norm->mean[i] = mean;
        norm->scale[i] = scale;
    }
}

/* ---- backward ---- */

/* d_gain and d_bias of microbatch s, of these units, in the order of the rows. */
static void add_rows(const struct layer_norm *norm, struct batch_shape batch, int s,
                     struct team_share units, const real *x)
{
    size_t h = (size_t)norm->width, first = row_index(batch, s, 0, 0);
    real *restrict d_gain = norm->d_gain, *restrict d_bias = norm->d_bias;
    for (size_t j = units.first; j < units.end; j++)
        d_gain[j] = d_bias[j] = 0;
    for (size_t i = first; i < first + (size_t)microbatch_rows(batch); i++) {
        const real *row = x + i * h, *dy = norm->y + i * h;
        real mean = norm->mean[i], scale = norm->scale[i];
        for (size_t j = units.first; j < units.end; j++) {
            d_gain[j] += dy[j] * ((row[j] - mean) * scale);
            d_bias[j] += dy[j];
        }
    }
}

void layer_norm_backward_weights(const struct layer_norm *norm, struct batch_shape batch,
                                 const real *x, const struct gradient_sink *sink)
{
    struct team_share units = team_share((size_t)norm->width, VECTOR);
    struct gradient_block gain = {.first = norm->weight_offset + units.first,
                                  .ld = (size_t)norm->width,
                                  .rows = 1,
                                  .width = (int)(units.end - units.first),
                                  .values = norm->d_gain + units.first,
                                  .ld_values = (size_t)norm->width},
                          bias = gain;
    bias.first = norm->bias_offset + units.first;
    bias.values = norm->d_bias + units.first;
    for (int s = 0; s < batch.microbatches && gain.width > 0; s++) {
        add_rows(norm, batch, s, units, x);
        sink->write(sink->context, s, &gain);
        sink->write(sink->context, s, &bias);
    }
}

/* The means of a = gain dy and of a n. */
struct means {
    real a, a_n;
};

static inline void add_products(struct sum *a, struct sum *a_n, const real *gain,
                                const real *dy, const real *n, int lanes)
{
    for (int k = 0; k < lanes; k++) {
        real product = gain[k] * dy[k];
        a->lane[k] += (double)product;
        a_n->lane[k] += (double)(product * n[k]);
    }
}

static struct means means_of(int width, const real *gain, const real *dy, const real *n)
{
    struct sum a = {0}, a_n = {0};
    int whole = width - width % VECTOR;
    for (int j = 0; j < whole; j += VECTOR)
        add_products(&a, &a_n, gain + j, dy + j, n + j, VECTOR);
    add_products(&a, &a_n, gain + whole, dy + whole, n + whole, width - whole);
    return (struct means){(real)mean_of_lanes(&a, width),
                          (real)mean_of_lanes(&a_n, width)};
}

/* dx = scale (a - mean(a) - n mean(a n)), a = gain dy. */
void layer_norm_backward_input(const struct layer_norm *norm, struct batch_shape batch,
                               real *x)
{
    size_t h = (size_t)norm->width;
    struct team_share rows = team_share(batch_rows(batch), 1);
    const real *gain = norm->gain;
    for (size_t i = rows.first; i < rows.end; i++) {
        real *restrict row = x + i * h;
        const real *dy = norm->y + i * h;
        real mean = norm->mean[i], scale = norm->scale[i];
        for (size_t j = 0; j < h; j++)
            row[j] = (row[j] - mean) * scale; /* n */
        struct means means = means_of(norm->width, gain, dy, row);
        for (size_t j = 0; j < h; j++)
            row[j] = scale * (gain[j] * dy[j] - means.a - row[j] * means.a_n);
    }
}
