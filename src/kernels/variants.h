/* variants: the tables of kernels that the build holds. */
#ifndef TUTTI_KERNELS_VARIANTS_H
#define TUTTI_KERNELS_VARIANTS_H

#include "kernels.h"

extern const struct kernels kernels_portable;
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
extern const struct kernels kernels_avx2, kernels_avx512;
void amx_ready16(int yes);
void amx_tile16(const struct tile16 *tile);
void amx_round16(size_t n, const float *x, bfloat16 *y);
void amx_round_pairs16(size_t n, const float *even, const float *odd, struct pair16 *y);
#endif

#endif
