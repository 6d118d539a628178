/* piece_metrics: names, and the metrics of the melody. */
#include "piece_metrics_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *unit;
} metrics[METRICS] = {
    [METRIC_NOTES] = {"notes", ""},
    [METRIC_SECONDS] = {"seconds", ""},
    [METRIC_NOTES_PER_SECOND] = {"notes_per_second", ""},
    [METRIC_PITCHES] = {"pitches", ""},
    [METRIC_PITCH_RANGE] = {"pitch_range", "semitones"},
    [METRIC_PITCH_CLASS_ENTROPY] = {"pitch_class_entropy", "bits"},
    [METRIC_SCALE_CONSISTENCY] = {"scale_consistency", ""},
    [METRIC_POLYPHONY] = {"polyphony", "pitches"},
    [METRIC_POLYPHONY_RATE] = {"polyphony_rate", ""},
    [METRIC_EMPTY_BEAT_RATE] = {"empty_beat_rate", ""},
    [METRIC_GROOVE_CONSISTENCY] = {"groove_consistency", ""},
    [METRIC_LONGEST_SILENCE] = {"longest_silence", "seconds"},
    [METRIC_LONGEST_NOTE] = {"longest_note", "seconds"},
    [METRIC_REPEATED_NOTES] = {"repeated_notes", ""},
    [METRIC_REPEATED_GROUPS] = {"repeated_groups", ""},
    [METRIC_COPIED_GROUPS] = {"copied_groups", ""},
    [METRIC_TONIC_ENDING] = {"tonic_ending", ""},
};

const char *piece_metric_name(enum metric metric)
{
    return metrics[metric].name;
}

const char *piece_metric_unit(enum metric metric)
{
    return metrics[metric].unit;
}

static double repeated_notes(const struct melody *melody)
{
    size_t repeated = 0;
    for (size_t i = 1; i < melody->count; i++)
        repeated += melody->pitches[i] == melody->pitches[i - 1];
    return melody->count > 1 ? (double)repeated / (double)(melody->count - 1)
                             : (double)NAN;
}

static int compare_groups(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Every group is new once, so the others are repeated: count - distinct. */
static enum status repeated_groups(const struct melody *melody, double *share)
{
    size_t count = melody->group_count, distinct = 1;
    *share = (double)NAN;
    if (count == 0)
        return STATUS_OK;
    uint64_t *sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return status_fail(STATUS_FAILED, "no memory for %zu groups of notes", count);
    memcpy(sorted, melody->groups, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_groups);
    for (size_t i = 1; i < count; i++)
        distinct += sorted[i] != sorted[i - 1];
    free(sorted);
    *share = (double)(count - distinct) / (double)count;
    return STATUS_OK;
}

enum status piece_metrics_compute(const struct notes *notes, const struct melody *melody,
                                  const struct corpus *corpus, uint64_t owner,
                                  double values[METRICS])
{
    piece_metrics_pitch(notes, melody, values);
    values[METRIC_REPEATED_NOTES] = repeated_notes(melody);
    values[METRIC_COPIED_GROUPS] = (double)NAN;
    if (corpus && melody->group_count > 0)
        values[METRIC_COPIED_GROUPS] =
            (double)corpus_count_copied(corpus, melody, owner) /
            (double)melody->group_count;
    enum status status = repeated_groups(melody, &values[METRIC_REPEATED_GROUPS]);
    return status == STATUS_OK ? piece_metrics_time(notes, values) : status;
}
