/* naive_model: a reference implementation of the model in double: the formulas written
 * out, one row at a time, sharing no code with the program. */
#ifndef TUTTI_NAIVE_MODEL_H
#define TUTTI_NAIVE_MODEL_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/model.h"

enum { NAIVE_WIDTH_MAX = 64, NAIVE_LAYERS_MAX = 4 };

struct naive_state {
    double h[NAIVE_LAYERS_MAX][NAIVE_WIDTH_MAX], c[NAIVE_LAYERS_MAX][NAIVE_WIDTH_MAX];
};

/* Factors of one row at one time step: 0 for dropped units, the scale for the others. */
struct naive_dropout {
    double input[NAIVE_WIDTH_MAX];                    /* of the embedded token */
    double output[NAIVE_LAYERS_MAX][NAIVE_WIDTH_MAX]; /* of each layer's output; the last
                                                       * of the output layer's input */
};

struct naive_model {
    const struct model_shape *shape;
    const struct params *params;
    const double *block;
    const struct naive_dropout *dropout; /* NULL: none */
    double smoothing;                    /* of the labels */
};

static inline const double *naive_tensor(const struct params *params, const double *block,
                                         const char *layer, int index, const char *name)
{
    char full[64];
    if (index < 0)
        snprintf(full, sizeof full, "%s/%s", layer, name);
    else
        snprintf(full, sizeof full, "%s%d/%s", layer, index, name);
    return block + params_find(params, full)->offset;
}

/* Element r of the product w x; w [rows][columns]. */
static inline double naive_dot(const double *w, int columns, int r, const double *x)
{
    double sum = 0;
    for (int j = 0; j < columns; j++)
        sum += w[r * columns + j] * x[j];
    return sum;
}

static inline double naive_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static inline void naive_lstm(const struct params *params, const double *block, int layer,
                              int in, int h, double *x, struct naive_state *state)
{
    const double *wi = naive_tensor(params, block, "lstm", layer, "weight_ih");
    const double *wh = naive_tensor(params, block, "lstm", layer, "weight_hh");
    const double *b = naive_tensor(params, block, "lstm", layer, "bias");
    double gate[4][NAIVE_WIDTH_MAX];
    for (int q = 0; q < 4; q++)
        for (int j = 0; j < h; j++)
            gate[q][j] = naive_dot(wi, in, q * h + j, x) +
                         naive_dot(wh, h, q * h + j, state->h[layer]) + b[q * h + j];
    for (int j = 0; j < h; j++) {
        double c = naive_sigmoid(gate[1][j]) * state->c[layer][j] +
                   naive_sigmoid(gate[0][j]) * tanh(gate[2][j]);
        state->c[layer][j] = c;
        state->h[layer][j] = x[j] = naive_sigmoid(gate[3][j]) * tanh(c);
    }
}

static inline void naive_gru(const struct params *params, const double *block, int layer,
                             int in, int h, double *x, struct naive_state *state)
{
    const double *wi = naive_tensor(params, block, "gru", layer, "weight_ih");
    const double *wh = naive_tensor(params, block, "gru", layer, "weight_hh");
    const double *bi = naive_tensor(params, block, "gru", layer, "bias_ih");
    const double *bh = naive_tensor(params, block, "gru", layer, "bias_hh");
    double from_x[3][NAIVE_WIDTH_MAX], from_h[3][NAIVE_WIDTH_MAX];
    for (int q = 0; q < 3; q++)
        for (int j = 0; j < h; j++) {
            from_x[q][j] = naive_dot(wi, in, q * h + j, x) + bi[q * h + j];
            from_h[q][j] = naive_dot(wh, h, q * h + j, state->h[layer]) + bh[q * h + j];
        }
    for (int j = 0; j < h; j++) {
        double r = naive_sigmoid(from_x[0][j] + from_h[0][j]);
        double z = naive_sigmoid(from_x[1][j] + from_h[1][j]);
        double n = tanh(from_x[2][j] + r * from_h[2][j]);
        state->h[layer][j] = x[j] = (1 - z) * n + z * state->h[layer][j];
    }
}

/* y := W x + bias, with the tensors layer/weight and layer/bias; `weight` is the layer
 * whose weight it is. */
static inline void naive_affine(const struct naive_model *model, const char *weight,
                                const char *layer, int out, const double *x, double *y)
{
    const struct params *params = model->params;
    const double *w = naive_tensor(params, model->block, weight, -1, "weight");
    const double *b = naive_tensor(params, model->block, layer, -1, "bias");
    char name[64];
    snprintf(name, sizeof name, "%s/weight", weight);
    for (int j = 0; j < out; j++)
        y[j] = naive_dot(w, (int)params_find(params, name)->columns, j, x) + b[j];
}

/* x[width] := its product with the factors; NULL: x. */
static inline void naive_drop(const double *factors, int width, double *x)
{
    for (int j = 0; factors && j < width; j++)
        x[j] *= factors[j];
}

static inline void naive_dense(const struct naive_model *model, double *x)
{
    const struct model_shape *shape = model->shape;
    double y[NAIVE_WIDTH_MAX];
    naive_affine(model, "dense", "dense", shape->dense, x, y);
    for (int j = 0; j < shape->dense; j++)
        x[j] = shape->activation == ACTIVATION_RELU   ? fmax(y[j], 0)
               : shape->activation == ACTIVATION_TANH ? tanh(y[j])
                                                      : y[j];
}

/* x := the embedded token, or the one-hot token. */
static inline void naive_input(const struct naive_model *model, token input, double *x)
{
    int e = model->shape->embedding;
    if (!e) {
        memset(x, 0, (size_t)model->shape->vocabulary * sizeof *x);
        x[input] = 1;
        return;
    }
    memcpy(x,
           naive_tensor(model->params, model->block, "embedding", -1, "weight") +
               input * e,
           (size_t)e * sizeof *x);
}

/* Feeds one token to one row and computes the logits of the next token. */
static inline void naive_step(const struct naive_model *model, token input, int clear,
                              struct naive_state *state, double *logits)
{
    const struct model_shape *shape = model->shape;
    const struct naive_dropout *dropout = model->dropout;
    double x[NAIVE_WIDTH_MAX];
    int e = shape->embedding, h = shape->hidden, f = shape->dense,
        last = shape->layers - 1, width = e ? e : shape->vocabulary;
    if (clear)
        memset(state, 0, sizeof *state);
    naive_input(model, input, x);
    naive_drop(dropout ? dropout->input : NULL, e, x);
    for (int layer = 0; layer <= last; layer++) {
        (shape->cell == CELL_LSTM ? naive_lstm : naive_gru)(
            model->params, model->block, layer, layer ? h : width, h, x, state);
        if (layer < last)
            naive_drop(dropout ? dropout->output[layer] : NULL, h, x);
    }
    if (f)
        naive_dense(model, x);
    naive_drop(dropout ? dropout->output[last] : NULL, f ? f : h, x);
    naive_affine(model, shape->tied ? "embedding" : "output", "output", shape->vocabulary,
                 x, logits);
}

static inline double naive_log_probability(int n, const double *logits, int target)
{
    double total = 0;
    for (int i = 0; i < n; i++)
        total += exp(logits[i]);
    return logits[target] - log(total);
}

/* Cross-entropy with the smoothed distribution of the target. */
static inline double naive_smoothed_loss(int n, const double *logits, int target,
                                         double smoothing)
{
    double loss = 0;
    for (int i = 0; i < n; i++) {
        double q = (i == target ? 1 - smoothing : 0) + smoothing / n;
        loss -= q * naive_log_probability(n, logits, i);
    }
    return loss;
}

#endif
