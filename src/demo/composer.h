/* composer: draws four-voice pieces from a probabilistic model, with their exact
 * probability.
 *
 * The model is a simple chorale. A piece has one key and is a sequence of phrases. A
 * phrase consists of blocks of two beats, from the tonic through the subdominant and the
 * dominant to a cadence (full, or half on the dominant) and a rest; the last tonic is
 * held. Harmony: a Markov chain over chords, restricted by the function of each block.
 * Voice leading: the next voicing is drawn from those that obey the rules of part
 * writing; smoother ones are more probable. Rhythm: a block has one chord or two; in the
 * half beat before a chord one voice may have a passing or neighbour note.
 *
 * Every decision can be inferred from the notes, even from the set of keys that sound in
 * each half beat. So the probability of a piece is the product of the probabilities of
 * its decisions, and -log p is a lower bound for the expected loss of any model.
 *
 * The model is implemented as an automaton: a state has a list of choices with their
 * probabilities, and each choice leads to a next state. A chord's notes are final once
 * its successor has been decided.
 */
#ifndef TUTTI_DEMO_COMPOSER_H
#define TUTTI_DEMO_COMPOSER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "midi/notes.h"

enum { VOICE_BASS, VOICE_TENOR, VOICE_ALTO, VOICE_SOPRANO, COMPOSER_VOICES };

enum {
    COMPOSER_TICKS_PER_BEAT = 480,
    COMPOSER_TEMPO = 600000,    /* microseconds per beat */
    COMPOSER_FINAL_BEATS = 6,   /* the last chord */
    COMPOSER_CHOICES_MAX = 128, /* exceeds the number of choices of any state */
    COMPOSER_ORNAMENT_NONE = 0  /* else 1 + voice */
};

/* The model's tables: immutable, without parameters. */
struct composer;
enum status composer_create(struct composer **out);
void composer_free(struct composer *composer); /* NULL is fine */

/* The next decision. */
enum composer_stage {
    COMPOSER_KEY,      /* value: index of a key */
    COMPOSER_SLOT,     /* value: the next chord's slot in the phrase, and so its length */
    COMPOSER_CHORD,    /* value: kind of the next chord */
    COMPOSER_VOICING,  /* value: index of its voicing */
    COMPOSER_ORNAMENT, /* value: the voice that moves in the last half beat of the current
                          chord, plus 1; or COMPOSER_ORNAMENT_NONE */
    COMPOSER_END       /* nothing: the piece is complete */
};

struct composer_state { /* can be copied; {0} is the start of a piece */
    enum composer_stage stage;
    int key;
    int slot;    /* of the current chord; 0 before the first */
    int voicing; /* of the current chord */
    int next_slot, next_chord, next_voicing; /* if already decided */
};

/* The choices of a state: probabilities are positive and sum to 1. None at COMPOSER_END.
 */
struct composer_choices {
    int count;
    int value[COMPOSER_CHOICES_MAX];
    double probability[COMPOSER_CHOICES_MAX];
};
void composer_list_choices(const struct composer *composer,
                           const struct composer_state *state,
                           struct composer_choices *out);

/* Applies one of composer_choices' values; advances to the next state. */
void composer_choose(struct composer_state *state, int value);

/* The beats of a slot, including the rest (its last half beat). */
int composer_beats(int slot);
bool composer_ends_with_rest(int slot);

/* Pitches of a voicing, bass first, strictly ascending. */
const uint8_t *composer_pitches(const struct composer *composer, int voicing);

/* The pitch of voice `ornament - 1` in the last half beat of a chord followed by `next`.
 */
uint8_t composer_ornament_pitch(const struct composer *composer, int voicing, int next,
                                int ornament);

struct composition {        /* zero-initialise; free with notes_free(&c.notes) */
    struct notes notes;     /* one channel per voice, 0: soprano; constant velocity */
    double log_probability; /* of the piece, nats */
    double entropy; /* sum of the entropies of its decisions, nats: the expectation of
                        -log_probability */
};

/* Composes piece `piece` of `seed`, with random numbers (RNG_COMPOSE, piece, draw). */
enum status composer_compose(const struct composer *composer, uint64_t seed,
                             uint64_t piece, struct composition *out);

#endif
