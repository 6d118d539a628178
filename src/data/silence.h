/* silence: a file in which no note sounds for long is not one piece.
 *
 * One damaged delta time puts a note days after the others. Its encoding would be
 * hundreds of thousands of tokens of silence, more than all the music around it. */
#ifndef TUTTI_DATA_SILENCE_H
#define TUTTI_DATA_SILENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "tutti/midi.h"

/* The part of a piece that is kept. */
struct silence {
    size_t first, count; /* its notes */
    size_t cuts;         /* silences that are too long */
    double longest;      /* the longest of them, seconds */
};

/* Cuts the piece wherever no note sounds or begins for longer than `most` seconds, and
 * picks the part with the most notes, the first of equals. Silence before the first note
 * is not looked at. Notes are in the order of notes_sort. */
struct silence silence_find(const struct notes *notes, double most);

/* Leaves only that part in a file just read, whose pedal has been applied: its outcome is
 * MIDI_REPAIRED and the reason says how many notes were left out. A part that is not the
 * first begins at 0 with its first note, as a file would that holds nothing else. Returns
 * whether anything was left out. */
bool silence_cut(struct midi_file *midi, double most);

#endif
