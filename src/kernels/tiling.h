/* pieces: how a whole is cut, and what is fetched of it ahead. */
#ifndef TUTTI_KERNELS_TILING_H
#define TUTTI_KERNELS_TILING_H

#include "kernels.h"

static inline int min(int a, int b)
{
    return a < b ? a : b;
}

/* So many pieces of `piece` elements hold `whole`, the last perhaps a smaller one. */
static inline int ceil_div(int whole, int piece)
{
    return (whole + piece - 1) / piece;
}

/* A row's results in a panel, which are written soon. */
static inline void fetch_results(const real *y)
{
    for (int j = 0; j < NR; j += VECTOR)
        __builtin_prefetch(y + j, 1);
}

#endif
