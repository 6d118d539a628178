/* distribution: summaries of sets of numbers, and distances between them. */
#ifndef TUTTI_STATISTICS_DISTRIBUTION_H
#define TUTTI_STATISTICS_DISTRIBUTION_H

#include <stddef.h>

/* Mean and quartiles. */
struct distribution {
    size_t count; /* of the numbers; if 0, all others are NaN */
    double mean, quartiles[3];
};

/* `sorted` ascending, without NaN. Quartiles are interpolated linearly between the
 * neighbouring values (type 7 of Hyndman and Fan, "Sample quantiles in statistical
 * packages", 1996, as numpy.percentile). */
struct distribution distribution_summary(const double *sorted, size_t count);

#endif
