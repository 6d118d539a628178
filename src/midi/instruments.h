/* instruments: names and channels of MIDI programs. Sources: instruments.c (names) and
 * channels.c. */
#ifndef TUTTI_MIDI_INSTRUMENTS_H
#define TUTTI_MIDI_INSTRUMENTS_H

#include <stdbool.h>

#include "notes.h"

/* The name of a program, 0 to 127, in the General MIDI 1 sound set (MIDI Manufacturers
 * Association, RP-003); "Percussion" if the notes are percussion. */
const char *instrument_name(int program, bool percussion);

/* Assigns channels and ports to notes by their instruments, which are their pairs of
 * program and percussion flag; then sorts the notes. The instruments are numbered in the
 * order of their first notes, at equal times by program. Melody gets channels 0-8 and
 * 10-15, percussion channel 9.
 *
 * While there are enough channels, each instrument has its own. Otherwise an instrument
 * shares the channel of one whose last note ended at least a second before its own first
 * note; if there is none, it gets a channel of the next port (so do several percussion
 * programs). An instrument keeps its channel for the whole piece, so no note is lost. */
void instruments_assign_channels(struct notes *notes);

#endif
