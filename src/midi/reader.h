/* reader.h: what the files of the MIDI reader share. Bytes go through them in this order:
 * chunks.c finds the tracks, track.c turns a track's events into notes and lists of timed
 * events (ports.c numbers the ports that it meets, sysex.c reads the system exclusive
 * messages that matter), offs.c ends the notes that another track silences, parts.c finds
 * out which channel is when percussion, timing.c gives the notes their programs and
 * seconds, read.c drives and judges.
 *
 * Functions that return bool return false when the file is not read on; reader->stop says
 * whether that is a verdict on the file or a lack of memory.
 */
#ifndef TUTTI_MIDI_READER_H
#define TUTTI_MIDI_READER_H

#include "midi.h"

enum {
    CHANNELS = 16,
    PORTS_MAX = 256, /* of one file; what lies beyond shares the last */
    LINES_MAX = PORTS_MAX * CHANNELS,
    PITCHES = 128,
    KEYS = CHANNELS * PITCHES,
    KEY_WORDS = KEYS / 64,
    DEFAULT_TEMPO = 500000, /* microseconds per quarter note: 120 beats a minute */
    CHUNK_HEADER = 8        /* type and length */
};

/* A tempo, a part event or a pedal event. */
struct timed {
    uint32_t tick;
    uint32_t order; /* among those of its list, as read */
    uint32_t notes; /* how many notes of the file had begun when it was read */
    uint32_t value;
    uint16_t line; /* the channel: port x 16 + channel */
};

/* What changes a part, that is what a line sounds like: the value of an event in
 * reader->parts is kind << 8 | data. */
enum part_kind {
    PART_PROGRAM, /* data: 0-127; once resolved, with PART_PERCUSSION */
    PART_BANK,    /* bank select MSB, of the next program change; data: 0-127 */
    PART_MODE,    /* by system exclusive; data: 1 percussion, 0 melody */
    PART_RESET    /* of all of the port's channels; data: enum sound_system */
};

enum { PART_DATA_BITS = 8, PART_PERCUSSION = 0x80 };

/* Whose rules bank selects follow. */
enum sound_system { SYSTEM_ANY, SYSTEM_GM2, SYSTEM_GS, SYSTEM_XG };

static inline uint16_t line_of(uint32_t port, uint32_t channel)
{
    return (uint16_t)(port * CHANNELS + channel);
}

struct timed_list {
    struct timed *items;
    size_t count, capacity;
};

/* From `tick` on, each tick lasts `per_tick` units; `elapsed` units have passed by then.
 */
struct tempo_point {
    uint64_t elapsed;
    uint32_t tick;
    uint32_t per_tick;
};

struct tempo_map {
    struct tempo_point *points; /* by tick, the first at 0 */
    size_t count, capacity;
    double units_per_second;
};

enum stop { STOP_NOT, STOP_SKIPPED, STOP_MEMORY };

/* Notes of a track that sound on a port, by key (channel x 128 + pitch): a bit in
 * `sounding`, and a queue of indices from `oldest` to `newest`, linked through
 * duration_ticks, which a note has no other use for while it sounds. */
struct keys {
    uint64_t sounding[KEY_WORDS];
    uint32_t oldest[KEYS], newest[KEYS];
    bool touched; /* by the track being read */
};

/* Where a track's channel events go. */
struct port_name {
    uint32_t number; /* meta event 21h */
    uint32_t device; /* meta event 09h: 0 for none and for the file's first */
};

struct ports {
    struct port_name names[PORTS_MAX]; /* names[0] is {0, 0} */
    uint64_t devices[PORTS_MAX];       /* fingerprints of the device names */
    uint32_t count, device_count;
    struct keys *keys[PORTS_MAX]; /* made when first needed, kept from file to file */
};

struct reader {
    struct midi_file *file;
    const struct midi_limits *limits;
    const uint8_t *at, *end; /* the next chunk; behind the last byte */
    enum stop stop;
    int declared_tracks;
    uint64_t origin; /* tick at which the next track begins: 0 but in format 2 */
    struct timed_list tempos, parts, resolved, pedals;
    struct timed_list offs; /* of all keys of a line; their value means nothing */
    bool parts_differ;      /* from program changes alone, that is: see parts.c */
    struct tempo_map map;
    struct ports ports;
    uint16_t pedals_down[PORTS_MAX]; /* by channel, bit set while the pedal is down */

    void *pedal_scratch; /* pedal.c's */
    size_t pedal_scratch_size;
};

/* Both return false. */
bool reader_skip(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool reader_no_memory(struct reader *reader);

/* chunks.c: finds the header and reads every track. */
bool chunks_read(struct reader *reader, const uint8_t *bytes, size_t size);

/* track.c: reads the events of one track from `at`; its chunk ends at `end`, the file at
 * `file_end`. *next is where the chunk behind it begins. */
bool track_read(struct reader *reader, const uint8_t *at, const uint8_t *end,
                const uint8_t *file_end, const uint8_t **next);
/* Whether a chunk, or the end of the file, may be at `at`. */
bool chunk_is_plausible(const uint8_t *at, const uint8_t *file_end);
/* The next "MTrk" at or behind `at`, or file_end. */
const uint8_t *chunk_find_track(const uint8_t *at, const uint8_t *file_end);

/* How many data bytes follow a channel event's status. */
static inline size_t midi_data_length(uint8_t status)
{
    return status >> 4 == 0xC || status >> 4 == 0xD ? 1 : 2;
}

/* follow.c: whether the next few bytes are events that break no rule: up to the end, if
 * it is near. `running` is the status that data bytes belong to, 0 none; not `timed`: the
 * first has no delta time. */
bool events_follow(const uint8_t *at, const uint8_t *end, uint8_t running, bool timed);

/* ports.c */
void ports_reset(struct ports *ports);
void ports_free(struct ports *ports);
/* The number of the port of that name, in the order in which they are met. */
uint8_t ports_find(struct ports *ports, struct port_name name);
/* The number of a device, for port_name; 0 if it has no name. */
uint32_t ports_find_device(struct ports *ports, const uint8_t *name, size_t length);
/* The port's keys, none of which sounds between tracks; NULL without memory. */
struct keys *ports_keys(struct ports *ports, uint8_t port);

/* sysex.c: what a system exclusive message, without F0 and F7, does to parts: an event's
 * value for reader->parts and, but for PART_RESET, its channel; false if nothing. */
bool sysex_read(const uint8_t *data, size_t length, uint32_t *value, uint8_t *channel);

/* parts.c: turns reader->parts into program changes that also say what is percussion, by
 * line, then time. */
bool parts_resolve(struct reader *reader);

/* offs.c */
/* At the end of a track that began with these: drops its events after its last note. */
void offs_end_track(struct reader *reader, size_t first_note, size_t first_off);
/* Ends the notes that an event of reader->offs in another track ends. */
void offs_apply(struct reader *reader);

/* timing.c */
bool timed_grow(struct timed_list *list); /* room for one more, at least */

/* Appends an event for the caller to fill in; NULL without memory. */
static inline struct timed *timed_add(struct timed_list *list)
{
    if (list->count == list->capacity && !timed_grow(list))
        return NULL;
    return &list->items[list->count++];
}

void timed_sort(struct timed_list *list, int (*compare)(const void *, const void *));
int timed_by_time(const void *left, const void *right);
int timed_by_line(const void *left, const void *right); /* then by time */
/* Programs and percussion of the notes from `first_note` on. */
bool timing_assign_parts(struct reader *reader, size_t first_note);
bool timing_assign_seconds(struct reader *reader);
bool timing_keep_pedals(struct reader *reader);
/* The point in force at a tick, which is at or behind point `from`. */
size_t timing_find_point(const struct tempo_map *map, size_t from, uint32_t tick);
/* The length of from..to, where `point` is in force at `from`. */
double timing_seconds_between(const struct tempo_map *map, size_t point, uint32_t from,
                              uint32_t to);

#endif
