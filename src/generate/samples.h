/* samples: MIDI files generated from a checkpoint, for `tutti generate` and the trainer.
 */
#ifndef TUTTI_GENERATE_SAMPLES_H
#define TUTTI_GENERATE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "generator.h"
#include "base/status.h"
#include "train/checkpoint.h"
#include "train/sample_thread.h"

struct samples_request {
    struct sampler_settings settings;
    const struct primer *primer; /* NULL: none */
    bool keep_primer;
    int count;
    const char
        *path; /* single piece: as given; several: "a/b.mid" gives "a/b-2.mid" etc. */
    bool always_number; /* a single piece is numbered "-1" too */
};

/* The path of piece `number` (from 1); the caller frees it. */
char *samples_path(const struct samples_request *request, int number);

/* Totals over all files. */
struct samples_totals {
    size_t notes;
    double seconds;
};

/* Pieces and the tempo of their files, microseconds per beat. */
struct samples_pieces {
    struct notes *list; /* [count] */
    int count;
    int tempo;
};

/* Generates the pieces as one batch; warns if any piece ends early, at the token limit,
 * or does not end although it must (see sampler.h). Free with samples_free, even after a
 * failure. */
enum status samples_generate(const struct checkpoint *checkpoint,
                             const struct samples_request *request,
                             struct samples_pieces *pieces);
void samples_free(struct samples_pieces *pieces);

/* Called for every file written, with its piece. */
typedef void samples_report(const char *path, const struct notes *piece);

/* Writes the pieces to files; only path, count, always_number and settings.cancelled of
 * the request are used. `report` may be NULL. STATUS_STOPPED if cancelled. */
enum status samples_write_files(const struct samples_request *request,
                                const struct samples_pieces *pieces,
                                samples_report *report, struct samples_totals *totals);

/* Sends pieces, with tempo changes, time signatures and track names, to another process of
 * the same program, and receives them. STATUS_FAILED
 * unless the bytes contain exactly `count` pieces; values are not validated. Free with
 * samples_free, even after a failure. */
enum status samples_send(const struct samples_pieces *pieces, FILE *to);
enum status samples_receive(const uint8_t *bytes, size_t size, int count,
                            struct samples_pieces *pieces);

/* The trainer's callback (sample_function): writes run.samples files of
 * run.sample_seconds each with the settings of [sample], "DIRECTORY/epoch-0001-1.mid"
 * ...; the summary gives their final names, the number of notes and the length. The seed
 * is the same in each epoch, so that epochs can be compared. `context` is unused. */
enum status samples_write_epoch(const struct epoch_samples *epoch,
                                char summary[STATUS_MESSAGE_SIZE], void *context);

#endif
