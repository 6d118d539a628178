/* all_off: all sound off and all notes off, applied across tracks.
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
static const struct timed_event *first_event_after(const struct timed_event *events,
                                                   size_t count, uint32_t tick)
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

void all_off_drop_trailing(struct reader *reader, size_t first_note, size_t first_all_off)
{
    const struct timed_events *all_off = &reader->all_off;
    size_t notes = reader->file->notes.count, count = all_off->count;
    while (notes > first_note && count > first_all_off &&
           all_off->items[count - 1].notes_before == notes)
        count--;
    reader->all_off.count = count;
}

void all_off_apply(struct reader *reader)
{
    struct timed_events *all_off = &reader->all_off;
    struct notes *notes = &reader->file->notes;
    if (all_off->count == 0 || reader->file->tracks < 2)
        return;
    uint32_t begin[PORT_CHANNELS_MAX + 1], port_channels = reader->ports.count * CHANNELS;
    memset(begin, 0, (port_channels + 1) * sizeof *begin);
    timed_events_sort(all_off, timed_events_by_channel);
    for (size_t i = 0; i < all_off->count; i++)
        begin[all_off->items[i].port_channel + 1]++;
    for (uint32_t port_channel = 0; port_channel < port_channels; port_channel++)
        begin[port_channel + 1] += begin[port_channel];
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        uint32_t port_channel = port_channel_of(note->port, note->channel),
                 from = begin[port_channel];
        const struct timed_event *off = first_event_after(
            all_off->items + from, begin[port_channel + 1] - from, note->start_tick);
        if (off && off->tick - note->start_tick < note->duration_ticks)
            note->duration_ticks = off->tick - note->start_tick;
    }
}
