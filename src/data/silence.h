/* silence: a file in which nothing sounds for long is not one piece.
 *
 * One damaged delta time puts a note, or the release of a key or of the pedal, days after
 * the others. Its encoding would be hundreds of thousands of tokens of silence, or of one
 * chord, more than all the music around it.
 *
 * What counts as sound are the notes that the encoding keeps; the others are silence in
 * its tokens. A key counts as released after `most` seconds, or 60 if that is longer, and
 * whatever sounds for more than `most` seconds after the last key counts as ended with
 * that key. So no held note bridges a silence, while a pedal point lasts as long as other
 * notes begin above it. */
#ifndef TUTTI_DATA_SILENCE_H
#define TUTTI_DATA_SILENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "encode/encoding.h"
#include "midi/midi.h"

/* For each note of a file just read, before its pedal is applied: when the last key was
 * released of it and all before it, in seconds. The caller frees it; NULL without
 * memory. */
double *silence_keys(const struct notes *notes, const struct encoding *encoding,
                     double most);

/* The part of a piece that is kept. */
struct silence {
    size_t first, count; /* its notes */
    size_t sounding;     /* of them */
    size_t cuts;         /* silences that are too long */
    double longest;      /* the longest of them, seconds */
};

/* Cuts the piece wherever nothing sounds or begins for longer than `most` seconds, also
 * before its first note, and picks the part in which most notes sound, the first of
 * equals. A part begins with a note that sounds, but the first with the file if that is
 * no more than `most` earlier; it also has the other notes that begin until `most`
 * seconds after its sound. Notes are in the order of notes_sort; `keys` are theirs. */
struct silence silence_find(const struct notes *notes, const struct encoding *encoding,
                            const double *keys, double most);

/* Leaves only that part in a file just read, whose pedal may have been applied since
 * `keys` were taken, and ends notes that sound for too long after its last key. If that
 * changes anything, the outcome is MIDI_REPAIRED, and the reason has the silence and how
 * many notes were left out, or how long the notes were held. A part that does not begin
 * with the file begins at 0 with its first note, as a file would that holds nothing else.
 * A file in which nothing sounds is left as it is. Returns whether anything was changed.
 */
bool silence_cut(struct midi_file *midi, const struct encoding *encoding,
                 const double *keys, double most);

#endif
