/* note_filter: see the header. */
#include "note_filter.h"

#include <stdbool.h>

size_t note_filter_programs(struct notes *notes, const struct program_set *set)
{
    size_t kept = 0, count = notes->count;
    for (size_t i = 0; i < count; i++) {
        const struct note *note = &notes->items[i];
        if (note->percussion ? set->drums : set->programs[note->program % PROGRAMS])
            notes->items[kept++] = *note;
    }
    notes->count = kept;
    return count - kept;
}

static bool is_higher_or_longer(const struct note *note, const struct note *other)
{
    return note->pitch != other->pitch ? note->pitch > other->pitch
                                       : note->duration_ticks > other->duration_ticks;
}

/* The highest of the notes that begin together with the first one from notes[*next] on,
 * and of equal pitches the longest, without percussion; NULL if there is none. Advances
 * *next past them. */
static const struct note *highest_of_chord(const struct notes *notes, size_t *next)
{
    const struct note *first = NULL, *highest = NULL;
    for (; *next < notes->count; ++*next) {
        const struct note *note = &notes->items[*next];
        if (note->percussion)
            continue;
        if (!first)
            first = highest = note;
        if (note->start >= first->start + NOTES_CHORD_SECONDS)
            break;
        if (is_higher_or_longer(note, highest))
            highest = note;
    }
    return highest;
}

static bool is_held(const struct note *note, const struct note *at)
{
    return (uint64_t)note->start_tick + note->duration_ticks > at->start_tick &&
           at->start - note->start < MELODY_HELD_SECONDS;
}

size_t note_filter_melody(struct notes *notes)
{
    size_t kept = 0, count = notes->count;
    for (size_t next = 0; next < count;) {
        const struct note *note = highest_of_chord(notes, &next);
        const struct note *last = kept ? &notes->items[kept - 1] : NULL;
        if (note && !(last && note->pitch < last->pitch && is_held(last, note)))
            notes->items[kept++] = *note;
    }
    notes->count = kept;
    return count - kept;
}

void note_filter_cut_overlaps(struct midi_file *midi)
{
    struct notes *notes = &midi->notes;
    for (size_t i = 0; i + 1 < notes->count; i++) {
        struct note *note = &notes->items[i];
        uint32_t next = notes->items[i + 1].start_tick;
        if ((uint64_t)note->start_tick + note->duration_ticks > next)
            midi_set_note_end(midi, note, next);
    }
}
