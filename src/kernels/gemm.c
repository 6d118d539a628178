/* gemm: row-major products through OpenBLAS. */
#include "tutti/gemm.h"

#include <cblas.h>

/* exported by OpenBLAS; its cblas.h declares them in some versions only */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
char *openblas_get_corename(void);
void openblas_set_num_threads(int threads);
#pragma GCC diagnostic pop

void gemm(enum gemm_transpose ta, enum gemm_transpose tb, int m, int n, int k,
          const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc)
{
    CBLAS_TRANSPOSE first = ta == GEMM_TRANSPOSED ? CblasTrans : CblasNoTrans;
    CBLAS_TRANSPOSE second = tb == GEMM_TRANSPOSED ? CblasTrans : CblasNoTrans;
#ifdef TUTTI_DOUBLE
    cblas_dgemm(CblasRowMajor, first, second, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
#else
    cblas_sgemm(CblasRowMajor, first, second, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
#endif
}

const char *gemm_core(void)
{
    return openblas_get_corename();
}

void gemm_set_threads(int threads)
{
    openblas_set_num_threads(threads);
}
