/* variants: the tables of kernels that the build holds. */
#ifndef TUTTI_VARIANTS_H
#define TUTTI_VARIANTS_H

#include "tutti/kernels.h"

extern const struct kernels kernels_portable;
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
extern const struct kernels kernels_avx2, kernels_avx512;
void amx_ready16(int yes);
void amx_tile16(const struct tile16 *tile);
#endif

#endif
