/* variants: the tables of kernels that the build holds. */
#ifndef TUTTI_KERNELS_VARIANTS_H
#define TUTTI_KERNELS_VARIANTS_H

#include "kernels.h"

extern const struct kernels kernels_portable;
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
extern const struct kernels kernels_avx2, kernels_avx512;
void amx_begin(void);
void amx_end(void);
void amx_microkernel_bf16(const struct microtile_bf16 *tile);
void amx_round_bf16(size_t n, const float *x, bfloat16 *y);
void amx_round_bf16_pairs(size_t n, const float *even, const float *odd,
                          struct bf16_pair *y);
#endif

#endif
