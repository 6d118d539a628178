/* melody: see the header. */
#include "melody.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"

static enum status reserve(struct melody *melody, size_t count)
{
    double *onsets = array_reserve(melody->onsets, &melody->onset_capacity, count,
                                   sizeof *melody->onsets);
    if (!onsets)
        return STATUS_FAILED;
    melody->onsets = onsets;
    uint8_t *pitches = array_reserve(melody->pitches, &melody->pitch_capacity, count,
                                     sizeof *melody->pitches);
    if (!pitches)
        return STATUS_FAILED;
    melody->pitches = pitches;
    uint64_t *groups = array_reserve(melody->groups, &melody->group_capacity, count,
                                     sizeof *melody->groups);
    if (!groups)
        return STATUS_FAILED;
    melody->groups = groups;
    return STATUS_OK;
}

static void add_note(struct melody *melody, const struct note *note)
{
    size_t last = melody->count - 1;
    if (melody->count > 0 && note->start < melody->onsets[last] + NOTES_CHORD_SECONDS) {
        if (note->pitch > melody->pitches[last])
            melody->pitches[last] = note->pitch;
        return;
    }
    melody->onsets[melody->count] = note->start;
    melody->pitches[melody->count++] = note->pitch;
}

/* Turns the pitches, from the second on, into intervals (bytes, modulo 256), computes the
 * hashes, and restores the pitches. */
static void hash_groups(struct melody *melody)
{
    uint8_t *values = melody->pitches;
    size_t count = melody->count;
    melody->group_count = count >= MELODY_GROUP ? count - MELODY_GROUP + 1 : 0;
    for (size_t i = count; i-- > 1;)
        values[i] = (uint8_t)(values[i] - values[i - 1]);
    for (size_t i = 0; i < melody->group_count; i++)
        melody->groups[i] = hash64(values + i + 1, MELODY_GROUP - 1);
    for (size_t i = 1; i < count; i++)
        values[i] = (uint8_t)(values[i] + values[i - 1]);
}

enum status melody_extract(const struct notes *notes, struct melody *melody)
{
    melody->count = 0;
    if (reserve(melody, notes->count + 1) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < notes->count; i++)
        if (!notes->items[i].percussion)
            add_note(melody, &notes->items[i]);
    hash_groups(melody);
    return STATUS_OK;
}

void melody_free(struct melody *melody)
{
    free(melody->onsets);
    free(melody->pitches);
    free(melody->groups);
    *melody = (struct melody){0};
}
