/* harmony: the composer's chords, their voicings, and which voicing may follow which. */
#ifndef TUTTI_PLAY_HARMONY_H
#define TUTTI_PLAY_HARMONY_H

#include <stdbool.h>
#include <stdint.h>

#include "tutti/composer.h"
#include "tutti/status.h"

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

/* Where in the phrase a chord stands. */
enum role {
    ROLE_FREE,
    ROLE_PREPARE,     /* before the dominant of a full cadence */
    ROLE_DOMINANT,    /* of a full cadence */
    ROLE_GOAL_OPEN,   /* last chord of a question */
    ROLE_GOAL_CLOSED, /* last chord of an answer */
    ROLES
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

/* How readily `to` follows `from` in that role, as far as harmony goes. */
double harmony_progression(enum chord from, enum chord to, enum role role);

/* How much an opening chord likes to be voiced so. */
double harmony_opening_weight(const struct voicing *voicing);

/* The pitch between (voice moves by a third) or above (voice stays) that the voice can
 * touch on its way from one voicing to another; 0 if there is none. */
int harmony_ornament(const struct voicing *from, const struct voicing *to, int voice);

#endif
