/* track_internal: shared by track.c, events.c and meta.c, which read one MTrk chunk. */
#ifndef TUTTI_MIDI_TRACK_INTERNAL_H
#define TUTTI_MIDI_TRACK_INTERNAL_H

#include "reader.h"

enum event_result {
    EVENT_READ,
    TRACK_ENDED,    /* End of Track */
    EVENT_CUT,      /* the bytes end within the event */
    EVENT_TOO_LATE, /* the event's tick exceeds 32 bits */
    EVENT_REPAIRED, /* the event is valid with 127 for its second data byte */
    READER_STOPPED  /* reader->stop is set */
};

enum { /* status bytes */
       FIRST_SYSTEM = 0xF0,
       SYSEX = 0xF0,
       SYSEX_MORE = 0xF7,
       META = 0xFF
};

enum { SYSEX_KEPT = 64 }; /* bytes: no message of interest is longer */

struct track {
    struct reader *reader;
    struct midi_file *file;
    const uint8_t *at, *end;
    struct keys *keys; /* of the port */
    uint64_t tick;
    struct port_name port_name;
    uint16_t index;
    uint8_t port;
    uint8_t running; /* running status; 0: none */
    uint8_t last;    /* the last channel status, cancelled or not; 0: none */
    bool sysex_open; /* a system exclusive message whose F7 has not come yet */
    uint8_t sysex[SYSEX_KEPT];
    size_t sysex_length; /* of the message so far; more than SYSEX_KEPT: dropped */
};

/* ---- events.c ---- */

/* Reads events up to the end of the bytes, or to whatever else ends a track. Afterwards
 * `at` is after the last complete event. */
enum event_result track_read_events(struct track *track);

/* A length and as many bytes. */
enum event_result track_read_block(struct track *track, const uint8_t **block,
                                   uint32_t *length);

/* Appends an event at the current tick, for a channel of the current port. */
enum event_result track_append(struct track *track, struct timed_list *list,
                               uint32_t value, uint32_t channel);

/* Controller 64. */
enum event_result track_pedal(struct track *track, uint32_t channel, uint8_t value);

/* Ends the sounding notes of `words` words of track->keys. */
void track_release_keys(struct track *track, uint32_t first_word, uint32_t words);

/* ---- meta.c: events after their status byte ---- */

enum event_result track_read_meta(struct track *track);
enum event_result track_read_sysex(struct track *track, uint8_t status);
enum event_result track_read_system(struct track *track, uint8_t status);

/* Switches to the port named by track->port_name. */
enum event_result track_set_port(struct track *track);

#endif
