/* variants: the tables of kernels that the build holds. */
#ifndef TUTTI_VARIANTS_H
#define TUTTI_VARIANTS_H

#include "tutti/kernels.h"

extern const struct kernels kernels_portable;
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
extern const struct kernels kernels_avx2, kernels_avx512;
const struct kernels *kernels_amx(void); /* NULL: not on this processor */
#endif

#endif
