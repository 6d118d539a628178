/* matmul_internal: shared by matmul*.c. */
#ifndef TUTTI_KERNELS_MATMUL_INTERNAL_H
#define TUTTI_KERNELS_MATMUL_INTERNAL_H

#include "matmul.h"

struct matmul_workspace {
    const struct matmul_backend *backend;
    struct matmul_batch batch;
    struct matmul_extent extent;
    int threads;
    /* float32, bfloat16; see matmul_packed.h: */
    void *x_panels;
    int dw_rows;        /* maximum number of rows of dW computed at a time */
    int dy_block_count; /* microbatches packed at a time */
    void *dy_blocks;    /* [threads], as the rest */
    real *dw;
    struct bf16_pair *dy_pairs;
    /* OpenBLAS: */
    real *gradient;
};

struct matmul_gradient { /* the arguments of matmul_gradient */
    struct matmul_workspace *workspace;
    struct matmul_batch batch;
    int n;
    const real *dy;
    const struct gradient_input *inputs;
    int count;
    size_t bias_offset;
    const struct gradient_sink *sink;
};

/* Writes the part [first, first + width) of a microbatch's db to the sink. `sums` is
 * scratch, [width]. Does nothing without a bias. */
void gradient_write_bias(const struct matmul_gradient *g, int microbatch, int first,
                         int width, real *sums);

/* The backend may be used after openblas_load has succeeded. */
extern const struct matmul_backend matmul_openblas;
enum status openblas_load(void);

#endif
