/* writer_internal: shared by writer.c and writer_plan.c. */
#ifndef TUTTI_MIDI_WRITER_INTERNAL_H
#define TUTTI_MIDI_WRITER_INTERNAL_H

#include "midi.h"

struct planned_note { /* a note in ticks */
    int start, end, track;
    uint8_t channel, pitch, velocity, program, percussion;
};

/* In the order of events at one tick of a track: before a note is repeated, it must
 * end. */
enum event_kind { EVENT_OFF, EVENT_BANK, EVENT_PROGRAM, EVENT_ON };

struct event {
    int tick, track;
    enum event_kind kind;
    uint8_t bytes[3];
};

/* A file to be written. */
struct plan {
    const char *path;
    int ticks_per_beat, tempo;
    int tracks;
    struct planned_note *notes; /* [number of notes] */
    size_t note_count;
    struct event *events; /* by track, then tick; up to four per note: on, off, bank,
                             program */
    size_t event_count;
    bool gm2; /* bank selects are needed */
};

/* Fills notes, events and tracks of a plan whose arrays are allocated and empty. */
enum status writer_plan_notes(struct plan *plan, const struct notes *notes);

#endif
