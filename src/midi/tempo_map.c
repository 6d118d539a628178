/* tempo_map: see the header. */
#include "tempo_map.h"

enum { LINEAR_PROBES = 8 }; /* points tried linearly before bisection */

size_t tempo_map_search(const struct tempo_map *map, size_t from, uint32_t tick)
{
    size_t low = from, high = map->count;
    for (int i = 0; i < LINEAR_PROBES; i++, low++)
        if (low + 1 == high || tick < map->points[low + 1].tick)
            return low;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (map->points[middle].tick <= tick)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void tempo_map_assign_seconds(const struct tempo_map *map, uint32_t origin,
                              struct note *notes, size_t count)
{
    const double units_per_second = map->units_per_second;
    const struct tempo_point *points = map->points;
    size_t at = tempo_map_find(map, 0, origin);
    const int64_t begin = tempo_map_units(&points[at], origin);
    if (count > 0)
        at = tempo_map_find(map, at, origin + notes[0].start_tick);
    for (size_t i = 0; i < count; i++) {
        struct note *note = &notes[i];
        uint32_t start_tick = origin + note->start_tick;
        uint32_t end_tick = start_tick + note->duration_ticks;
        while (at + 1 < map->count && points[at + 1].tick <= start_tick)
            at++;
        int64_t start = tempo_map_units(&points[at], start_tick);
        size_t last = tempo_map_find(map, at, end_tick);
        int64_t end = tempo_map_units(&points[last], end_tick);
        note->start = (double)(start - begin) / units_per_second;
        note->duration = (double)(end - start) / units_per_second;
    }
}
