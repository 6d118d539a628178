/* offs: all sound off and all notes off, applied across tracks.
 *
 * They act on a channel, whichever track they are in. Notes of the same track are ended
 * when the event is read (events.c); notes of other tracks are ended here, after all
 * tracks have been read and each note paired with its note-off within its track. Only
 * notes that began before the event's tick are ended: a track that begins by resetting
 * its channel doesn't silence notes that begin at the same tick in another track. A track
 * that ends by resetting its channel doesn't silence the others either: many programs end
 * every track this way, with both hands of a piano on the same channel.
 */
#include "reader.h"

#include <string.h>

/* The first of `count` events later than `tick`; NULL if there is none. */
static const struct timed *first_after(const struct timed *events, size_t count,
                                       uint32_t tick)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (events[middle].tick <= tick)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count ? &events[low] : NULL;
}

void offs_end_track(struct reader *reader, size_t first_note, size_t first_off)
{
    const struct timed_list *offs = &reader->offs;
    size_t notes = reader->file->notes.count, count = offs->count;
    while (notes > first_note && count > first_off &&
           offs->items[count - 1].notes == notes)
        count--;
    reader->offs.count = count;
}

void offs_apply(struct reader *reader)
{
    struct timed_list *offs = &reader->offs;
    struct notes *notes = &reader->file->notes;
    if (offs->count == 0 || reader->file->tracks < 2)
        return;
    uint32_t begin[LINES_MAX + 1], lines = reader->ports.count * CHANNELS;
    memset(begin, 0, (lines + 1) * sizeof *begin);
    timed_sort(offs, timed_by_line);
    for (size_t i = 0; i < offs->count; i++)
        begin[offs->items[i].line + 1]++;
    for (uint32_t line = 0; line < lines; line++)
        begin[line + 1] += begin[line];
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        uint32_t line = line_of(note->port, note->channel), from = begin[line];
        const struct timed *off =
            first_after(offs->items + from, begin[line + 1] - from, note->start_tick);
        if (off && off->tick - note->start_tick < note->duration_ticks)
            note->duration_ticks = off->tick - note->start_tick;
    }
}
