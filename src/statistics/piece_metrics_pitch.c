/* piece_metrics: pitch. See piece_metrics.h for the formulas. */
#include "piece_metrics_internal.h"

#include <math.h>
#include <stdbool.h>

enum { PITCHES = 128, MODES = 2, NO_PITCH = 255 };

static const bool major_scale[PITCH_CLASSES] = {1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1};

/* Krumhansl and Kessler's profiles of C major and C minor. */
static const double key_profiles[MODES][PITCH_CLASSES] = {
    {6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88},
    {6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17}};

struct pitch_counts {
    size_t notes, pitches[PITCHES], classes[PITCH_CLASSES];
    double seconds[PITCH_CLASSES];
};

static void count_pitches(const struct notes *notes, struct pitch_counts *counts)
{
    *counts = (struct pitch_counts){0};
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (note->percussion)
            continue;
        counts->notes++;
        counts->pitches[note->pitch % PITCHES]++;
        counts->classes[note->pitch % PITCH_CLASSES]++;
        counts->seconds[note->pitch % PITCH_CLASSES] += note->duration;
    }
}

static void pitch_range(const struct pitch_counts *counts, double values[METRICS])
{
    int lowest = PITCHES, highest = 0, used = 0;
    for (int pitch = 0; pitch < PITCHES; pitch++) {
        if (!counts->pitches[pitch])
            continue;
        lowest = used++ == 0 ? pitch : lowest;
        highest = pitch;
    }
    values[METRIC_PITCHES] = used ? used : (double)NAN;
    values[METRIC_PITCH_RANGE] = used ? highest - lowest : (double)NAN;
}

static double class_entropy(const struct pitch_counts *counts)
{
    double entropy = 0;
    for (int i = 0; i < PITCH_CLASSES; i++) {
        double share = (double)counts->classes[i] / (double)counts->notes;
        if (share > 0)
            entropy -= share * log2(share);
    }
    return entropy;
}

static double scale_consistency(const struct pitch_counts *counts)
{
    size_t best = 0;
    for (int root = 0; root < PITCH_CLASSES; root++) {
        size_t inside = 0;
        for (int step = 0; step < PITCH_CLASSES; step++)
            if (major_scale[step])
                inside += counts->classes[(root + step) % PITCH_CLASSES];
        best = inside > best ? inside : best;
    }
    return (double)best / (double)counts->notes;
}

/* The correlation of x[(tonic + step) mod 12] and profile[step], times the deviation of x,
 * which is the same for every key. */
static double key_fit(const double *x, int tonic, const double *profile)
{
    double mean_x = 0, mean_profile = 0, product = 0, square = 0;
    for (int step = 0; step < PITCH_CLASSES; step++) {
        mean_x += x[step] / PITCH_CLASSES;
        mean_profile += profile[step] / PITCH_CLASSES;
    }
    for (int step = 0; step < PITCH_CLASSES; step++) {
        double deviation = profile[step] - mean_profile;
        product += (x[(tonic + step) % PITCH_CLASSES] - mean_x) * deviation;
        square += deviation * deviation;
    }
    return product / sqrt(square);
}

static int find_tonic(const struct pitch_counts *counts)
{
    int best = 0;
    double best_fit = -(double)INFINITY;
    for (int mode = 0; mode < MODES; mode++)
        for (int tonic = 0; tonic < PITCH_CLASSES; tonic++) {
            double fit = key_fit(counts->seconds, tonic, key_profiles[mode]);
            if (fit > best_fit) {
                best_fit = fit;
                best = tonic;
            }
        }
    return best;
}

/* The lowest pitch that sounds when the last note of the melody begins. */
static int final_bass(const struct notes *notes, const struct melody *melody)
{
    int lowest = NO_PITCH;
    double last = melody->onsets[melody->count - 1];
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        bool sounds = note->start >= last || note->start + note->duration > last;
        if (!note->percussion && sounds && note->pitch < lowest)
            lowest = note->pitch;
    }
    return lowest;
}

void piece_metrics_pitch(const struct notes *notes, const struct melody *melody,
                         double values[METRICS])
{
    struct pitch_counts counts;
    count_pitches(notes, &counts);
    pitch_range(&counts, values);
    bool any = counts.notes > 0;
    values[METRIC_PITCH_CLASS_ENTROPY] = any ? class_entropy(&counts) : (double)NAN;
    values[METRIC_SCALE_CONSISTENCY] = any ? scale_consistency(&counts) : (double)NAN;
    values[METRIC_TONIC_ENDING] = (double)NAN;
    if (any)
        values[METRIC_TONIC_ENDING] =
            final_bass(notes, melody) % PITCH_CLASSES == find_tonic(&counts);
}
