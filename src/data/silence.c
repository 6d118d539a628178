/* silence: see the header. */
#include "silence.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tutti/array.h"

enum status key_releases_take(struct key_releases *keys, const struct notes *notes)
{
    struct key_release *items =
        array_reserve(keys->items, &keys->capacity, notes->count + 1, sizeof *items);
    if (!items)
        return STATUS_FAILED;
    keys->items = items;
    struct key_release last = {0};
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        uint32_t tick = note->start_tick + note->duration_ticks;
        if (tick > last.tick)
            last = (struct key_release){note->start + note->duration, tick};
        items[i] = last;
    }
    return STATUS_OK;
}

void key_releases_free(struct key_releases *keys)
{
    free(keys->items);
    *keys = (struct key_releases){0};
}

/* The end of all that sounds: `end`, or the last key's if the pedal holds too long. */
static double sound_end(double end, const struct key_release *key, double most)
{
    return end - key->seconds > most ? key->seconds : end;
}

struct silence silence_find(const struct notes *notes, const struct key_releases *keys,
                            double most)
{
    struct silence found = {0};
    double end = 0; /* of the notes before the next */
    for (size_t i = 0, part = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        double silent = i ? note->start - sound_end(end, &keys->items[i - 1], most) : 0;
        if (silent > most) {
            found.cuts++;
            found.longest = silent > found.longest ? silent : found.longest;
            part = i;
            end = 0;
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

/* Ends the notes that the pedal holds for too long after `key`, the last of the piece.
 * Returns for how long, 0 if it doesn't. */
static double release_pedal(struct notes *notes, const struct key_release *key,
                            double most)
{
    double held = 0;
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        double after = note->start + note->duration - key->seconds;
        if (after <= most)
            continue;
        held = after > held ? after : held;
        note->duration = key->seconds - note->start;
        note->duration_ticks = key->tick - note->start_tick;
    }
    if (held > 0)
        notes_sort(notes); /* notes of one start are sorted by length */
    return held;
}

static void keep_part(struct midi_file *midi, const struct silence *part)
{
    struct notes *notes = &midi->notes;
    size_t left_out = notes->count - part->count;
    if (part->cuts == 1)
        add_reason(midi, "silence of %.*f s: %zu of %zu notes left out",
                   decimals(part->longest), part->longest, left_out, notes->count);
    else
        add_reason(midi, "%zu silences of up to %.*f s: %zu of %zu notes left out",
                   part->cuts, decimals(part->longest), part->longest, left_out,
                   notes->count);
    memmove(notes->items, notes->items + part->first, part->count * sizeof *notes->items);
    notes->count = part->count;
}

bool silence_cut(struct midi_file *midi, const struct key_releases *keys, double most)
{
    struct notes *notes = &midi->notes;
    if (notes->count == 0)
        return false;
    struct silence part = silence_find(notes, keys, most);
    if (part.cuts > 0)
        keep_part(midi, &part);
    double held = release_pedal(notes, &keys->items[part.first + part.count - 1], most);
    if (held > 0 && part.cuts == 0)
        add_reason(midi, "pedal held for %.*f s after the last key", decimals(held),
                   held);
    if (part.first > 0)
        midi_start_at(midi, notes->items[0].start_tick);
    return part.cuts > 0 || held > 0;
}
