/* pedal: extends notes while the sustain pedal is down.
 *
 * For each channel of a port, the times when the pedal was down are sorted intervals, and
 * the notes of each key are sorted by onset. Both are searched by bisection, so neither
 * many pedal events nor many overlapping notes make this slow. All sound off ends an
 * interval, and the next one begins one tick later at the earliest, because a key
 * released at the same tick is silenced too.
 */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    PEDAL_DOWN = 64,
    LINEAR_PROBES = 8 /* intervals tried linearly before bisection */
};

struct interval { /* the pedal is down from `down` up to, not including, `up` */
    uint32_t down, up;
};

struct channel_pedal {     /* indices into `intervals` */
    uint32_t first, end;   /* of this channel */
    uint32_t cursor;       /* end of those that began by the last tick searched */
    uint32_t is_open;      /* 1: the last one has not ended yet */
    uint32_t silent_until; /* nothing is sustained before this tick */
};

struct workspace {                /* all in one block of memory */
    struct interval *intervals;   /* by port channel, then time */
    struct channel_pedal *pedals; /* by port channel */
    uint32_t *by_key;             /* indices of notes, by key, then onset */
    uint32_t *first_note;         /* in by_key, of each key and past the last */
    uint32_t *position;           /* in by_key, of the next note of the key */
};

static uint32_t key_of(const struct note *note)
{
    return (uint32_t)port_channel_of(note->port, note->channel) * PITCHES + note->pitch;
}

static uint32_t end_tick(const struct note *note)
{
    return note->start_tick + note->duration_ticks;
}

static uint32_t last_release(const struct notes *notes)
{
    uint32_t last = 0;
    for (size_t i = 0; i < notes->count; i++)
        if (end_tick(&notes->items[i]) > last)
            last = end_tick(&notes->items[i]);
    return last;
}

static size_t port_channel_count(const struct reader *reader)
{
    return reader->ports.count * CHANNELS;
}

/* Allocates all arrays in one block, which is reused from file to file. */
static bool allocate_workspace(struct reader *reader, struct workspace *workspace)
{
    const struct midi_file *file = reader->file;
    size_t port_channels = port_channel_count(reader), keys = port_channels * PITCHES;
    size_t words =
        2 * file->pedal_count + 5 * port_channels + file->notes.count + 2 * keys + 1;
    size_t size = words * sizeof(uint32_t);
    if (size > reader->pedal_workspace_size) {
        void *larger = realloc(reader->pedal_workspace, size);
        if (!larger)
            return false;
        reader->pedal_workspace = larger;
        reader->pedal_workspace_size = size;
    }
    workspace->intervals = reader->pedal_workspace;
    workspace->pedals =
        (struct channel_pedal *)(workspace->intervals + file->pedal_count);
    workspace->by_key = (uint32_t *)(workspace->pedals + port_channels);
    workspace->first_note = workspace->by_key + file->notes.count;
    workspace->position = workspace->first_note + keys + 1;
    return true;
}

/* Reserves for each channel as many intervals as it has events. */
static void reserve_intervals(const struct midi_file *file, struct workspace *workspace,
                              size_t port_channels)
{
    uint32_t next = 0;
    memset(workspace->pedals, 0, port_channels * sizeof *workspace->pedals);
    for (size_t i = 0; i < file->pedal_count; i++)
        workspace->pedals[port_channel_of(file->pedals[i].port, file->pedals[i].channel)]
            .end++;
    for (size_t i = 0; i < port_channels; i++) {
        struct channel_pedal *pedal = &workspace->pedals[i];
        uint32_t events = pedal->end;
        pedal->first = pedal->cursor = pedal->end = next;
        next += events;
    }
}

static void press(struct workspace *workspace, struct channel_pedal *pedal, uint32_t tick)
{
    if (tick < pedal->silent_until)
        tick = pedal->silent_until;
    workspace->intervals[pedal->end++] = (struct interval){tick, tick};
    pedal->is_open = true;
}

static void release(struct workspace *workspace, struct channel_pedal *pedal,
                    uint32_t tick)
{
    struct interval *last = &workspace->intervals[pedal->end - 1];
    last->up = tick > last->down ? tick : last->down;
    pedal->is_open = false;
}

static void find_intervals(const struct reader *reader, struct workspace *workspace)
{
    const struct midi_file *file = reader->file;
    size_t port_channels = port_channel_count(reader);
    reserve_intervals(file, workspace, port_channels);
    for (size_t i = 0; i < file->pedal_count; i++) {
        const struct midi_control *event = &file->pedals[i];
        struct channel_pedal *pedal =
            &workspace->pedals[port_channel_of(event->port, event->channel)];
        bool silence = event->controller == MIDI_ALL_SOUND_OFF;
        bool down = silence ? pedal->is_open : event->value >= PEDAL_DOWN;
        if (pedal->is_open && (silence || !down))
            release(workspace, pedal, event->tick);
        if (silence && event->tick < UINT32_MAX)
            pedal->silent_until = event->tick + 1;
        if (down && !pedal->is_open)
            press(workspace, pedal, event->tick);
    }
    uint32_t end = last_release(&file->notes);
    for (size_t i = 0; i < port_channels; i++)
        if (workspace->pedals[i].is_open)
            release(workspace, &workspace->pedals[i], end);
}

/* A counting sort that runs backwards, so that `position` ends at each key's first note.
 * Notes are already in order of onset. */
static void group_by_key(const struct notes *notes, struct workspace *workspace,
                         size_t keys)
{
    uint32_t *first = workspace->first_note, *position = workspace->position;
    memset(first, 0, (keys + 1) * sizeof *first);
    for (size_t i = 0; i < notes->count; i++)
        first[key_of(&notes->items[i]) + 1]++;
    for (size_t key = 0; key < keys; key++)
        first[key + 1] += first[key];
    memcpy(position, first + 1, keys * sizeof *position);
    for (size_t i = notes->count; i-- > 0;)
        workspace->by_key[--position[key_of(&notes->items[i])]] = (uint32_t)i;
}

/* low + the number of intervals[low..high) that begin at or before `tick`. */
static size_t interval_upper_bound(const struct interval *intervals, size_t low,
                                   size_t high, uint32_t tick)
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
static uint32_t pedal_release(const struct interval *intervals,
                              struct channel_pedal *pedal, uint32_t tick)
{
    size_t begin = pedal->first, end = pedal->end, at = pedal->cursor;
    if (begin == end)
        return tick;
    if (at > begin && intervals[at - 1].down > tick) {
        at = interval_upper_bound(intervals, begin, at - 1, tick);
    } else {
        for (int i = 0; i < LINEAR_PROBES && at < end && intervals[at].down <= tick; i++)
            at++;
        if (at < end && intervals[at].down <= tick)
            at = interval_upper_bound(intervals, at, end, tick);
    }
    pedal->cursor = (uint32_t)at;
    if (at == begin || intervals[at - 1].up <= tick)
        return tick;
    return intervals[at - 1].up;
}

/* The first onset at or after `tick` among the notes of the same key after the one at
 * `position` of by_key; `limit` if there is none before that tick. */
static uint32_t next_onset(const struct notes *notes, const struct workspace *workspace,
                           size_t position, size_t end, uint32_t tick, uint32_t limit)
{
    const uint32_t *by_key = workspace->by_key;
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
        return limit;
    uint32_t onset = notes->items[by_key[low]].start_tick;
    return onset < limit ? onset : limit;
}

/* Extending a note does not move any onset, so notes can be changed in one pass. Returns
 * true if any was changed. */
static bool extend_notes(const struct tempo_map *map, struct notes *notes,
                         struct workspace *workspace)
{
    bool changed = false;
    size_t point = 0;
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        uint32_t key = key_of(note), tick = end_tick(note);
        size_t position = workspace->position[key]++;
        if (note->percussion)
            continue;
        uint32_t release =
            pedal_release(workspace->intervals, &workspace->pedals[key / PITCHES], tick);
        if (release > tick)
            release = next_onset(notes, workspace, position,
                                 workspace->first_note[key + 1], tick, release);
        if (release == tick)
            continue;
        point = tempo_map_find(map, point, note->start_tick);
        note->duration_ticks = release - note->start_tick;
        note->duration = tempo_map_seconds(map, point, note->start_tick, release);
        changed = true;
    }
    return changed;
}

enum status midi_apply_pedal(struct midi_file *file)
{
    struct reader *reader = file->reader;
    struct workspace workspace;
    if (!reader || file->pedal_count == 0 || file->notes.count == 0)
        return STATUS_OK;
    reader->file = file; /* the struct may have been moved since midi_read */
    if (!allocate_workspace(reader, &workspace))
        return status_fail(STATUS_FAILED, "no memory to apply the pedal to %zu notes",
                           file->notes.count);
    find_intervals(reader, &workspace);
    group_by_key(&file->notes, &workspace, port_channel_count(reader) * PITCHES);
    if (extend_notes(&reader->map, &file->notes, &workspace))
        notes_sort(&file->notes);
    return STATUS_OK;
}
