/* notes: a dynamic array of notes, its order and its hash.
 *
 * Sorting is a natural merge sort: a file yields a few sorted runs, one for each track,
 * in which only the notes of a chord are out of order. Those are first sorted by
 * insertion, and a note that would have to move far starts a new run, so the worst case
 * is O(n log n).
 */
#include "notes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum {
    INSERTION_DISTANCE_MAX = 32, /* a chord; beyond this distance merging is faster */
    HASH_BLOCK = 128             /* notes hashed at once */
};

_Static_assert(sizeof(struct note) == 32,
               "notes are hashed and spilled as bytes: no padding");

enum status notes_grow(struct notes *notes)
{
    struct note *items =
        array_reserve(notes->items, &notes->capacity, notes->count + 1, sizeof *items);
    if (!items)
        return STATUS_FAILED;
    notes->items = items;
    return STATUS_OK;
}

enum status notes_append(struct notes *notes, const struct note *note)
{
    struct note *added = notes_add(notes);
    if (!added)
        return STATUS_FAILED;
    *added = *note;
    return STATUS_OK;
}

void notes_clear(struct notes *notes)
{
    notes->count = 0;
    notes->ticks_per_beat = 0;
    notes->ticks_per_second = 0;
    notes_clear_metre(notes);
}

void notes_free(struct notes *notes)
{
    free(notes->items);
    notes_free_metre(notes);
    memset(notes, 0, sizeof *notes);
}

/* The sort key in three integers, most significant first. */
static inline uint64_t sort_key_high(const struct note *a)
{
    return (uint64_t)a->start_tick << 32 | (uint64_t)a->channel << 8 | a->pitch;
}

static inline uint64_t sort_key_low(const struct note *a)
{
    return (uint64_t)a->duration_ticks << 32 | (uint64_t)a->velocity << 24 |
           (uint64_t)a->program << 16 | a->track;
}

static inline int sort_key_last(const struct note *a)
{
    return a->port << 1 | a->percussion;
}

static inline bool comes_before(const struct note *a, const struct note *b)
{
    uint64_t high_a = sort_key_high(a), high_b = sort_key_high(b);
    if (high_a != high_b)
        return high_a < high_b;
    uint64_t low_a = sort_key_low(a), low_b = sort_key_low(b);
    return low_a != low_b ? low_a < low_b : sort_key_last(a) < sort_key_last(b);
}

static int compare_notes(const void *a, const void *b)
{
    return comes_before(b, a) - comes_before(a, b);
}

/* Inserts notes[i] into the sorted notes before it, if it belongs near their end. */
static bool try_insertion(struct note *notes, size_t i)
{
    size_t reach = i < INSERTION_DISTANCE_MAX ? i : INSERTION_DISTANCE_MAX;
    size_t distance = 1;
    while (distance < reach && comes_before(&notes[i], &notes[i - distance - 1]))
        distance++;
    if (distance == reach && reach < i &&
        comes_before(&notes[i], &notes[i - distance - 1]))
        return false;
    struct note moved = notes[i];
    memmove(&notes[i - distance + 1], &notes[i - distance], distance * sizeof moved);
    notes[i - distance] = moved;
    return true;
}

/* Sorts chords in place. Returns true if all notes are sorted now. */
static bool sort_chords(struct note *notes, size_t count)
{
    bool sorted = true;
    size_t run = 0; /* start of the run into which notes[i] may be inserted */
    for (size_t i = 1; i < count; i++) {
        if (notes[i].start_tick > notes[i - 1].start_tick || /* most notes */
            !comes_before(&notes[i], &notes[i - 1]))
            continue;
        bool chord = notes[i].start_tick == notes[i - 1].start_tick;
        if (!chord || !try_insertion(notes + run, i - run)) {
            run = i;
            sorted = false;
        }
    }
    return sorted;
}

static size_t run_end(const struct note *notes, size_t from, size_t count)
{
    if (from == count)
        return count;
    size_t end = from + 1;
    while (end < count && !comes_before(&notes[end], &notes[end - 1]))
        end++;
    return end;
}

static void merge_runs(const struct note *a, size_t a_count, const struct note *b,
                       size_t b_count, struct note *out)
{
    while (a_count && b_count) {
        if (comes_before(b, a)) {
            *out++ = *b++;
            b_count--;
        } else {
            *out++ = *a++;
            a_count--;
        }
    }
    memcpy(out, a, a_count * sizeof *a);
    memcpy(out + a_count, b, b_count * sizeof *b);
}

/* Merges neighbouring runs pairwise from `from` into `to`. Returns how many runs are
 * left. */
static size_t merge_pass(const struct note *from, struct note *to, size_t count)
{
    size_t runs = 0;
    for (size_t at = 0; at < count; runs++) {
        size_t middle = run_end(from, at, count);
        size_t end = run_end(from, middle, count);
        merge_runs(from + at, middle - at, from + middle, end - middle, to + at);
        at = end;
    }
    return runs;
}

void notes_sort(struct notes *notes)
{
    size_t count = notes->count;
    if (sort_chords(notes->items, count))
        return;
    struct note *buffer = malloc(count * sizeof *buffer);
    if (!buffer) { /* slower, but in place */
        qsort(notes->items, count, sizeof *notes->items, compare_notes);
        return;
    }
    struct note *from = notes->items, *to = buffer;
    size_t runs;
    do {
        runs = merge_pass(from, to, count);
        struct note *swap = from;
        from = to;
        to = swap;
    } while (runs > 1);
    if (from == buffer)
        memcpy(notes->items, buffer, count * sizeof *buffer);
    free(buffer);
}

/* True if two ports use the same channel. */
static bool ports_share_a_channel(const struct notes *notes)
{
    int port_of[16];
    memset(port_of, -1, sizeof port_of);
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        int *port = &port_of[note->channel & 15];
        if (*port == note->port) /* most notes: no store that the next one waits for */
            continue;
        if (*port >= 0)
            return true;
        *port = note->port;
    }
    return false;
}

struct hash128 notes_hash(const struct notes *notes)
{
    /* chained over blocks, each prefixed with the hash so far */
    struct {
        struct hash128 previous;
        struct note notes[HASH_BLOCK];
    } block;
    double division[2] = {notes->ticks_per_beat, notes->ticks_per_second};
    struct hash128 hash = hash128(division, sizeof division);
    bool ports_matter = ports_share_a_channel(notes);
    for (size_t at = 0; at < notes->count; at += HASH_BLOCK) {
        size_t left = notes->count - at;
        size_t count = left < HASH_BLOCK ? left : HASH_BLOCK;
        block.previous = hash;
        for (size_t i = 0; i < count; i++) {
            struct note *to = &block.notes[i];
            *to = notes->items[at + i];
            to->port = ports_matter ? to->port : 0;
            to->percussion = to->percussion != (to->channel == PERCUSSION_CHANNEL);
        }
        hash = hash128(&block, sizeof block.previous + count * sizeof *block.notes);
    }
    return hash;
}

static double later_end(double seconds, const struct note *note)
{
    double end = note->start + note->duration;
    return end > seconds ? end : seconds;
}

/* Four independent maxima, because a single one is a chain of dependent comparisons. */
double notes_duration(const struct notes *notes)
{
    enum { ACCUMULATORS = 4 };
    double latest[ACCUMULATORS] = {0};
    size_t i = 0;
    for (; notes->count - i >= ACCUMULATORS; i += ACCUMULATORS)
        for (size_t lane = 0; lane < ACCUMULATORS; lane++)
            latest[lane] = later_end(latest[lane], &notes->items[i + lane]);
    for (; i < notes->count; i++)
        latest[0] = later_end(latest[0], &notes->items[i]);
    double seconds = 0;
    for (size_t lane = 0; lane < ACCUMULATORS; lane++)
        seconds = latest[lane] > seconds ? latest[lane] : seconds;
    return seconds;
}
