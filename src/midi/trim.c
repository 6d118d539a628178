/* trim: extracts a piece from its file. */
#include "reader.h"

void midi_set_note_end(const struct midi_file *file, struct note *note, uint32_t tick)
{
    const struct reader *reader = file->reader;
    const struct tempo_map *map = &reader->map;
    uint32_t start = note->start_tick, end = tick > start ? tick : start;
    size_t point = tempo_map_find(map, 0, start);
    note->duration_ticks = end - start;
    note->duration = tempo_map_seconds(map, point, start, end);
}

void midi_set_start(struct midi_file *file, uint32_t tick)
{
    const struct reader *reader = file->reader;
    const struct tempo_map *map = &reader->map;
    size_t point = tempo_map_find(map, 0, tick);
    if (file->division > 0)
        file->first_tempo = map->points[point].units_per_tick;
    for (size_t i = 0; i < file->notes.count; i++)
        file->notes.items[i].start_tick -= tick;
    tempo_map_assign_seconds(map, tick, file->notes.items, file->notes.count);
    notes_shift_metre(&file->notes, tick);
    file->start_tick = tick;
    file->pedal_count = 0;
}
