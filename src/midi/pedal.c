/* pedal: the sustain pedal, applied to notes whose keys are known.
 *
 * For each channel the times when the pedal was down are intervals in order, and for each
 * key its notes lie in order of onset; both are searched by bisection, so that neither
 * many pedal events nor many overlapping notes make it slow.
 */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    PEDAL_DOWN = 64,
    NEAR = 8 /* intervals looked at one by one before bisection */
};

struct interval { /* the pedal is down from `down` up to, not including, `up` */
    uint32_t down, up;
};

struct pedalling {
    struct interval *intervals; /* by channel, then time */
    size_t first_interval[CHANNELS + 1];
    size_t begun[CHANNELS]; /* behind the interval that began last before the last tick */
    uint32_t *by_key;       /* indices of notes, by key, then onset */
    uint32_t first_note[KEYS + 1];
    uint32_t position[KEYS]; /* in by_key, of the next note of the key */
};

static uint32_t key_of(const struct note *note)
{
    return (uint32_t)note->channel * PITCHES + note->pitch;
}

static uint32_t end_of(const struct note *note)
{
    return note->start_tick + note->duration_ticks;
}

static uint32_t last_release(const struct notes *notes)
{
    uint32_t last = 0;
    for (size_t i = 0; i < notes->count; i++)
        if (end_of(&notes->items[i]) > last)
            last = end_of(&notes->items[i]);
    return last;
}

/* Room for all intervals and indices in one block that is kept from file to file. */
static bool reserve(struct reader *reader, struct pedalling *pedalling)
{
    const struct midi_file *file = reader->file;
    size_t intervals = file->pedal_count * sizeof *pedalling->intervals;
    size_t size = intervals + file->notes.count * sizeof *pedalling->by_key;
    if (size > reader->pedal_scratch_size) {
        void *larger = realloc(reader->pedal_scratch, size);
        if (!larger)
            return false;
        reader->pedal_scratch = larger;
        reader->pedal_scratch_size = size;
    }
    pedalling->intervals = reader->pedal_scratch;
    pedalling->by_key = (uint32_t *)(void *)((char *)reader->pedal_scratch + intervals);
    return true;
}

/* The intervals of one channel behind those already there; returns the new count. */
static size_t add_intervals(const struct midi_file *file, int channel, uint32_t end,
                            struct interval *intervals, size_t count)
{
    bool down = false;
    for (size_t i = 0; i < file->pedal_count; i++) {
        const struct midi_control *event = &file->pedals[i];
        if (event->channel != channel || (event->value >= PEDAL_DOWN) == down)
            continue;
        down = !down;
        if (down)
            intervals[count] = (struct interval){event->tick, event->tick};
        else
            intervals[count++].up = event->tick;
    }
    if (down) {
        if (end > intervals[count].down)
            intervals[count].up = end;
        count++;
    }
    return count;
}

static void find_intervals(const struct midi_file *file, struct pedalling *pedalling)
{
    uint32_t end = last_release(&file->notes);
    bool used[CHANNELS] = {false};
    for (size_t i = 0; i < file->pedal_count; i++)
        used[file->pedals[i].channel] = true;
    size_t count = 0;
    for (int channel = 0; channel < CHANNELS; channel++) {
        pedalling->first_interval[channel] = pedalling->begun[channel] = count;
        if (used[channel] && channel != PERCUSSION_CHANNEL)
            count = add_intervals(file, channel, end, pedalling->intervals, count);
    }
    pedalling->first_interval[CHANNELS] = count;
}

/* A counting sort; notes are in order of onset already. */
static void group_by_key(const struct notes *notes, struct pedalling *pedalling)
{
    uint32_t *first = pedalling->first_note, *place = pedalling->position;
    memset(first, 0, sizeof pedalling->first_note);
    for (size_t i = 0; i < notes->count; i++)
        first[key_of(&notes->items[i]) + 1]++;
    for (int key = 0; key < KEYS; key++)
        first[key + 1] += first[key];
    memcpy(place, first, sizeof pedalling->position);
    for (size_t i = 0; i < notes->count; i++)
        pedalling->by_key[place[key_of(&notes->items[i])]++] = (uint32_t)i;
    memcpy(place, first, sizeof pedalling->position);
}

/* How many of intervals[low..high) begin at or before `tick`, plus low. */
static size_t intervals_begun(const struct interval *intervals, size_t low, size_t high,
                              uint32_t tick)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (intervals[middle].down <= tick)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* When the pedal lets go of a key released at `tick`: `tick` itself if it is not down.
 * Notes come in order of onset, so the interval is mostly the one of the note before, or
 * near. */
static uint32_t pedal_release(struct pedalling *pedalling, uint8_t channel, uint32_t tick)
{
    const struct interval *intervals = pedalling->intervals;
    size_t begin = pedalling->first_interval[channel];
    size_t end = pedalling->first_interval[channel + 1];
    if (begin == end)
        return tick;
    size_t at = pedalling->begun[channel];
    if (at > begin && intervals[at - 1].down > tick) {
        at = intervals_begun(intervals, begin, at - 1, tick);
    } else {
        for (int steps = 0; steps < NEAR && at < end && intervals[at].down <= tick;
             steps++)
            at++;
        if (at < end && intervals[at].down <= tick)
            at = intervals_begun(intervals, at, end, tick);
    }
    pedalling->begun[channel] = at;
    if (at == begin || intervals[at - 1].up <= tick)
        return tick;
    return intervals[at - 1].up;
}

/* The first onset at or behind `tick` among the notes of the same key that follow the one
 * at `position` of by_key; `otherwise` if there is none before that. */
static uint32_t next_onset(const struct notes *notes, const struct pedalling *pedalling,
                           size_t position, size_t end, uint32_t tick, uint32_t otherwise)
{
    const uint32_t *by_key = pedalling->by_key;
    size_t low = position + 1, high = end;
    if (low < end && notes->items[by_key[low]].start_tick >= tick)
        high = low; /* nearly always: notes of a key seldom overlap */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (notes->items[by_key[middle]].start_tick < tick)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == end)
        return otherwise;
    uint32_t onset = notes->items[by_key[low]].start_tick;
    return onset < otherwise ? onset : otherwise;
}

/* Lengthening a note moves no onset, so notes can be changed as they come. Returns
 * whether any was. */
static bool extend_notes(const struct tempo_map *map, struct notes *notes,
                         struct pedalling *pedalling)
{
    bool changed = false;
    size_t point = 0;
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        uint32_t key = key_of(note), tick = end_of(note);
        size_t position = pedalling->position[key]++;
        uint32_t release = pedal_release(pedalling, note->channel, tick);
        if (release > tick)
            release = next_onset(notes, pedalling, position,
                                 pedalling->first_note[key + 1], tick, release);
        if (release == tick)
            continue;
        point = timing_find_point(map, point, note->start_tick);
        note->duration_ticks = release - note->start_tick;
        note->duration = timing_seconds_between(map, point, note->start_tick, release);
        changed = true;
    }
    return changed;
}

enum status midi_apply_pedal(struct midi_file *file)
{
    struct reader *reader = file->scratch;
    struct pedalling pedalling;
    if (!reader || file->pedal_count == 0 || file->notes.count == 0)
        return STATUS_OK;
    reader->file = file; /* the struct may have been moved since it was read */
    if (!reserve(reader, &pedalling))
        return status_fail(STATUS_FAILED, "no memory to apply the pedal to %zu notes",
                           file->notes.count);
    find_intervals(file, &pedalling);
    group_by_key(&file->notes, &pedalling);
    if (extend_notes(&reader->map, &file->notes, &pedalling))
        notes_sort(&file->notes);
    return STATUS_OK;
}
