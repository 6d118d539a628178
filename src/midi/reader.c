/* reader: shared by the stages of the reader: how to stop reading, lists of timed events,
 * and chunk boundaries. */
#include "reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

bool reader_skip(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->file->reason, sizeof reader->file->reason, format, arguments);
    va_end(arguments);
    reader->stop = STOP_SKIPPED;
    return false;
}

bool reader_no_memory(struct reader *reader)
{
    reader->stop = STOP_NO_MEMORY;
    return false;
}

/* ---- lists of timed events ---- */

bool timed_events_grow(struct timed_events *list)
{
    struct timed_event *items =
        array_reserve(list->items, &list->capacity, list->count + 1, sizeof *items);
    if (items)
        list->items = items;
    return items;
}

int timed_events_by_tick(const void *left, const void *right)
{
    const struct timed_event *a = left, *b = right;
    if (a->tick != b->tick)
        return a->tick < b->tick ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

int timed_events_by_channel(const void *left, const void *right)
{
    const struct timed_event *a = left, *b = right;
    if (a->port_channel != b->port_channel)
        return a->port_channel < b->port_channel ? -1 : 1;
    return timed_events_by_tick(left, right);
}

void timed_events_sort(struct timed_events *list,
                       int (*compare)(const void *, const void *))
{
    for (size_t i = 1; i < list->count; i++)
        if (compare(&list->items[i - 1], &list->items[i]) > 0) {
            qsort(list->items, list->count, sizeof *list->items, compare);
            return;
        }
}

/* ---- chunks ---- */

const uint8_t *chunk_find_track(const uint8_t *at, const uint8_t *file_end)
{
    const uint8_t *found = memmem(at, (size_t)(file_end - at), "MTrk", 4);
    return found ? found : file_end;
}

bool chunk_is_plausible(const uint8_t *at, const uint8_t *file_end)
{
    if (at == file_end)
        return true;
    if (file_end - at < CHUNK_HEADER)
        return false;
    if (memcmp(at, "MTrk", 4) == 0)
        return true;
    for (int i = 0; i < 4; i++)
        if (at[i] < 0x20 || at[i] > 0x7e)
            return false;
    return big_endian_32(at + 4) <= (size_t)(file_end - at) - CHUNK_HEADER;
}
