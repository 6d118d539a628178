/* writer_internal: shared by writer.c and writer_plan.c. */
#ifndef TUTTI_MIDI_WRITER_INTERNAL_H
#define TUTTI_MIDI_WRITER_INTERNAL_H

#include "midi.h"

struct planned_note { /* a note in ticks */
    int start, end, track;
    uint16_t source; /* the note's track in struct notes */
    uint8_t port, channel, pitch, velocity, program, percussion;
};

struct planned_track {
    const char *name; /* NULL: none */
    uint8_t port;
};

/* In the order of events at one tick of a track: before a note is repeated, it must
 * end. */
enum event_kind {
    EVENT_TEMPO,
    EVENT_SIGNATURE,
    EVENT_OFF,
    EVENT_BANK,
    EVENT_PROGRAM,
    EVENT_ON
};

struct event {
    int tick, track;
    enum event_kind kind;
    uint8_t length;
    uint8_t bytes[7];
};

/* A file to be written. */
struct plan {
    const char *path;
    int ticks_per_beat;
    int tempo;         /* at tick 0 */
    double tick_scale; /* ticks of the file per tick of the notes; 0: the ticks follow
                          from the seconds, at `tempo` */
    struct planned_track *tracks; /* [number of notes + 1] */
    int track_count;
    struct planned_note *notes; /* [number of notes] */
    size_t note_count;
    struct event *events; /* by track, then tick; up to four per note: on, off, bank,
                             program; one per tempo change and time signature */
    size_t event_count;
    bool gm2; /* bank selects are needed */
};

enum {
    TEMPO_MAX = 0xFFFFFF,
    LAST_TICK = 0x0FFFFFFF /* the longest delta time: four bytes of seven bits */
};

/* Fills notes, events and tracks of a plan whose arrays are allocated and empty. `notes`
 * must outlive the plan, which refers to its names. */
enum status writer_plan_notes(struct plan *plan, const struct notes *notes);

/* writer_metre.c: sets `tempo` and `tick_scale`, and adds the events of tempo changes and
 * time signatures. Call it first. */
enum status writer_plan_metre(struct plan *plan, const struct notes *notes);

#endif
