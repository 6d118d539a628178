/* notes: a piece of music, independent of the file it came from. */
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

/* Notes in the order of notes_sort. Zero-initialise; free with notes_free. */
struct notes {
    struct note *items;
    size_t count, capacity;
    double ticks_per_beat;   /* of start_tick; 0 with SMPTE division */
    double ticks_per_second; /* > 0 only with SMPTE division */
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

/* Hash of the music: every field of every note, in order, and the division. Files with
 * the same hash are duplicates. The port is included only if two ports share a channel,
 * and percussion only where it differs from the channel's default, so that datasets
 * written before the reader supported them keep their hashes. */
struct hash128 notes_hash(const struct notes *notes);

/* The end of the last note, in seconds; 0 without notes. */
double notes_duration(const struct notes *notes);

#endif
