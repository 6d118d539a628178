/* samples: the MIDI files of a checkpoint, for `tutti generate` and after each epoch. */
#ifndef TUTTI_SAMPLES_H
#define TUTTI_SAMPLES_H

#include <stdbool.h>

#include "tutti/checkpoint.h"
#include "tutti/player.h"
#include "tutti/status.h"

/* What is asked for beside the sampler's settings. */
struct samples_request {
    struct sampler_settings settings;
    const struct player_primer *primer; /* NULL: none */
    bool keep_primer;
    int count;
    const char *path; /* piece 1 of 1; of several, piece 2 of "a/b.mid" is "a/b-2.mid" */
    bool number_one;  /* "-1" is put on a single piece too */
};

/* The path of piece `number` (from 1); the caller frees it. */
char *samples_path(const struct samples_request *request, int number);

/* What was made, over all files. */
struct samples_made {
    size_t notes;
    double seconds;
};

/* Makes the pieces as one batch and writes them. `report` (may be NULL) is called with
 * every file written and its piece. */
enum status samples_make(const struct checkpoint *checkpoint,
                         const struct samples_request *request,
                         void (*report)(const char *path, const struct notes *piece),
                         struct samples_made *made);

/* The trainer's callback: run.samples files of run.sample_seconds with the settings of
 * [sample], "DIRECTORY/epoch-0001-1.mid" ..., and a line to the log that names them as they
 * are named in run.dir. The same seed in
 * each epoch, so that epochs can be compared. `context` is not used. */
enum status samples_write(const struct checkpoint *now, const char *directory,
                          void *context);

#endif
