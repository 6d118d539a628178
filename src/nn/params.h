/* params: all weights of a model in one flat block, with a name for each tensor.
 *
 * One block makes initialisation, gradient allreduce, optimizer, hash and checkpoint one
 * pass each. A tensor is named "<layer>/<tensor>":
 *
 *   embedding/weight      V x E    only if E > 0
 *   lstm0/weight_ih       4H x D   gate order i, f, g, o (as in PyTorch)
 *   lstm0/weight_hh       4H x H
 *   lstm0/bias            4H
 *   gru0/weight_ih        3H x D   gate order r, z, n (as in PyTorch)
 *   gru0/weight_hh        3H x H
 *   gru0/bias_ih          3H
 *   gru0/bias_hh          3H       (its n block is multiplied by the reset gate)
 *   dense/weight          F x H,   dense/bias F
 *   output/weight         V x F (or V x H),  output/bias V
 *
 * D is the width of the layer's input: H, or of the first layer E. Without an embedding,
 * E = 0, the first layer's input is the one-hot token, and D = V.
 *
 * With tied embeddings there is no output/weight: the output layer reads embedding/weight
 * (Press and Wolf, 2017; Inan, Khosravi and Socher, 2017).
 */
#ifndef TUTTI_NN_PARAMS_H
#define TUTTI_NN_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/real.h"
#include "base/status.h"

enum { PARAM_NAME = 48, PARAMS_MAX = 128, LAYERS_MAX = 24 };

struct param {
    char name[PARAM_NAME]; /* "lstm0/weight_ih" */
    size_t rows, columns;  /* row-major; a vector has columns = 1 */
    bool is_vector;
    size_t offset, count; /* in the flat block, in elements */
};

struct params {
    size_t count; /* tensors */
    size_t total; /* elements */
    struct param list[PARAMS_MAX];
};

/* Determines every tensor's shape: the [model] section and the vocabulary. */
struct model_shape {
    int cell; /* enum option_cell */
    int layers, hidden,
        embedding;  /* recurrent layers, their width, the width of their input; 0: the
                     * one-hot token */
    int dense;      /* width; 0: no dense layer */
    int activation; /* enum option_activation */
    int vocabulary;
    bool tied; /* embedding/weight is also the weight of the output layer */
};

struct model_shape model_shape_of(const struct options *options, size_t vocabulary);

/* Lays out the tensors. STATUS_MISUSE if the shape is out of range: 1 to LAYERS_MAX
 * layers, widths from 1 to 65536 (embedding and dense: 0), a vocabulary from 2 to
 * 65536; tied: the width of the embedding is that of the output layer's input. */
enum status params_layout(const struct model_shape *shape, struct params *params);

/* The width of the input of recurrent layer `layer`: V, E or H. */
int recurrent_input_width(const struct model_shape *shape, int layer);

/* True if a token selects a part of the tensor, which is not multiplied: the embedding's
 * weight, unless it is tied, or without an embedding the first layer's weight_ih. */
bool param_is_looked_up(const struct model_shape *shape, const struct param *param);

/* The width of the output layer's input: F, or H without a dense layer. */
int output_input_width(const struct model_shape *shape);

/* The name of the tensor that holds the weights of the output layer. */
const char *output_weight_name(const struct model_shape *shape);

/* The tensor called `name`, or NULL. */
const struct param *params_find(const struct params *params, const char *name);

/* Initialises the flat block by `init`, an enum option_init; a tensor depends only on
 * (seed, its index, its shape).
 *
 * INIT_GLOROT. Embedding: normal with standard deviation 0.1. Input-to-hidden, dense and
 * output matrices: uniform in +-sqrt(6 / (fan_in + fan_out)), computed per gate (Glorot
 * and Bengio, 2010). Hidden-to-hidden matrices: uniform in +-1/sqrt(H). Biases: 0, except
 * 1 for the LSTM's forget gate (Jozefowicz, Zaremba and Sutskever, 2015).
 *
 * INIT_KERAS, the defaults of Keras 3. As INIT_GLOROT, but: embedding uniform in +-0.05;
 * fan_out of an input-to-hidden matrix is that of all gates together; hidden-to-hidden
 * matrices have orthonormal columns (orthogonal.h).
 *
 * INIT_PYTORCH, the defaults of PyTorch 2. Embedding: standard normal. All tensors of a
 * recurrent layer: uniform in +-1/sqrt(H); the bias of an LSTM is the sum of two such
 * numbers, as PyTorch has two biases. Dense and output layer, weights and biases: uniform
 * in +-1/sqrt(fan_in).
 *
 * STATUS_FAILED if memory is lacking for an orthogonal matrix in double. */
enum status params_initialise(const struct model_shape *shape,
                              const struct params *params, int init, uint64_t seed,
                              real *block);

/* The weights hash: a 64-bit hash of the bits of all weights, in order. Equal hashes mean
 * bitwise equal models. */
uint64_t params_hash(const struct params *params, const real *block);

#endif
