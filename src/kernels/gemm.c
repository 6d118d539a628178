/* gemm: row-major products through OpenBLAS.
 *
 * OpenBLAS starts a thread for each core as soon as it is loaded. A program linked with
 * it can't even print its version where no more processes may be started, and the ranks
 * of a node with 128 cores would start 16 000 idle threads. So it is loaded at run time,
 * by the runs that compute with it.
 */
#include "gemm.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef TUTTI_DOUBLE
#define GEMM_NAME "cblas_dgemm"
typedef __typeof__(cblas_dgemm) gemm_function;
#else
#define GEMM_NAME "cblas_sgemm"
typedef __typeof__(cblas_sgemm) gemm_function;
#endif

static struct {
    void *library; /* NULL until gemm_load has succeeded */
    gemm_function *multiply;
    char *(*core_name)(void);
    void (*set_threads)(int threads);
} blas;

/* The library that was found when tutti was built, else one of its name wherever the
 * loader looks. */
static void *open_library(void)
{
    void *library = dlopen(TUTTI_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    if (library)
        return library;
    const char *slash = strrchr(TUTTI_OPENBLAS, '/');
    return slash ? dlopen(slash + 1, RTLD_NOW | RTLD_LOCAL) : NULL;
}

/* The symbol's address into *function, a pointer to a function. */
static int find(const char *name, void *function)
{
    void *address = dlsym(blas.library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

enum status gemm_load(int threads)
{
    char text[16];
    snprintf(text, sizeof text, "%d", threads);
    if (!blas.library) {
        setenv("OPENBLAS_NUM_THREADS", text, 1); /* read as it is loaded */
        blas.library = open_library();
        if (!blas.library)
            return status_fail(STATUS_FAILED,
                               "train.products = openblas: OpenBLAS can't be loaded: %s",
                               dlerror());
        if (!find(GEMM_NAME, &blas.multiply) ||
            !find("openblas_get_corename", &blas.core_name) ||
            !find("openblas_set_num_threads", &blas.set_threads)) {
            blas.library = NULL;
            return status_fail(STATUS_FAILED,
                               "train.products = openblas: %s is no OpenBLAS",
                               TUTTI_OPENBLAS);
        }
    }
    blas.set_threads(threads);
    return STATUS_OK;
}

void gemm(enum gemm_transpose ta, enum gemm_transpose tb, int m, int n, int k,
          const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc)
{
    CBLAS_TRANSPOSE first = ta == GEMM_TRANSPOSED ? CblasTrans : CblasNoTrans;
    CBLAS_TRANSPOSE second = tb == GEMM_TRANSPOSED ? CblasTrans : CblasNoTrans;
    blas.multiply(CblasRowMajor, first, second, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

const char *gemm_core(void)
{
    return blas.core_name();
}
