/* composer: four-voice pieces drawn from a probabilistic rule, with their exact
 * probability.
 *
 * The rule is that of a plain chorale. A piece has one key. It is a row of pairs of
 * phrases, a question and an answer, each of eight beats in common time; the question
 * closes on the dominant (or on the sixth degree), the answer on the tonic, and the last
 * answer's tonic is held. Harmony: a Markov chain over chords, bent towards a cadence at
 * a phrase's end. Voice leading: the next voicing is drawn among those that keep the
 * rules of part writing, the smoother the more probable. Rhythm: chords of one or two
 * beats; on the half beat before a chord one voice may pass or turn.
 *
 * Every decision can be read off the notes, even off the set of keys that sound in each
 * half beat: so the probability of a piece is the product of its decisions'
 * probabilities, and -log p is the information that no model can do without.
 *
 * The rule as an automaton: a state has a list of choices with their probabilities;
 * choosing leads to the next state; a chord's notes are settled when its successor is.
 */
#ifndef TUTTI_COMPOSER_H
#define TUTTI_COMPOSER_H

#include <stdint.h>

#include "tutti/notes.h"
#include "tutti/status.h"

enum { VOICE_BASS, VOICE_TENOR, VOICE_ALTO, VOICE_SOPRANO, COMPOSER_VOICES };

enum {
    COMPOSER_TICKS = 480,      /* ticks per beat */
    COMPOSER_TEMPO = 600000,   /* microseconds per beat */
    COMPOSER_PHRASE_BEATS = 8, /* of which the last two are the goal chord */
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
    COMPOSER_KEY,      /* value: index of a key */
    COMPOSER_DURATION, /* value: beats of the next chord */
    COMPOSER_CHORD,    /* value: kind of the next chord */
    COMPOSER_VOICING,  /* value: index of its voicing */
    COMPOSER_ORNAMENT, /* value: the voice that moves in the last half beat of the present
                          chord, plus 1; or COMPOSER_ORNAMENT_NONE */
    COMPOSER_END       /* nothing: the piece is complete */
};

struct composer_state { /* a plain value; {0} is the start of a piece */
    enum composer_stage stage;
    int key;
    int beat;      /* of the phrase, where the next chord begins */
    int answering; /* 1 in the second phrase of a pair */
    int started;   /* 0 before the first chord */
    int voicing;   /* the present chord's */
    int next_duration, next_chord, next_voicing; /* as far as decided */
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
void composer_choose(const struct composer *composer, struct composer_state *state,
                     int value);

/* Pitches of a voicing, bass first, strictly ascending. */
const uint8_t *composer_pitches(const struct composer *composer, int voicing);
int composer_voicing_count(const struct composer *composer);

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
