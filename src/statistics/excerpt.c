/* excerpt: see the header. */
#include "excerpt.h"

#include <math.h>

static void shorten(struct note *note, double seconds)
{
    double share = seconds / note->duration;
    note->duration_ticks = (uint32_t)llround(share * note->duration_ticks);
    note->duration = seconds;
}

void excerpt_from_first_note(struct notes *notes)
{
    if (notes->count == 0)
        return;
    struct note first = notes->items[0]; /* of the earliest tick */
    for (size_t i = 0; i < notes->count; i++) {
        notes->items[i].start -= first.start;
        notes->items[i].start_tick -= first.start_tick;
    }
}

void excerpt_cut(struct notes *notes, double seconds)
{
    size_t kept = 0;
    for (size_t i = 0; i < notes->count; i++) {
        struct note note = notes->items[i];
        if (note.start >= seconds)
            continue;
        if (note.start + note.duration > seconds)
            shorten(&note, seconds - note.start);
        notes->items[kept++] = note;
    }
    notes->count = kept;
    notes_sort(notes);
}
