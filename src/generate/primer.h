/* primer: the beginning of a MIDI file as tokens, for generated pieces to continue. */
#ifndef TUTTI_GENERATE_PRIMER_H
#define TUTTI_GENERATE_PRIMER_H

#include <stddef.h>

#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"
#include "train/checkpoint.h"

/* The music that a piece continues. Zero-initialise; free with primer_free. */
struct primer {
    struct tokens tokens;           /* without END */
    double seconds;                 /* covered by the tokens, by the file's tempo */
    char repairs[MIDI_REASON_SIZE]; /* made by the reader; "" if none */
    int tempo;    /* microseconds per beat of pieces that continue it; 0: none read */
    size_t steps; /* pianoroll: steps covered by the tokens */
    double *step_seconds; /* pianoroll: [steps + 1], start of each step and end of the
                             last; NULL for tokens whose steps are seconds */
    double stretch;       /* pianoroll: real seconds per decoded second after it */
};

/* Reads a MIDI file in the same way as the checkpoint's dataset (see piece.h), but with
 * any number of notes and of any length, and keeps its first `seconds` (0: all of it),
 * counted from the first note. A note that sounds at the cut keeps sounding, so that the
 * model determines its end. STATUS_FAILED for a file that can't be read as MIDI or has no
 * note in that time.
 *
 * The pianoroll's steps are fractions of a beat. Their seconds in the primer follow the
 * file's tempo map; pieces that continue it keep the tempo of the primer's last step.
 * Performance tokens are in seconds, and their files have ENCODING_TEMPO. */
enum status primer_read(const struct checkpoint *checkpoint, const char *path,
                        double seconds, struct primer *primer);
void primer_free(struct primer *primer);

#endif
