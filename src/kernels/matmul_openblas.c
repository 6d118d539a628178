/* matmul_openblas: batched matmuls with OpenBLAS. The only file that includes cblas.h.
 *
 * BLAS does not guarantee that a row's bits are independent of the number of rows in the
 * call, so every call has the shape of one microbatch, which does not depend on the
 * number of ranks.
 *
 * OpenBLAS starts a thread for each core as soon as it is loaded. A program linked
 * against it would pay for that at every start, so the library is loaded at run time, and
 * only by runs that use it.
 */
#include "matmul_internal.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum status openblas_load(int threads)
{
    char text[16];
    snprintf(text, sizeof text, "%d", threads);
    if (!blas.library) {
        setenv("OPENBLAS_NUM_THREADS", text, 1); /* read when the library is loaded */
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
    blas.set_threads(threads);
    return STATUS_OK;
}

/* ---- the backend ---- */

static void plan_weights(struct matmul_weights *weights, struct arena *arena)
{
    (void)weights, (void)arena; /* read in place */
}

static void pack(struct matmul_weights *weights)
{
    (void)weights;
}

static void plan_workspace(struct matmul_workspace *workspace, struct arena *arena)
{
    workspace->gradient = arena_array(arena, workspace->weights, sizeof(real));
}

static void batched(const struct matmul_weights *w, struct matmul_batch batch,
                    const real *x, real *y, enum matmul_output output)
{
    CBLAS_TRANSPOSE op = w->transposed ? CblasNoTrans : CblasTrans;
    int ldw = w->transposed ? w->n : w->k;
    real beta = output == MATMUL_ACCUMULATE ? 1 : 0;
    size_t rows = (size_t)batch.rows;
    for (int s = 0; s < batch.microbatches; s++) {
        blas.gemm(CblasRowMajor, CblasNoTrans, op, batch.rows, w->n, w->k, 1, x, w->k,
                  w->w, ldw, beta, y, w->n);
        x += rows * (size_t)w->k;
        y += rows * (size_t)w->n;
    }
}

/* dW := dy^T x of one input and microbatch, as one block. */
static void write_dw(const struct matmul_gradient *g, int microbatch,
                     const struct gradient_input *input)
{
    real *dw = g->workspace->gradient;
    size_t k = (size_t)input->k, row = (size_t)microbatch * (size_t)g->batch.rows;
    const struct gradient_block block = {.first = input->weight_offset,
                                         .ld = k,
                                         .rows = g->n,
                                         .width = input->k,
                                         .values = dw,
                                         .ld_values = k};
    blas.gemm(CblasRowMajor, CblasTrans, CblasNoTrans, g->n, input->k, g->batch.rows, 1,
              g->dy + row * (size_t)g->n, g->n, input->x + row * k, input->k, 0, dw,
              input->k);
    g->sink->write(g->sink->context, microbatch, &block);
}

static void gradient(const struct matmul_gradient *g)
{
    for (int s = 0; s < g->batch.microbatches; s++) {
        for (int i = 0; i < g->count; i++)
            write_dw(g, s, &g->inputs[i]);
        gradient_write_bias(g, s, 0, g->n, g->workspace->gradient);
    }
}

/* The kernel set that OpenBLAS chose for the processor ("Haswell", "SkylakeX"): results
 * of different sets may differ in the last bits. OPENBLAS_CORETYPE in the environment
 * forces one. */
static const char *numerics(void)
{
    return blas.core_name();
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
