/* track_data: see the header. */
#include "track_data.h"

enum { VLQ_MASK = 0xFFFFFFF }; /* the bits of a number that SMF 1.0 allows */

/* Some programs write full 32- or 64-bit integers. A negative number, from a time that
 * ran backwards, is read as 0: its low 28 bits could amount to years. */
enum event_result track_read_long_vlq(struct track *track, const uint8_t *end,
                                      uint32_t value, uint32_t *number)
{
    track->file->repairs |= MIDI_REPAIR_NUMBER;
    track->at = end;
    *number = value >> 24 == 0xFF ? 0 : value & VLQ_MASK;
    return EVENT_READ;
}

enum event_result track_read_block(struct track *track, const uint8_t **block,
                                   uint32_t *length)
{
    enum event_result result = track_read_vlq(track, length);
    if (result != EVENT_READ)
        return result;
    if (*length > (size_t)(track->end - track->at))
        return EVENT_TRUNCATED;
    *block = track->at;
    track->at += *length;
    return EVENT_READ;
}

enum event_result track_append(struct track *track, struct timed_events *list,
                               uint32_t value, uint32_t channel)
{
    uint32_t order = (uint32_t)list->count;
    struct timed_event *event = timed_events_add(list);
    if (!event) {
        reader_no_memory(track->reader);
        return READER_STOPPED;
    }
    *event = (struct timed_event){
        .tick = (uint32_t)track->tick,
        .order = order,
        .notes_before = (uint32_t)track->file->notes.count,
        .value = value,
        .port_channel = port_channel_of(track->port, channel),
    };
    return EVENT_READ;
}
