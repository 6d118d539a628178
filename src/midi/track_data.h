/* track_data: a track that is being read, and the data in its events. Shared by track.c,
 * events.c and meta.c. */
#ifndef TUTTI_MIDI_TRACK_DATA_H
#define TUTTI_MIDI_TRACK_DATA_H

#include "reader.h"

enum event_result {
    EVENT_READ,
    TRACK_ENDED,     /* End of Track */
    EVENT_TRUNCATED, /* the bytes end within the event */
    EVENT_TOO_LATE,  /* the event's tick exceeds 32 bits */
    EVENT_REPAIRED,  /* the event is valid with 127 for its second data byte */
    READER_STOPPED   /* reader->stop is set */
};

enum { /* status bytes */
       FIRST_SYSTEM = 0xF0,
       SYSEX = 0xF0,
       SYSEX_MORE = 0xF7,
       META = 0xFF
};

enum { SYSEX_BYTES_MAX = 64 }; /* bytes; no message of interest is longer */

struct track {
    struct reader *reader;
    struct midi_file *file;
    const uint8_t *at, *end;
    struct keys *keys; /* of the port */
    uint64_t tick;
    struct port_id port_id;
    uint16_t index;
    uint8_t port;
    uint8_t running;     /* running status; 0: none */
    uint8_t last_status; /* the last channel status, even if cancelled; 0: none */
    bool sysex_open; /* in a system exclusive message whose F7 has not been read yet */
    uint8_t sysex[SYSEX_BYTES_MAX];
    size_t sysex_length; /* of the message so far; more than SYSEX_BYTES_MAX: dropped */
};

/* Completes track_read_vlq for a number, up to `end`, of more bytes than SMF 1.0
 * allows. */
enum event_result track_read_long_vlq(struct track *track, const uint8_t *end,
                                      uint32_t value, uint32_t *number);

/* A variable-length quantity, such as a delta time. Inline, because every event has
 * one. */
static inline enum event_result track_read_vlq(struct track *track, uint32_t *number)
{
    enum { VLQ_BYTES_MAX = 4 }; /* bytes of 7 bits that SMF 1.0 allows */
    const uint8_t *at = track->at;
    uint32_t value = 0;
    uint8_t byte;
    do {
        if (at == track->end)
            return EVENT_TRUNCATED;
        byte = *at++;
        value = value << 7 | (byte & 0x7f);
    } while (byte & 0x80);
    if (at - track->at > VLQ_BYTES_MAX)
        return track_read_long_vlq(track, at, value, number);
    track->at = at;
    *number = value;
    return EVENT_READ;
}

/* A length and as many bytes. */
enum event_result track_read_block(struct track *track, const uint8_t **block,
                                   uint32_t *length);

/* Appends an event at the current tick, for a channel of the current port. */
enum event_result track_append(struct track *track, struct timed_events *list,
                               uint32_t value, uint32_t channel);

#endif
