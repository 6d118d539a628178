/* tutti: a trained model inside another program.
 *
 * Load a checkpoint, make pieces, take their notes or write them as MIDI files, free.
 * This header stands alone: a program needs no other of tutti, none of MPI or HDF5. It
 * links with libtutti.a and the libraries that it stands on, or with libtutti.so:
 *
 *     cc program.c $(pkg-config --cflags --libs tutti)
 *
 * C and C++. In short:
 *
 *     struct tutti *model = NULL;
 *     struct tutti_settings settings;
 *     struct tutti_piece piece = {0};
 *     if (tutti_open("runs/first", &model) != TUTTI_OK)
 *         return fprintf(stderr, "%s\n", tutti_message()), 1;
 *     tutti_defaults(model, &settings);
 *     settings.seconds = 20;
 *     if (tutti_play(model, &settings, 1, &piece) == TUTTI_OK)
 *         tutti_write("first.mid", &piece);
 *     tutti_free_pieces(&piece, 1);
 *     tutti_close(model);
 *
 * Ownership: what tutti_open gives is freed by tutti_close, what tutti_play gives by
 * tutti_free_pieces; nothing else is handed over. Paths and settings are only read during
 * the call. Threads: one handle is used by one thread at a time; different handles by
 * different threads at once (HDF5 as Debian builds it is not thread-safe: call tutti_open
 * from one thread at a time). Nothing here prints, exits, starts MPI or installs a signal
 * handler.
 *
 * The same checkpoint, settings, primer and seed give the same notes and the same file,
 * byte for byte, on one machine; piece i doesn't depend on how many are made with it.
 */
#ifndef TUTTI_TUTTI_H
#define TUTTI_TUTTI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default) /* all else of the shared library is hidden */
#endif

/* Return values. A failure left a line that says what, where and what to do:
 * tutti_message. */
enum {
    TUTTI_OK = 0,
    TUTTI_FAILED = 1, /* a file, the data, memory */
    TUTTI_MISUSE = 2  /* an argument or setting that cannot be */
};

/* Most pieces of one call of tutti_play. */
enum { TUTTI_PIECES_MAX = 4096 };

struct tutti; /* a checkpoint in memory: weights, encoding, settings */

struct tutti_note {
    double start;    /* seconds from the start of the piece */
    double duration; /* seconds, >= 0 */
    int pitch;       /* 0-127, 60 is middle C */
    int velocity;    /* 1-127 */
    int program;     /* 0-127, General MIDI */
    int channel;     /* 0-15, 9 is percussion */
};

/* Notes by start, then channel, then pitch. */
struct tutti_piece {
    struct tutti_note *notes;
    size_t count;
    double seconds; /* when the last note ends; 0 without notes */
    int tempo;      /* microseconds per beat of the file that tutti_write makes, up to
                       2^24-1: what a score shows; notes sound when start
                       and duration place them. 0: 500000, 120 beats a minute */
};

struct tutti_settings {
    double seconds;     /* length, after the primer; > 0, a day at most. A piece with far
                           more notes than music has may end earlier */
    double temperature; /* 1: as learned; below: safer, above: wilder; 0: the most
                           probable token, always; >= 0 */
    int64_t top_k;      /* only the k most probable tokens; 0: all */
    double top_p; /* only the most probable tokens that hold this share; 1: all; (0, 1] */
    uint64_t seed;
    int guard;          /* 1: against silence and endless repetition; 0: off */
    double max_silence; /* guard: longest time without an onset, seconds; > 0 */
    int keep_primer;    /* 1: the pieces begin with the primer's notes */
};

/* Loads a checkpoint and checks it. `path` is a checkpoint file or a run's directory, of
 * which the best checkpoint is taken (the latest if no best is marked). *out is set on
 * success. */
int tutti_open(const char *path, struct tutti **out);
void tutti_close(struct tutti *model); /* NULL is fine */

/* About the model: how many weights, how many tokens in its vocabulary, which encoding,
 * how many epochs it was trained for, the fingerprint of its weights as `tutti inspect`
 * shows it. */
uint64_t tutti_parameters(const struct tutti *model);
uint64_t tutti_vocabulary(const struct tutti *model);
const char *tutti_encoding(const struct tutti *model); /* valid until tutti_close */
int64_t tutti_epoch(const struct tutti *model);
uint64_t tutti_weights_hash(const struct tutti *model);

/* The settings the run was configured with: [sample] and run.sample_seconds. */
void tutti_defaults(const struct tutti *model, struct tutti_settings *settings);

/* The beginning that later pieces go on from: a MIDI file's first `seconds` (0: all of
 * it), counted from its first note by its own tempo. Where the encoding counts beats
 * (pianoroll), the pieces keep the tempo in force at the end of that part, and all their
 * seconds are real ones. A NULL path takes the primer away. After a failure the primer is
 * as before. */
int tutti_prime(struct tutti *model, const char *path, double seconds);

/* Makes `count` (1..TUTTI_PIECES_MAX) pieces at once into pieces[0..count), whatever was
 * in them; on failure they are empty. Their length is settings->seconds after the primer.
 */
int tutti_play(struct tutti *model, const struct tutti_settings *settings, int count,
               struct tutti_piece *pieces);
void tutti_free_pieces(struct tutti_piece *pieces, int count);

/* Writes a piece as a MIDI file (format 1, the piece's tempo); the file appears when it
 * is complete; its folder is made. Links are followed, devices and pipes written to,
 * and "-" is standard output. TUTTI_MISUSE for a note or tempo out of range. */
int tutti_write(const char *path, const struct tutti_piece *piece);

/* What went wrong last in this thread, one line; "" if nothing did. Valid until the next
 * call of this thread. */
const char *tutti_message(void);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
