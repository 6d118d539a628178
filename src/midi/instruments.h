/* instruments: the names of MIDI programs. */
#ifndef TUTTI_MIDI_INSTRUMENTS_H
#define TUTTI_MIDI_INSTRUMENTS_H

#include <stdbool.h>

/* The name of a program, 0 to 127, in the General MIDI 1 sound set (MIDI Manufacturers
 * Association, RP-003); "Percussion" if the notes are percussion. */
const char *instrument_name(int program, bool percussion);

#endif
