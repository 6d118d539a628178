/* samples: the MIDI files of a checkpoint, for `tutti generate` and after each epoch. */
#ifndef TUTTI_GENERATE_SAMPLES_H
#define TUTTI_GENERATE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "player.h"
#include "base/status.h"
#include "train/checkpoint.h"

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

/* Pieces and the tempo of their files, microseconds per beat. */
struct samples_pieces {
    struct notes *list; /* [count] */
    int count;
    int tempo;
};

/* Makes the pieces as one batch, and warns if any ends early (see sampler.h). Freed with
 * samples_free, also after a failure. */
enum status samples_play(const struct checkpoint *checkpoint,
                         const struct samples_request *request,
                         struct samples_pieces *pieces);
void samples_free(struct samples_pieces *pieces);

/* Called with every file written and its piece. */
typedef void samples_report(const char *path, const struct notes *piece);

/* Writes the files of the pieces, of which the request has only path and number_one to
 * give. `report` may be NULL. */
enum status samples_save(const struct samples_request *request,
                         const struct samples_pieces *pieces, samples_report *report,
                         struct samples_made *made);

/* Passes pieces from a process to another of the same program. What is received has the
 * wanted number of pieces and exactly these bytes; its values are as they come. Freed
 * with samples_free, also after a failure. */
enum status samples_send(const struct samples_pieces *pieces, FILE *to);
enum status samples_receive(const uint8_t *bytes, size_t size, int count,
                            struct samples_pieces *pieces);

/* The trainer's callback: run.samples files of run.sample_seconds with the settings of
 * [sample], "DIRECTORY/epoch-0001-1.mid" ..., and a line to the log that names them as
 * they are named in run.dir. The same seed in each epoch, so that epochs can be compared.
 * `context` is not used. */
enum status samples_write(const struct checkpoint *now, const char *directory,
                          void *context);

#endif
