/* player: generates music from a checkpoint, for `tutti generate`, the trainer's samples
 * after each epoch, and other programs through the library (tutti.h).
 *
 * It handles files and settings; the sampler draws the tokens. Nothing here starts MPI,
 * prints, or is collective.
 */
#ifndef TUTTI_GENERATE_PLAYER_H
#define TUTTI_GENERATE_PLAYER_H

#include <stdbool.h>
#include <stddef.h>

#include "sampler.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"
#include "midi/notes.h"
#include "train/checkpoint.h"

enum {
    PLAYER_PIECES_MAX = 4096, /* of one batch */
    PLAYER_TEMPO = 500000     /* default, microseconds per beat: 120 beats a minute */
};

/* Resolves `path` to a checkpoint file, *file (the caller frees it). A file is itself.
 * For a run's directory, or its checkpoints directory, it is the `preferred` checkpoint
 * ("best" or "latest") or, if there is none, the other, whether or not the links exist
 * and are correct. ".../latest" and ".../best" are used as they are; if they are missing
 * or dangling, see player_follow. STATUS_FAILED if there is no such file. */
enum status player_find(const char *path, const char *preferred, char **file);

/* The checkpoint for a path ".../latest" or ".../best" that does not exist (no links on
 * this file system, or a dangling one): the newest or the best of the folder. The caller
 * frees it. NULL for any other path. */
char *player_follow(const char *path);

/* Resolves `path` as player_find, reads the entire file, so that any damage is detected,
 * and loads the parts that generation needs. Freed with checkpoint_free. */
enum status player_load(const char *path, struct checkpoint *checkpoint);

/* The music that a piece continues. Zero-initialise; free with player_primer_free. */
struct player_primer {
    struct tokens tokens;           /* without END */
    double seconds;                 /* covered by the tokens, by the file's tempo */
    char repairs[MIDI_REASON_SIZE]; /* made by the reader; "" if none */
    int tempo;    /* microseconds per beat of pieces that continue it; 0: none read */
    size_t steps; /* pianoroll: steps covered by the tokens */
    double
        *step_seconds; /* pianoroll: [steps + 1], start of each step and end of the last;
                             NULL for tokens whose steps are seconds */
    double stretch;    /* pianoroll: real seconds per decoded second after it */
};

/* Reads a MIDI file in the same way as the checkpoint's dataset (see piece.h) and keeps
 * its first `seconds` (0: all of it), counted from the first note. A note that sounds at
 * the cut keeps sounding, so that the model determines its end. STATUS_FAILED for a file
 * that can't be read as MIDI or has no note in that time.
 *
 * The pianoroll's steps are fractions of a beat. Their seconds in the primer follow the
 * file's tempo map; pieces that continue it keep the tempo of the primer's last step.
 * Performance tokens are in seconds, and their files have PLAYER_TEMPO. */
enum status player_read_primer(const struct checkpoint *checkpoint, const char *path,
                               double seconds, struct player_primer *primer);
void player_primer_free(struct player_primer *primer);

/* The sampler's settings from [sample] and run.sample_seconds. */
struct sampler_settings player_settings(const struct options *options);

/* Generates `count` pieces (1..PLAYER_PIECES_MAX) with a model of its own that holds the
 * checkpoint's weights. `primer`: NULL for none; keep_primer: the pieces begin with it.
 * Seconds, of settings and notes, are real seconds at the primer's tempo; the notes'
 * ticks are 480 a beat. pieces[0..count) are zero-initialised by the caller, who frees
 * them, also after a failure. STATUS_MISUSE for settings out of range, or a length that
 * is too many beats at that tempo. */
enum status player_generate(const struct checkpoint *checkpoint,
                            const struct sampler_settings *settings,
                            const struct player_primer *primer, bool keep_primer,
                            int count, struct notes *pieces);

/* The tempo of pieces with this primer; PLAYER_TEMPO if it is NULL. */
int player_tempo(const struct player_primer *primer);

/* Writes a piece as a MIDI file; tempo in microseconds per beat. Creates the folder if
 * necessary. The path is an output (see file.h). */
enum status player_write(const char *path, const struct notes *notes, int tempo);

/* The same for a numbered path that the program has chosen: see file_write_own. */
enum status player_write_own(const char *path, const struct notes *notes, int tempo);

#endif
