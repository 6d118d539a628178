/* primer: the beginning of a MIDI file as tokens, to be continued by generated pieces. */
#ifndef TUTTI_GENERATE_PRIMER_H
#define TUTTI_GENERATE_PRIMER_H

#include <stddef.h>

#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"
#include "train/checkpoint.h"

/* The music to be continued. Zero-initialise; free with primer_free. */
struct primer {
    struct tokens tokens;           /* without END */
    double seconds;                 /* covered by the tokens, at the file's tempo */
    char repairs[MIDI_REASON_SIZE]; /* made by the reader; "" if none */
    int tempo;    /* microseconds per beat of the continuation; 0: no primer read */
    size_t steps; /* pianoroll: steps covered by the tokens */
    double *step_seconds; /* pianoroll: [steps + 1], start of each step and end of the
                             last; NULL for tokens whose steps are seconds */
    double tempo_ratio;   /* pianoroll: real seconds per decoded second in the rest */
};

/* Reads a MIDI file with the settings of the checkpoint's dataset (see piece.h), but
 * without limits on its length or number of notes, and keeps its first `seconds` (0: all
 * of it), counted from the first note. A note that still sounds at the end of the primer
 * is not ended there: the model determines its end. STATUS_FAILED if the file can't be
 * read as MIDI or has no note in that time.
 *
 * The pianoroll's steps are fractions of a beat. Within the primer, their duration
 * follows the file's tempo map; the continuation keeps the tempo of the primer's last
 * step; so do those of remi without tempos, which are in bars and keep that tempo in the
 * primer, too. Performance tokens are in seconds, and their files have ENCODING_TEMPO.
 * Tokens of remi with tempos have the primer's, rounded as in the encoding. The time of
 * remi counts from the first note's bar. */
enum status primer_read(const struct checkpoint *checkpoint, const char *path,
                        double seconds, struct primer *primer);
void primer_free(struct primer *primer);

#endif
