/* tutti: sampling from a trained model inside another program.
 *
 * A program loads a checkpoint, samples pieces, uses their notes or writes them as MIDI
 * files, and frees both. The header needs no other header of tutti, MPI or HDF5, and
 * works in C and C++. Link with libtutti.a and its dependencies, or with libtutti.so:
 *
 *     cc program.c $(pkg-config --cflags --libs tutti)
 *
 * Example:
 *
 *     struct tutti *model = NULL;
 *     struct tutti_settings settings;
 *     struct tutti_piece piece = {0};
 *     if (tutti_open("runs/first", &model) != TUTTI_OK)
 *         return fprintf(stderr, "%s\n", tutti_message()), 1;
 *     tutti_defaults(model, &settings);
 *     settings.seconds = 20;
 *     if (tutti_sample(model, &settings, 1, &piece) == TUTTI_OK)
 *         tutti_write("first.mid", &piece);
 *     tutti_free_pieces(&piece, 1);
 *     tutti_close(model);
 *
 * Ownership: a model from tutti_open is freed by tutti_close, pieces from tutti_sample by
 * tutti_free_pieces; nothing else changes ownership. Paths and settings are read only
 * during the call.
 *
 * Threads: a model must be used by only one thread at a time; different models may be
 * used concurrently. tutti_open must be called from one thread at a time, unless HDF5 is
 * built thread-safe (Debian's is not). tutti_sample computes on tutti_settings.threads
 * OpenMP threads, or on fewer where the model is too small for them; the notes do not
 * depend on it. A process forked after that must not sample on several threads, as
 * OpenMP's threads are not forked with it.
 *
 * No function prints, exits, starts MPI or installs a signal handler; but if the system
 * refuses OpenMP a thread, OpenMP ends the process.
 *
 * The same checkpoint, settings, primer and seed give the same notes and the same file,
 * byte for byte, on one machine. Piece i does not depend on the number of pieces.
 */
#ifndef TUTTI_TUTTI_H
#define TUTTI_TUTTI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default) /* everything else in the library is hidden */
#endif

/* Return values. After a failure tutti_message reports what failed, where, and how to fix
 * it. */
enum {
    TUTTI_OK = 0,
    TUTTI_FAILED = 1, /* a file, its contents, or memory */
    TUTTI_MISUSE = 2  /* an invalid argument or setting */
};

/* tutti_settings.end. A model can end a piece before its full length. */
enum {
    TUTTI_END_DRAW = 0,   /* where the model ends it */
    TUTTI_END_FORBID = 1, /* never: each piece has the full length */
    TUTTI_END_REQUIRE = 2 /* a piece that does not end is sampled again, 8 times in all */
};

/* Maximum number of pieces per call of tutti_sample. */
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

struct tutti_piece {
    struct tutti_note *notes; /* [count], sorted by start, then channel, then pitch */
    size_t count;
    double seconds; /* end of the last note; 0 without notes */
    int tempo;      /* microseconds per beat of the file that tutti_write makes, at most
                       2^24 - 1; 0: 500000, 120 beats per minute. It sets the beats of a
                       score and does not move notes: start and duration are in seconds */
    bool ended;     /* the model ended the piece before its full length */
};

struct tutti_settings {
    double seconds;     /* full length after the primer; > 0, at most 86400. A piece with
                           implausibly many notes may end earlier */
    int64_t bars;       /* 1 to 1000: full length in bars, instead of seconds: those of an
                           encoding with bars (remi), else of time_signature (4/4) at the
                           tempo; 0: seconds */
    int end;            /* TUTTI_END_DRAW, TUTTI_END_FORBID or TUTTI_END_REQUIRE */
    double min_seconds; /* [0, seconds]: the model does not end a piece before */
    int best_of;        /* 1 to 100: sample as many for each piece and keep the most
                           typical; times the number of pieces at most TUTTI_PIECES_MAX */
    double tempo;       /* beats per minute, 4 to 1000; 0: the primer's, or 120 */
    double temperature; /* >= 0; 1: the model's distribution; below 1 more predictable,
                           above 1 more varied; 0: always the most probable token */
    int64_t top_k;      /* sample from the k most probable tokens; 0: from all */
    double top_p;       /* (0, 1]: sample from the most probable tokens with this total
                           probability; 1: from all */
    double min_p;       /* [0, 1]: of these, those with at least min_p times the largest
                           probability; 0: all */
    double repetition_penalty; /* (0, 100]: above 1 makes notes of the last 64 tokens
                                  less probable; 1: off */
    double cache;          /* [0, 1]: weight of what followed the same tokens before in
                                  the piece, so that phrases return; 0: off */
    int64_t cache_context; /* >= 1: tokens that must have occurred before */
    const char *scale; /* pitches to sample, such as "D dorian"; NULL or "chromatic": all.
                          From tutti_defaults: valid until tutti_close */
    const char *programs; /* the only instruments, such as "0-7,40,drums"; of a model
                              that has merged them, one program, that of the piece; NULL
                              or "all": any. Valid as scale */
    const char *time_signature; /* of the music, such as "3/4", with an encoding that has
                                   time signatures (remi); NULL or "any": any. Valid as
                                   scale */
    uint64_t seed;
    bool guard;         /* prevent long silence, endless repetition and stuck notes */
    double max_silence; /* guard: longest time without an onset, seconds; > 0 */
    double max_note_seconds; /* guard: time after which a held note is ended; > 0 */
    bool keep_primer;        /* the pieces begin with the primer's notes */
    int threads; /* maximum number of OpenMP threads, up to 1024; 0: the value of
                           OMP_NUM_THREADS, else of SLURM_CPUS_PER_TASK, else 1, and
                           within a parallel region of the program 1 */
};

/* Loads and checks a checkpoint. `path` is a checkpoint file or a run's directory; for a
 * directory, the best checkpoint is loaded, or the latest if none is marked as best. *out
 * is set on success only. */
int tutti_open(const char *path, struct tutti **out);
void tutti_close(struct tutti *model); /* may be NULL */

/* Number of weights. */
uint64_t tutti_parameters(const struct tutti *model);
/* Number of tokens in the vocabulary. */
uint64_t tutti_vocabulary(const struct tutti *model);
/* "performance", "pianoroll" or "remi"; valid until tutti_close. */
const char *tutti_encoding(const struct tutti *model);
/* Number of completed training epochs. */
int64_t tutti_epoch(const struct tutti *model);
/* The weights hash that `tutti inspect` shows. */
uint64_t tutti_weights_hash(const struct tutti *model);

/* The settings that the run was configured with: [sample] and run.sample_seconds; threads
 * are 0. */
void tutti_defaults(const struct tutti *model, struct tutti_settings *settings);

/* Sets the primer, which later pieces continue: the first `seconds` of a MIDI file (0:
 * the whole file), counted from its first note at its own tempo. With an encoding in
 * beats (pianoroll) the pieces keep the tempo at the end of the primer, and all times
 * stay in seconds. path NULL removes the primer. On failure the primer is unchanged. */
int tutti_prime(struct tutti *model, const char *path, double seconds);

/* Samples `count` pieces (1 to TUTTI_PIECES_MAX) as one batch into pieces[0..count),
 * whose previous contents are ignored; on failure all are empty. Each is at most
 * settings->seconds long after the primer. */
int tutti_sample(struct tutti *model, const struct tutti_settings *settings, int count,
                 struct tutti_piece *pieces);
void tutti_free_pieces(struct tutti_piece *pieces, int count);

/* Writes a piece as a MIDI file of format 1. The file appears under its name only when
 * complete; missing folders are created. Links are followed, devices and pipes are
 * written to, and "-" is standard output. TUTTI_MISUSE if a note or the tempo is out of
 * range. */
int tutti_write(const char *path, const struct tutti_piece *piece);

/* The last failure in this thread as one line; "" if there was none. Valid until the next
 * call in this thread. */
const char *tutti_message(void);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
