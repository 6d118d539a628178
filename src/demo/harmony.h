/* harmony: the composer's chords, their voicings, and the transitions between voicings.
 */
#ifndef TUTTI_DEMO_HARMONY_H
#define TUTTI_DEMO_HARMONY_H

#include <stdbool.h>
#include <stdint.h>

#include "composer.h"
#include "base/status.h"

/* Named as in figured bass: 6 is the first inversion, SIX_FOUR the cadential one. */
enum chord {
    CHORD_I,
    CHORD_I6,
    CHORD_II6,
    CHORD_IV,
    CHORD_V,
    CHORD_V6,
    CHORD_V7,
    CHORD_VI,
    CHORD_VII6,
    CHORD_SIX_FOUR,
    CHORDS
};

enum { HARMONY_KEYS = 2 };

/* A chord's position in its phrase. A phrase consists of two-beat blocks, each with one
 * function: TONIC, SUBDOMINANT, DOMINANT, DECEPTIVE (a substitute for the tonic) or a
 * cadence. A block is one LONG chord, or a FIRST and a SECOND one. */
enum slot {
    SLOT_NONE, /* before the piece */
    SLOT_TONIC_LONG,
    SLOT_TONIC_FIRST,
    SLOT_TONIC_SECOND,
    SLOT_SUBDOMINANT_LONG,
    SLOT_SUBDOMINANT_FIRST,
    SLOT_SUBDOMINANT_SECOND,
    SLOT_DOMINANT_LONG,
    SLOT_DOMINANT_FIRST,
    SLOT_DOMINANT_SECOND,
    SLOT_DECEPTIVE_LONG,
    SLOT_DECEPTIVE_FIRST,
    SLOT_DECEPTIVE_SECOND,
    SLOT_HALF_CADENCE, /* the phrase ends on the dominant, with a rest */
    SLOT_FULL_CADENCE, /* the phrase ends on the tonic, with a rest */
    SLOT_FINAL,        /* full cadence, held to the end of the piece */
    SLOT_END,          /* no chord */
    SLOTS
};

struct voicing {
    uint8_t pitch[COMPOSER_VOICES];
    uint8_t degree[COMPOSER_VOICES]; /* of the scale, 0-6 */
    uint8_t key, chord;
    bool is_dead_end; /* unused, because a piece could not continue from it */
};

struct harmony {
    int count;
    struct voicing *voicings;
    float *weight; /* [count][count]: of the transition [from][to]; 0: forbidden */
};

enum status harmony_create(struct harmony *out);
void harmony_free(struct harmony *harmony);

/* The probability that the slot after `from` is `to`. */
double harmony_slot_probability(enum slot from, enum slot to);

int harmony_beats(enum slot slot);
bool harmony_ends_with_rest(enum slot slot); /* the last half beat is a rest */

/* Weight of chord `to` following `from` in that slot, regardless of voicings. */
double harmony_progression_weight(enum chord from, enum chord to, enum slot slot);

/* Weight of the voicing for an opening chord. */
double harmony_opening_weight(const struct voicing *voicing);

/* The pitch of the voice's ornament between two voicings: the passing note if the voice
 * moves by a third, the upper neighbour if it is the soprano and stays; 0 if there is
 * none. */
int harmony_ornament_pitch(const struct voicing *from, const struct voicing *to,
                           int voice);

#endif
