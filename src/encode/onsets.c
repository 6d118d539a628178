/* onsets: notes on an integer grid, and back. Notes are sorted by tick; their seconds, if
 * read from a file, need not be in that order, so the order is checked, and the onsets
 * are sorted only if necessary. */
#include "onsets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status onsets_allocate(struct onsets *onsets, size_t capacity)
{
    onsets->items = malloc((capacity ? capacity : 1) * sizeof *onsets->items);
    onsets->count = 0;
    if (!onsets->items)
        return status_fail(STATUS_FAILED, "no memory to encode %zu notes", capacity);
    return STATUS_OK;
}

void onsets_free(struct onsets *onsets)
{
    free(onsets->items);
    *onsets = (struct onsets){0};
}

/* Unstable: encodings must not depend on the order of onsets within a step. */
static int compare_starts(const void *left, const void *right)
{
    const struct onset *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

void onsets_normalise(struct onsets *onsets)
{
    bool sorted = true;
    for (size_t i = 1; i < onsets->count; i++)
        sorted &= onsets->items[i - 1].start <= onsets->items[i].start;
    if (!sorted)
        qsort(onsets->items, onsets->count, sizeof *onsets->items, compare_starts);
    uint32_t first = onsets->count ? onsets->items[0].start : 0;
    onsets->offset = first;
    for (size_t i = 0; i < onsets->count; i++) {
        onsets->items[i].start -= first;
        onsets->items[i].end -= first;
    }
}

bool onsets_are_multi_instrument(const struct onsets *onsets)
{
    uint16_t differ = 0;
    for (size_t i = 1; i < onsets->count; i++)
        differ |= onsets->items[i].instrument ^ onsets->items[0].instrument;
    return differ != 0;
}

struct next_onsets {        /* of one pitch of an instrument, scanned backwards */
    uint32_t first, second; /* the next onset, and the one after it */
};

/* [instruments][PITCHES], without onsets. NULL if out of memory. */
static struct next_onsets *allocate_table(const struct onsets *onsets)
{
    size_t instruments = 0;
    for (size_t i = 0; i < onsets->count; i++)
        if (onsets->items[i].instrument >= instruments)
            instruments = onsets->items[i].instrument + (size_t)1;
    size_t size = (instruments ? instruments : 1) * PITCHES * sizeof(struct next_onsets);
    struct next_onsets *table = malloc(size);
    if (table)
        memset(table, 0xFF, size); /* no onset: UINT32_MAX */
    return table;
}

enum status onsets_truncate(struct onsets *onsets)
{
    struct next_onsets *table = allocate_table(onsets);
    if (!table)
        return status_fail(STATUS_FAILED, "no memory to encode %zu notes", onsets->count);
    for (size_t i = onsets->count; i-- > 0;) {
        struct onset *onset = &onsets->items[i];
        struct next_onsets *next =
            &table[onset->instrument * (size_t)PITCHES + onset->pitch];
        if (next->first != onset->start)
            *next = (struct next_onsets){onset->start, next->first};
        if (onset->end > next->second)
            onset->end = next->second;
    }
    free(table);
    return STATUS_OK;
}

bool grammar_has_lasted(const struct encoding *encoding, const struct grammar *grammar,
                        uint64_t started, double seconds)
{
    const double epsilon = 1e-9; /* sums of steps are not exact in seconds */
    double steps = (double)(grammar->time - started);
    return steps * encoding->seconds_per_grid_step >= seconds - epsilon;
}

enum status encoding_refuse_instruments(const struct encoding *encoding,
                                        const struct options *options)
{
    if (options->data.programs == PROGRAMS_KEEP)
        return status_fail(STATUS_MISUSE,
                           "data.programs = keep: the %s encoding has one instrument "
                           "(expected merge)",
                           encoding->name);
    if (options->data.drums == DRUMS_KEEP)
        return status_fail(STATUS_MISUSE,
                           "data.drums = keep: the %s encoding has no percussion "
                           "(expected drop)",
                           encoding->name);
    return STATUS_OK;
}

enum status encoding_fail_too_long(const struct encoding *encoding,
                                   const struct notes *notes)
{
    char grid[64] = "";
    if (encoding->grid.ticks)
        snprintf(grid, sizeof grid, " on a grid of %d ticks", encoding->grid.ticks);
    else if (encoding->grid.denominator)
        snprintf(grid, sizeof grid, " on a grid of %d/%d beat", encoding->grid.numerator,
                 encoding->grid.denominator);
    return status_fail(
        STATUS_FAILED,
        "too long for the %s encoding%s: %.0f seconds and %zu notes would take "
        "more than %d tokens",
        encoding->name, grid, notes_duration(notes), notes->count, ENCODING_TOKENS_MAX);
}

/* Saturates after 51 days. */
static uint32_t tick_at(double seconds)
{
    double tick = floor(seconds * 2 * ENCODING_TICKS_PER_BEAT + 0.5);
    return tick < (double)UINT32_MAX ? (uint32_t)tick : UINT32_MAX;
}

enum status decoded_append(struct notes *out, double start, double end, int pitch,
                           int velocity)
{
    if (end <= start)
        return STATUS_OK;
    struct note note = {.start = start,
                        .duration = end - start,
                        .start_tick = tick_at(start),
                        .duration_ticks = tick_at(end) - tick_at(start),
                        .pitch = (uint8_t)pitch,
                        .velocity = (uint8_t)velocity};
    return notes_append(out, &note);
}

void decoded_finish(struct notes *out)
{
    out->ticks_per_beat = ENCODING_TICKS_PER_BEAT;
    out->ticks_per_second = 0;
    notes_sort(out);
}
