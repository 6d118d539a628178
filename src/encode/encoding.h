/* encoding: notes <-> tokens. Each encoding is a file with a table of functions, which
 * also documents its vocabulary and rules (performance.c, pianoroll.c, remi.c).
 *
 * Each has one special token, END, whose value follows all others. It ends a piece and,
 * as the input before the first token, begins one. A stream of pieces is END p1 END p2
 * END ..., and the model's state is reset wherever its input is END.
 *
 * decode(encode(x)) equals x after applying the rules of the encoding. Performance and
 * pianoroll have these rules: Start and end are rounded to the nearest step of an absolute
 * time grid (halves up), so errors do not accumulate. A note whose length would round to 0
 * gets one step. Silence before the first note is dropped. Unless the encoding keeps
 * programs, the melody becomes a piece for one instrument, with program 0 and channel 0;
 * channel and port are lost in any case, and decoded notes have those of
 * instruments_assign_channels. Unless it keeps percussion (as marked in the notes), that
 * is dropped; kept, its program is lost. Decoded notes have track 0. The rules of remi are
 * in remi.c.
 *
 * An encoding receives notes (midi/notes.h), with tempo changes, time signatures and
 * track names, which performance and pianoroll ignore.
 *
 * Rules that callers rely on in every encoding:
 * - Time advances by whole grid steps: the sum of `advance` over a piece is grammar.time.
 * - The grammar limits the number of tokens at one instant, and always allows a token
 *   besides END; it does not depend on random numbers. After a few tokens that neither
 *   sound nor advance time, one that does is allowed.
 * - The tokens do not depend on the order of notes that begin in the same step.
 */
#ifndef TUTTI_ENCODE_ENCODING_H
#define TUTTI_ENCODE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tokens.h"
#include "base/options.h"
#include "base/status.h"
#include "base/token.h"
#include "midi/notes.h"

enum {
    ENCODING_TOKENS_MAX = 1 << 24, /* a piece with more is rejected */
    ENCODING_TOKEN_NAME = 32,      /* bytes of a token's name, with the final zero */
    ENCODING_TICKS_PER_BEAT = 480, /* of decoded notes */
    ENCODING_TEMPO = 500000, /* of decoded notes, microseconds per beat: 120 per minute */
    ENCODING_VELOCITY = 64,  /* of decoded notes without a velocity */
    GRAMMAR_NOTES = 256      /* that can sound at once in well-formed sequences */
};

/* The step of a pianoroll: a fraction of a beat, in lowest terms, or a number of ticks.
 */
struct encoding_grid {
    int numerator, denominator; /* of a beat; both 0 if ticks is set */
    int ticks;
};

/* The kinds of tokens of the remi encoding, in the order of their values. */
enum remi_kind {
    REMI_BAR,
    REMI_POSITION,
    REMI_TIME_SIGNATURE,
    REMI_TEMPO,
    REMI_PROGRAM,
    REMI_PITCH,
    REMI_DRUM,
    REMI_VELOCITY,
    REMI_DURATION,
    REMI_END,
    REMI_KINDS
};

/* The vocabulary of remi: tokens first[k] to first[k + 1] - 1 are of kind k. */
struct remi_vocabulary {
    token first[REMI_KINDS];
    int positions; /* a beat */
};

/* The state of remi's grammar. Times are in grid steps, 1/480 of a quarter note. */
struct remi_state {
    uint64_t bar;         /* start of the bar */
    uint64_t tempo_time;  /* of the last TEMPO, ... */
    double tempo_seconds; /* ... and the same in seconds */
    uint32_t tempo;       /* in force, microseconds per quarter note */
    int16_t tempo_value;  /* of the last TEMPO; -1: none */
    int16_t position;     /* the last POSITION of the bar; -1: none */
    uint16_t next_key;    /* lowest key that can begin: program * 128 + pitch */
    uint16_t key;         /* of the note being read */
    uint8_t velocity;     /* of the note being read: bin */
    uint8_t signature;    /* in force */
    uint8_t program;      /* of the note being read */
    uint8_t last;         /* enum remi_kind of the last token; REMI_END: no bar yet */
};

struct grammar_note {
    uint64_t started; /* value of `time` when it began */
    uint16_t key;     /* program * 128 + pitch */
    bool earlier;     /* it began before this instant */
};

/* The state of a piece so far, which determines the tokens that the sampler can draw
 * next. A plain value that can be copied. Callers read the members up to
 * `bars`; the others are private to the encodings, and a new encoding adds its own here. */
struct grammar {
    double seconds; /* by which the tokens so far advance time */
    int onsets; /* NOTE_ON and DRUM (or newly sounding keys, or complete notes) so far */

    uint64_t time;      /* seconds in grid steps: 10 ms, or the grid's; exact */
    uint64_t bar_end;   /* has_bars: of the current bar, in grid steps, and ... */
    uint64_t bar_steps; /* ... its length */
    int64_t bars;       /* has_bars: begun so far */
    int sounding_count;

    /* performance */
    uint8_t velocity;                         /* in force, 0 before the first VELOCITY */
    bool velocity_pending;                    /* a VELOCITY awaits its NOTE_ON or DRUM */
    bool program_pending;                     /* a PROGRAM awaits a NOTE_ON or NOTE_OFF */
    int program;                              /* in force, -1 before the first PROGRAM */
    uint64_t hit[2];                          /* bits: drums hit at this instant */
    struct grammar_note notes[GRAMMAR_NOTES]; /* [sounding_count], in any order */

    /* pianoroll, by pitch */
    int last_key;        /* highest key of this step so far, -1: none */
    bool repeat_pending; /* a REPEAT awaits its key */
    bool sounding[128];
    uint64_t started[128];     /* value of `time` when the sounding key began */
    bool sounding_before[128]; /* in the previous step */

    struct remi_state remi;
};

struct music_request; /* request.h */

/* Immutable; created by encoding_create, freed with encoding_free. */
struct encoding {
    const char *name;          /* "performance" */
    size_t vocabulary;         /* tokens, including END */
    token end;                 /* == vocabulary - 1 */
    struct encoding_grid grid; /* pianoroll */
    bool keeps_programs;       /* of [data]; false: one instrument */
    bool keeps_drums;          /* false: percussion is left out */
    struct remi_vocabulary remi;
    struct bpe *bpe; /* merged tokens, see bpe.h; NULL: none */
    bool repeats;    /* pianoroll: data.repeats */
    bool has_frames; /* each token that advances time ends one frame, and `evaluate` also
                      * reports nats per frame (as Boulanger-Lewandowski et al., 2012; with
                      * data.repeats they include which keys are struck again) */
    bool has_bars;   /* grid steps are ticks of decoded notes, in bars */
    bool has_tempos; /* tokens set the tempo */

    /* performance: 0.01; pianoroll: of a decoded STEP, at 120 beats per minute; remi: a
     * tick at 120 beats per minute (its tokens can change the tempo) */
    double seconds_per_grid_step;
    /* Limits the tokens of a generated piece (sampler.h), so it must be far above the
     * average of any music. performance: 10; the densest of 3600 files has 1.1.
     * pianoroll: 44, half of the keys; the densest has 13. remi: 2, or 1920 a second. */
    double tokens_per_grid_step;

    /* Applies the settings of [data] to a new copy of the table. NULL if the encoding has
     * none. STATUS_MISUSE for invalid settings. */
    enum status (*configure)(struct encoding *self, const struct options *options);

    /* True if the note is encoded; false for percussion and a pitch out of range. */
    bool (*encodes_note)(const struct encoding *self, const struct note *note);

    /* Appends the tokens of a piece, without END; nothing if no note is encoded. `notes`
     * must be in the order of notes_sort. STATUS_FAILED if out of memory, or if the piece
     * would have more than ENCODING_TOKENS_MAX tokens; *out is then unchanged. */
    enum status (*encode)(const struct encoding *self, const struct notes *notes,
                          struct tokens *out);

    /* The position of encode's grid steps in the file, in ticks, possibly fractional:
     * step n begins at first + n * length. NULL if a step has no fixed length in ticks
     * (performance), or if the tokens have the tempo (remi). STATUS_FAILED if out of
     * memory. */
    enum status (*find_grid_steps)(const struct encoding *self, const struct notes *notes,
                                   double *first, double *length);

    /* Appends the notes of a token sequence, then sorts. Ticks are computed for 480 ticks
     * per beat and 120 beats per minute, or the tempo changes in the tokens (remi), which
     * are stored, as are time signatures. END is skipped. Malformed sequences are
     * accepted: a note-off without a note-on and a note of zero length are ignored, a
     * second note-on ends the first note, values outside the vocabulary are skipped,
     * notes still sounding end with the piece, and an incomplete last step is
     * completed; remi skips all that its grammar forbids.
     *
     * The notes of the first `skip` tokens, which the others continue, are left out, even
     * if they still sound (in the pianoroll, such a key begins at 0); time 0 is that of
     * tokens[skip]. */
    enum status (*decode)(const struct encoding *self, const token *tokens, size_t count,
                          size_t skip, struct notes *out);

    /* Writes the token's name, such as "NOTE_ON 60", to text[size]. Names are unique and
     * shorter than ENCODING_TOKEN_NAME bytes. Returns text. */
    const char *(*token_name)(const struct encoding *self, token value, char *text,
                              size_t size);

    /* The grid steps by which the token (TIME_SHIFT, STEP, BAR) would advance time in this
     * state, 0 for others. With has_frames or longest_shift they depend on the token
     * alone, and `grammar` may be NULL. */
    uint64_t (*advance)(const struct encoding *self, const struct grammar *grammar,
                        token value);

    /* True if the token starts or continues a sound: NOTE_ON, DRUM, KEY, PITCH,
     * PITCH_DRUM. */
    bool (*token_sounds)(const struct encoding *self, token value);

    /* The MIDI pitch of a token that sounds, -1 for percussion, merged and other tokens. */
    int (*token_pitch)(const struct encoding *self, token value);

    /* The same as encoding_count_notes by the grammar, but faster. NULL if there is no
     * faster way. */
    size_t (*count_notes)(const struct encoding *self, const token *tokens, size_t count);

    /* The token with its pitch `semitones` higher; tokens without a pitch are returned
     * unchanged, and so must those of percussion be, if an encoding has them. `end` if
     * the encoding does not have that pitch. The tokens of a piece, transposed by the
     * same interval, are well formed and decode to its notes transposed. NULL, as the
     * next two functions, if the encoding has merged tokens (bpe.h). */
    token (*transpose)(const struct encoding *self, token value, int semitones);

    /* The token with its velocity `bins` higher; tokens without a velocity are returned
     * unchanged. `end` if there is no such bin. NULL if the encoding has no velocities.
     * The tokens of a piece, shifted by the same bins, are well formed. */
    token (*shift_velocity)(const struct encoding *self, token value, int bins);

    /* The token that advances time by the most grid steps, but by no more than `steps`,
     * which is positive. NULL if the encoding has no times that could be stretched
     * (pianoroll: its steps are parts of a beat). */
    token (*longest_shift)(const struct encoding *self, uint64_t steps);

    /* The grammar of well-formed sequences, token by token. Starts a piece. */
    void (*grammar_start)(const struct encoding *self, struct grammar *grammar);

    /* allowed[0..vocabulary): the tokens that keep the sequence well formed. At least one
     * token besides END is always allowed. */
    void (*grammar_allowed)(const struct encoding *self, const struct grammar *grammar,
                            bool *allowed);

    /* Ends notes that have sounded for `longest` seconds (> 0) or more. Of allowed[0..
     * vocabulary), as set by grammar_allowed, clears all but the tokens that end such
     * notes, or select their program, if there are any (performance), or the tokens that
     * continue them (pianoroll), or all longer durations (remi). At least one token
     * remains allowed, and a note lasts for less than `longest` seconds and one token that
     * advances time. */
    void (*grammar_end_long_notes)(const struct encoding *self,
                                   const struct grammar *grammar, double longest,
                                   bool *allowed);

    /* Of allowed[0..vocabulary), as set by grammar_allowed, clears the tokens that lead to
     * what is not requested (see request.h): a TIME_SIGNATURE other than the requested
     * one; a TEMPO other than the nearest one; notes of other programs, and their
     * PROGRAMs unless they end a note. It may clear all, where a primer has begun such a
     * note. NULL if the encoding has no such tokens. */
    void (*grammar_restrict)(const struct encoding *self, const struct grammar *grammar,
                             const struct music_request *request, bool *allowed);

    /* Accepts any token; tokens that are not allowed are interpreted as by decode. After
     * END the state is that of a new piece, with no note sounding, except that seconds,
     * time and onsets continue. */
    void (*grammar_accept)(const struct encoding *self, struct grammar *grammar,
                           token value);
};

/* Creates the encoding that the settings of [data] select. STATUS_MISUSE for settings
 * that it does not accept. */
enum status encoding_from_options(const struct options *options, struct encoding **out);

/* Creates the encoding `name`, such as "performance", with defaults for all settings but
 * data.grid (NULL: default). STATUS_MISUSE for an unknown name or an invalid grid. */
enum status encoding_create(const char *name, const char *grid, struct encoding **out);
void encoding_free(struct encoding *encoding); /* NULL is fine */

/* Fingerprint of every token's name and value, the encoding's name, its grid and its
 * merges. A checkpoint and a dataset are compatible only if their fingerprints are equal. */
uint64_t encoding_hash(const struct encoding *encoding);

/* The number of notes of a token sequence: grammar.onsets (pianoroll: runs of a sounding
 * key). */
size_t encoding_count_notes(const struct encoding *encoding, const token *tokens,
                            size_t count);

/* The notes that an encoding leaves out, or merges with another one. With the notes of the
 * tokens they add up to those of the piece. */
struct lost_notes {
    uint64_t percussion;   /* left out */
    uint64_t out_of_range; /* left out: other notes that encodes_note rejects */
    /* Notes of a pitch that begin together or, with the pianoroll without data.repeats,
     * overlap or follow without a gap; one of them is not counted. */
    uint64_t merged;
};

/* Adds the notes that were lost when `notes` were encoded as tokens[count]. */
void encoding_count_lost(const struct encoding *encoding, const struct notes *notes,
                         const token *tokens, size_t count, struct lost_notes *lost);
void lost_notes_add(struct lost_notes *sum, const struct lost_notes *lost);

#endif
