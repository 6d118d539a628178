/* tempo_map: from ticks to time. A tempo is in force from its point to the next one.
 *
 * Between two tempo events all ticks have the same length, so the time of a tick is an
 * integer sum of ticks x microseconds (below 2^32 x 2^24, which fits in 64 bits), divided
 * once at the end by division x 10^6. SMPTE division is the same with a single tempo.
 * The same ticks and map therefore give the same seconds, to the last bit.
 */
#ifndef TUTTI_MIDI_TEMPO_MAP_H
#define TUTTI_MIDI_TEMPO_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "notes.h"

/* From `tick` on, a tick lasts `units_per_tick` units; `elapsed` units precede it. */
struct tempo_point {
    uint64_t elapsed;
    uint32_t tick;
    uint32_t units_per_tick;
};

struct tempo_map {
    struct tempo_point *points; /* by tick, the first at 0 */
    size_t count, capacity;
    double units_per_second;
};

/* The point in force at a tick, which is at or after point `from`. Usually that is
 * `from`: a note ends in the tempo in which it began. */
size_t tempo_map_search(const struct tempo_map *map, size_t from, uint32_t tick);
static inline size_t tempo_map_find(const struct tempo_map *map, size_t from,
                                    uint32_t tick)
{
    return from + 1 == map->count || tick < map->points[from + 1].tick
               ? from
               : tempo_map_search(map, from, tick);
}

/* Units elapsed at a tick; `point` is in force there. Signed, because a signed integer
 * converts to double in one instruction; the value is below 2^56. */
static inline int64_t tempo_map_units(const struct tempo_point *point, uint32_t tick)
{
    return (int64_t)(point->elapsed +
                     (uint64_t)(tick - point->tick) * point->units_per_tick);
}

/* The seconds from tick `from` to tick `to`; `point` is in force at `from`. */
static inline double tempo_map_seconds(const struct tempo_map *map, size_t point,
                                       uint32_t from, uint32_t to)
{
    size_t last = tempo_map_find(map, point, to);
    int64_t start = tempo_map_units(&map->points[point], from);
    int64_t end = tempo_map_units(&map->points[last], to);
    return (double)(end - start) / map->units_per_second;
}

/* Sets start and duration of notes[count], which are in order of onset, from their ticks.
 * These count from tick `origin` of the map. */
void tempo_map_assign_seconds(const struct tempo_map *map, uint32_t origin,
                              struct note *notes, size_t count);

/* Makes the map of the tempo changes of notes with ticks per beat; the caller frees
 * map->points. STATUS_FAILED if out of memory. */
enum status tempo_map_from_notes(const struct notes *notes, struct tempo_map *map);

/* The tick nearest to `seconds` >= 0; saturates. */
uint32_t tempo_map_tick_at(const struct tempo_map *map, double seconds);

#endif
