/* midi: reading and writing Standard MIDI Files.
 *
 * Reading: a bounds-checked reader (bytes -> events -> notes) that accepts everything
 * that the SMF 1.0 specification (MIDI Manufacturers Association, "Standard MIDI Files
 * 1.0", RP-001, 1996) allows, repairs faulty files where possible, skips the others, and
 * reports the reason in both cases. It never reads outside its buffer, and its memory use
 * depends on the size of the file, never on a number stored in it.
 *
 * Writing: through libsmf, published atomically.
 *
 * How a file is interpreted
 *
 *   Time. Ticks are summed in 64 bits; seconds are an exact integer sum of
 *   microseconds x ticks, divided once at the end. Formats 0 and 1: the tempo events of
 *   all tracks form one map. Format 2: the patterns are concatenated in file order, each
 *   with its own tempo map, which begins at 120 beats per minute. SMPTE division: 24, 25,
 *   29 (30 drop-frame: 30000/1001 frames per second) or 30; tempo events don't apply. If
 *   several tempo events have the same tick, the last one applies.
 *
 *   Metre. The time signatures of all tracks form one list, as the tempo events do; in
 *   format 2 each pattern begins in 4/4. A time signature of less than 2 bytes, with
 *   numerator 0, or with a denominator above 64, is ignored. See struct notes.
 *
 *   Track names. The first name of a track that is not empty, up to its first zero byte
 *   and at most 127 bytes, whatever the encoding of its text.
 *
 *   Notes. Paired within a track by (port, channel, pitch): a note-off, or a note-on with
 *   velocity 0, ends the oldest note still sounding there; a note-off without a note is
 *   ignored. Notes that are never released end with their track. A note may last 0 ticks.
 *   Controllers 120 and 123-127 (all sound off, all notes off, and the mode messages that
 *   imply it) release every key of their channel: in their own track, notes that began
 *   before them; in other tracks, after pairing, notes that began before their tick. Such
 *   controllers after the last note of a track affect only that track.
 *
 *   Ports. A channel, with its programs and its pedal, belongs to its port. Meta events
 *   21h (a number) and 09h (a device name, RP-019) change a track's port from there on;
 *   each track begins on port 0, which is number 0 of the first device named. Other pairs
 *   of number and name are ports 1, 2, ... in order of appearance; all from the 255th on
 *   share port 255.
 *
 *   Programs belong to the channel: the tracks of a format 1 file are merged by tick, at
 *   equal ticks in track order. In format 2 each pattern begins with program 0.
 *
 *   Percussion is channel 10 of each port (9 here), unless the file specifies otherwise:
 *     Bank select (controller 0) takes effect at the next program change. Bank 120 is
 *     percussion and 121 melody (GM2), even without a GM2 reset; after an XG reset 120,
 *     126 and 127 are percussion and all others melody; after a GS reset, banks have no
 *     effect.
 *     Roland's "use for rhythm part" and Yamaha's part mode take effect immediately,
 *     until one of these banks changes the part again.
 *     GM, GM2, GS and XG resets restore the default on all channels of their port, and
 *     select, for all ports, the system whose bank rules apply. Programs are unchanged.
 *
 *   Pedal. Controller 64; controller 121 (reset all controllers) counts as value 0. In
 *   format 2 a pedal that is down at the end of a pattern is released there.
 *
 *   Ignored: the contents of other meta events and system exclusive messages.
 *
 *   Accepted without repair (outcome ok): RIFF RMID (RP-029); headers longer than 6
 *   bytes; chunks of other types; escapes (F7); system exclusive messages in packets;
 *   meta events longer than needed; numbers with leading zeros, up to 4 bytes.
 *
 *   Fault                             Repair                   MIDI_REPAIR_
 *   --------------------------------  -----------------------  ------------
 *   bytes before MThd, up to 1024     skipped                  LEADING
 *   RIFF data chunk longer than file  read to the file's end   CONTAINER
 *   format above 2; format 0 with     read as format 1         FORMAT
 *     several tracks
 *   more or fewer MTrk than declared  those present are read   COUNT
 *   MTrk ends before its events do,   read on to End of Track, LENGTH
 *     and no chunk follows it           MTrk or file's end
 *   MTrk longer than the file, or     read to the file's end,  LENGTH
 *     End of Track and MTrk inside      or that MTrk is next
 *   bytes that are not a chunk        skipped to next MTrk     JUNK
 *   no End of Track                   the track ends there     NO_END
 *   events after End of Track         ignored                  AFTER_END
 *   bytes end inside an event         the track ends before it TRUNCATED
 *   velocity, or value of a           taken as 127             DATA
 *     controller, above 127
 *   other data byte above 127,        the event is ignored     DATA
 *     including a bank number
 *   data byte above 127 that is a     the event is ignored,    SHORT
 *     channel event's status: events    that one begins there,
 *     follow only if it is              without a delta time
 *   number of more than 4 bytes       its low 28 bits; 0 if it NUMBER
 *                                       is -1 to -2^24
 *   event later than tick 2^32-1      the track ends before it TOO_LATE
 *   data bytes where a status is      the last status applies; STATUS
 *     needed                            none yet: 2 ignored
 *   system message F1-F6, F8-FE       ignored with its data    SYSTEM
 *   system exclusive without its F7   ignored                  SYSEX
 *   tempo 0, or of less than 3 bytes  ignored                  TEMPO
 *   meta event of type above 127      ignored                  META
 *   division above 32767 that is not  ticks per quarter note   DIVISION
 *     an SMPTE division listed above
 *
 *   Skipped: no MThd; a header that is truncated, shorter than 6 bytes or longer than the
 *   file; no MTrk, or more than 65535; division 0; 4 GiB of bytes or more; anything that
 *   exceeds a limit. The reason begins with the repairs so far, as they may be the cause.
 */
#ifndef TUTTI_MIDI_MIDI_H
#define TUTTI_MIDI_MIDI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "notes.h"
#include "tempo_map.h"
#include "base/status.h"

/* Files that exceed a limit are skipped. 0 in any field: no limit. max_seconds applies to
 * the end of the last note, before the pedal is applied. */
struct midi_limits {
    uint64_t max_bytes;
    uint64_t max_notes;
    uint64_t min_notes;
    double max_seconds;
};

enum midi_outcome { MIDI_OK, MIDI_REPAIRED, MIDI_SKIPPED };

/* A set of MIDI_REPAIR_ bits; see the table above. */
typedef uint32_t midi_repairs;

enum {
    MIDI_REPAIR_LEADING = 1 << 0,
    MIDI_REPAIR_CONTAINER = 1 << 1,
    MIDI_REPAIR_FORMAT = 1 << 2,
    MIDI_REPAIR_COUNT = 1 << 3,
    MIDI_REPAIR_LENGTH = 1 << 4,
    MIDI_REPAIR_JUNK = 1 << 5,
    MIDI_REPAIR_NO_END = 1 << 6,
    MIDI_REPAIR_AFTER_END = 1 << 7,
    MIDI_REPAIR_TRUNCATED = 1 << 8,
    MIDI_REPAIR_SHORT = 1 << 9,
    MIDI_REPAIR_DATA = 1 << 10,
    MIDI_REPAIR_NUMBER = 1 << 11,
    MIDI_REPAIR_STATUS = 1 << 12,
    MIDI_REPAIR_SYSTEM = 1 << 13,
    MIDI_REPAIR_SYSEX = 1 << 14,
    MIDI_REPAIR_TEMPO = 1 << 15,
    MIDI_REPAIR_META = 1 << 16,
    MIDI_REPAIR_TOO_LATE = 1 << 17,
    MIDI_REPAIR_DIVISION = 1 << 18,
    MIDI_REPAIR_KINDS = 19
};

enum { MIDI_REASON_SIZE = 1024 }; /* holds the text of all repairs at once */

enum { MIDI_SUSTAIN = 64, MIDI_ALL_SOUND_OFF = 120 }; /* controllers */

struct midi_control { /* an event that affects the sustain pedal */
    uint32_t tick;
    uint8_t port, channel;
    uint8_t controller; /* MIDI_SUSTAIN or MIDI_ALL_SOUND_OFF */
    uint8_t value;
};

/* A file that was read. A skipped file has no notes, pedals or repairs (the reason names
 * them); the other members are set as far as the file was read. */
struct midi_file {
    enum midi_outcome outcome;
    midi_repairs repairs;
    char reason[MIDI_REASON_SIZE]; /* skipped: the repairs and the cause; repaired:
                                      the repairs; ok: "" */
    int format;                    /* 0, 1, 2: as it was read */
    int tracks;                    /* MTrk chunks read */
    int division; /* as it was read: ticks per quarter, or negative SMPTE */
    int tempo_events;
    double first_tempo;  /* microseconds per quarter note in force at tick 0; SMPTE: 0 */
    uint32_t start_tick; /* where the piece begins in the file; see midi_set_start */
    struct notes notes;  /* sorted; pedal not yet applied */
    struct midi_control *pedals; /* by tick; at equal ticks in the order of the file */
    size_t pedal_count, pedal_capacity;
    void *reader; /* private, reused from file to file */
};

/* Reads a file's bytes. `file` must be zero-initialised before its first use and may be
 * reused: it keeps its memory until midi_free. `limits` may be NULL: none. STATUS_FAILED
 * only if out of memory: a bad file is an outcome, not a failure. */
enum status midi_read(const uint8_t *bytes, size_t size, const struct midi_limits *limits,
                      struct midi_file *file);
void midi_free(struct midi_file *file);

/* Extends each note of a file just read by the sustain pedal: a key released while
 * controller 64 of its channel is >= 64 sounds until the pedal's release, all sound off
 * (controller 120) on that channel, or the next onset of its pitch there. Pedal events at
 * the tick of the key's release count as before it; a key released at the tick of all
 * sound off is not sustained. A pedal that is never released ends with the last key.
 * Percussion is unchanged. Keeps the order of notes_sort. */
enum status midi_apply_pedal(struct midi_file *file);

/* The tick nearest to `seconds` >= 0 of a file just read. Must not be called after
 * midi_set_start. */
uint32_t midi_tick_at(const struct midi_file *file, double seconds);

/* Sets the end of a note of a file just read to `tick`, or to the note's start if that is
 * later. Must not be called after midi_set_start. */
void midi_set_note_end(const struct midi_file *file, struct note *note, uint32_t tick);

/* Makes `tick` the start of a piece just read, as if its file began there: ticks and
 * seconds of the notes count from it, and first_tempo is the tempo in force there. Notes
 * must not begin earlier. Drops the pedal events. Call it at most once per file. */
void midi_set_start(struct midi_file *file, uint32_t tick);

/* The tempo map of the file last read, which must not have been skipped. Its ticks are
 * the file's, before midi_set_start. Owned by `file`, valid until the next midi_read. */
const struct tempo_map *midi_tempo_map(const struct midi_file *file);

/* A point in time of the piece. */
struct midi_time {
    double seconds;          /* from the start of the file */
    double seconds_per_tick; /* in force there */
    int tempo;               /* microseconds per quarter note; 0 with SMPTE division */
};

/* The time at `tick` >= 0 of the piece (see midi_set_start) last read into `file`, which
 * must not have been skipped. At a tempo change, the tempo before it applies. */
struct midi_time midi_time_at(const struct midi_file *file, double tick);

/* True if the path ends in .mid, .midi, .kar, .rmi or .smf, in upper or lower case. */
bool midi_has_extension(const char *path);

/* "ok", "repaired", "skipped" */
const char *midi_outcome_name(enum midi_outcome outcome);

/* Writes the names of a set of repairs, "no End of Track, bad tempo", to text[size].
 * Returns text. */
const char *midi_repair_text(midi_repairs repairs, char *text, size_t size);

/* Writes notes as a format 1 file at `ticks_per_beat` (1..32767).
 *
 * Time. Without tempo changes and time signatures, the piece has one tempo (1..2^24-1
 * microseconds per quarter note), and a note's ticks come from its seconds. Otherwise all
 * ticks come from those of the notes, converted from their ticks per beat; `tempo` applies
 * if there are no tempo changes. Start and end are each rounded to nearest.
 *
 * Tracks. The first track has tempo, time signatures and the name of track 0. It is
 * followed by one track for each (port, channel, program, percussion), in that order. A
 * track has the name of the track from which its first note came, except track 0; without
 * one, and if the piece has several instruments, the name of its instrument (see
 * instruments.h). Percussion on a channel other than 9, and melody on channel 9, are
 * written with the GM2 reset and banks.
 *
 * Notes. A zero-length note gets one tick; overlapping notes of equal pitch, channel and
 * port are cut at the next onset, and of those that start at the same tick only the
 * longest is written.
 *
 * The path is an output (see file.h). STATUS_FAILED, with the path, for a value out of
 * range, more than 2^28-1 ticks or 65535 tracks, or a failed write. */
enum status midi_write(const char *path, const struct notes *notes, int ticks_per_beat,
                       int tempo);

/* The same at a path chosen by the program; see file_write_nofollow. */
enum status midi_write_nofollow(const char *path, const struct notes *notes,
                                int ticks_per_beat, int tempo);

#endif
