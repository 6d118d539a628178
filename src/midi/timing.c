/* timing: assigns program, percussion flag and seconds to each note, from events
 * elsewhere in the file, and puts the pedal events, tempo changes and time signatures in
 * order of time. */
#include "reader.h"

#include <string.h>

#include "base/array.h"

/* The value of the last of `count` program changes before the note with this index; -1 if
 * there is none. Tracks are read one after another, so the number of notes before an
 * event orders it relative to notes of its own and of other tracks. */
static int find_change(const struct timed_event *changes, size_t count,
                       const struct note *note, size_t index)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct timed_event *change = &changes[middle];
        bool applies =
            change->tick < note->start_tick ||
            (change->tick == note->start_tick && change->notes_before <= index);
        if (applies)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? (int)changes[low - 1].value : -1;
}

static void assign_parts(struct reader *reader, size_t first_note)
{
    const struct timed_events *changes = &reader->parts;
    struct notes *notes = &reader->file->notes;
    if (changes->count == 0)
        return;
    uint32_t begin[PORT_CHANNELS_MAX + 1], port_channels = reader->ports.count * CHANNELS;
    memset(begin, 0, (port_channels + 1) * sizeof *begin);
    for (size_t i = 0; i < changes->count; i++)
        begin[changes->items[i].port_channel + 1]++;
    for (uint32_t port_channel = 0; port_channel < port_channels; port_channel++)
        begin[port_channel + 1] += begin[port_channel];
    for (size_t i = first_note; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        uint32_t port_channel = port_channel_of(note->port, note->channel),
                 from = begin[port_channel];
        int change =
            find_change(changes->items + from, begin[port_channel + 1] - from, note, i);
        if (change < 0)
            continue;
        note->program = change & (PART_PERCUSSION - 1);
        note->percussion = (change & PART_PERCUSSION) != 0;
    }
}

bool timing_assign_parts(struct reader *reader, size_t first_note)
{
    if (reader->parts.count == 0)
        return true;
    if (!parts_resolve(reader))
        return false;
    assign_parts(reader, first_note);
    return true;
}

static void add_point(struct tempo_map *map, uint32_t tick, uint32_t units_per_tick)
{
    struct tempo_point *last = &map->points[map->count - 1];
    if (last->tick == tick) {
        last->units_per_tick = units_per_tick;
        return;
    }
    uint64_t elapsed =
        last->elapsed + (uint64_t)(tick - last->tick) * last->units_per_tick;
    map->points[map->count++] = (struct tempo_point){elapsed, tick, units_per_tick};
}

static bool build_map(struct reader *reader)
{
    struct tempo_map *map = &reader->map;
    struct timed_events *tempos = &reader->tempos;
    int division = reader->file->division;
    struct tempo_point *points =
        array_reserve(map->points, &map->capacity, tempos->count + 1, sizeof *points);
    if (!points)
        return reader_no_memory(reader);
    map->points = points;
    map->count = 1;
    if (division < 0) {
        /* upper byte: frames per second, negated; 29 is 30000/1001 */
        int frames = -(division >> 8), ticks_per_frame = division & 0xff;
        bool drop_frame = frames == 29;
        map->points[0] = (struct tempo_point){0, 0, drop_frame ? 1001 : 1};
        map->units_per_second = (drop_frame ? 30000.0 : frames) * ticks_per_frame;
        return true;
    }
    map->points[0] = (struct tempo_point){0, 0, DEFAULT_TEMPO};
    map->units_per_second = 1e6 * division;
    timed_events_sort(tempos, timed_events_by_tick);
    for (size_t i = 0; i < tempos->count; i++)
        add_point(map, tempos->items[i].tick, tempos->items[i].value);
    reader->file->first_tempo = map->points[0].units_per_tick;
    return true;
}

bool timing_assign_seconds(struct reader *reader)
{
    struct notes *notes = &reader->file->notes;
    if (!build_map(reader))
        return false;
    tempo_map_assign_seconds(&reader->map, 0, notes->items, notes->count);
    return true;
}

const struct tempo_map *midi_tempo_map(const struct midi_file *file)
{
    const struct reader *reader = file->reader;
    return &reader->map;
}

uint32_t midi_tick_at(const struct midi_file *file, double seconds)
{
    const struct reader *reader = file->reader;
    return tempo_map_tick_at(&reader->map, seconds);
}

struct midi_time midi_time_at(const struct midi_file *file, double tick)
{
    const struct reader *reader = file->reader;
    const struct tempo_map *map = &reader->map;
    tick += file->start_tick;
    size_t low = 0, high = map->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (map->points[middle].tick < tick)
            low = middle;
        else
            high = middle;
    }
    const struct tempo_point *point = &map->points[low];
    double units = (double)point->elapsed + (tick - point->tick) * point->units_per_tick;
    return (struct midi_time){
        .seconds = units / map->units_per_second,
        .seconds_per_tick = point->units_per_tick / map->units_per_second,
        .tempo = file->division < 0 ? 0 : (int)point->units_per_tick,
    };
}

bool timing_store_pedals(struct reader *reader)
{
    struct midi_file *file = reader->file;
    struct timed_events *events = &reader->pedals;
    struct midi_control *pedals =
        array_reserve(file->pedals, &file->pedal_capacity, events->count, sizeof *pedals);
    if (!pedals)
        return reader_no_memory(reader);
    file->pedals = pedals;
    timed_events_sort(events, timed_events_by_tick);
    for (size_t i = 0; i < events->count; i++) {
        const struct timed_event *event = &events->items[i];
        file->pedals[i] =
            (struct midi_control){.tick = event->tick,
                                  .port = (uint8_t)(event->port_channel / CHANNELS),
                                  .channel = event->port_channel % CHANNELS,
                                  .controller = (uint8_t)(event->value >> 8),
                                  .value = event->value & 127};
    }
    file->pedal_count = events->count;
    return true;
}

static bool store_signatures(struct reader *reader)
{
    struct timed_events *events = &reader->signatures;
    timed_events_sort(events, timed_events_by_tick);
    for (size_t i = 0; i < events->count; i++) {
        const struct timed_event *event = &events->items[i];
        if (notes_set_signature(&reader->file->notes, event->tick,
                                (uint8_t)(event->value >> 8),
                                (uint8_t)event->value) != STATUS_OK)
            return reader_no_memory(reader);
    }
    return true;
}

bool timing_store_metre(struct reader *reader)
{
    const struct tempo_map *map = &reader->map;
    if (reader->file->division < 0)
        return true;
    for (size_t i = 0; i < map->count; i++)
        if (notes_set_tempo(&reader->file->notes, map->points[i].tick,
                            map->points[i].units_per_tick) != STATUS_OK)
            return reader_no_memory(reader);
    return store_signatures(reader);
}
