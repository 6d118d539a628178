/* silence: see the header. */
#include "silence.h"

#include <stdio.h>
#include <string.h>

struct silence silence_find(const struct notes *notes, double most)
{
    struct silence found = {0};
    double end = 0; /* until then some note of this part or an earlier one sounds */
    for (size_t i = 0, part = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        double silent = note->start - end;
        if (i > 0 && silent > most) {
            found.cuts++;
            found.longest = silent > found.longest ? silent : found.longest;
            part = i;
        }
        if (i - part + 1 > found.count) {
            found.first = part;
            found.count = i - part + 1;
        }
        if (note->start + note->duration > end)
            end = note->start + note->duration;
    }
    return found;
}

static void append_reason(struct midi_file *midi, const struct silence *silence)
{
    char many[48] = "silence of";
    size_t used = strlen(midi->reason), notes = midi->notes.count;
    if (silence->cuts > 1)
        snprintf(many, sizeof many, "%zu silences of up to", silence->cuts);
    snprintf(midi->reason + used, sizeof midi->reason - used,
             "%s%s %.*f s: %zu of %zu notes left out", used ? ", " : "", many,
             silence->longest < 10 ? 1 : 0, silence->longest, notes - silence->count,
             notes);
}

bool silence_cut(struct midi_file *midi, double most)
{
    struct notes *notes = &midi->notes;
    struct silence silence = silence_find(notes, most);
    if (silence.cuts == 0)
        return false;
    append_reason(midi, &silence);
    midi->outcome = MIDI_REPAIRED;
    memmove(notes->items, notes->items + silence.first,
            silence.count * sizeof *notes->items);
    notes->count = silence.count;
    if (silence.first > 0)
        midi_start_at(midi, notes->items[0].start_tick);
    return true;
}
