/* silence: see the header. */
#include "silence.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double KEY_SECONDS_MAX = 60; /* unless max_silence is longer */
static const double ROUNDING = 1e-3;      /* seconds; far above any rounding error */

/* The onset of the last note before notes[end] that the encoding keeps; `first` if there
 * is none from notes[*first_index] on. */
static double last_onset(const struct notes *notes, const struct encoding *encoding,
                         size_t *first_index, size_t end, double first)
{
    for (size_t i = end; i-- > *first_index;)
        if (encoding->encodes_note(encoding, &notes->items[i])) {
            *first_index = i;
            return notes->items[i].start;
        }
    return first;
}

/* A silence begins at the last onset or later, and so does the last key release. Half of
 * max_silence leaves a margin for rounding, which is below a millisecond. */
bool silence_is_possible(const struct midi_file *midi, const struct encoding *encoding,
                         double max_silence)
{
    const struct notes *notes = &midi->notes;
    const double limit = max_silence / 2;
    double onset = 0, end = notes_duration(notes);
    size_t index = 0; /* of the note of `onset` */
    if (limit < ROUNDING)
        return true;
    for (size_t i = 0; i < notes->count; i++) {
        if (notes->items[i].start - onset <= limit)
            continue;
        onset = last_onset(notes, encoding, &index, i, onset);
        if (notes->items[i].start - onset > limit)
            return true;
    }
    if (midi->pedal_count > 0) {
        double pedal =
            midi_time_at(midi, midi->pedals[midi->pedal_count - 1].tick).seconds;
        end = pedal > end ? pedal : end;
    }
    onset = last_onset(notes, encoding, &index, notes->count, onset);
    return end - onset > limit;
}

double *silence_last_releases(const struct notes *notes, const struct encoding *encoding,
                              double max_silence)
{
    double *last_release = malloc((notes->count + 1) * sizeof *last_release);
    double last = 0,
           longest = max_silence > KEY_SECONDS_MAX ? max_silence : KEY_SECONDS_MAX;
    for (size_t i = 0; last_release && i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        double held = note->duration < longest ? note->duration : longest;
        if (note->start + held > last && encoding->encodes_note(encoding, note))
            last = note->start + held;
        last_release[i] = last;
    }
    return last_release;
}

/* The end of the sound so far: `end`, or the last key release if that is too far back. */
static double sound_end(double end, double release, double max_silence)
{
    return end - release > max_silence ? release : end;
}

static void select_part(struct silence_part *best, const struct silence_part *part)
{
    best->first = part->first;
    best->count = part->count;
    best->sounding = part->sounding;
}

struct silence_part silence_find(const struct notes *notes,
                                 const struct encoding *encoding,
                                 const double *last_release, double max_silence)
{
    struct silence_part best = {0}, part = {0};
    double end = 0, release = 0; /* of the preceding notes */
    bool counted = false;        /* the current silence is counted in best.cuts */
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        bool sounds = encoding->encodes_note(encoding, note);
        double silence_seconds = note->start - sound_end(end, release, max_silence);
        if (silence_seconds > max_silence) {
            best.cuts += !counted;
            best.longest =
                silence_seconds > best.longest ? silence_seconds : best.longest;
            counted = !sounds;
            if (counted)
                continue;
            part = (struct silence_part){.first = i};
            end = 0;
        }
        part.count = i - part.first + 1;
        part.sounding += sounds;
        if (part.sounding > best.sounding || part.first == best.first)
            select_part(&best, &part);
        if (sounds && note->start + note->duration > end)
            end = note->start + note->duration;
        release = last_release[i];
    }
    return best;
}

static void add_reason(struct midi_file *midi, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_reason(struct midi_file *midi, const char *format, ...)
{
    size_t used = strlen(midi->reason);
    used += (size_t)snprintf(midi->reason + used, sizeof midi->reason - used, "%s",
                             used ? ", " : "");
    va_list arguments;
    va_start(arguments, format);
    if (used < sizeof midi->reason)
        vsnprintf(midi->reason + used, sizeof midi->reason - used, format, arguments);
    va_end(arguments);
    midi->outcome = MIDI_REPAIRED;
}

static int decimals(double seconds)
{
    return seconds < 10 ? 1 : 0;
}

/* Ends the notes that sound too long after `release`, the last key release of the piece.
 * Returns the longest of these times in seconds, 0 if there is none. */
static double end_held_notes(struct midi_file *midi, double release, double max_silence)
{
    struct notes *notes = &midi->notes;
    uint32_t tick = midi_tick_at(midi, release);
    double longest = 0;
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        double from = note->start > release
                          ? note->start
                          : release; /* later if the encoding drops the note */
        double held = note->start + note->duration - from;
        if (held <= max_silence)
            continue;
        longest = held > longest ? held : longest;
        midi_set_note_end(midi, note, tick);
    }
    if (longest > 0)
        notes_sort(notes); /* notes with equal start are sorted by length */
    return longest;
}

static void trim_to_part(struct midi_file *midi, const struct silence_part *part)
{
    struct notes *notes = &midi->notes;
    size_t dropped = notes->count - part->count;
    double longest = part->longest;
    if (dropped == 0)
        add_reason(midi, "silence of %.*f s before the first note", decimals(longest),
                   longest);
    else if (part->cuts == 1)
        add_reason(midi, "silence of %.*f s: %zu of %zu notes left out",
                   decimals(longest), longest, dropped, notes->count);
    else
        add_reason(midi, "%zu silences of up to %.*f s: %zu of %zu notes left out",
                   part->cuts, decimals(longest), longest, dropped, notes->count);
    memmove(notes->items, notes->items + part->first, part->count * sizeof *notes->items);
    notes->count = part->count;
}

bool silence_cut(struct midi_file *midi, const struct encoding *encoding,
                 const double *last_release, double max_silence)
{
    struct notes *notes = &midi->notes;
    struct silence_part part = silence_find(notes, encoding, last_release, max_silence);
    if (part.sounding == 0)
        return false;
    if (part.cuts > 0)
        trim_to_part(midi, &part);
    double held =
        end_held_notes(midi, last_release[part.first + part.count - 1], max_silence);
    if (held > 0 && part.cuts == 0)
        add_reason(midi, "notes held for %.*f s after the last key", decimals(held),
                   held);
    if (notes->items[0].start > max_silence)
        midi_set_start(midi, notes->items[0].start_tick);
    return part.cuts > 0 || held > 0;
}
