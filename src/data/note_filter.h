/* note_filter: leaves notes out of a piece, by instrument (data.only_programs) or voice
 * (data.tracks). */
#ifndef TUTTI_DATA_NOTE_FILTER_H
#define TUTTI_DATA_NOTE_FILTER_H

#include <stddef.h>

#include "base/program_set.h"
#include "midi/midi.h"

/* A melody note counts as held for at most this long, so that a note that is never
 * released does not silence what follows. */
static const double MELODY_HELD_SECONDS = 10;

/* Removes the notes of other programs; percussion is in the set if `drums` is. Returns
 * their number. */
size_t note_filter_programs(struct notes *notes, const struct program_set *set);

/* Removes all but the highest voice, of all tracks and instruments together, and returns
 * the number of notes removed. Kept is, of the notes that begin together (within
 * NOTES_CHORD_SECONDS of the first), the highest, as in the skyline of Uitdenbogerd and
 * Zobel ("Manipulation of music for melody matching", ACM Multimedia 1998), unless it
 * begins below the last kept note while that one's key is held: so inner voices that move
 * below a longer note are not taken for the melody. Percussion is removed. For a file just
 * read, before its pedal is applied; `notes` are in the order of notes_sort. */
size_t note_filter_melody(struct notes *notes);

/* Ends each note at the start of the next one, so that one note sounds at a time: after
 * the pedal, before midi_set_start. No two notes may begin together. */
void note_filter_cut_overlaps(struct midi_file *midi);

#endif
