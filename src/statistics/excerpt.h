/* excerpt: the beginning of a piece. */
#ifndef TUTTI_STATISTICS_EXCERPT_H
#define TUTTI_STATISTICS_EXCERPT_H

#include "midi/notes.h"

/* Shifts the notes so that the first begins at time 0 and tick 0. */
void excerpt_from_first_note(struct notes *notes);

/* Removes the notes that begin at or after `seconds` > 0, and ends the others there at the
 * latest. Ticks are shortened in proportion, as if the note had one tempo. Keeps the order
 * of notes_sort. */
void excerpt_cut(struct notes *notes, double seconds);

#endif
