/* onsets: what the encodings share. Notes on a whole-numbered grid, sets of pitches, and
 * the way back from steps to notes. */
#ifndef TUTTI_ENCODE_ONSETS_H
#define TUTTI_ENCODE_ONSETS_H

#include "encoding.h"

enum { PITCHES = 128 };

struct onset { /* a note on the grid; start < end, in steps from the piece's first note */
    uint32_t start, end;
    uint8_t pitch, velocity;
    uint16_t line; /* the instrument: port x 16 + channel */
};

struct onsets { /* by start; zero-initialise; free with onsets_free */
    struct onset *items;
    size_t count;
    uint32_t first; /* the step that onsets_settle has made step 0 */
};

enum { CHANNELS = 16 };

static inline uint16_t onset_line(const struct note *note)
{
    return (uint16_t)(note->port * CHANNELS + note->channel % CHANNELS);
}

/* Room for `capacity` onsets. */
enum status onsets_allocate(struct onsets *onsets, size_t capacity);

/* Puts the onsets into order and moves the first to step 0; its step was `first`. */
void onsets_settle(struct onsets *onsets);

/* Are there several instruments? */
bool onsets_layered(const struct onsets *onsets);

/* Ends each note where the same instrument strikes its pitch again. */
enum status onsets_cut(struct onsets *onsets);
void onsets_free(struct onsets *onsets);

/* The failure of a piece that is too long to be encoded. */
enum status encoding_too_long(const struct encoding *encoding, const struct notes *notes);

/* Appends a note that sounds from `start` to `end` seconds; none if that is no time. */
enum status decoded_note(struct notes *out, double start, double end, int pitch,
                         int velocity);

/* Sorts decoded notes and fills in their division. */
void decoded_finish(struct notes *out);

enum { PITCH_WORDS = PITCHES / 64 };

struct pitch_set {
    uint64_t words[PITCH_WORDS];
};

static inline bool pitch_set_empty(const struct pitch_set *set)
{
    return (set->words[0] | set->words[1]) == 0;
}

static inline bool pitch_set_has(const struct pitch_set *set, unsigned pitch)
{
    return (set->words[pitch >> 6] >> (pitch & 63)) & 1;
}

static inline void pitch_set_add(struct pitch_set *set, unsigned pitch)
{
    set->words[pitch >> 6] |= (uint64_t)1 << (pitch & 63);
}

static inline void pitch_set_remove(struct pitch_set *set, unsigned pitch)
{
    set->words[pitch >> 6] &= ~((uint64_t)1 << (pitch & 63));
}

/* Is there a pitch in both? */
static inline bool pitch_sets_meet(const struct pitch_set *a, const struct pitch_set *b)
{
    return ((a->words[0] & b->words[0]) | (a->words[1] & b->words[1])) != 0;
}

/* Takes the lowest pitch out of a set that is not empty. */
static inline unsigned pitch_set_take(struct pitch_set *set)
{
    unsigned word = set->words[0] == 0;
    unsigned pitch = word * 64 + (unsigned)__builtin_ctzll(set->words[word]);
    set->words[word] &= set->words[word] - 1;
    return pitch;
}

#endif
