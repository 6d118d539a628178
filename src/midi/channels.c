/* channels: assigns channels to instruments. Each instrument occupies a channel from its
 * first onset to its last end. Taken in the order of their onsets, each gets the first
 * channel that is free, which needs the fewest channels possible (interval graph
 * colouring). */
#include "instruments.h"

#include <stdlib.h>

enum {
    PROGRAMS = 128,
    INSTRUMENTS = 2 * PROGRAMS, /* melody, then percussion */
    MELODY_CHANNELS = 15        /* per port */
};

static const double RELEASE_SECONDS = 1; /* in which the last note dies away */

struct instrument {
    double begin, end; /* seconds */
    int slot;          /* its channel, counted over all ports */
    bool percussion;
    bool plays;
};

static struct instrument *instrument_of(struct instrument *instruments,
                                        const struct note *note)
{
    return &instruments[(note->percussion ? PROGRAMS : 0) + note->program % PROGRAMS];
}

static void find_spans(const struct notes *notes, struct instrument *instruments)
{
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        struct instrument *instrument = instrument_of(instruments, note);
        double end = note->start + note->duration;
        if (!instrument->plays || note->start < instrument->begin)
            instrument->begin = note->start;
        if (!instrument->plays || end > instrument->end)
            instrument->end = end;
        instrument->percussion = note->percussion;
        instrument->plays = true;
    }
}

/* Instruments are in one array, so their addresses order those that begin together. */
static int compare_begins(const void *left, const void *right)
{
    const struct instrument *a = *(struct instrument *const *)left,
                            *b = *(struct instrument *const *)right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a > b) - (a < b);
}

/* Assigns slots to the melodic or the percussion instruments; a port has `channels`. */
static void assign_slots(struct instrument *instruments, bool percussion, int channels)
{
    struct instrument *order[PROGRAMS];
    double free_from[PROGRAMS]; /* of each slot */
    int count = 0, slots = 0;
    for (int i = 0; i < INSTRUMENTS; i++)
        if (instruments[i].plays && instruments[i].percussion == percussion)
            order[count++] = &instruments[i];
    qsort(order, (size_t)count, sizeof *order, compare_begins);
    for (int i = 0; i < count; i++) {
        int slot = count > channels ? 0 : slots;
        while (slot < slots && order[i]->begin < free_from[slot])
            slot++;
        slots = slot == slots ? slots + 1 : slots;
        free_from[slot] = order[i]->end + RELEASE_SECONDS;
        order[i]->slot = slot;
    }
}

void instruments_assign_channels(struct notes *notes)
{
    struct instrument instruments[INSTRUMENTS] = {{0}};
    find_spans(notes, instruments);
    assign_slots(instruments, false, MELODY_CHANNELS);
    assign_slots(instruments, true, 1);
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        int slot = instrument_of(instruments, note)->slot;
        int channel = slot % MELODY_CHANNELS;
        if (note->percussion) {
            note->port = (uint8_t)slot;
            note->channel = PERCUSSION_CHANNEL;
        } else {
            note->port = (uint8_t)(slot / MELODY_CHANNELS);
            note->channel = (uint8_t)(channel + (channel >= PERCUSSION_CHANNEL));
        }
    }
    notes_sort(notes);
}
