/* reader.h: what the files of the MIDI reader share. Bytes go through them in this order:
 * chunks.c finds the tracks, track.c turns a track's events into notes and lists of timed
 * events, timing.c gives the notes their programs and seconds, read.c drives and judges.
 *
 * Functions that return bool return false when the file is not read on; reader->stop says
 * whether that is a verdict on the file or a lack of memory.
 */
#ifndef TUTTI_MIDI_READER_H
#define TUTTI_MIDI_READER_H

#include "tutti/midi.h"

enum {
    CHANNELS = 16,
    PITCHES = 128,
    KEYS = CHANNELS * PITCHES,
    KEY_WORDS = KEYS / 64,
    DEFAULT_TEMPO = 500000, /* microseconds per quarter note: 120 beats a minute */
    CHUNK_HEADER = 8        /* type and length */
};

/* A tempo, program change or pedal event. */
struct timed {
    uint32_t tick;
    uint32_t order; /* among those of its kind, as read */
    uint32_t notes; /* how many notes of the file had begun when it was read */
    uint32_t value;
    uint16_t track;
    uint8_t channel;
};

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

struct reader {
    struct midi_file *file;
    const struct midi_limits *limits;
    const uint8_t *at, *end; /* the next chunk; behind the last byte */
    enum stop stop;
    int declared_tracks;
    uint64_t origin; /* tick at which the next track begins: 0 but in format 2 */
    struct timed_list tempos, programs, pedals;
    struct tempo_map map;
    uint16_t pedals_down; /* by channel, bit set while the pedal is down */

    /* Notes that sound, by key (channel x 128 + pitch): a bit in `sounding`, and a queue
     * of indices from `oldest` to `newest`, linked through duration_ticks, which a note
     * has no other use for while it sounds. */
    uint64_t sounding[KEY_WORDS];
    uint32_t oldest[KEYS], newest[KEYS];

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

/* timing.c */
bool timed_grow(struct timed_list *list); /* room for one more, at least */

/* Appends an event for the caller to fill in; NULL without memory. */
static inline struct timed *timed_add(struct timed_list *list)
{
    if (list->count == list->capacity && !timed_grow(list))
        return NULL;
    return &list->items[list->count++];
}

bool timing_assign_programs(struct reader *reader, size_t first_note);
bool timing_assign_seconds(struct reader *reader);
bool timing_keep_pedals(struct reader *reader);
/* The point in force at a tick, which is at or behind point `from`. */
size_t timing_find_point(const struct tempo_map *map, size_t from, uint32_t tick);
/* The length of from..to, where `point` is in force at `from`. */
double timing_seconds_between(const struct tempo_map *map, size_t point, uint32_t from,
                              uint32_t to);

#endif
