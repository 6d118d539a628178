/* onsets: shared by the encodings. Notes on an integer grid, decoded notes, and sets of
 * pitches. */
#ifndef TUTTI_ENCODE_ONSETS_H
#define TUTTI_ENCODE_ONSETS_H

#include "encoding.h"

enum { PITCHES = 128 };

struct onset { /* a note on the grid; start < end, in steps from the piece's first note */
    uint32_t start, end;
    uint8_t pitch; /* MIDI pitch, or the encoding's key number */
    uint8_t velocity;
    uint16_t instrument; /* port x 16 + channel */
    uint8_t program;     /* performance: 0 to 127, or PERCUSSION */
};

struct onsets { /* sorted by start; zero-initialise; free with onsets_free */
    struct onset *items;
    size_t count;
    uint32_t offset; /* original step of step 0; see onsets_normalise */
};

enum { CHANNELS = 16 };

static inline uint16_t onset_instrument(const struct note *note)
{
    return (uint16_t)(note->port * CHANNELS + note->channel % CHANNELS);
}

/* Allocates `capacity` onsets. */
enum status onsets_allocate(struct onsets *onsets, size_t capacity);

/* Sorts the onsets by start (in any order within a step) and shifts them, so that the
 * first is at step 0; `offset` is set to its original step. */
void onsets_normalise(struct onsets *onsets);

/* True if there are several instruments. */
bool onsets_are_multi_instrument(const struct onsets *onsets);

/* Ends each note where the same instrument plays its pitch again. STATUS_FAILED if out of
 * memory. */
enum status onsets_truncate(struct onsets *onsets);
void onsets_free(struct onsets *onsets);

/* For encodings of one instrument: STATUS_MISUSE if programs or percussion are to be
 * kept. */
enum status encoding_refuse_instruments(const struct encoding *encoding,
                                        const struct options *options);

/* STATUS_FAILED with the message that the piece is too long to be encoded. */
enum status encoding_fail_too_long(const struct encoding *encoding,
                                   const struct notes *notes);

/* True if a note that began when grammar.time was `started` has lasted `seconds` or more.
 */
bool grammar_has_lasted(const struct encoding *encoding, const struct grammar *grammar,
                        uint64_t started, double seconds);

/* Appends a note from `start` to `end` seconds, unless its length is zero. */
enum status decoded_append(struct notes *out, double start, double end, int pitch,
                           int velocity);

/* Sorts decoded notes and sets their division. */
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

/* True if a pitch is in both. */
static inline bool pitch_sets_intersect(const struct pitch_set *a,
                                        const struct pitch_set *b)
{
    return ((a->words[0] & b->words[0]) | (a->words[1] & b->words[1])) != 0;
}

/* Removes and returns the lowest pitch of a nonempty set. */
static inline unsigned pitch_set_pop(struct pitch_set *set)
{
    unsigned word = set->words[0] == 0;
    unsigned pitch = word * 64 + (unsigned)__builtin_ctzll(set->words[word]);
    set->words[word] &= set->words[word] - 1;
    return pitch;
}

#endif
