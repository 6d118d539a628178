/* player: music from a checkpoint, as `tutti generate`, the trainer's samples after each
 * epoch and the library for other programs (tutti.h) make it.
 *
 * It knows files and settings; which token comes next is the sampler's business. Nothing
 * here starts MPI, prints, or is collective.
 */
#ifndef TUTTI_GENERATE_PLAYER_H
#define TUTTI_GENERATE_PLAYER_H

#include <stddef.h>

#include "sampler.h"
#include "base/status.h"
#include "encode/encoding.h"
#include "midi/midi.h"
#include "midi/notes.h"
#include "train/checkpoint.h"

enum {
    PLAYER_PIECES_MAX = 4096, /* most pieces of one batch */
    PLAYER_TEMPO = 500000     /* of files without another, microseconds per beat: 120 a
                                 minute */
};

/* The checkpoint that `path` means, into *file (the caller frees it): a file stands for
 * itself; of a run's directory, or of its checkpoints directory, the `preferred` one
 * ("best" or "latest") or, if there is none, the other, whether or not the links are
 * there and right. ".../latest" and ".../best" are taken as they stand; where they are
 * missing or dangling, as player_follow. STATUS_FAILED when there is no such file. */
enum status player_find(const char *path, const char *preferred, char **file);

/* The checkpoint that ".../latest" or ".../best" means where no such file exists (no
 * links on this file system, or a dangling one): the newest or the best of the folder.
 * The caller frees it. NULL for any other path. */
char *player_follow(const char *path);

/* Finds the checkpoint that `path` means, reads all of the file, so that damage anywhere
 * in it is found, and loads what playing needs. Freed with checkpoint_free. */
enum status player_load(const char *path, struct checkpoint *checkpoint);

/* The beginning that a piece is to go on from. Zero-initialise; free with
 * player_primer_free. */
struct player_primer {
    struct tokens tokens;           /* without END */
    double seconds;                 /* that the tokens cover, by the file's tempo */
    char repairs[MIDI_REASON_SIZE]; /* what the reader had to repair; "" if nothing */
    int tempo;    /* microseconds per beat of pieces that continue it; 0: none read */
    size_t steps; /* pianoroll: steps that the tokens cover */
    double *step_seconds; /* pianoroll: [steps + 1] when each begins, and when the last
                             ends; NULL for tokens that count in seconds */
    double stretch;       /* pianoroll: seconds that a decoded second takes after it */
};

/* Reads a MIDI file as the checkpoint's dataset was read (see piece.h) and keeps what
 * happens before `seconds` (0: all of it), which count from the first note. A note that
 * sounds at the cut is left sounding, so that the model decides when it ends.
 * STATUS_FAILED for a file that can't be read as MIDI or has no note in that time.
 *
 * The pianoroll's steps are parts of a beat. Their seconds in the primer follow the
 * file's tempo map; pieces that continue it keep the tempo of the primer's last step.
 * Performance tokens are seconds themselves, and their files have PLAYER_TEMPO. */
enum status player_read_primer(const struct checkpoint *checkpoint, const char *path,
                               double seconds, struct player_primer *primer);
void player_primer_free(struct player_primer *primer);

/* The sampler's settings as [sample] and run.sample_seconds say. */
struct sampler_settings player_settings(const struct options *options);

/* Makes `count` pieces (1..PLAYER_PIECES_MAX) with a model of its own that holds the
 * checkpoint's weights. primer may be NULL. Seconds, of settings and notes, are real ones
 * at the primer's tempo; the notes' ticks stay 480 a beat. pieces[0..count) are
 * zero-initialised by the caller, who frees them, also after a failure. STATUS_MISUSE for
 * settings out of range, or a length that is too many beats at that tempo. */
enum status player_play(const struct checkpoint *checkpoint,
                        const struct sampler_settings *settings,
                        const struct player_primer *primer, int keep_primer, int count,
                        struct notes *pieces);

/* The tempo at which pieces with this primer are written: PLAYER_TEMPO without one. */
int player_tempo(const struct player_primer *primer);

/* Writes a piece as a MIDI file, tempo in microseconds per beat; makes the folder if need
 * be. The path is an output (see file.h). */
enum status player_write(const char *path, const struct notes *notes, int tempo);

/* The same at a path that the program has chosen, with a number: see file_write_own. */
enum status player_write_own(const char *path, const struct notes *notes, int tempo);

#endif
