/* midi: Standard MIDI Files in and out.
 *
 * In: a bounds-checked reader of our own (bytes -> events -> notes) that takes whatever the
 * SMF 1.0 specification (MIDI Manufacturers Association, "Standard MIDI Files 1.0",
 * RP-001, 1996) allows, repairs what can be repaired and says how, skips the rest and says
 * why. It never reads outside its buffer, and its memory grows with the bytes that are
 * there, never with a number written in the file.
 * Out: through libsmf, published atomically.
 */
#ifndef TUTTI_MIDI_H
#define TUTTI_MIDI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tutti/notes.h"
#include "tutti/status.h"

/* What is not read. 0 in any field: no limit. */
struct midi_limits {
    uint64_t max_bytes;
    uint64_t max_notes;
    uint64_t min_notes;
    double max_seconds;
};

enum midi_outcome { MIDI_OK, MIDI_REPAIRED, MIDI_SKIPPED };

/* What the reader repaired, as bits; midi_repair_text names them. */
typedef uint32_t midi_repairs;

struct midi_control { /* one sustain-pedal event (controller 64) */
    uint32_t tick;
    uint8_t channel;
    uint8_t value;
    uint16_t track;
};

struct midi_file {
    enum midi_outcome outcome;
    midi_repairs repairs;
    char reason[256]; /* skipped: why; repaired: how, comma-separated; ok: "" */
    int format;       /* 0, 1, 2 */
    int tracks;       /* MTrk chunks read */
    int division;     /* as in the file: ticks per quarter, or negative SMPTE */
    int tempo_events;
    double first_tempo; /* microseconds per quarter note in force at tick 0 */
    struct notes notes; /* sorted; pedal not yet applied */
    struct midi_control *pedals;
    size_t pedal_count;
    void *scratch; /* the reader's own memory, reused from file to file */
};

/* Reads a file's bytes. `file` is zero-initialised before its first use and may be reused:
 * memory is kept between calls. Returns STATUS_FAILED only without memory: a bad file is
 * an outcome, not a failure. */
enum status midi_read(const uint8_t *bytes, size_t size, const struct midi_limits *limits,
                      struct midi_file *file);
void midi_free(struct midi_file *file);

/* Extends each note by the sustain pedal: a key released while controller 64 of its channel
 * is >= 64 sounds on until the pedal's release, or the next onset of that pitch on that
 * channel. The percussion channel is left as it is. Keeps the order of notes_sort. */
enum status midi_apply_pedal(struct midi_file *file);

const char *midi_outcome_name(enum midi_outcome outcome); /* "ok", "repaired", "skipped" */

/* "missing End of Track, ..." for a set of repairs, into text[size]. Returns text. */
const char *midi_repair_text(midi_repairs repairs, char *text, size_t size);

/* Writes notes as a format 1 file at `ticks_per_beat` (1..32767) and one tempo
 * (microseconds per quarter note); a note's ticks come from its seconds, rounded to
 * nearest. One track for each (channel, program); a zero-length note gets one tick;
 * notes of equal pitch and channel that overlap are cut at the next onset. Published
 * atomically. Errors: STATUS_FAILED with the path. */
enum status midi_write(const char *path, const struct notes *notes, int ticks_per_beat,
                       int tempo);

#endif
