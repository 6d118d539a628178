/* reader.h: shared by the files of the MIDI reader. In the order in which bytes pass
 * through them:
 *
 *   read.c      midi_read: runs the stages below, returns the outcome and its reason
 *   chunks.c    finds header and tracks
 *   track.c     one track: events.c and meta.c turn its events into notes and lists of
 *               timed events; resync.c resynchronises in damaged tracks; ports.c numbers
 *               the ports; sysex.c parses the system exclusive messages of interest
 *   all_off.c   ends notes that another track silences
 *   parts.c     resolves which channel is percussion, and when
 *   timing.c    assigns programs and seconds to the notes, stores tempo changes and time
 *               signatures; tempo_map.c finds points
 *   pedal.c, trim.c    midi_apply_pedal, midi_set_start, midi_set_note_end
 *
 * Functions that return bool return false to stop reading; reader->stop then has the
 * reason: the file is skipped, or out of memory.
 */
#ifndef TUTTI_MIDI_READER_H
#define TUTTI_MIDI_READER_H

#include "midi.h"
#include "tempo_map.h"

enum {
    CHANNELS = 16,
    PORTS_MAX = 256, /* per file; further ports share the last one */
    PORT_CHANNELS_MAX = PORTS_MAX * CHANNELS,
    PITCHES = 128,
    PORT_KEYS = CHANNELS * PITCHES,
    KEY_WORDS = PORT_KEYS / 64,
    CHUNK_HEADER = 8 /* type and length */
};

/* A tempo, a time signature (numerator << 8 | denominator_log2), a part event, a pedal
 * event or all notes off. */
struct timed_event {
    uint32_t tick;
    uint32_t order;        /* index in its list, as read */
    uint32_t notes_before; /* number of notes read before the event */
    uint32_t value;
    uint16_t port_channel; /* port x 16 + channel */
};

/* The kind of an event that changes a part, which is the sound of a channel. The value of
 * an event in reader->parts is kind << PART_DATA_BITS | data. */
enum part_kind {
    PART_PROGRAM, /* data: 0-127; after parts_resolve, with PART_PERCUSSION */
    PART_BANK,    /* bank select MSB, for the next program change; data: 0-127 */
    PART_MODE,    /* by system exclusive; data: 1 percussion, 0 melody */
    PART_RESET    /* of all of the port's channels; data: enum sound_system */
};

enum { PART_DATA_BITS = 8, PART_PERCUSSION = 0x80 };

/* The standard by which bank selects are interpreted. */
enum sound_system { SYSTEM_ANY, SYSTEM_GM2, SYSTEM_GS, SYSTEM_XG };

static inline uint16_t port_channel_of(uint32_t port, uint32_t channel)
{
    return (uint16_t)(port * CHANNELS + channel);
}

struct timed_events {
    struct timed_event *items;
    size_t count, capacity;
};

enum stop { STOP_NONE, STOP_SKIPPED, STOP_NO_MEMORY };

/* The sounding notes of a track on a port, by key (channel x 128 + pitch): a bit in
 * `sounding`, and a queue of note indices from `oldest` to `newest`, linked through
 * duration_ticks, which is otherwise unused until the note ends. */
struct keys {
    uint64_t sounding[KEY_WORDS];
    uint32_t oldest[PORT_KEYS], newest[PORT_KEYS];
    bool touched; /* by the track being read */
};

/* The port to which a track's channel events go. */
struct port_id {
    uint32_t number; /* meta event 21h */
    uint32_t device; /* meta event 09h: 0 for none and for the file's first */
};

struct ports {
    struct port_id ids[PORTS_MAX]; /* ids[0] is {0, 0} */
    uint64_t devices[PORTS_MAX];   /* hashes of the device names */
    uint32_t count, device_count;
    struct keys *keys[PORTS_MAX]; /* allocated on first use, kept from file to file */
};

struct reader {
    struct midi_file *file;
    const struct midi_limits *limits;
    const uint8_t *at, *end; /* the next chunk; after the last byte */
    enum stop stop;
    int declared_tracks;
    uint64_t origin; /* tick at which the next track begins: 0 except in format 2 */
    struct timed_events tempos, signatures, parts, resolved_parts, pedals;
    struct timed_events all_off; /* all sound off, all notes off; value unused */
    bool parts_need_replay;      /* it has more than program changes; see parts.c */
    struct tempo_map map;
    struct ports ports;
    uint16_t pedals_down[PORTS_MAX]; /* a bit per channel, set while the pedal is down */

    void *pedal_workspace; /* owned by pedal.c */
    size_t pedal_workspace_size;
};

/* reader.c: both return false. */
bool reader_skip(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool reader_no_memory(struct reader *reader);

bool timed_events_grow(struct timed_events *list); /* capacity for at least one more */

/* Appends an event for the caller to fill in; NULL if out of memory. */
static inline struct timed_event *timed_events_add(struct timed_events *list)
{
    if (list->count == list->capacity && !timed_events_grow(list))
        return NULL;
    return &list->items[list->count++];
}

void timed_events_sort(struct timed_events *list,
                       int (*compare)(const void *, const void *));
int timed_events_by_tick(const void *left, const void *right);
int timed_events_by_channel(const void *left, const void *right); /* then by tick */

static inline uint32_t big_endian_16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static inline uint32_t big_endian_32(const uint8_t *at)
{
    return big_endian_16(at) << 16 | big_endian_16(at + 2);
}

/* True if a chunk may begin at `at`, or if it is the end of the file. */
bool chunk_is_plausible(const uint8_t *at, const uint8_t *file_end);
/* The first "MTrk" at or after `at`, or file_end. */
const uint8_t *chunk_find_track(const uint8_t *at, const uint8_t *file_end);

/* chunks.c: finds the header and reads every track. */
bool chunks_read(struct reader *reader, const uint8_t *bytes, size_t size);

/* track.c: reads the events of one track from `at`; its chunk ends at `end`, the file at
 * `file_end`. *next is the start of the chunk after it. */
bool track_read(struct reader *reader, const uint8_t *at, const uint8_t *end,
                const uint8_t *file_end, const uint8_t **next);

/* Number of data bytes after the status of a channel event. */
static inline size_t midi_data_length(uint8_t status)
{
    return status >> 4 == 0xC || status >> 4 == 0xD ? 1 : 2;
}

/* resync.c: true if the next 16 events, or all up to the end, obey every rule of SMF 1.0.
 * `running` is the running status, 0: none. Without `has_delta`, the first event has no
 * delta time. */
bool events_are_plausible(const uint8_t *at, const uint8_t *end, uint8_t running,
                          bool has_delta);

/* ports.c */
void ports_reset(struct ports *ports);
void ports_free(struct ports *ports);
/* The number of the port with this id, in the order of first use. */
uint8_t ports_find(struct ports *ports, struct port_id id);
/* The number of a device, for port_id; 0 if it has no name. */
uint32_t ports_find_device(struct ports *ports, const uint8_t *name, size_t length);
/* The port's keys, all silent between tracks; NULL if out of memory. */
struct keys *ports_keys(struct ports *ports, uint8_t port);

/* sysex.c: parses a system exclusive message, without F0 and F7, that changes parts: the
 * value of an event for reader->parts and, except for PART_RESET, its channel. False for
 * any other message. */
bool sysex_read(const uint8_t *data, size_t length, uint32_t *value, uint8_t *channel);

/* parts.c: resolves reader->parts to program changes with a percussion flag, sorted by
 * port channel, then tick. */
bool parts_resolve(struct reader *reader);

/* all_off.c */
/* Drops the events after a track's last note from reader->all_off. Call it at the end of
 * the track; the arguments are the counts at its start. */
void all_off_drop_trailing(struct reader *reader, size_t first_note,
                           size_t first_all_off);
/* Ends notes at the events of reader->all_off in other tracks. */
void all_off_apply(struct reader *reader);

/* timing.c */
/* Assigns program and percussion to the notes from `first_note` on. */
bool timing_assign_parts(struct reader *reader, size_t first_note);
bool timing_assign_seconds(struct reader *reader);
bool timing_store_pedals(struct reader *reader);
/* Stores the tempo changes and time signatures in reader->file->notes. Call it after
 * timing_assign_seconds. */
bool timing_store_metre(struct reader *reader);

#endif
