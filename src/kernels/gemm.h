/* gemm: matrix products over all time steps at once. The only unit that knows cblas.h.
 *
 * Called with the shapes of one microbatch only: BLAS does not promise that a row's bits
 * are independent of how many rows share the call, so the shape must never depend on
 * ranks.
 */
#ifndef TUTTI_KERNELS_GEMM_H
#define TUTTI_KERNELS_GEMM_H

#include "base/real.h"
#include "base/status.h"

/* Loads OpenBLAS, the first time, and sets the number of threads of one product; every
 * rank must use the same number. Nothing below may be called before it has succeeded.
 * Local. STATUS_FAILED with the loader's reason. */
enum status gemm_load(int threads);

enum gemm_transpose { GEMM_PLAIN, GEMM_TRANSPOSED };

/* C := op(A) op(B) + beta C, all row-major; op(A) is m x k, op(B) k x n, C m x n;
 * lda, ldb, ldc are the lengths of the stored rows. Sizes fit in int. */
void gemm(enum gemm_transpose ta, enum gemm_transpose tb, int m, int n, int k,
          const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc);

/* The kernel set that OpenBLAS chose for this processor ("Haswell", "SkylakeX"): results
 * of different sets may differ in the last bits. OPENBLAS_CORETYPE in the environment
 * forces one. */
const char *gemm_core(void);

#endif
