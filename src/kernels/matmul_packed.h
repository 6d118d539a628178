/* matmul_packed: the loops over blocks and panels that float32 and bfloat16 share. The
 * operations in which they differ are members of their struct packed_format.
 */
#ifndef TUTTI_KERNELS_MATMUL_PACKED_H
#define TUTTI_KERNELS_MATMUL_PACKED_H

#include "kernels.h"
#include "matmul_internal.h"

/* Maximum number of rows of dW computed at a time: a whole number of microtiles in either
 * format. */
enum { GRADIENT_ROWS = 128 };

/* Pairs of dy that bfloat16 packs at a time: KB16 / 2 rows of pairs. */
enum { DY_PAIRS = KB16 / 2 * GRADIENT_ROWS };

/* Part of a panel: outputs [first_output, first_output + width),
 * inputs [first_input, first_input + k). */
struct panel_part {
    int first_output, width, first_input, k;
    const void *panel; /* of these outputs, from `first_input` on */
};

/* The size of a block of x that stays in the L2 cache: rows and inputs. */
struct blocking {
    int rows, inputs;
};

/* A microbatch's rows in one panel of x. */
struct x_panel_index {
    int microbatch, panel;
};

struct packed_format {
    /* Called before and after the calls of multiply and multiply_dw. */
    void (*begin)(void);
    void (*end)(void);

    /* ---- weights ---- */

    size_t (*panel_bytes)(int k);
    /* panel := `width` rows of W [n][k], or of its transpose [k][n], from `w` on. */
    void (*pack_rows)(const struct matmul_weights *weights, const real *w, int width,
                      void *panel);
    void (*pack_columns)(const struct matmul_weights *weights, const real *w, int width,
                         void *panel);

    /* ---- matmul ---- */

    struct blocking (*blocking)(const struct matmul_weights *w, int rows);
    /* Prepares a block of rows of x for multiply. */
    void (*prepare_rows)(const struct matmul_weights *w, int rows, const real *const *x);
    /* y[i][part] := beta y[i][part] + x[i] times the part, for a block of rows. `next` is
     * the part used next, to be prefetched. */
    void (*multiply)(const struct matmul_weights *w, const struct panel_part *part,
                     const struct panel_part *next, int rows, const real *const *x,
                     real *const *y, enum matmul_output output);

    /* ---- gradients ---- */

    size_t (*x_panel_bytes)(struct matmul_batch batch); /* of all microbatches */
    /* Of `rows` columns of one microbatch's dy, a multiple of 2 MR. */
    size_t (*dy_block_bytes)(struct matmul_batch batch, int rows);
    /* Packs the calling thread's share of an input's x [M][k] into panels, from `panel`
     * on. */
    void (*pack_x)(struct matmul_workspace *workspace, int panel,
                   const struct gradient_input *input);
    /* Packs columns [first, first + height) of a microbatch's dy into its block. */
    void (*pack_dy)(const struct matmul_gradient *g, int microbatch, int first,
                    int height);
    /* workspace->dw [height][NR] := the transpose of the microbatch's block times the
     * first `width` columns of panel `current`; `next` is the one used next, to be
     * prefetched. */
    void (*multiply_dw)(struct matmul_workspace *workspace, struct x_panel_index current,
                        struct x_panel_index next, int height, int width);
};

/* Members of struct matmul_backend. */
void packed_plan_weights(struct matmul_weights *weights, struct arena *arena);
void packed_plan_workspace(struct matmul_workspace *workspace, struct arena *arena);
void packed_pack(struct matmul_weights *weights, const real *w);
void packed_matmul(const struct matmul_weights *w, int rows, const real *const *x,
                   real *const *y, enum matmul_output output, bool reversed);
void packed_matmul_batched(const struct matmul_weights *w, struct matmul_batch batch,
                           const real *x, real *y, enum matmul_output output);
void packed_gradient(const struct matmul_gradient *g);

/* A microbatch's packed block of dy. */
void *packed_dy_block(const struct matmul_workspace *workspace, int microbatch);

#endif
