/* kernel_sets: the kernel tables of this build. */
#ifndef TUTTI_KERNELS_KERNEL_SETS_H
#define TUTTI_KERNELS_KERNEL_SETS_H

#include "kernels.h"

extern const struct kernels kernels_portable;
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
extern const struct kernels kernels_avx2, kernels_avx512;
/* Turns a copy of kernels_avx512 into the amx set: replaces the members for bfloat16. */
void kernels_add_amx(struct kernels *kernels);
#endif
#if defined(__AARCH64EL__) && !defined(TUTTI_DOUBLE)
extern const struct kernels kernels_neon;
#endif

#endif
