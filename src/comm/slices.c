/* slices: the arithmetic of who owns what. */
#include "slices.h"

struct slices slices_of_rank(int total, int rank, int ranks)
{
    int first = (int)((long long)total * rank / ranks);
    int end = (int)((long long)total * (rank + 1) / ranks);
    return (struct slices){total, first, end - first};
}
