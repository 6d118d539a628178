/* x86: shared by the x86 instruction sets. */
#ifndef TUTTI_KERNELS_X86_H
#define TUTTI_KERNELS_X86_H

#include <immintrin.h>

#include "kernels.h"

#if defined(__AVX512F__)
/* The mask of the first n of 16 lanes; n may exceed 16. */
static inline __mmask16 lane_mask(size_t n)
{
    return (__mmask16)(n < VECTOR ? (1u << n) - 1 : 0xffff);
}
#endif

/* ---- flushing subnormals to zero (simd16.h), with MXCSR ---- */

#define simd16_add_flushed simd16_add
#define simd16_fma_flushed simd16_fma

/* Returns the mode to restore. The barriers keep the compiler from moving code across the
 * change. */
static inline unsigned simd16_flush_begin(void)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | 0x40 /* _MM_DENORMALS_ZERO_ON */);
    __asm__ volatile("" ::: "memory");
    return mode;
}
static inline void simd16_flush_end(unsigned mode)
{
    __asm__ volatile("" ::: "memory");
    _mm_setcsr(mode);
}

#endif
