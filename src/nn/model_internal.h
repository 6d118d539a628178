/* model_internal: shared by model.c and model_pass.c. Letters as in model.h. */
#ifndef TUTTI_NN_MODEL_INTERNAL_H
#define TUTTI_NN_MODEL_INTERNAL_H

#include <stdbool.h>

#include "layer_norm.h"
#include "layers.h"
#include "model.h"
#include "recurrent.h"
#include "base/arena.h"

struct model {
    struct model_shape shape;
    struct params params;
    struct batch_shape batch;
    struct model_plan plan;             /* with the backend for its purpose */
    struct arena arena;                 /* all memory of the model */
    struct matmul_workspace *workspace; /* training only */
    struct matmul_scratch scratch;

    struct recurrent recurrent[LAYERS_MAX]; /* [shape.layers] */
    struct layer_norm norm[LAYERS_MAX];     /* shape.layer_norm: of their outputs */
    struct affine dense;                    /* shape.dense > 0 */
    struct affine output;
    real *weights; /* [params.total]: the flat block */

    /* A layer's gradient of its input overwrites the input, once the gradients of its
     * weights are known. */
    real *embedded;      /* [S][T][B][E]; then its gradient */
    real *dense_output;  /* [S][T][B][F]: after the activation */
    real *dense_dropped; /* [S][T][B][F]: the same after dropout; then its gradient */
    real *logits;        /* [S][T][B][V]; after a forward with targets: their gradient */
    double *log_probability; /* [S][T][B] */
    bool *correct;           /* [S][T][B]: the target had the highest probability */

    /* Training only: */
    uint8_t *token_mask;       /* [V]: of the embedding */
    uint8_t *input_mask;       /* [S][T][B][E], plan.dropout_input */
    uint8_t *mask[LAYERS_MAX]; /* of each dropout site: [S][T][B][dropout_width()] */
    real *d_embedding_weight;  /* [V][E]: gradient of the embedding, one microbatch */

    /* From the last forward, for backward: */
    const token *const *inputs; /* borrowed */
    struct dropout dropout;
    struct dropout input_dropout, token_dropout; /* the same at their rates */
};

#endif
