/* distribution: see the header. */
#include "distribution.h"

#include <math.h>

static double quantile(const double *sorted, size_t count, double share)
{
    double position = share * (double)(count - 1);
    size_t below = (size_t)position;
    double fraction = position - (double)below;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + fraction * (sorted[below + 1] - sorted[below]);
}

struct distribution distribution_summary(const double *sorted, size_t count)
{
    struct distribution summary = {.count = count, .mean = 0};
    for (size_t i = 0; i < count; i++)
        summary.mean += sorted[i];
    summary.mean = count ? summary.mean / (double)count : (double)NAN;
    for (int i = 0; i < 3; i++)
        summary.quartiles[i] =
            count ? quantile(sorted, count, 0.25 * (i + 1)) : (double)NAN;
    return summary;
}
