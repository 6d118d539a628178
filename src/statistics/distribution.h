/* distribution: summaries of sets of numbers, and distances between them. */
#ifndef TUTTI_STATISTICS_DISTRIBUTION_H
#define TUTTI_STATISTICS_DISTRIBUTION_H

#include <stdbool.h>
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

/* The Wasserstein-1 distance between two samples: the integral of the difference between
 * their cumulative distributions, in the unit of the values. Both ascending, without NaN.
 * NaN if one is empty. */
double distribution_wasserstein(const double *a, size_t a_count, const double *b,
                                size_t b_count);

enum { OVERLAP_BINS = 20 };

/* The overlapping area of two samples: the sum over OVERLAP_BINS equal bins, from the
 * smallest to the largest value of both, of the smaller share; 1 if they are alike, 0 if
 * they have no bin in common (as Yang and Lerch, "On the evaluation of generative models
 * in music", Neural Computing and Applications 32, 2020, but with bins). Small samples
 * overlap less. Arguments as above. */
double distribution_overlap(const double *a, size_t a_count, const double *b,
                            size_t b_count);

/* The same between two histograms of `bins` bins with counts >= 0. The distance is in
 * bins; if `circular`, the last bin is a neighbour of the first (Rabin, Delon, Gousseau,
 * "Transportation distances on the circle", 2011). At most HISTOGRAM_BINS bins. NaN if
 * one is empty. */
enum { HISTOGRAM_BINS = 64 };
double histogram_overlap(const double *a, const double *b, size_t bins);
double histogram_wasserstein(const double *a, const double *b, size_t bins,
                             bool circular);

#endif
