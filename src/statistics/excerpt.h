/* excerpt: the beginning of a piece. */
#ifndef TUTTI_STATISTICS_EXCERPT_H
#define TUTTI_STATISTICS_EXCERPT_H

#include "midi/notes.h"

/* Removes the notes that begin at or after `seconds` > 0, and ends the others there at the
 * latest. Ticks are shortened in proportion, as if the note had one tempo. Keeps the order
 * of notes_sort. */
void excerpt_cut(struct notes *notes, double seconds);

#endif
