/* tiling: dividing matrices into blocks, and prefetching them. */
#ifndef TUTTI_KERNELS_TILING_H
#define TUTTI_KERNELS_TILING_H

#include "kernels.h"

enum { CACHE_LINE = 64 };

static inline int min(int a, int b)
{
    return a < b ? a : b;
}

/* The number of blocks of `block` elements that cover `total`; the last one may be
 * smaller. */
static inline int ceil_div(int total, int block)
{
    return (total + block - 1) / block;
}

/* Prefetches one row of a microtile of y for writing. */
static inline void prefetch_row(const real *y)
{
    for (int j = 0; j < NR; j += VECTOR)
        __builtin_prefetch(y + j, 1);
}

#endif
