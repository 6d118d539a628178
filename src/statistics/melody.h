/* melody: the highest line of a piece, and its groups of consecutive notes.
 *
 * The melody is the skyline of a piece (Uitdenbogerd and Zobel, "Manipulation of music
 * for melody matching", ACM Multimedia 1998): of all notes that begin together, the
 * highest. Percussion is left out. Notes begin together if they begin within
 * NOTES_CHORD_SECONDS of the first of them.
 */
#ifndef TUTTI_STATISTICS_MELODY_H
#define TUTTI_STATISTICS_MELODY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "midi/notes.h"

enum { MELODY_GROUP = 8 }; /* notes */

/* Zero-initialise; may be reused: it keeps its memory until melody_free. */
struct melody {
    double *onsets;   /* [count] seconds, of the first note that begins there */
    uint8_t *pitches; /* [count] */
    size_t count;
    /* [group_count], max(0, count - MELODY_GROUP + 1): group i is the notes i to i +
     * MELODY_GROUP - 1, as a hash of the intervals between them. So a transposed group is
     * the same group. */
    uint64_t *groups;
    size_t group_count;
    size_t onset_capacity, pitch_capacity, group_capacity;
};

/* Replaces the contents of *melody. `notes` are in the order of notes_sort. STATUS_FAILED
 * only if out of memory. */
enum status melody_extract(const struct notes *notes, struct melody *melody);
void melody_free(struct melody *melody);

#endif
