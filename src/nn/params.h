/* params: all weights of a model in one flat block, with names.
 *
 * One block, so that initialisation, the gradient's sum, the optimizer, the hash and the
 * checkpoint are each one pass. A tensor is named "<layer>/<tensor>":
 *
 *   embedding/weight      V x E
 *   lstm0/weight_ih       4H x D   gate order i, f, g, o (as in PyTorch)
 *   lstm0/weight_hh       4H x H
 *   lstm0/bias            4H
 *   gru0/weight_ih        3H x D   gate order r, z, n (as in PyTorch)
 *   gru0/weight_hh        3H x H
 *   gru0/bias_ih          3H
 *   gru0/bias_hh          3H       (its n part stands inside the reset product)
 *   dense/weight          F x H,   dense/bias F
 *   output/weight         V x F (or V x H),  output/bias V
 */
#ifndef TUTTI_NN_PARAMS_H
#define TUTTI_NN_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/real.h"
#include "base/status.h"

enum { PARAM_NAME = 48, PARAMS_MAX = 128 };

struct param {
    char name[PARAM_NAME]; /* "lstm0/weight_ih" */
    size_t rows, columns;  /* row-major; a vector has columns = 1 and is_vector */
    int is_vector;
    size_t offset, count; /* in the flat block, in elements */
};

struct params {
    size_t count; /* tensors */
    size_t total; /* elements */
    struct param list[PARAMS_MAX];
};

/* What fixes the shapes: the [model] section and the vocabulary. */
struct model_shape {
    int cell; /* enum option_cell */
    int layers, hidden, embedding;
    int dense;      /* 0: none */
    int activation; /* enum option_activation */
    int vocabulary;
};

struct model_shape model_shape_of(const struct options *options, size_t vocabulary);

/* Lays out the tensors. STATUS_MISUSE if the shape is out of range. */
enum status params_layout(const struct model_shape *shape, struct params *params);

/* The tensor called `name`, or NULL. */
const struct param *params_find(const struct params *params, const char *name);

/* Fills the block; element j of tensor i depends on (seed, i, j) only.
 * Embedding: normal, deviation 0.1. Matrices fed from below: uniform in
 * +-sqrt(6 / (fan_in + fan_out)), each gate's block by itself (Glorot and Bengio, 2010).
 * Recurrent matrices: uniform in +-1/sqrt(H). Biases 0, except the LSTM's forget gate: 1
 * (Jozefowicz, Zaremba, Sutskever, 2015). */
void params_initialise(const struct model_shape *shape, const struct params *params,
                       uint64_t seed, real *block);

/* Fingerprint of the bits of all weights, in order: the weights hash of promise 1. */
uint64_t params_hash(const struct params *params, const real *block);

#endif
