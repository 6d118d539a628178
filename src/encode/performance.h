/* performance: the vocabulary of the performance encoding, shared by its sources:
 * performance.c (its rules, the plain encoder, tokens), performance_instruments.c (the
 * encoder with PROGRAM or DRUM tokens), performance_decode.c, performance_grammar.c. */
#ifndef TUTTI_ENCODE_PERFORMANCE_H
#define TUTTI_ENCODE_PERFORMANCE_H

#include "onsets.h"
#include "request.h"

enum {
    NOTE_ON = 0,
    NOTE_OFF = 128,
    TIME_SHIFT = 256, /* by 1 */
    SHIFT_MAX = 100,
    VELOCITY = TIME_SHIFT + SHIFT_MAX,
    VELOCITY_BINS = 32,
    BIN_WIDTH = 4,
    PLAIN_TOKENS = VELOCITY + VELOCITY_BINS, /* PROGRAM, DRUM and END follow */
    STEPS_PER_SECOND = 100,
    NO_BIN = -1,

    MIDI_PROGRAMS = 128,
    PERCUSSION = MIDI_PROGRAMS, /* the instrument of all percussion */
    INSTRUMENTS,
    NO_PROGRAM = -1,
    DRUM_STEPS = 10 /* length of a decoded hit */
};

#define NEVER UINT32_MAX

static inline int velocity_bin(unsigned velocity)
{
    return (int)(velocity - (velocity > 0)) / BIN_WIDTH;
}

static inline int bin_velocity(int bin)
{
    return bin * BIN_WIDTH + 2;
}

/* The first of MIDI_PROGRAMS tokens, if the encoding has them. */
enum { PROGRAM = PLAIN_TOKENS };

/* The first of PITCHES tokens, if the encoding has them. */
static inline int first_drum(const struct encoding *self)
{
    return PROGRAM + (self->keeps_programs ? MIDI_PROGRAMS : 0);
}

static inline bool is_drum(const struct encoding *self, token value)
{
    return self->keeps_drums && value >= first_drum(self) && value < self->end;
}

/* What a token means. */
struct performance_event {
    enum {
        EVENT_NOTE_ON,
        EVENT_NOTE_OFF,
        EVENT_TIME_SHIFT,
        EVENT_VELOCITY,
        EVENT_PROGRAM,
        EVENT_DRUM,
        EVENT_END,
        EVENT_UNKNOWN
    } kind;
    int number; /* pitch, steps, bin, program, pitch, 0, or the token's value */
};
struct performance_event performance_event_of(const struct encoding *self, token value);

/* Writes the TIME_SHIFTs that advance time by `gap` steps; returns the end. */
static inline token *performance_write_shifts(token *at, uint32_t gap)
{
    for (; gap >= SHIFT_MAX; gap -= SHIFT_MAX)
        *at++ = TIME_SHIFT + SHIFT_MAX - 1;
    if (gap)
        *at++ = (token)(TIME_SHIFT + gap - 1);
    return at;
}

/* The onsets of the notes that the encoding has, normalised, with their instruments as
 * programs. Free with onsets_free, even after a failure. */
enum status performance_quantise(const struct encoding *self, const struct notes *notes,
                                 struct onsets *onsets);

/* As documented in struct encoding. */
enum status performance_encode_instruments(const struct encoding *self,
                                           const struct notes *notes, struct tokens *out);
enum status performance_decode(const struct encoding *self, const token *tokens,
                               size_t count, size_t skip, struct notes *out);
void performance_grammar_start(const struct encoding *self, struct grammar *grammar);
void performance_grammar_allowed(const struct encoding *self,
                                 const struct grammar *grammar, bool *allowed);
void performance_grammar_end_long_notes(const struct encoding *self,
                                        const struct grammar *grammar, double longest,
                                        bool *allowed);
void performance_grammar_restrict(const struct encoding *self,
                                  const struct grammar *grammar,
                                  const struct music_request *request, bool *allowed);
void performance_grammar_accept(const struct encoding *self, struct grammar *grammar,
                                token value);

#endif
