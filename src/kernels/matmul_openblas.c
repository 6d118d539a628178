/* matmul_openblas: batched matmuls with OpenBLAS. The only file that includes cblas.h.
 *
 * BLAS does not guarantee that a row's bits are independent of the number of rows in the
 * call, so every call has the shape of one microbatch, which does not depend on the
 * number of ranks.
 *
 * OpenBLAS is told to compute on the calling thread; the threads of a team call it at the
 * same time. It is loaded at run time, and only by runs that use it: a program linked
 * against it would start a thread for each core at every start.
 */
#include "matmul_internal.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"

/* ---- loading ---- */

#ifdef TUTTI_DOUBLE
#define GEMM_NAME "cblas_dgemm"
typedef __typeof__(cblas_dgemm) gemm_function;
#else
#define GEMM_NAME "cblas_sgemm"
typedef __typeof__(cblas_sgemm) gemm_function;
#endif

static struct {
    void *library; /* NULL until openblas_load has succeeded */
    gemm_function *gemm;
    char *(*core_name)(void);
    void (*set_threads)(int threads);
} blas;

/* Opens the library found at build time, or else one of that name on the loader's search
 * path. */
static void *open_library(void)
{
    void *library = dlopen(TUTTI_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    if (library)
        return library;
    const char *slash = strrchr(TUTTI_OPENBLAS, '/');
    return slash ? dlopen(slash + 1, RTLD_NOW | RTLD_LOCAL) : NULL;
}

/* Stores the symbol's address in *function, a pointer to a function. */
static bool load_symbol(const char *name, void *function)
{
    void *address = dlsym(blas.library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

enum status openblas_load(void)
{
    if (!blas.library) {
        setenv("OPENBLAS_NUM_THREADS", "1", 1); /* read when the library is loaded */
        blas.library = open_library();
        if (!blas.library)
            return status_fail(STATUS_FAILED,
                               "train.matmul = openblas: OpenBLAS can't be loaded: %s",
                               dlerror());
        if (!load_symbol(GEMM_NAME, &blas.gemm) ||
            !load_symbol("openblas_get_corename", &blas.core_name) ||
            !load_symbol("openblas_set_num_threads", &blas.set_threads)) {
            blas.library = NULL;
            return status_fail(STATUS_FAILED,
                               "train.matmul = openblas: %s is not OpenBLAS",
                               TUTTI_OPENBLAS);
        }
    }
    blas.set_threads(1);
    return STATUS_OK;
}

/* ---- the backend ---- */

enum { GRADIENT_ROWS = 256 }; /* of dW per call */

static void plan_weights(struct matmul_weights *weights, struct arena *arena)
{
    (void)weights, (void)arena; /* read in place */
}

static void pack(struct matmul_weights *weights, const real *w)
{
    (void)weights, (void)w;
}

static void plan_workspace(struct matmul_workspace *workspace, struct arena *arena)
{
    workspace->gradient =
        arena_array(arena, (size_t)workspace->threads * workspace->extent.inputs,
                    GRADIENT_ROWS * sizeof(real));
}

static void batched(const struct matmul_weights *w, struct matmul_batch batch,
                    const real *x, real *y, enum matmul_output output)
{
    int n = w->layout.n, k = w->layout.k;
    CBLAS_TRANSPOSE op = w->layout.transposed ? CblasNoTrans : CblasTrans;
    int ldw = w->layout.transposed ? n : k;
    real beta = output == MATMUL_ACCUMULATE ? 1 : 0;
    size_t rows = (size_t)batch.rows;
    struct team_share share = team_share((size_t)batch.microbatches, 1);
    for (size_t s = share.first; s < share.end; s++)
        blas.gemm(CblasRowMajor, CblasNoTrans, op, batch.rows, n, k, 1,
                  x + s * rows * (size_t)k, k, w->w, ldw, beta, y + s * rows * (size_t)n,
                  n);
}

/* Rows [first, first + height) of dW := dy^T x of one input and microbatch, as one block.
 */
static void write_dw(const struct matmul_gradient *g, int microbatch,
                     const struct gradient_input *input, int first, int height, real *dw)
{
    size_t k = (size_t)input->k, row = (size_t)microbatch * (size_t)g->batch.rows;
    const struct gradient_block block = {.first =
                                             input->weight_offset + (size_t)first * k,
                                         .ld = k,
                                         .rows = height,
                                         .width = input->k,
                                         .values = dw,
                                         .ld_values = k};
    blas.gemm(CblasRowMajor, CblasTrans, CblasNoTrans, height, input->k, g->batch.rows, 1,
              g->dy + row * (size_t)g->n + first, g->n, input->x + row * k, input->k, 0,
              dw, input->k);
    g->sink->write(g->sink->context, microbatch, &block);
}

/* Parts of a fixed height, shared out over the threads: the shape of a call does not
 * depend on their number. */
static void gradient(const struct matmul_gradient *g)
{
    real sums[GRADIENT_ROWS];
    real *dw = g->workspace->gradient +
               (size_t)team_thread() * g->workspace->extent.inputs * GRADIENT_ROWS;
    for (int first = team_thread() * GRADIENT_ROWS; first < g->n;
         first += team_size() * GRADIENT_ROWS) {
        int height = g->n - first < GRADIENT_ROWS ? g->n - first : GRADIENT_ROWS;
        for (int s = 0; s < g->batch.microbatches; s++) {
            for (int i = 0; i < g->count; i++)
                write_dw(g, s, &g->inputs[i], first, height, dw);
            gradient_write_bias(g, s, first, height, sums);
        }
    }
    team_barrier();
}

/* The kernel set that OpenBLAS chose for the processor ("Haswell", "SkylakeX"): results
 * of different sets may differ in the last bits. OPENBLAS_CORETYPE in the environment
 * forces one. */
const char *matmul_openblas_core(void)
{
    return blas.library ? blas.core_name() : "";
}

/* The number stands for the shapes of the calls above, and changes with them. */
static const char *numerics(void)
{
    static char text[64];
    snprintf(text, sizeof text, "openblas " NUMERICS_VERSION " %s", blas.core_name());
    return text;
}

static const char *description(void)
{
    static char text[64];
    snprintf(text, sizeof text, "OpenBLAS (%s)", blas.core_name());
    return text;
}

const struct matmul_backend matmul_openblas = {
    .description = description,
    .numerics = numerics,
    .recurrent = &matmul_float32,
    .inference = &matmul_openblas,
    .plan_weights = plan_weights,
    .plan_workspace = plan_workspace,
    .pack = pack,
    .matmul_batched = batched,
    .gradient = gradient,
};
