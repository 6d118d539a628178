/* composer: four-voice pieces drawn from a probabilistic rule, with their exact
 * probability.
 *
 * The rule is that of a plain chorale. A piece has one key and is a row of phrases; a
 * phrase goes in blocks of two beats from the tonic over the subdominant and the dominant
 * to a cadence and a breath: a full cadence, or a half one on the dominant; the last
 * tonic is held. Harmony: a Markov chain over chords, within what a block's function
 * allows. Voice leading: the next voicing is drawn among those that keep the rules of
 * part writing, the smoother the more probable. Rhythm: a block is one chord or two; in
 * the half beat before a chord one voice may pass or turn.
 *
 * Every decision can be read off the notes, even off the set of keys that sound in each
 * half beat: so the probability of a piece is the product of its decisions'
 * probabilities, and -log p is the information that no model can do without.
 *
 * The rule as an automaton: a state has a list of choices with their probabilities;
 * choosing leads to the next state; a chord's notes are settled when its successor is.
 */
#ifndef TUTTI_DEMO_COMPOSER_H
#define TUTTI_DEMO_COMPOSER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "midi/notes.h"

enum { VOICE_BASS, VOICE_TENOR, VOICE_ALTO, VOICE_SOPRANO, COMPOSER_VOICES };

enum {
    COMPOSER_TICKS = 480,      /* ticks per beat */
    COMPOSER_TEMPO = 600000,   /* microseconds per beat */
    COMPOSER_FINAL_BEATS = 6,  /* the last chord */
    COMPOSER_CHOICES = 128,    /* more than any state has */
    COMPOSER_ORNAMENT_NONE = 0 /* else 1 + voice */
};

/* The rule's tables: immutable, made once, the same always. */
struct composer;
enum status composer_create(struct composer **out);
void composer_free(struct composer *composer); /* NULL is fine */

/* What is decided next. */
enum composer_stage {
    COMPOSER_KEY,     /* value: index of a key */
    COMPOSER_PLACE,   /* value: the next chord's place in the phrase, and so its length */
    COMPOSER_CHORD,   /* value: kind of the next chord */
    COMPOSER_VOICING, /* value: index of its voicing */
    COMPOSER_ORNAMENT, /* value: the voice that moves in the last half beat of the present
                          chord, plus 1; or COMPOSER_ORNAMENT_NONE */
    COMPOSER_END       /* nothing: the piece is complete */
};

struct composer_state { /* a plain value; {0} is the start of a piece */
    enum composer_stage stage;
    int key;
    int place;   /* the present chord's; 0 before the first */
    int voicing; /* the present chord's */
    int next_place, next_chord, next_voicing; /* as far as decided */
};

/* The choices of a state: probabilities are positive and sum to 1. None at COMPOSER_END.
 */
struct composer_choices {
    int count;
    int value[COMPOSER_CHOICES];
    double probability[COMPOSER_CHOICES];
};
void composer_choices(const struct composer *composer, const struct composer_state *state,
                      struct composer_choices *out);

/* Makes one of composer_choices' values true and goes to the next state. */
void composer_choose(struct composer_state *state, int value);

/* Of a place: beats, the breath (half a beat at the end of them) included. */
int composer_beats(int place);
bool composer_breathes(int place);

/* Pitches of a voicing, bass first, strictly ascending. */
const uint8_t *composer_pitches(const struct composer *composer, int voicing);

/* The pitch that voice `ornament - 1` has in the last half beat of a chord before `next`.
 */
uint8_t composer_ornament_pitch(const struct composer *composer, int voicing, int next,
                                int ornament);

struct composition {        /* zero-initialise; free with notes_free(&c.notes) */
    struct notes notes;     /* one channel a voice, 0 the soprano's; constant velocity */
    double log_probability; /* of the piece, nats */
    double expected; /* sum over its decisions of the entropy of what could have been
                        decided: on average -log_probability */
};

/* Composes piece number `piece` of `seed`: random numbers are (RNG_COMPOSE, piece, draw).
 */
enum status composer_compose(const struct composer *composer, uint64_t seed,
                             uint64_t piece, struct composition *out);

#endif
