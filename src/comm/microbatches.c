/* microbatches: which rank owns which microbatches. */
#include "microbatches.h"

struct microbatches microbatches_of_rank(int total, int rank, int ranks)
{
    int first = (int)((long long)total * rank / ranks);
    int end = (int)((long long)total * (rank + 1) / ranks);
    return (struct microbatches){total, first, end - first};
}
