/* encoding: notes <-> tokens, one file per encoding behind one table of functions.
 *
 * performance  388 events (Oore et al., "This time with feeling", 2018, as in Performance
 *              RNN): NOTE_ON 0-127, NOTE_OFF 128-255, TIME_SHIFT 256-355 (1-100 x 10 ms),
 *              VELOCITY 356-387 (bin (v-1)/4, only on change, before NOTE_ON).
 * pianoroll    88 keys (A0 = 21 to C8 = 108) on a grid: the sounding keys 0-87 of a step
 *              in ascending order, then STEP (88).
 *
 * Each has one special token behind the rest, END: it ends a piece, and as the input
 * before the first token it begins one. A stream of pieces is END p1 END p2 END ..., and
 * the model's state is cleared wherever its input is END.
 *
 * What encoding keeps of the notes (decode(encode(x)) is x after these rules):
 *
 * both         Percussion (as the notes say) is left out; so are program, channel, port
 *              and track: the music becomes one instrument's. Start and end go to the
 *              nearest step of an absolute grid (halves up), so errors do not add up; a
 *              note that would have no length gets one step. Silence before the first
 *              note is dropped. Decoded notes have program, channel and track 0.
 * performance  Steps of 10 ms. An instrument is a channel of a port, in whatever track.
 *              A note that still sounds when its instrument strikes the pitch again ends
 *              there. Then notes of one pitch, of any instrument, that begin in the same
 *              step are one note, with the largest velocity; it sounds until the latest
 *              end of all notes of that pitch that sound in its first step, also of those
 *              that began before, or until the pitch begins again, whoever strikes it: so
 *              an instrument's long note continues as the last of the shorter ones that
 *              others play on its pitch.
 *              Velocity v becomes 4 * ((v - 1) / 4) + 2, the middle of its bin. In one
 *              step NOTE_OFFs come before NOTE_ONs, each by rising pitch; a long pause
 *              is TIME_SHIFT 100 as often as it fits, then the rest. The piece ends with
 *              its last NOTE_OFF.
 * pianoroll    Steps as the grid says. Pitches outside the 88 keys are left out,
 *              velocities too (decoded: 64). A key struck again while it sounds, by any
 *              instrument, or in the very step where it ended, merges into one note. In
 *              files with SMPTE division a beat is half a second. The piece ends with the
 *              STEP of its last sounding step.
 */
#ifndef TUTTI_ENCODE_ENCODING_H
#define TUTTI_ENCODE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"
#include "base/token.h"
#include "midi/notes.h"

struct tokens { /* zero-initialise; free with tokens_free */
    token *items;
    size_t count, capacity;
};

enum {
    ENCODING_TOKENS_MAX = 1 << 24, /* a piece that would take more is refused */
    ENCODING_TICKS_PER_BEAT = 480, /* of decoded notes */
    ENCODING_VELOCITY = 64         /* of decoded notes that no VELOCITY came before */
};

/* Makes room for `extra` more, so that they can be written behind items[count]. */
enum status tokens_reserve(struct tokens *tokens, size_t extra);
enum status tokens_append(struct tokens *tokens, token value);
void tokens_free(struct tokens *tokens);

/* The pianoroll's step: a fraction of a beat, in lowest terms, or a number of ticks. */
struct encoding_grid {
    int numerator, denominator; /* of a beat; both 0 when ticks is set */
    int ticks;
};

/* What a piece sounds like so far, for the sampler: which tokens may come next. A plain
 * value that can be copied. */
struct grammar {
    double seconds;        /* time that the tokens so far have covered */
    uint64_t time;         /* the same in steps: 10 ms, or the grid's; exact */
    uint8_t velocity;      /* performance: in force, 0 before the first VELOCITY */
    bool velocity_pending; /* performance: a VELOCITY waits for its NOTE_ON */
    int last_pitch;        /* pianoroll: highest key given in this step, -1 none */
    int onsets;            /* NOTE_ON (or newly sounding keys) so far */
    int sounding_count;
    bool sounding[128]; /* by pitch; pianoroll: in the step being written */
    bool before[128];   /* by pitch; performance: sounding since before this instant;
                                pianoroll: sounding in the step before */
};

/* Immutable; made once by encoding_create, freed with encoding_free. */
struct encoding {
    const char *name;          /* "performance" */
    size_t vocabulary;         /* tokens, END included */
    token end;                 /* == vocabulary - 1 */
    struct encoding_grid grid; /* pianoroll */
    bool has_frames;           /* every step of time is a frame of the literature's
                                  benchmarks, whose figure is nats per frame */
    double seconds_per_step;   /* performance: 0.01; pianoroll: of one STEP when
                                    decoded, at 120 beats a minute and 480 ticks a beat */
    double tokens_per_step;    /* over a whole piece, music doesn't come near to so many.
                                    performance: 10; the densest of 3600 files has 1.1.
                                    pianoroll: 44, half of the keys; the densest has 13 */

    /* Reads data.grid into a fresh copy of the table. NULL: it has no grid. STATUS_MISUSE
     * as encoding_create. */
    enum status (*configure)(struct encoding *self, const char *grid);

    /* True for a note that encode keeps: not for percussion, nor a pitch out of range. */
    bool (*keeps)(const struct encoding *self, const struct note *note);

    /* Appends the tokens of a piece, without END; nothing if it keeps none of the notes.
     * The notes are in notes_sort's order.
     * STATUS_FAILED without memory, or if the piece would take more than
     * ENCODING_TOKENS_MAX tokens; *out then holds what it held before. */
    enum status (*encode)(const struct encoding *self, const struct notes *notes,
                          struct tokens *out);

    /* Where the steps of encode's tokens lie in the file, in its ticks and fractions of
     * them: step n begins at first + n * length. NULL where steps are no ticks
     * (performance). STATUS_FAILED without memory. */
    enum status (*find_steps)(const struct encoding *self, const struct notes *notes,
                              double *first, double *length);

    /* Appends the notes of a token sequence, then sorts. Ticks are filled in for
     * ticks_per_beat 480 and 120 beats a minute. END is skipped. Malformed sequences are
     * read tolerantly: an off without on and a note without length are ignored, a second
     * on ends the first, a number outside the vocabulary is skipped, notes still sounding
     * end with the piece, and a step without its STEP is taken to have one. */
    enum status (*decode)(const struct encoding *self, const token *tokens, size_t count,
                          struct notes *out);

    /* "NOTE_ON 60", "NOTE_OFF 60", "TIME_SHIFT 100" (x 10 ms), "VELOCITY 31" (the bin),
     * "KEY 60" (the pitch), "STEP", "END" into text[size]. Returns text. */
    const char *(*token_name)(const struct encoding *self, token value, char *text,
                              size_t size);

    /* Seconds that the token moves time on: TIME_SHIFT, STEP; else 0. */
    double (*token_seconds)(const struct encoding *self, token value);

    /* Does the token make a sound: NOTE_ON, KEY? */
    bool (*token_sounds)(const struct encoding *self, token value);

    /* The grammar of well-formed sequences, token by token. It forbids
     * performance  NOTE_ON of a pitch that sounds, or before the first VELOCITY;
     *              NOTE_OFF of one that doesn't, or that began at the same instant; a
     *              VELOCITY that is in force, or when every pitch sounds; all but
     *              NOTE_ON behind a VELOCITY; END while a note sounds;
     * pianoroll    a key at or below the last of its step; END within a step. */
    void (*grammar_start)(const struct encoding *self, struct grammar *grammar);

    /* allowed[0..vocabulary): which tokens may follow so that the sequence stays well
     * formed. At least one token besides END is always allowed. */
    void (*grammar_allowed)(const struct encoding *self, const struct grammar *grammar,
                            bool *allowed);

    /* Takes any token; those that are not allowed as decode does. END leaves silence and
     * the state of a beginning behind, but time and onsets go on. */
    void (*grammar_accept)(const struct encoding *self, struct grammar *grammar,
                           token value);
};

/* `name` is "performance" or "pianoroll"; `grid` is read only by the pianoroll: "1/4"
 * (of a beat) or "120 ticks", terms from 1 to 10000, a fraction not finer than 1/480 of
 * a beat (decoded notes could not tell such steps apart). STATUS_MISUSE for another name
 * or grid. */
enum status encoding_create(const char *name, const char *grid, struct encoding **out);
/* The one that data.encoding and data.grid ask for; likewise. */
enum status encoding_of_options(const struct options *options, struct encoding **out);
void encoding_free(struct encoding *encoding); /* NULL is fine */

/* Fingerprint of every token's name and number, the encoding's name and its grid: a
 * checkpoint and a dataset fit together only if theirs are equal. */
uint64_t encoding_hash(const struct encoding *encoding);

/* How many notes a well-formed token sequence holds (pianoroll: runs of a sounding
 * key). */
size_t encoding_count_notes(const struct encoding *encoding, const token *tokens,
                            size_t count);

#endif
