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
