/* encoding: notes <-> tokens, one file per encoding behind one table of functions.
 *
 * performance  388 events (Oore et al., "This time with feeling", 2018, as in Performance
 *              RNN): NOTE_ON 0-127, NOTE_OFF 128-255, TIME_SHIFT 256-355 (1-100 x 10 ms),
 *              VELOCITY 356-387 (bin (v-1)/4, only on change, before NOTE_ON).
 * pianoroll    88 keys (A0 = 21 to C8 = 108) on a grid: the sounding keys 0-87 of a step in
 *              ascending order, then STEP (88).
 *
 * Each has one special token behind the rest, END: it ends a piece, and as the input before
 * the first token it begins one. A stream of pieces is END p1 END p2 END ..., and the model's
 * state is cleared wherever its input is END.
 */
#ifndef TUTTI_ENCODING_H
#define TUTTI_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tutti/notes.h"
#include "tutti/status.h"

typedef uint16_t token;

struct tokens { /* zero-initialise; free with tokens_free */
    token *items;
    size_t count, capacity;
};

enum status tokens_append(struct tokens *tokens, token value);
void tokens_free(struct tokens *tokens);

/* The pianoroll's step: a fraction of a beat, or a number of ticks. */
struct encoding_grid {
    int numerator, denominator; /* of a beat; both 0 when ticks is set */
    int ticks;
};

/* What a piece sounds like so far, for the sampler: which tokens may come next. A plain
 * value that can be copied. */
struct grammar {
    double seconds;          /* time that the tokens so far have covered */
    uint8_t velocity;        /* performance: in force, 0 before the first VELOCITY */
    bool velocity_pending;   /* performance: a VELOCITY waits for its NOTE_ON */
    int last_pitch;          /* pianoroll: highest key given in this step, -1 none */
    int onsets;              /* NOTE_ON (or newly sounding keys) so far */
    int sounding_count;
    bool sounding[128];      /* by pitch; pianoroll: in the step being written */
    bool before[128];        /* pianoroll: sounding in the step before */
};

/* Immutable; made once by encoding_create, freed with encoding_free. */
struct encoding {
    const char *name;            /* "performance" */
    size_t vocabulary;           /* tokens, END included */
    token end;                   /* == vocabulary - 1 */
    struct encoding_grid grid;   /* pianoroll */
    double seconds_per_step;     /* pianoroll: of one STEP when decoded (120 beats a minute
                                    when the grid is a fraction of a beat) */

    /* Appends the tokens of a piece, without END. The notes are in notes_sort's order. */
    enum status (*encode)(const struct encoding *self, const struct notes *notes,
                          struct tokens *out);

    /* Appends the notes of a token sequence (END is skipped; malformed sequences are read
     * tolerantly: an off without on is ignored, notes still sounding end with the piece),
     * then sorts. Ticks are filled in for ticks_per_beat 480 and 120 beats a minute. */
    enum status (*decode)(const struct encoding *self, const token *tokens, size_t count,
                          struct notes *out);

    /* "NOTE_ON 60", "STEP", "END" into text[size]. Returns text. */
    const char *(*token_name)(const struct encoding *self, token value, char *text,
                              size_t size);

    /* Seconds that the token moves time on: TIME_SHIFT, STEP; else 0. */
    double (*token_seconds)(const struct encoding *self, token value);

    /* The grammar of well-formed sequences, token by token. */
    void (*grammar_start)(const struct encoding *self, struct grammar *grammar);

    /* allowed[0..vocabulary): which tokens may follow so that the sequence stays well
     * formed. END is allowed only when nothing is sounding or pending. At least one token
     * is always allowed. */
    void (*grammar_allowed)(const struct encoding *self, const struct grammar *grammar,
                            bool *allowed);
    void (*grammar_accept)(const struct encoding *self, struct grammar *grammar,
                           token value);
};

/* `name` is "performance" or "pianoroll"; `grid` ("1/4", "120 ticks") is read only by the
 * pianoroll. STATUS_MISUSE for a grid that is malformed or not positive. */
enum status encoding_create(const char *name, const char *grid, struct encoding **out);
void encoding_free(struct encoding *encoding);

/* Fingerprint of every token's name and number, the encoding's name and its grid: a
 * checkpoint and a dataset fit together only if theirs are equal. */
uint64_t encoding_hash(const struct encoding *encoding);

/* How many notes a token sequence holds (pianoroll: runs of a sounding key). */
size_t encoding_count_notes(const struct encoding *encoding, const token *tokens,
                            size_t count);

#endif
