/* metre: tempo changes, time signatures and track names of notes. */
#include "notes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* ---- tempo ---- */

static enum status append_tempo(struct tempo_changes *tempos, uint32_t tick,
                                uint32_t tempo)
{
    struct tempo_change *items =
        array_reserve(tempos->items, &tempos->capacity, tempos->count + 1, sizeof *items);
    if (!items)
        return STATUS_FAILED;
    tempos->items = items;
    items[tempos->count++] = (struct tempo_change){tick, tempo};
    return STATUS_OK;
}

enum status notes_set_tempo(struct notes *notes, uint32_t tick, uint32_t tempo)
{
    struct tempo_changes *tempos = &notes->tempos;
    if (tempos->count && tempos->items[tempos->count - 1].tick == tick)
        tempos->count--;
    uint32_t in_force =
        tempos->count ? tempos->items[tempos->count - 1].tempo : DEFAULT_TEMPO;
    return tempo == in_force ? STATUS_OK : append_tempo(tempos, tick, tempo);
}

/* ---- time signatures ---- */

static enum status append_signature(struct time_signatures *signatures,
                                    struct time_signature signature)
{
    struct time_signature *items = array_reserve(signatures->items, &signatures->capacity,
                                                 signatures->count + 1, sizeof *items);
    if (!items)
        return STATUS_FAILED;
    signatures->items = items;
    items[signatures->count++] = signature;
    return STATUS_OK;
}

enum status notes_set_signature(struct notes *notes, uint32_t tick, uint8_t numerator,
                                uint8_t denominator_log2)
{
    struct time_signatures *signatures = &notes->signatures;
    struct time_signature in_force = {0, DEFAULT_NUMERATOR, DEFAULT_DENOMINATOR_LOG2};
    if (signatures->count && signatures->items[signatures->count - 1].tick == tick)
        signatures->count--;
    if (signatures->count)
        in_force = signatures->items[signatures->count - 1];
    if (numerator == in_force.numerator && denominator_log2 == in_force.denominator_log2)
        return STATUS_OK;
    return append_signature(signatures,
                            (struct time_signature){tick, numerator, denominator_log2});
}

/* ---- track names ---- */

enum status notes_set_name(struct notes *notes, uint16_t track, const void *text,
                           size_t length)
{
    struct track_names *names = &notes->names;
    length = length < TRACK_NAME_SIZE ? length : TRACK_NAME_SIZE - 1;
    if (length == 0 || *(const char *)text == '\0' ||
        (names->count && names->items[names->count - 1].track == track))
        return STATUS_OK;
    struct track_name *items =
        array_reserve(names->items, &names->capacity, names->count + 1, sizeof *items);
    if (!items)
        return STATUS_FAILED;
    names->items = items;
    struct track_name *name = &items[names->count++];
    *name = (struct track_name){.track = track};
    memcpy(name->text, text, strnlen(text, length));
    return STATUS_OK;
}

const char *notes_name(const struct notes *notes, uint16_t track)
{
    size_t low = 0, high = notes->names.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (notes->names.items[middle].track < track)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < notes->names.count && notes->names.items[low].track == track;
    return found ? notes->names.items[low].text : NULL;
}

/* ---- all of them ---- */

static uint32_t ticks_after(uint32_t tick, uint32_t origin)
{
    return tick > origin ? tick - origin : 0;
}

/* In place: as many items are stored as were read, or fewer, so nothing is allocated. */
void notes_shift_metre(struct notes *notes, uint32_t tick)
{
    const struct tempo_changes tempos = notes->tempos;
    const struct time_signatures signatures = notes->signatures;
    notes->tempos.count = notes->signatures.count = 0;
    for (size_t i = 0; i < tempos.count; i++) {
        struct tempo_change change = tempos.items[i];
        (void)notes_set_tempo(notes, ticks_after(change.tick, tick), change.tempo);
    }
    for (size_t i = 0; i < signatures.count; i++) {
        struct time_signature signature = signatures.items[i];
        (void)notes_set_signature(notes, ticks_after(signature.tick, tick),
                                  signature.numerator, signature.denominator_log2);
    }
}

void notes_clear_metre(struct notes *notes)
{
    notes->tempos.count = 0;
    notes->signatures.count = 0;
    notes->names.count = 0;
}

void notes_free_metre(struct notes *notes)
{
    free(notes->tempos.items);
    free(notes->signatures.items);
    free(notes->names.items);
}
