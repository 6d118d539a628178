/* piece_group: see the header. */
#include "piece_group.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"

enum { PITCH_CLASSES = 12, BOTH_HALVES = -1 };

static const struct {
    const char *name, *unit;
    size_t bins;
    double bins_per_unit;
    bool circular;
} histograms[HISTOGRAMS] = {
    [HISTOGRAM_ONSET_INTERVAL] = {"onset_interval", "octaves", HISTOGRAM_BINS,
                                  TIME_BINS_PER_OCTAVE, false},
    [HISTOGRAM_NOTE_DURATION] = {"note_duration", "octaves", HISTOGRAM_BINS,
                                 TIME_BINS_PER_OCTAVE, false},
    [HISTOGRAM_PITCH_CLASS] = {"pitch_class", "semitones", PITCH_CLASSES, 1, true},
};

const char *piece_histogram_name(enum piece_histogram histogram)
{
    return histograms[histogram].name;
}

const char *piece_histogram_unit(enum piece_histogram histogram)
{
    return histograms[histogram].unit;
}

static size_t time_bin(double seconds)
{
    double bin = floor(TIME_BINS_PER_OCTAVE * log2(seconds / TIME_BIN_FIRST));
    return bin > 0 ? (size_t)fmin(bin, HISTOGRAM_BINS - 1) : 0;
}

static void count_notes(double counts[HISTOGRAMS][HISTOGRAM_BINS],
                        const struct notes *notes, const struct melody *melody)
{
    for (size_t i = 1; i < melody->count; i++)
        counts[HISTOGRAM_ONSET_INTERVAL]
              [time_bin(melody->onsets[i] - melody->onsets[i - 1])]++;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (note->percussion)
            continue;
        counts[HISTOGRAM_NOTE_DURATION][time_bin(note->duration)]++;
        counts[HISTOGRAM_PITCH_CLASS][note->pitch % PITCH_CLASSES]++;
    }
}

enum status piece_group_add(struct piece_group *group, const struct notes *notes,
                            const struct corpus *corpus, uint64_t owner)
{
    struct piece_values *pieces =
        array_reserve(group->pieces, &group->capacity, group->count + 1, sizeof *pieces);
    if (!pieces)
        return STATUS_FAILED;
    group->pieces = pieces;
    struct piece_values *piece = &pieces[group->count];
    piece->half = (int)(notes_hash(notes).low % HALVES);
    enum status status = melody_extract(notes, &group->melody);
    if (status == STATUS_OK)
        status =
            piece_metrics_compute(notes, &group->melody, corpus, owner, piece->metrics);
    if (status != STATUS_OK)
        return status;
    count_notes(group->histograms[piece->half], notes, &group->melody);
    group->count++;
    return STATUS_OK;
}

void piece_group_free(struct piece_group *group)
{
    free(group->pieces);
    melody_free(&group->melody);
    *group = (struct piece_group){0};
}

/* ---- summary ---- */

/* Pieces of a group, and memory for one value of each. */
struct selection {
    const struct piece_group *group;
    int half; /* 0, 1 or BOTH_HALVES */
    double *sorted;
};

static bool selects(const struct selection *selection, int half)
{
    return selection->half == BOTH_HALVES || selection->half == half;
}

static int compare_numbers(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Writes the values of a metric, without NaN and ascending, to selection->sorted; returns
 * their number. */
static size_t sort_values(const struct selection *selection, enum metric metric)
{
    size_t count = 0;
    for (size_t i = 0; i < selection->group->count; i++) {
        const struct piece_values *piece = &selection->group->pieces[i];
        if (selects(selection, piece->half) && !isnan(piece->metrics[metric]))
            selection->sorted[count++] = piece->metrics[metric];
    }
    qsort(selection->sorted, count, sizeof *selection->sorted, compare_numbers);
    return count;
}

static struct distance metric_distance(const struct selection *a,
                                       const struct selection *b, enum metric metric)
{
    size_t a_count = sort_values(a, metric), b_count = sort_values(b, metric);
    return (struct distance){
        distribution_overlap(a->sorted, a_count, b->sorted, b_count),
        distribution_wasserstein(a->sorted, a_count, b->sorted, b_count)};
}

static void add_bins(const struct selection *selection, enum piece_histogram histogram,
                     double bins[HISTOGRAM_BINS])
{
    for (int half = 0; half < HALVES; half++)
        for (size_t i = 0; i < HISTOGRAM_BINS && selects(selection, half); i++)
            bins[i] += selection->group->histograms[half][histogram][i];
}

static struct distance histogram_distance(const struct selection *a,
                                          const struct selection *b,
                                          enum piece_histogram histogram)
{
    double first[HISTOGRAM_BINS] = {0}, second[HISTOGRAM_BINS] = {0};
    size_t bins = histograms[histogram].bins;
    add_bins(a, histogram, first);
    add_bins(b, histogram, second);
    double distance =
        histogram_wasserstein(first, second, bins, histograms[histogram].circular);
    return (struct distance){histogram_overlap(first, second, bins),
                             distance / histograms[histogram].bins_per_unit};
}

static void summarise(const struct selection *all, const struct selection *a,
                      const struct selection *b, struct group_summary *summary)
{
    *summary = (struct group_summary){.pieces = all->group->count};
    for (enum metric metric = 0; metric < METRICS; metric++) {
        size_t count = sort_values(all, metric);
        summary->metrics[metric] = distribution_summary(all->sorted, count);
        summary->metric_distances[metric] = metric_distance(a, b, metric);
    }
    for (enum piece_histogram i = 0; i < HISTOGRAMS; i++)
        summary->histogram_distances[i] = histogram_distance(a, b, i);
}

enum status piece_group_summarise(const struct piece_group *group,
                                  const struct piece_group *reference,
                                  struct group_summary *summary)
{
    const struct piece_group *other = reference ? reference : group;
    double *sorted = malloc((group->count + 1) * sizeof *sorted);
    double *other_sorted = malloc((other->count + 1) * sizeof *other_sorted);
    enum status status = STATUS_OK;
    if (sorted && other_sorted) {
        const struct selection all = {group, BOTH_HALVES, sorted};
        const struct selection a = {group, reference ? BOTH_HALVES : 0, sorted};
        const struct selection b = {other, reference ? BOTH_HALVES : 1, other_sorted};
        summarise(&all, &a, &b, summary);
    } else {
        status = status_fail(STATUS_FAILED, "no memory for %zu pieces",
                             group->count + other->count);
    }
    free(other_sorted);
    free(sorted);
    return status;
}
