/* tempo_map: see the header. */
#include "tempo_map.h"

#include <stdlib.h>

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

enum status tempo_map_from_notes(const struct notes *notes, struct tempo_map *map)
{
    const struct tempo_changes *tempos = &notes->tempos;
    *map = (struct tempo_map){.units_per_second = 1e6 * notes->ticks_per_beat};
    map->points = calloc(tempos->count + 1, sizeof *map->points);
    if (!map->points)
        return status_fail(STATUS_FAILED, "no memory for %zu tempo changes",
                           tempos->count);
    map->capacity = tempos->count + 1;
    map->points[map->count++] = (struct tempo_point){0, 0, DEFAULT_TEMPO};
    for (size_t i = 0; i < tempos->count; i++) {
        const struct tempo_change *change = &tempos->items[i];
        const struct tempo_point *last = &map->points[map->count - 1];
        uint64_t elapsed = (uint64_t)tempo_map_units(last, change->tick);
        map->count -= change->tick == 0;
        map->points[map->count++] =
            (struct tempo_point){elapsed, change->tick, change->tempo};
    }
    return STATUS_OK;
}

uint32_t tempo_map_tick_at(const struct tempo_map *map, double seconds)
{
    double units = seconds * map->units_per_second;
    size_t at = 0;
    while (at + 1 < map->count && (double)map->points[at + 1].elapsed <= units)
        at++;
    const struct tempo_point *point = &map->points[at];
    double tick =
        point->tick + (units - (double)point->elapsed) / point->units_per_tick + 0.5;
    return tick < (double)UINT32_MAX ? (uint32_t)tick : UINT32_MAX;
}
