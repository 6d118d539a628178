/* piece_metrics: time. See piece_metrics.h for the formulas. */
#include "piece_metrics_internal.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { PITCHES = 128, POSITIONS_PER_BEAT = 16, POSITIONS = 64 /* of a measure */ };

/* ---- seconds ---- */

static void seconds(const struct notes *notes, double values[METRICS])
{
    double end = 0, silence = 0, longest = (double)NAN;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (i > 0 && note->start - end > silence)
            silence = note->start - end;
        if (note->start + note->duration > end)
            end = note->start + note->duration;
        if (!note->percussion && !(note->duration <= longest))
            longest = note->duration;
    }
    values[METRIC_NOTES] = (double)notes->count;
    values[METRIC_SECONDS] = end;
    values[METRIC_NOTES_PER_SECOND] = end > 0 ? (double)notes->count / end : (double)NAN;
    values[METRIC_LONGEST_SILENCE] = notes->count ? silence : (double)NAN;
    values[METRIC_LONGEST_NOTE] = longest;
}

/* ---- ticks ---- */

static uint64_t end_tick(const struct note *note)
{
    return (uint64_t)note->start_tick + note->duration_ticks;
}

static uint64_t length_in_ticks(const struct notes *notes)
{
    uint64_t length = 0;
    for (size_t i = 0; i < notes->count; i++)
        if (end_tick(&notes->items[i]) > length)
            length = end_tick(&notes->items[i]);
    return length;
}

/* A pitch begins or ends. */
struct edge {
    uint64_t tick;
    uint8_t pitch;
    int8_t change; /* 1, -1 */
};

static int compare_edges(const void *a, const void *b)
{
    const struct edge *left = a, *right = b;
    return (left->tick > right->tick) - (left->tick < right->tick);
}

/* The edges of the melodic notes by tick; *count is their number. NULL if out of memory.
 */
static struct edge *sorted_edges(const struct notes *notes, size_t *count)
{
    struct edge *edges = calloc(2 * notes->count + 1, sizeof *edges);
    *count = 0;
    for (size_t i = 0; edges && i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        uint8_t pitch = note->pitch % PITCHES;
        if (note->percussion)
            continue;
        edges[(*count)++] = (struct edge){note->start_tick, pitch, 1};
        edges[(*count)++] = (struct edge){end_tick(note), pitch, -1};
    }
    if (edges)
        qsort(edges, *count, sizeof *edges, compare_edges);
    return edges;
}

static enum status polyphony(const struct notes *notes, double values[METRICS])
{
    size_t count, sounding_keys = 0;
    struct edge *edges = sorted_edges(notes, &count);
    if (!edges)
        return status_fail(STATUS_FAILED, "no memory for %zu notes", notes->count);
    int64_t notes_of[PITCHES] = {0};
    double pitch_ticks = 0, sounding = 0, multiple = 0;
    for (size_t i = 0; i < count; i++) {
        double ticks = i ? (double)(edges[i].tick - edges[i - 1].tick) : 0;
        pitch_ticks += ticks * (double)sounding_keys;
        sounding += sounding_keys > 0 ? ticks : 0;
        multiple += sounding_keys > 1 ? ticks : 0;
        sounding_keys -= notes_of[edges[i].pitch] > 0;
        notes_of[edges[i].pitch] += edges[i].change;
        sounding_keys += notes_of[edges[i].pitch] > 0;
    }
    free(edges);
    double length = (double)length_in_ticks(notes);
    values[METRIC_POLYPHONY] = sounding > 0 ? pitch_ticks / sounding : (double)NAN;
    values[METRIC_POLYPHONY_RATE] = sounding > 0 ? multiple / length : (double)NAN;
    return STATUS_OK;
}

/* ---- beats ---- */

static uint64_t beat_at(const struct notes *notes, uint64_t tick)
{
    return (uint64_t)((double)tick / notes->ticks_per_beat);
}

static double empty_beat_rate(const struct notes *notes)
{
    uint64_t filled = 0, next = 0; /* beats before `next` are counted */
    for (size_t i = 0; i < notes->count; i++) {
        uint64_t first = beat_at(notes, notes->items[i].start_tick);
        uint64_t end = beat_at(notes, end_tick(&notes->items[i])) + 1;
        first = first > next ? first : next;
        if (end <= first)
            continue;
        filled += end - first;
        next = end;
    }
    return 1 - (double)filled / (double)(beat_at(notes, length_in_ticks(notes)) + 1);
}

/* Two neighbouring measures: bit p is an onset at position p. */
struct groove {
    uint64_t measure; /* index of `current` */
    uint64_t previous, current;
    uint64_t distance; /* summed over all pairs up to the current measure's start */
};

/* Completes measures until `measure` is current. Only the first of several empty ones has
 * a distance. */
static void groove_advance(struct groove *groove, uint64_t measure)
{
    while (groove->measure < measure) {
        if (groove->measure > 0)
            groove->distance +=
                (uint64_t)__builtin_popcountll(groove->previous ^ groove->current);
        groove->previous = groove->current;
        groove->current = 0;
        groove->measure = groove->previous ? groove->measure + 1 : measure;
    }
}

static uint64_t position_at(const struct notes *notes, uint64_t tick)
{
    return (uint64_t)llround((double)tick * POSITIONS_PER_BEAT / notes->ticks_per_beat);
}

static double groove_consistency(const struct notes *notes)
{
    struct groove groove = {0};
    for (size_t i = 0; i < notes->count; i++) {
        uint64_t position = position_at(notes, notes->items[i].start_tick);
        groove_advance(&groove, position / POSITIONS);
        groove.current |= (uint64_t)1 << position % POSITIONS;
    }
    uint64_t pairs = position_at(notes, length_in_ticks(notes)) / POSITIONS;
    groove_advance(&groove, pairs + 1); /* the last measure may have no onset */
    return pairs ? 1 - (double)groove.distance / ((double)pairs * POSITIONS)
                 : (double)NAN;
}

enum status piece_metrics_time(const struct notes *notes, double values[METRICS])
{
    bool has_beats = notes->ticks_per_beat > 0 && length_in_ticks(notes) > 0;
    seconds(notes, values);
    values[METRIC_EMPTY_BEAT_RATE] = has_beats ? empty_beat_rate(notes) : (double)NAN;
    values[METRIC_GROOVE_CONSISTENCY] =
        has_beats ? groove_consistency(notes) : (double)NAN;
    return polyphony(notes, values);
}
