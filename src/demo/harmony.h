/* harmony: the composer's chords, their voicings, and which voicing may follow which. */
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

/* Where in a phrase a chord stands. A phrase goes in blocks of two beats, each of one
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
    PLACE_TURN_LONG, /* deceptive: the dominant goes elsewhere than home */
    PLACE_TURN_FIRST,
    PLACE_TURN_SECOND,
    PLACE_HALF,  /* half cadence: the phrase stops on the dominant, and breathes */
    PLACE_CLOSE, /* full cadence, and a breath */
    PLACE_FINAL, /* full cadence, held to the end of the piece */
    PLACE_END,   /* no chord */
    PLACES
};

struct voicing {
    uint8_t pitch[COMPOSER_VOICES];
    uint8_t degree[COMPOSER_VOICES]; /* of the scale, 0-6 */
    uint8_t key, chord;
    bool stranded; /* a piece could not go on from it: not used */
};

struct harmony {
    int count;
    struct voicing *voicings;
    float *weight; /* [count][count]: of going from a voicing to another; 0: forbidden */
};

enum status harmony_create(struct harmony *out);
void harmony_free(struct harmony *harmony);

/* The probability that the place after `from` is `to`. */
double harmony_succession(enum place from, enum place to);

int harmony_beats(enum place place);
bool harmony_breathes(enum place place); /* the last half beat is a rest */

/* How readily chord `to` follows `from` in that place, as far as harmony goes. */
double harmony_progression(enum chord from, enum chord to, enum place place);

/* How much an opening chord likes to be voiced so. */
double harmony_opening_weight(const struct voicing *voicing);

/* The pitch between (voice moves by a third) or above (voice stays) that the voice can
 * touch on its way from one voicing to another; 0 if there is none. */
int harmony_ornament(const struct voicing *from, const struct voicing *to, int voice);

#endif
