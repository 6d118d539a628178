/* avx512: the kernels compiled for this instruction set (see body.h, CMakeLists.txt). */
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
#define SIMD_AVX512
#define KERNELS_NAME kernels_avx512
#define KERNELS_LABEL "avx512"
#include "variants.h"
#include "body.h"
#else
typedef int kernels_avx512_not_built; /* C wants a declaration */
#endif
