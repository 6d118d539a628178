/* matmul: the model's matrix products, by one of three backends.
 *
 * Letters: N outputs, K inputs, M rows; W is [N][K], x [M][K], y [M][N], row-major and
 * contiguous. The M rows of a batched matmul are `microbatches` times `rows` rows.
 *
 *     y  := beta y + x W^T    matmul, matmul_batched; beta is 0 or 1
 *     dW := dy^T x            matmul_gradient, of each microbatch on its own
 *     db := dy^T 1
 *
 * float32 and bfloat16 read W from panels that are packed once per step. Panel p holds NR
 * outputs, from output NR p on, side by side, so a microkernel (kernels.h) reads it with
 * stride one; docs/design.md draws it:
 *
 *     float32   panel[l][j]  =  W[NR p + j][l]                              l < K
 *     bfloat16  panel[l][j]  =  W[NR p + j][2l], W[NR p + j][2l + 1]        l < K' / 2
 *
 * With segments (struct matmul_layout) the panels of each thread follow one another, and
 * panel_list has the first output of each. Panels narrower than NR are zero-padded. In
 * bfloat16 every panel is also zero-padded to K' inputs, the next multiple of KB16.
 *
 * Each element of a result is one chain of fused multiply-adds in the order of the inputs
 * (bfloat16: the order of AMX, see kernels.h). Its bits depend only on its own row and
 * the weights, not on the number of rows or microbatches in the call, nor on the
 * instruction set. OpenBLAS gives no such guarantee: it is always called with the shape
 * of one microbatch, and its bits depend on the kernels that it selects for the
 * processor.
 *
 * Nothing here is collective, and nothing allocates: memory is planned in the caller's
 * arena.
 */
#ifndef TUTTI_KERNELS_MATMUL_H
#define TUTTI_KERNELS_MATMUL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/real.h"
#include "base/status.h"

/* How results are stored. MATMUL_NONTEMPORAL overwrites y with nontemporal stores, for
 * results that do not fit in a cache: each row of y must then be 64-byte aligned, and N a
 * multiple of VECTOR. Such stores are ordered only as seen by the calling thread. */
enum matmul_output { MATMUL_OVERWRITE, MATMUL_ACCUMULATE, MATMUL_NONTEMPORAL };

struct matmul_batch { /* M = microbatches * rows */
    int microbatches, rows;
};

struct matmul_weights;
struct matmul_workspace;
struct matmul_gradient;

/* ---- backends ---- */

/* A part of every numerics id, raised when the bits of training change. 3: tanh and
 * sigmoid as one rational function, dropout from 16 random bits a unit, the norm in
 * chunks. 2: the chain of dh_next no longer begins with dh. */
#define NUMERICS_VERSION "3"

/* The operations in which float32 and bfloat16 differ (matmul_packed.h). */
struct packed_format;

struct matmul_backend {
    /* Human-readable: "avx512", "amx, in bfloat16", "OpenBLAS (Haswell)". Valid until the
     * next call. */
    const char *(*description)(void);
    /* The numerics id, which determines the bits of results: an order of summation, or
     * the shapes of the calls of OpenBLAS and its core type. */
    const char *(*numerics)(void);

    const struct matmul_backend *recurrent; /* for the matmul of one time step */
    const struct matmul_backend *inference; /* for a model that is not trained */

    /* See the functions of the same names below. */
    void (*plan_weights)(struct matmul_weights *weights, struct arena *arena);
    void (*plan_workspace)(struct matmul_workspace *workspace, struct arena *arena);
    /* `matmul` is NULL for OpenBLAS. */
    void (*pack)(struct matmul_weights *weights, const real *w);
    void (*matmul)(const struct matmul_weights *w, int rows, const real *const *x,
                   real *const *y, enum matmul_output output, bool reversed);
    void (*matmul_batched)(const struct matmul_weights *w, struct matmul_batch batch,
                           const real *x, real *y, enum matmul_output output);
    void (*gradient)(const struct matmul_gradient *gradient);

    const struct packed_format *format; /* NULL for OpenBLAS */
};

/* bfloat16 rounds the operands of every matmul to bfloat16; sums are float32. It is for
 * training: its inference backend is float32. */
extern const struct matmul_backend matmul_float32, matmul_bfloat16;

/* OpenBLAS computes the batched matmuls and the gradients; its recurrent backend is
 * float32. The first call loads the library, which then computes on the calling threads
 * only. STATUS_FAILED if OpenBLAS can't be loaded. */
enum matmul_backend_kind { BACKEND_FLOAT32, BACKEND_BFLOAT16, BACKEND_OPENBLAS };
enum status matmul_backend_select(enum matmul_backend_kind kind,
                                  const struct matmul_backend **out);

/* OpenBLAS's core type, the kernels that it selected for the processor: "Haswell". ""
 * before OpenBLAS has been loaded. */
const char *matmul_openblas_core(void);

/* ---- weights ---- */

/* The operand of a matmul, and how a team of threads (base/team.h) shares it out. */
struct matmul_layout {
    int n, k;        /* at least 1 */
    bool transposed; /* w is [k][n]: the operand is its transpose */
    int threads;     /* of the team that uses the weights */
    /* 0: each thread computes all outputs of some rows; for matmul_batched only. Else
     * each thread computes some outputs of all rows: the outputs are `segments` segments
     * of n / segments (a divisor of n), and a thread owns the same range of each of them,
     * team_share_of(n / segments, VECTOR). Ignored by OpenBLAS. */
    int segments;
};

/* Outputs [first, first + width) of the operand, width <= NR. */
struct matmul_panel {
    int first, width;
};

/* Memory in which bfloat16 rounds rows, for all weights of a model: each thread of the
 * team has its own part. Zero-initialised, and used by one matmul at a time. */
struct matmul_scratch {
    size_t bytes; /* of a thread; a multiple of 64 */
    void *memory; /* [threads][bytes] */
};

struct matmul_weights {
    const struct matmul_backend *backend;
    struct matmul_layout layout;
    struct matmul_scratch *scratch; /* borrowed; may be NULL for float32 */
    const real *w;                  /* as last packed; borrowed */
    /* float32, bfloat16: */
    int panel_count;
    struct matmul_panel *panel_list; /* [panel_count], thread by thread */
    int *panel_ends; /* with segments: [threads], end of a thread's panels in the list */
    void *panels;    /* packed, 64-byte aligned */
    /* bfloat16: */
    int x_block_rows; /* number of rows rounded at a time */
};

/* Plans the packed copy of a matrix. Sets *weights; call it twice (base/arena.h). */
void matmul_weights_plan(const struct matmul_backend *backend,
                         const struct matmul_layout *layout,
                         struct matmul_scratch *scratch, struct arena *arena,
                         struct matmul_weights *weights);

/* Plans the scratch memory of a team of `threads` threads, in both passes after all the
 * weights that share it. */
void matmul_scratch_plan(struct matmul_scratch *scratch, int threads,
                         struct arena *arena);

/* The functions below are called by all threads of the team of layout->threads threads,
 * or outside of a team if that is 1. Each computes its share and returns without waiting
 * for the others, except where noted. */

/* Packs W; must be called before the first matmul and after every change of W, which is
 * borrowed. Does nothing for zero-initialised weights that were not planned. */
void matmul_weights_pack(struct matmul_weights *weights, const real *w);

/* y[i][0..n) := beta y[i] + W x[i][0..k) for i < rows; the rows need not be contiguous.
 * For weights with segments; not for OpenBLAS. `reversed` traverses the panels from last
 * to first, with the same bits: a caller that alternates finds the most recently used
 * panels still in cache. */
void matmul(const struct matmul_weights *w, int rows, const real *const *x,
            real *const *y, enum matmul_output output, bool reversed);

/* y[M][N] := beta y + x[M][K] W^T. `output` is MATMUL_OVERWRITE or MATMUL_ACCUMULATE;
 * nontemporal stores are used where they help. */
void matmul_batched(const struct matmul_weights *w, struct matmul_batch batch,
                    const real *x, real *y, enum matmul_output output);

/* ---- gradients ---- */

/* The largest gradients of a workspace. */
struct matmul_extent {
    int outputs;   /* maximum number of outputs of a call */
    size_t inputs; /* maximum total number of inputs of a call's matrices */
};

/* Plans the workspace for gradients of M rows, with one or two matrices per call, on a
 * team of `threads` threads. Call it twice (base/arena.h): NULL while the arena measures,
 * then the workspace, which lies in the arena. */
struct matmul_workspace *matmul_workspace_plan(const struct matmul_backend *backend,
                                               struct matmul_batch batch,
                                               struct matmul_extent extent, int threads,
                                               struct arena *arena);

/* A block of a gradient: element (r, j) is values[r * ld_values + j], r < rows, j <
 * width, and belongs to element first + r * ld + j of the flat block of weights. */
struct gradient_block {
    size_t first, ld;
    int rows, width;
    real *values;
    size_t ld_values;
    bool accumulate; /* adds to an earlier block of the same microbatch */
};

struct gradient_sink {
    /* Called with every block of every microbatch, by any thread of the team. Each
     * element receives its microbatches in ascending order, from one thread; no other
     * order is guaranteed. Blocks that accumulate come after all of the others, in the
     * same order. The values of a block are in cache; the function may change
     * them, and they are overwritten after the call. */
    void (*write)(void *context, int microbatch, const struct gradient_block *block);
    void *context;
};

/* One of the inputs whose products x W^T were summed into y. Its dW [N][K] starts at
 * element `weight_offset` of the flat block. */
struct gradient_input {
    const real *x; /* [M][K] */
    int k;
    size_t weight_offset;
};
enum { GRADIENT_INPUTS = 2 };

/* For each microbatch dW := dy^T x of the `count` inputs, and db := the sums of the
 * columns of dy [M][N] (complete, as x), in blocks that together cover every element
 * once. Waits for all threads at its end. db starts at element `bias_offset`; NO_BIAS:
 * there is no bias. */
#define NO_BIAS ((size_t)-1)
void matmul_gradient(struct matmul_workspace *workspace, int n, const real *dy,
                     const struct gradient_input *inputs, int count, size_t bias_offset,
                     const struct gradient_sink *sink);

#endif
