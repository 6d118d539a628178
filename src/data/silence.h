/* silence: cuts a file at long silences.
 *
 * A single damaged delta time can put a note, or the release of a key or of the pedal,
 * days after the others. Encoded, this would be hundreds of thousands of tokens of
 * silence or of one chord: more than all the music around it.
 *
 * Only notes that the encoding keeps count as sound; the others are silence in the
 * tokens. A key counts as released after `max_silence` seconds, or 60 if that is longer.
 * Whatever sounds for more than `max_silence` seconds after the last key counts as ended
 * with that key. So no held note bridges a silence, while a pedal point lasts as long as
 * other notes begin above it. */
#ifndef TUTTI_DATA_SILENCE_H
#define TUTTI_DATA_SILENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "encode/encoding.h"
#include "midi/midi.h"

/* False if silence_cut would certainly change nothing: no note begins long after the last
 * onset before it, and nothing sounds for long after the last one. Almost all files are
 * of this kind, and this is several times as fast. For a file just read, before its pedal
 * is applied. */
bool silence_is_possible(const struct midi_file *midi, const struct encoding *encoding,
                         double max_silence);

/* last_release[i]: the time in seconds of the last key release among notes 0..i of a file
 * just read, before its pedal is applied. The caller frees it; NULL if out of memory. */
double *silence_last_releases(const struct notes *notes, const struct encoding *encoding,
                              double max_silence);

/* A part of a piece without long silences, and the cuts that isolate it. */
struct silence_part {
    size_t first, count; /* its notes */
    size_t sounding;     /* the number of them that the encoding keeps */
    size_t cuts;         /* silences longer than max_silence */
    double longest;      /* the longest of them, seconds */
};

/* Cuts the piece wherever nothing sounds or begins for longer than `max_silence` seconds,
 * including before its first note, and selects the part with the most sounding notes
 * (ties: the first). A part begins with a note that sounds; the first begins with the
 * file if that is at most `max_silence` earlier. It includes other notes that begin at
 * most `max_silence` seconds after its sound ends. `notes` are in the order of
 * notes_sort; `last_release` from silence_last_releases. */
struct silence_part silence_find(const struct notes *notes,
                                 const struct encoding *encoding,
                                 const double *last_release, double max_silence);

/* Keeps only that part of a file just read, and ends notes that sound too long after its
 * last key release. The pedal may already have been applied, but after
 * silence_last_releases. If anything changes, the outcome is MIDI_REPAIRED, and the
 * reason states the silence and the number of notes left out, or how long the notes were
 * held. A part that does not begin with the file is shifted to begin at 0 with its first
 * note, as in a file that contains nothing else. A file in which nothing sounds is
 * unchanged. Returns whether anything changed. */
bool silence_cut(struct midi_file *midi, const struct encoding *encoding,
                 const double *last_release, double max_silence);

#endif
