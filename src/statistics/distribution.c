/* distribution: see the header. */
#include "distribution.h"

#include <math.h>
#include <stdlib.h>

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

/* The number of values of sorted[count] that are at most `value`, of which `from` are
 * known to be. */
static size_t count_to(const double *sorted, size_t count, size_t from, double value)
{
    while (from < count && sorted[from] <= value)
        from++;
    return from;
}

double distribution_wasserstein(const double *a, size_t a_count, const double *b,
                                size_t b_count)
{
    if (a_count == 0 || b_count == 0)
        return (double)NAN;
    size_t i = 0, j = 0;
    double distance = 0, value = fmin(a[0], b[0]);
    while (i < a_count || j < b_count) {
        i = count_to(a, a_count, i, value);
        j = count_to(b, b_count, j, value);
        double next = fmin(i < a_count ? a[i] : (double)INFINITY,
                           j < b_count ? b[j] : (double)INFINITY);
        if (isinf(next))
            break;
        distance += fabs((double)i / (double)a_count - (double)j / (double)b_count) *
                    (next - value);
        value = next;
    }
    return distance;
}

static void fill_bins(const double *values, size_t count, double low, double width,
                      double bins[OVERLAP_BINS])
{
    for (size_t i = 0; i < count; i++) {
        size_t bin = width > 0 ? (size_t)((values[i] - low) / width) : 0;
        bins[bin < OVERLAP_BINS ? bin : OVERLAP_BINS - 1]++;
    }
}

double distribution_overlap(const double *a, size_t a_count, const double *b,
                            size_t b_count)
{
    if (a_count == 0 || b_count == 0)
        return (double)NAN;
    double first[OVERLAP_BINS] = {0}, second[OVERLAP_BINS] = {0};
    double low = fmin(a[0], b[0]), high = fmax(a[a_count - 1], b[b_count - 1]);
    double width = (high - low) / OVERLAP_BINS;
    fill_bins(a, a_count, low, width, first);
    fill_bins(b, b_count, low, width, second);
    return histogram_overlap(first, second, OVERLAP_BINS);
}

static double sum(const double *values, size_t count)
{
    double total = 0;
    for (size_t i = 0; i < count; i++)
        total += values[i];
    return total;
}

double histogram_overlap(const double *a, const double *b, size_t bins)
{
    double a_total = sum(a, bins), b_total = sum(b, bins), overlap = 0;
    for (size_t i = 0; i < bins; i++)
        overlap += fmin(a[i] / a_total, b[i] / b_total);
    return a_total > 0 && b_total > 0 ? overlap : (double)NAN;
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* On a circle the differences of the cumulative shares are reduced by their median. */
double histogram_wasserstein(const double *a, const double *b, size_t bins, bool circular)
{
    double a_total = sum(a, bins), b_total = sum(b, bins), difference = 0, distance = 0;
    double differences[HISTOGRAM_BINS];
    if (!(a_total > 0 && b_total > 0))
        return (double)NAN;
    for (size_t i = 0; i < bins; i++)
        differences[i] = difference += a[i] / a_total - b[i] / b_total;
    qsort(differences, bins, sizeof *differences, compare_doubles);
    double shift = circular ? differences[bins / 2] : 0;
    for (size_t i = 0; i < bins; i++)
        distance += fabs(differences[i] - shift);
    return distance;
}
