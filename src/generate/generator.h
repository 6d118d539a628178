/* generator: generates music from a checkpoint, for `tutti generate`, the trainer's
 * samples after each epoch, and other programs through the library (tutti.h).
 *
 * It handles files and settings; the sampler draws the tokens. Nothing here starts MPI,
 * prints, or is collective.
 */
#ifndef TUTTI_GENERATE_GENERATOR_H
#define TUTTI_GENERATE_GENERATOR_H

#include <stdbool.h>

#include "primer.h"
#include "sampler.h"
#include "base/status.h"
#include "midi/notes.h"
#include "train/checkpoint.h"

enum { GENERATOR_PIECES_MAX = SAMPLES_DRAWN_MAX }; /* per batch */

/* Resolves `path` with checkpoint_path_resolve, reads the entire file to detect any
 * damage, and loads the parts that generation needs: the weights, or with `average` their
 * average (CHECKPOINT_TO_PREDICT_AVERAGE). Freed with checkpoint_free. */
enum status generator_load(const char *path, bool average, struct checkpoint *checkpoint);

/* The sampler's settings from [sample] and run.sample_seconds, on one thread. */
struct sampler_settings generator_settings(const struct options *options);

/* Sets what a piece is asked to have from the texts of sample.time_signature and
 * sample.programs; all but the tempo, which generator_run sets. False for invalid texts. */
bool generator_request(const char *time_signature, const char *programs,
                       struct music_request *request);

/* The number of threads, at most `threads`, that compute `count` pieces with a model of
 * that many weights. The threads wait for each other about ten times per token, so each
 * must have enough to compute in between. */
int generator_threads(int threads, size_t weights, int count);

/* Generates `count` pieces (1..GENERATOR_PIECES_MAX) with its own model, which holds the
 * checkpoint's weights. `primer`: NULL for none; keep_primer: the pieces begin with it.
 * Seconds in settings and notes are real seconds at the tempo of the pieces
 * (generator_tempo); the notes have 480 ticks per beat. If settings->tempo is set, an
 * encoding in beats (find_grid_steps) plays all notes, those of the primer included, at
 * that tempo, and so does one whose tokens set the tempo; with performance, the notes keep
 * their seconds and get the ticks of that tempo. settings->bars are those of remi, or of the
 * requested time signature (4/4) at that tempo; settings->seconds does not apply then.
 * pieces[0..count) are zero-initialised by the caller, who frees
 * them, also after a failure. STATUS_MISUSE for settings out of range, for a length that
 * has too many beats at that tempo, for more
 * than GENERATOR_PIECES_MAX pieces times best_of, or if the request is not for this
 * encoding (request_check), or if the threads are not available (team_check). */
enum status generator_run(const struct checkpoint *checkpoint,
                          const struct sampler_settings *settings,
                          const struct primer *primer, bool keep_primer, int count,
                          struct notes *pieces);

enum {
    GENERATOR_BPM_MIN = 4, /* a MIDI file can't have a slower tempo */
    GENERATOR_BPM_MAX = 1000
};

/* The tempo of pieces in microseconds per beat: `tempo` (beats per minute), else (0) of the
 * primer, else (NULL) ENCODING_TEMPO. */
int generator_tempo(double tempo, const struct primer *primer);

/* Writes a piece as a MIDI file; tempo in microseconds per beat. Creates the folder if
 * necessary. The path is an output (see file.h). */
enum status generator_write(const char *path, const struct notes *notes, int tempo);

/* The same for a numbered path chosen by the program: see file_write_nofollow. */
enum status generator_write_nofollow(const char *path, const struct notes *notes,
                                     int tempo);

#endif
