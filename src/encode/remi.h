/* remi: shared by remi*.c. The encoding is described in remi.c.
 *
 * Internal times are in grid steps of 1/480 quarter note, which all positions of all
 * metres are multiples of. */
#ifndef TUTTI_ENCODE_REMI_H
#define TUTTI_ENCODE_REMI_H

#include "onsets.h"
#include "request.h"

enum {
    REMI_QUARTER = ENCODING_TICKS_PER_BEAT, /* grid steps */
    REMI_TEMPOS = 32,
    REMI_TIME_SIGNATURES = 4 + 12 + 16,
    REMI_VELOCITIES = 32,
    REMI_DRUMS = 128,                       /* the program number of percussion */
    REMI_KEYS = (REMI_DRUMS + 1) * PITCHES, /* program * 128 + pitch */
    REMI_COMMON_TIME = 4 + 3                /* the time signature 4/4 */
};

/* ---- remi_vocabulary.c ---- */

/* encoding.configure */
enum status remi_configure(struct encoding *self, const struct options *options);

/* encoding.token_name */
const char *remi_token_name(const struct encoding *self, token value, char *text,
                            size_t size);

/* The kind of a token; REMI_KINDS if it is not in the vocabulary. */
enum remi_kind remi_kind_of(const struct encoding *encoding, token value);

static inline int remi_count(const struct encoding *encoding, enum remi_kind kind)
{
    return encoding->remi.first[kind + 1] - encoding->remi.first[kind];
}

static inline bool remi_has(const struct encoding *encoding, enum remi_kind kind)
{
    return remi_count(encoding, kind) > 0;
}

/* A tempo of the vocabulary, 0 (slowest) to REMI_TEMPOS - 1, in microseconds per quarter
 * note; and the one nearest to a tempo in this unit. */
uint32_t remi_tempo(int index);
int remi_nearest_tempo(uint32_t tempo);

/* A time signature of the vocabulary, and the number of one; -1 if it is not in the
 * vocabulary and has no equally long bar there. */
struct remi_time_signature {
    uint8_t numerator, denominator_log2;
};
struct remi_time_signature remi_time_signature(int index);
int remi_find_time_signature(unsigned numerator, unsigned denominator_log2);

/* The length in grid steps of a position and of a bar in a time signature. */
uint32_t remi_position_length(const struct encoding *encoding, int signature);
uint32_t remi_bar_length(int signature);

/* The duration number `index` in positions, and the nearest one to a duration. */
int remi_duration(const struct encoding *encoding, int index);
int remi_nearest_duration(const struct encoding *encoding, uint64_t positions);

/* ---- remi_encode.c: functions of the table ---- */

bool remi_encodes_note(const struct encoding *self, const struct note *note);
enum status remi_encode(const struct encoding *self, const struct notes *notes,
                        struct tokens *out);
enum status remi_find_grid_steps(const struct encoding *self, const struct notes *notes,
                                 double *first, double *length);

/* ---- remi_decode.c ---- */

enum status remi_decode(const struct encoding *self, const token *tokens, size_t count,
                        size_t skip, struct notes *out);

/* ---- remi_grammar.c ---- */

void remi_grammar_start(const struct encoding *self, struct grammar *grammar);
void remi_grammar_allowed(const struct encoding *self, const struct grammar *grammar,
                          bool *allowed);
void remi_grammar_end_long_notes(const struct encoding *self,
                                 const struct grammar *grammar, double longest,
                                 bool *allowed);
void remi_grammar_restrict(const struct encoding *self, const struct grammar *grammar,
                           const struct music_request *request, bool *allowed);
void remi_grammar_accept(const struct encoding *self, struct grammar *grammar,
                         token value);
uint64_t remi_advance(const struct encoding *self, const struct grammar *grammar,
                      token value);

/* True if the grammar allows the token, which is of this kind. */
bool remi_allows(const struct encoding *encoding, const struct grammar *grammar,
                 enum remi_kind kind, token value);

#endif
