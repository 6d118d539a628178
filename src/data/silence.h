/* silence: a file in which no note sounds for long is not one piece.
 *
 * One damaged delta time puts a note, or the pedal's release, days after the others. Its
 * encoding would be hundreds of thousands of tokens of silence, more than all the music
 * around it. */
#ifndef TUTTI_DATA_SILENCE_H
#define TUTTI_DATA_SILENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "tutti/midi.h"

/* When the last key was released of a note and all before it. */
struct key_release {
    double seconds;
    uint32_t tick;
};

struct key_releases { /* zero-initialise, and reuse; free with key_releases_free */
    struct key_release *items; /* one for each note */
    size_t capacity;
};

/* Takes them from a file just read, before its pedal is applied. */
enum status key_releases_take(struct key_releases *keys, const struct notes *notes);
void key_releases_free(struct key_releases *keys);

/* The part of a piece that is kept. */
struct silence {
    size_t first, count; /* its notes */
    size_t cuts;         /* silences that are too long */
    double longest;      /* the longest of them, seconds */
};

/* Cuts the piece wherever no note sounds or begins for longer than `most` seconds, and
 * picks the part with the most notes, the first of equals. Silence before the first note
 * is not looked at. A pedal that holds notes for longer than `most` after the last key
 * counts as released with that key. Notes are in the order of notes_sort; `keys` are
 * theirs. */
struct silence silence_find(const struct notes *notes, const struct key_releases *keys,
                            double most);

/* Leaves only that part in a file just read, whose pedal may have been applied since
 * `keys` were taken, and releases its pedal. If that changes anything, the outcome is
 * MIDI_REPAIRED, and the reason has the silence and how many notes were left out, or how
 * long the pedal held. A part that is not the first begins at 0 with its first note, as a
 * file would that holds nothing else. Returns whether anything was changed. */
bool silence_cut(struct midi_file *midi, const struct key_releases *keys, double most);

#endif
