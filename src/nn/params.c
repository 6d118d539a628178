/* params: layout, initialisation and hash of the flat block. */
#include "params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cell.h"
#include "orthogonal.h"
#include "base/hash.h"
#include "base/rng.h"

struct model_shape model_shape_of(const struct options *options, size_t vocabulary)
{
    return (struct model_shape){
        .cell = options->model.cell,
        .layers = (int)options->model.layers,
        .hidden = (int)options->model.hidden,
        .embedding = (int)options->model.embedding,
        .dense = (int)options->model.dense,
        .activation = options->model.activation,
        .vocabulary = (int)vocabulary,
        .tied = options->model.tie_embeddings,
    };
}

int recurrent_input_width(const struct model_shape *shape, int layer)
{
    if (layer > 0)
        return shape->hidden;
    return shape->embedding ? shape->embedding : shape->vocabulary;
}

bool param_is_looked_up(const struct model_shape *shape, const struct param *param)
{
    return param->offset == 0 && !shape->tied; /* the first tensor */
}

int output_input_width(const struct model_shape *shape)
{
    return shape->dense ? shape->dense : shape->hidden;
}

const char *output_weight_name(const struct model_shape *shape)
{
    return shape->tied ? "embedding/weight" : "output/weight";
}

/* Appends a tensor; index -1: the layer's name has no index; columns 0: a vector. */
static void add_tensor(struct params *params, const char *layer, int index,
                       const char *tensor, int rows, int columns)
{
    struct param *param = &params->list[params->count++];
    char digits[12] = "";
    if (index >= 0)
        snprintf(digits, sizeof digits, "%d", index);
    snprintf(param->name, sizeof param->name, "%s%s/%s", layer, digits, tensor);
    param->is_vector = columns == 0;
    param->rows = (size_t)rows;
    param->columns = columns == 0 ? 1 : (size_t)columns;
    param->offset = params->total;
    param->count = param->rows * param->columns;
    params->total += param->count;
}

static void add_recurrent(struct params *params, const struct model_shape *shape,
                          int layer)
{
    const struct cell *cell = cell_of(shape->cell);
    int h = shape->hidden, input = recurrent_input_width(shape, layer);
    add_tensor(params, cell->name, layer, "weight_ih", cell->gate_count * h, input);
    add_tensor(params, cell->name, layer, "weight_hh", cell->gate_count * h, h);
    if (cell->has_gates_hh) {
        add_tensor(params, cell->name, layer, "bias_ih", cell->gate_count * h, 0);
        add_tensor(params, cell->name, layer, "bias_hh", cell->gate_count * h, 0);
    } else {
        add_tensor(params, cell->name, layer, "bias", cell->gate_count * h, 0);
    }
}

static bool in_range(int value, int low, int high)
{
    return value >= low && value <= high;
}

enum status params_layout(const struct model_shape *shape, struct params *params)
{
    enum { WIDTH_MAX = 1 << 16 };
    *params = (struct params){0};
    if (!in_range(shape->layers, 1, LAYERS_MAX) ||
        !in_range(shape->hidden, 1, WIDTH_MAX) ||
        !in_range(shape->embedding, 0, WIDTH_MAX) ||
        !in_range(shape->dense, 0, WIDTH_MAX) ||
        !in_range(shape->vocabulary, 2, WIDTH_MAX))
        return status_fail(
            STATUS_MISUSE,
            "the model's shape is out of range (layers %d, hidden %d, "
            "embedding %d, dense %d, vocabulary %d; at most %d layers, widths "
            "up to %d)",
            shape->layers, shape->hidden, shape->embedding, shape->dense,
            shape->vocabulary, LAYERS_MAX, WIDTH_MAX);
    int width = output_input_width(shape);
    if (shape->tied && shape->embedding != width)
        return status_fail(STATUS_MISUSE,
                           "a tied embedding has the width of the output layer's input "
                           "(embedding %d, input %d)",
                           shape->embedding, width);
    if (shape->embedding)
        add_tensor(params, "embedding", -1, "weight", shape->vocabulary,
                   shape->embedding);
    for (int layer = 0; layer < shape->layers; layer++)
        add_recurrent(params, shape, layer);
    if (shape->dense) {
        add_tensor(params, "dense", -1, "weight", shape->dense, shape->hidden);
        add_tensor(params, "dense", -1, "bias", shape->dense, 0);
    }
    if (!shape->tied)
        add_tensor(params, "output", -1, "weight", shape->vocabulary, width);
    add_tensor(params, "output", -1, "bias", shape->vocabulary, 0);
    return STATUS_OK;
}

const struct param *params_find(const struct params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->list[i].name, name) == 0)
            return &params->list[i];
    return NULL;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

static void fill_uniform(const struct param *param, size_t index, uint64_t seed,
                         double bound, real *values)
{
    for (size_t j = 0; j < param->count; j++)
        values[j] =
            (real)(bound * (2 * rng_uniform(seed, RNG_INITIALISE, index, j, 0) - 1));
}

static void fill_normal(const struct param *param, size_t index, uint64_t seed,
                        double deviation, real *values)
{
    for (size_t j = 0; j < param->count; j++)
        values[j] = (real)(deviation * rng_normal(seed, RNG_INITIALISE, index, j, 0));
}

/* The sum of two draws, each uniform in +-bound. */
static void fill_two_biases(const struct param *param, size_t index, uint64_t seed,
                            double bound, real *values)
{
    for (size_t j = 0; j < param->count; j++) {
        double sum = rng_uniform(seed, RNG_INITIALISE, index, j, 0) +
                     rng_uniform(seed, RNG_INITIALISE, index, j, 1);
        values[j] = (real)(bound * (2 * sum - 2));
    }
}

/* The bound of Glorot and Bengio (2010) for a matrix of `blocks` gates. */
static double glorot_bound(const struct param *param, int blocks)
{
    double fan_out = (double)param->rows / blocks, fan_in = (double)param->columns;
    return sqrt(6 / (fan_out + fan_in));
}

/* INIT_GLOROT */
static void initialise(const struct model_shape *shape, const struct param *param,
                       size_t index, uint64_t seed, real *values)
{
    const double embedding_deviation = 0.1;
    const struct cell *cell = cell_of(shape->cell);
    if (strncmp(param->name, "embedding/", 10) == 0) {
        fill_normal(param, index, seed, embedding_deviation, values);
    } else if (ends_with(param->name, "/weight_hh")) {
        fill_uniform(param, index, seed, 1 / sqrt((double)shape->hidden), values);
    } else if (ends_with(param->name, "/weight_ih")) {
        fill_uniform(param, index, seed, glorot_bound(param, cell->gate_count), values);
    } else if (!param->is_vector) {
        fill_uniform(param, index, seed, glorot_bound(param, 1), values);
    } else {
        memset(values, 0, param->count * sizeof *values);
        bool recurrent = strncmp(param->name, cell->name, strlen(cell->name)) == 0;
        for (int j = 0; recurrent && cell->forget_gate >= 0 && j < shape->hidden; j++)
            values[cell->forget_gate * shape->hidden + j] = 1;
    }
}

/* What differs from INIT_GLOROT. */
static enum status initialise_keras(const struct model_shape *shape,
                                    const struct param *param, size_t index,
                                    uint64_t seed, real *values)
{
    const double embedding_bound = 0.05;
    if (strncmp(param->name, "embedding/", 10) == 0)
        fill_uniform(param, index, seed, embedding_bound, values);
    else if (ends_with(param->name, "/weight_ih"))
        fill_uniform(param, index, seed, glorot_bound(param, 1), values);
    else if (ends_with(param->name, "/weight_hh"))
        return orthogonal_draw(seed, index, param->rows, param->columns, values);
    else
        initialise(shape, param, index, seed, values);
    return STATUS_OK;
}

static bool is_recurrent_bias(const char *name)
{
    return ends_with(name, "/bias_ih") || ends_with(name, "/bias_hh");
}

/* What differs from INIT_GLOROT. */
static void initialise_pytorch(const struct model_shape *shape, const struct param *param,
                               size_t index, uint64_t seed, real *values)
{
    const char *name = param->name, *cell = cell_of(shape->cell)->name;
    const double hidden_bound = 1 / sqrt((double)shape->hidden);
    if (strncmp(name, "embedding/", 10) == 0)
        for (size_t j = 0; j < param->count; j++)
            values[j] = (real)rng_normal_exact(seed, RNG_INITIALISE, index, j);
    else if (ends_with(name, "/weight_ih") || ends_with(name, "/weight_hh") ||
             is_recurrent_bias(name) || strncmp(name, "dense/", 6) == 0)
        fill_uniform(param, index, seed, hidden_bound, values);
    else if (strncmp(name, cell, strlen(cell)) == 0 && ends_with(name, "/bias"))
        fill_two_biases(param, index, seed, hidden_bound, values);
    else if (strncmp(name, "output/", 7) == 0)
        fill_uniform(param, index, seed, 1 / sqrt((double)output_input_width(shape)),
                     values);
    else
        initialise(shape, param, index, seed, values);
}

enum status params_initialise(const struct model_shape *shape,
                              const struct params *params, int init, uint64_t seed,
                              real *block)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < params->count; i++) {
        const struct param *param = &params->list[i];
        real *values = block + param->offset;
        if (init == INIT_KERAS)
            status = initialise_keras(shape, param, i, seed, values);
        else if (init == INIT_PYTORCH)
            initialise_pytorch(shape, param, i, seed, values);
        else
            initialise(shape, param, i, seed, values);
    }
    return status;
}

uint64_t params_hash(const struct params *params, const real *block)
{
    return hash64(block, params->total * sizeof *block);
}
