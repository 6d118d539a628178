/* params: the layout of the flat block, its initialisation and its hash. */
#include "params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cell.h"
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
    };
}

static void add(struct params *params, const char *layer, int number, const char *tensor,
                int rows, int columns)
{
    struct param *param = &params->list[params->count++];
    char digits[12] = "";
    if (number >= 0)
        snprintf(digits, sizeof digits, "%d", number);
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
    int h = shape->hidden, below = layer == 0 ? shape->embedding : h;
    add(params, cell->name, layer, "weight_ih", cell->gates * h, below);
    add(params, cell->name, layer, "weight_hh", cell->gates * h, h);
    if (cell->split_product) {
        add(params, cell->name, layer, "bias_ih", cell->gates * h, 0);
        add(params, cell->name, layer, "bias_hh", cell->gates * h, 0);
    } else {
        add(params, cell->name, layer, "bias", cell->gates * h, 0);
    }
}

static int in_range(int value, int low, int high)
{
    return value >= low && value <= high;
}

enum status params_layout(const struct model_shape *shape, struct params *params)
{
    enum { WIDEST = 1 << 16, MOST_LAYERS = 24 };
    *params = (struct params){0};
    if (!in_range(shape->layers, 1, MOST_LAYERS) || !in_range(shape->hidden, 1, WIDEST) ||
        !in_range(shape->embedding, 1, WIDEST) || !in_range(shape->dense, 0, WIDEST) ||
        !in_range(shape->vocabulary, 2, WIDEST))
        return status_fail(
            STATUS_MISUSE,
            "the model's shape is out of range (layers %d, hidden %d, "
            "embedding %d, dense %d, vocabulary %d; at most %d layers, widths "
            "up to %d)",
            shape->layers, shape->hidden, shape->embedding, shape->dense,
            shape->vocabulary, MOST_LAYERS, WIDEST);
    add(params, "embedding", -1, "weight", shape->vocabulary, shape->embedding);
    for (int layer = 0; layer < shape->layers; layer++)
        add_recurrent(params, shape, layer);
    int top = shape->hidden;
    if (shape->dense) {
        add(params, "dense", -1, "weight", shape->dense, top);
        add(params, "dense", -1, "bias", shape->dense, 0);
        top = shape->dense;
    }
    add(params, "output", -1, "weight", shape->vocabulary, top);
    add(params, "output", -1, "bias", shape->vocabulary, 0);
    return STATUS_OK;
}

const struct param *params_find(const struct params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->list[i].name, name) == 0)
            return &params->list[i];
    return NULL;
}

static int ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
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

void params_initialise(const struct model_shape *shape, const struct params *params,
                       uint64_t seed, real *block)
{
    const double embedding_deviation = 0.1;
    const struct cell *cell = cell_of(shape->cell);
    for (size_t i = 0; i < params->count; i++) {
        const struct param *param = &params->list[i];
        real *values = block + param->offset;
        memset(values, 0, param->count * sizeof *values);
        if (strncmp(param->name, "embedding/", 10) == 0) {
            fill_normal(param, i, seed, embedding_deviation, values);
        } else if (ends_with(param->name, "/weight_hh")) {
            fill_uniform(param, i, seed, 1 / sqrt((double)shape->hidden), values);
        } else if (ends_with(param->name, "/weight_ih")) {
            double fans = (double)param->rows / cell->gates + (double)param->columns;
            fill_uniform(param, i, seed, sqrt(6 / fans), values);
        } else if (!param->is_vector) {
            double fans = (double)(param->rows + param->columns);
            fill_uniform(param, i, seed, sqrt(6 / fans), values);
        } else if (cell->open_gate >= 0 &&
                   strncmp(param->name, cell->name, strlen(cell->name)) == 0) {
            for (int j = 0; j < shape->hidden; j++)
                values[cell->open_gate * shape->hidden + j] = 1;
        }
    }
}

uint64_t params_hash(const struct params *params, const real *block)
{
    return hash64(block, params->total * sizeof *block);
}
