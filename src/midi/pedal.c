/* pedal: extends notes while the sustain pedal is down.
 *
 * For each line (a channel of a port) the times when the pedal was down are sorted
 * intervals, and the notes of each key are sorted by onset; both are searched by
 * bisection, so neither many pedal events nor many overlapping notes make this slow. All
 * sound off ends an interval, and the next one begins one tick later at the earliest,
 * because a key released at the same tick is silenced too.
 */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    PEDAL_DOWN = 64,
    NEAR = 8 /* intervals tried linearly before bisection */
};

struct interval { /* the pedal is down from `down` up to, not including, `up` */
    uint32_t down, up;
};

struct line {            /* indices into `intervals` */
    uint32_t first, end; /* of this line */
    uint32_t begun;      /* end of those that began by the last tick searched */
    uint32_t down;       /* 1: the last one is still open */
    uint32_t silent;     /* nothing is sustained before this tick */
};

struct pedalling {              /* all in one block of memory */
    struct interval *intervals; /* by line, then time */
    struct line *lines;
    uint32_t *by_key;     /* indices of notes, by key, then onset */
    uint32_t *first_note; /* in by_key, of each key and past the last */
    uint32_t *position;   /* in by_key, of the next note of the key */
};

static uint32_t key_of(const struct note *note)
{
    return (uint32_t)line_of(note->port, note->channel) * PITCHES + note->pitch;
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

static size_t line_count(const struct reader *reader)
{
    return reader->ports.count * CHANNELS;
}

/* Reserves all arrays in one block, which is reused from file to file. */
static bool reserve(struct reader *reader, struct pedalling *pedalling)
{
    const struct midi_file *file = reader->file;
    size_t lines = line_count(reader), keys = lines * PITCHES;
    size_t words = 2 * file->pedal_count + 5 * lines + file->notes.count + 2 * keys + 1;
    size_t size = words * sizeof(uint32_t);
    if (size > reader->pedal_scratch_size) {
        void *larger = realloc(reader->pedal_scratch, size);
        if (!larger)
            return false;
        reader->pedal_scratch = larger;
        reader->pedal_scratch_size = size;
    }
    pedalling->intervals = reader->pedal_scratch;
    pedalling->lines = (struct line *)(pedalling->intervals + file->pedal_count);
    pedalling->by_key = (uint32_t *)(pedalling->lines + lines);
    pedalling->first_note = pedalling->by_key + file->notes.count;
    pedalling->position = pedalling->first_note + keys + 1;
    return true;
}

/* Reserves for each line as many intervals as it has events. */
static void reserve_lines(const struct midi_file *file, struct pedalling *pedalling,
                          size_t lines)
{
    uint32_t next = 0;
    memset(pedalling->lines, 0, lines * sizeof *pedalling->lines);
    for (size_t i = 0; i < file->pedal_count; i++)
        pedalling->lines[line_of(file->pedals[i].port, file->pedals[i].channel)].end++;
    for (size_t i = 0; i < lines; i++) {
        struct line *line = &pedalling->lines[i];
        uint32_t events = line->end;
        line->first = line->begun = line->end = next;
        next += events;
    }
}

static void press(struct pedalling *pedalling, struct line *line, uint32_t tick)
{
    if (tick < line->silent)
        tick = line->silent;
    pedalling->intervals[line->end++] = (struct interval){tick, tick};
    line->down = true;
}

static void release(struct pedalling *pedalling, struct line *line, uint32_t tick)
{
    struct interval *last = &pedalling->intervals[line->end - 1];
    last->up = tick > last->down ? tick : last->down;
    line->down = false;
}

static void find_intervals(const struct reader *reader, struct pedalling *pedalling)
{
    const struct midi_file *file = reader->file;
    size_t lines = line_count(reader);
    reserve_lines(file, pedalling, lines);
    for (size_t i = 0; i < file->pedal_count; i++) {
        const struct midi_control *event = &file->pedals[i];
        struct line *line = &pedalling->lines[line_of(event->port, event->channel)];
        bool silence = event->controller == MIDI_ALL_SOUND_OFF;
        bool down = silence ? line->down : event->value >= PEDAL_DOWN;
        if (line->down && (silence || !down))
            release(pedalling, line, event->tick);
        if (silence && event->tick < UINT32_MAX)
            line->silent = event->tick + 1;
        if (down && !line->down)
            press(pedalling, line, event->tick);
    }
    uint32_t end = last_release(&file->notes);
    for (size_t i = 0; i < lines; i++)
        if (pedalling->lines[i].down)
            release(pedalling, &pedalling->lines[i], end);
}

/* A counting sort that runs backwards, so that `position` ends at each key's first note.
 * Notes are already in order of onset. */
static void group_by_key(const struct notes *notes, struct pedalling *pedalling,
                         size_t keys)
{
    uint32_t *first = pedalling->first_note, *position = pedalling->position;
    memset(first, 0, (keys + 1) * sizeof *first);
    for (size_t i = 0; i < notes->count; i++)
        first[key_of(&notes->items[i]) + 1]++;
    for (size_t key = 0; key < keys; key++)
        first[key + 1] += first[key];
    memcpy(position, first + 1, keys * sizeof *position);
    for (size_t i = notes->count; i-- > 0;)
        pedalling->by_key[--position[key_of(&notes->items[i])]] = (uint32_t)i;
}

/* low + the number of intervals[low..high) that begin at or before `tick`. */
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

/* The tick at which a key released at `tick` stops sounding: `tick` itself if the pedal
 * is up. Notes are processed in order of onset, so the interval is usually the previous
 * note's or close to it. */
static uint32_t pedal_release(const struct interval *intervals, struct line *line,
                              uint32_t tick)
{
    size_t begin = line->first, end = line->end, at = line->begun;
    if (begin == end)
        return tick;
    if (at > begin && intervals[at - 1].down > tick) {
        at = intervals_begun(intervals, begin, at - 1, tick);
    } else {
        for (int i = 0; i < NEAR && at < end && intervals[at].down <= tick; i++)
            at++;
        if (at < end && intervals[at].down <= tick)
            at = intervals_begun(intervals, at, end, tick);
    }
    line->begun = (uint32_t)at;
    if (at == begin || intervals[at - 1].up <= tick)
        return tick;
    return intervals[at - 1].up;
}

/* The first onset at or after `tick` among the notes of the same key after the one at
 * `position` of by_key; `otherwise` if there is none before that tick. */
static uint32_t next_onset(const struct notes *notes, const struct pedalling *pedalling,
                           size_t position, size_t end, uint32_t tick, uint32_t otherwise)
{
    const uint32_t *by_key = pedalling->by_key;
    size_t low = position + 1, high = end;
    if (low < end && notes->items[by_key[low]].start_tick >= tick)
        high = low; /* the usual case: notes of a key rarely overlap */
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

/* Extending a note does not move any onset, so notes can be changed in one pass. Returns
 * true if any was changed. */
static bool extend_notes(const struct tempo_map *map, struct notes *notes,
                         struct pedalling *pedalling)
{
    bool changed = false;
    size_t point = 0;
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        uint32_t key = key_of(note), tick = end_of(note);
        size_t position = pedalling->position[key]++;
        if (note->percussion)
            continue;
        uint32_t release =
            pedal_release(pedalling->intervals, &pedalling->lines[key / PITCHES], tick);
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
    reader->file = file; /* the struct may have been moved since midi_read */
    if (!reserve(reader, &pedalling))
        return status_fail(STATUS_FAILED, "no memory to apply the pedal to %zu notes",
                           file->notes.count);
    find_intervals(reader, &pedalling);
    group_by_key(&file->notes, &pedalling, line_count(reader) * PITCHES);
    if (extend_notes(&reader->map, &file->notes, &pedalling))
        notes_sort(&file->notes);
    return STATUS_OK;
}
