/* notes: a piece of music, independent of the file it came from. Sources: notes.c, and
 * metre.c for tempo changes, time signatures and track names. */
#ifndef TUTTI_MIDI_NOTES_H
#define TUTTI_MIDI_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"

struct note {
    double start;            /* seconds from the start of the piece */
    double duration;         /* seconds, >= 0 */
    uint32_t start_tick;     /* from the start of the piece, in ticks of its file */
    uint32_t duration_ticks; /* the same unit */
    uint16_t track;          /* index of the MTrk chunk */
    uint8_t pitch;           /* 0-127 */
    uint8_t velocity;        /* 1-127 */
    uint8_t program;         /* 0-127, in force on the channel at the note's start */
    uint8_t channel;         /* 0-15, of its port */
    uint8_t percussion;      /* 1: pitches are drums; 0: melody. Usually, but not always,
                           channel == PERCUSSION_CHANNEL */
    uint8_t port;            /* MIDI port, as numbered by the reader; 0: default */
};

enum { PERCUSSION_CHANNEL = 9 }; /* percussion by default */

/* Notes that begin within this time of the first of them begin together: those of a played
 * chord begin up to 30 ms apart (Goebl, "Melody lead in piano performance", JASA 110(1),
 * 2001). */
#define NOTES_CHORD_SECONDS 0.03

struct tempo_change {
    uint32_t tick;  /* as start_tick of a note */
    uint32_t tempo; /* microseconds per quarter note, 1 to 2^24-1 */
};

struct time_signature {
    uint32_t tick;            /* as start_tick of a note */
    uint8_t numerator;        /* >= 1 */
    uint8_t denominator_log2; /* 0 to TIME_SIGNATURE_LOG2_MAX; 3 for 6/8 */
};

enum {
    DEFAULT_TEMPO = 500000, /* microseconds per quarter note: 120 beats per minute */
    DEFAULT_NUMERATOR = 4,  /* 4/4 */
    DEFAULT_DENOMINATOR_LOG2 = 2,
    TIME_SIGNATURE_LOG2_MAX = 6, /* 1/64 */
    TRACK_NAME_SIZE = 128        /* bytes, with the final zero */
};

struct track_name {
    uint16_t track;             /* index of the MTrk chunk */
    char text[TRACK_NAME_SIZE]; /* not empty; untrusted bytes of unknown encoding */
};

struct tempo_changes { /* by ascending tick */
    struct tempo_change *items;
    size_t count, capacity;
};

struct time_signatures { /* by ascending tick */
    struct time_signature *items;
    size_t count, capacity;
};

struct track_names { /* by ascending track, at most one for each */
    struct track_name *items;
    size_t count, capacity;
};

/* Notes in the order of notes_sort. Zero-initialise; free with notes_free.
 *
 * Tempo changes and time signatures are stored where they differ from those in force: 120
 * beats per minute and 4/4 before the first. With SMPTE division there are none. The
 * seconds of notes that were read from a file follow from their ticks and these tempos.
 */
struct notes {
    struct note *items;
    size_t count, capacity;
    double ticks_per_beat;   /* of start_tick; 0 with SMPTE division */
    double ticks_per_second; /* > 0 only with SMPTE division */
    struct tempo_changes tempos;
    struct time_signatures signatures;
    struct track_names names;
};

enum status notes_append(struct notes *notes, const struct note *note);
enum status notes_grow(struct notes *notes); /* capacity for at least one more */

/* Appends a note for the caller to fill in; NULL if out of memory. */
static inline struct note *notes_add(struct notes *notes)
{
    if (notes->count == notes->capacity && notes_grow(notes) != STATUS_OK)
        return NULL;
    return &notes->items[notes->count++];
}

void notes_clear(struct notes *notes); /* keeps the memory */
void notes_free(struct notes *notes);

/* Sorts by start tick, then channel, pitch, duration, velocity, program, track, port,
 * percussion: a total order up to equal notes, so the same music gives the same bytes. */
void notes_sort(struct notes *notes);

/* Hash of the music: every field of every note, in order, and the division, but not the
 * tempo changes (the seconds reflect them), time signatures and track names. Files with
 * the same hash are duplicates. The port is included only if two ports share a channel,
 * and percussion only where it differs from the channel's default, so that datasets
 * written before the reader supported them keep their hashes. */
struct hash128 notes_hash(const struct notes *notes);

/* The end of the last note, in seconds; 0 without notes. */
double notes_duration(const struct notes *notes);

/* metre.c: each is called with ascending ticks. Of several calls with a tick the last one
 * applies; a value that is already in force is not stored. STATUS_FAILED if out of memory. */
enum status notes_set_tempo(struct notes *notes, uint32_t tick, uint32_t tempo);
enum status notes_set_signature(struct notes *notes, uint32_t tick, uint8_t numerator,
                                uint8_t denominator_log2);

/* Names a track; called with ascending track numbers. `text` ends at its first zero byte
 * and is cut to TRACK_NAME_SIZE - 1 bytes. A track keeps its first name that is not
 * empty. STATUS_FAILED if out of memory. */
enum status notes_set_name(struct notes *notes, uint16_t track, const void *text,
                           size_t length);

/* The name of a track; NULL if it has none. */
const char *notes_name(const struct notes *notes, uint16_t track);

/* Makes `tick` the origin of tempo changes and time signatures: those in force there are
 * moved to tick 0, and bars are counted from there. */
void notes_shift_metre(struct notes *notes, uint32_t tick);

/* Removes tempo changes, time signatures and track names; keeps the memory. */
void notes_clear_metre(struct notes *notes);
void notes_free_metre(struct notes *notes);

#endif
