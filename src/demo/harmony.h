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

enum { KEYS = 2 };

/* A chord's position in its phrase. A phrase consists of two-beat blocks, each with one
 * function: tonic (OPEN, TURN), subdominant (LEAD), dominant (DRIVE), close. A block is
 * one LONG chord, or a FIRST and a SECOND one. */
enum place {
    PLACE_NONE, /* before the piece */
    PLACE_OPEN_LONG,
    PLACE_OPEN_FIRST,
    PLACE_OPEN_SECOND,
    PLACE_LEAD_LONG,
    PLACE_LEAD_FIRST,
    PLACE_LEAD_SECOND,
    PLACE_DRIVE_LONG,
    PLACE_DRIVE_FIRST,
    PLACE_DRIVE_SECOND,
    PLACE_TURN_LONG, /* deceptive cadence */
    PLACE_TURN_FIRST,
    PLACE_TURN_SECOND,
    PLACE_HALF,  /* half cadence: the phrase ends on the dominant, with a breath */
    PLACE_CLOSE, /* full cadence, and a breath */
    PLACE_FINAL, /* full cadence, held to the end of the piece */
    PLACE_END,   /* no chord */
    PLACES
};

struct voicing {
    uint8_t pitch[COMPOSER_VOICES];
    uint8_t degree[COMPOSER_VOICES]; /* of the scale, 0-6 */
    uint8_t key, chord;
    bool stranded; /* unused, because a piece could not continue from it */
};

struct harmony {
    int count;
    struct voicing *voicings;
    float *weight; /* [count][count]: of the transition [from][to]; 0: forbidden */
};

enum status harmony_create(struct harmony *out);
void harmony_free(struct harmony *harmony);

/* The probability that the place after `from` is `to`. */
double harmony_succession(enum place from, enum place to);

int harmony_beats(enum place place);
bool harmony_breathes(enum place place); /* the last half beat is a rest */

/* Weight of chord `to` following `from` in that place, regardless of voicings. */
double harmony_progression(enum chord from, enum chord to, enum place place);

/* Weight of the voicing for an opening chord. */
double harmony_opening_weight(const struct voicing *voicing);

/* The pitch of the voice's ornament between two voicings: the passing note if the voice
 * moves by a third, the upper neighbour if it is the soprano and stays; 0 if there is
 * none. */
int harmony_ornament(const struct voicing *from, const struct voicing *to, int voice);

#endif
