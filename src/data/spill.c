/* spill: see the header. The buffer fits into a core's cache. A larger one, up to a spill
 * held entirely in memory, is slower: the first touch of memory costs more than a write
 * to the file. */
#include "spill.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"

enum { BUFFER_SIZE = 1 << 20, PACK_NOTES = 512 };

enum { /* the bytes of a struct note that are stored: all after start and duration */
       NOTE_START = offsetof(struct note, start_tick),
       NOTE_SIZE = sizeof(struct note) - NOTE_START
};
static_assert(NOTE_START == sizeof(double[2]),
              "start and duration are the first members");

struct header {
    double units_per_second;
    uint32_t points; /* of the tempo map */
    uint32_t origin;
};

static char *spill_path(const char *directory, int rank)
{
    return path_format("%s/spill-%d", directory, rank);
}

enum status spill_create(const char *directory, int rank, struct spill_writer *spill)
{
    *spill = (struct spill_writer){.descriptor = -1};
    spill->path = spill_path(directory, rank);
    spill->buffer = malloc(BUFFER_SIZE);
    if (!spill->path || !spill->buffer)
        return status_fail(STATUS_FAILED, "out of memory");
    spill->descriptor =
        open(spill->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (spill->descriptor < 0)
        return status_fail_errno("%s: can't create the file", spill->path);
    return STATUS_OK;
}

static enum status write_fully(const struct spill_writer *spill, const uint8_t *bytes,
                               size_t size)
{
    while (size > 0) {
        ssize_t written = write(spill->descriptor, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return status_fail_errno("%s: can't write", spill->path);
        bytes += written;
        size -= (size_t)written;
    }
    return STATUS_OK;
}

static enum status flush(struct spill_writer *spill)
{
    enum status status = write_fully(spill, spill->buffer, spill->buffered);
    spill->buffered = 0;
    return status;
}

/* The buffer is written between appends, wherever that is in the file: some processors
 * copy several times more slowly if both addresses are at the start of a page. */
static enum status append_bytes(struct spill_writer *spill, const void *bytes,
                                size_t size)
{
    if (size > BUFFER_SIZE - spill->buffered && flush(spill) != STATUS_OK)
        return STATUS_FAILED;
    spill->size += size;
    if (size > BUFFER_SIZE)
        return write_fully(spill, bytes, size);
    memcpy(spill->buffer + spill->buffered, bytes, size);
    spill->buffered += size;
    return STATUS_OK;
}

/* Appends notes[count] without their seconds. */
static enum status append_notes(struct spill_writer *spill, const struct note *notes,
                                size_t count)
{
    for (size_t rows; count > 0; notes += rows, count -= rows) {
        rows = count < PACK_NOTES ? count : PACK_NOTES;
        if (rows * NOTE_SIZE > BUFFER_SIZE - spill->buffered && flush(spill) != STATUS_OK)
            return STATUS_FAILED;
        uint8_t *to = spill->buffer + spill->buffered;
        for (size_t i = 0; i < rows; i++)
            memcpy(to + i * NOTE_SIZE, (const uint8_t *)&notes[i] + NOTE_START,
                   NOTE_SIZE);
        spill->buffered += rows * NOTE_SIZE;
        spill->size += rows * NOTE_SIZE;
    }
    return STATUS_OK;
}

enum status spill_append(struct spill_writer *spill, const struct notes *notes,
                         const struct tempo_map *map, uint32_t origin,
                         const struct tokens *tokens, uint64_t *offset)
{
    const struct header header = {map->units_per_second, (uint32_t)map->count, origin};
    *offset = spill->size;
    enum status status =
        append_bytes(spill, tokens->items, tokens->count * sizeof *tokens->items);
    if (status == STATUS_OK)
        status = append_bytes(spill, &header, sizeof header);
    if (status == STATUS_OK)
        status = append_bytes(spill, map->points, map->count * sizeof *map->points);
    return status == STATUS_OK ? append_notes(spill, notes->items, notes->count) : status;
}

enum status spill_close(struct spill_writer *spill)
{
    enum status status = flush(spill);
    int failed = close(spill->descriptor);
    spill->descriptor = -1;
    if (failed && status == STATUS_OK)
        status = status_fail_errno("%s: can't write", spill->path);
    return status;
}

enum status spill_reopen(struct spill_writer *spill)
{
    spill->descriptor = open(spill->path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    return spill->descriptor < 0 ? status_fail_errno("%s: can't open", spill->path)
                                 : STATUS_OK;
}

enum status spill_replace_tokens(const struct spill_writer *spill, uint64_t offset,
                                 const token *tokens, uint64_t count)
{
    if (lseek(spill->descriptor, (off_t)offset, SEEK_SET) < 0)
        return status_fail_errno("%s: can't write", spill->path);
    return write_fully(spill, (const uint8_t *)tokens, count * sizeof *tokens);
}

void spill_free(struct spill_writer *spill)
{
    if (spill->path && spill->descriptor >= 0)
        close(spill->descriptor);
    free(spill->buffer);
    free(spill->path);
    *spill = (struct spill_writer){.descriptor = -1};
}

void spill_reader_open(const char *directory, struct spill_reader *reader)
{
    *reader = (struct spill_reader){.directory = directory, .mapped.rank = -1};
    for (int i = 0; i < SPILL_OPEN_FILES; i++) {
        reader->open[i].rank = -1;
        reader->open[i].descriptor = -1;
    }
}

static enum status open_spill(struct spill_reader *reader, int rank, int *descriptor)
{
    int slot = rank % SPILL_OPEN_FILES;
    if (reader->open[slot].rank != rank) {
        char *path = spill_path(reader->directory, rank);
        if (!path)
            return status_fail(STATUS_FAILED, "out of memory");
        if (reader->open[slot].descriptor >= 0)
            close(reader->open[slot].descriptor);
        reader->open[slot].rank = -1;
        reader->open[slot].descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (reader->open[slot].descriptor < 0)
            status_fail_errno(
                "%s: can't open (the ranks must share the folder of the dataset)", path);
        free(path);
        if (reader->open[slot].descriptor < 0)
            return STATUS_FAILED;
        reader->open[slot].rank = rank;
    }
    *descriptor = reader->open[slot].descriptor;
    return STATUS_OK;
}

static enum status read_bytes(struct spill_reader *reader, int rank, uint64_t offset,
                              void *bytes, size_t size)
{
    int descriptor = -1;
    if (open_spill(reader, rank, &descriptor) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(descriptor, (uint8_t *)bytes + done, size - done,
                            (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_fail_errno("%s/spill-%d: can't read", reader->directory, rank);
        if (got == 0)
            return status_fail(STATUS_FAILED, "%s/spill-%d: ends at %llu, too early",
                               reader->directory, rank,
                               (unsigned long long)(offset + done));
        done += (size_t)got;
    }
    return STATUS_OK;
}

enum status spill_read_tokens(struct spill_reader *reader,
                              const struct spill_piece *piece, uint64_t skip,
                              uint64_t count, token *tokens)
{
    return read_bytes(reader, piece->rank, piece->offset + skip * sizeof *tokens, tokens,
                      count * sizeof *tokens);
}

static uint64_t header_offset(const struct spill_piece *piece)
{
    return piece->offset + piece->tokens * sizeof(token);
}

/* Reads the piece's tempo map, unless it is that of the last piece read. */
static enum status read_map(struct spill_reader *reader, const struct spill_piece *piece)
{
    struct tempo_map *map = &reader->map;
    struct header header;
    uint64_t offset = header_offset(piece);
    if (piece->rank == reader->mapped.rank && piece->offset == reader->mapped.offset)
        return STATUS_OK;
    reader->mapped.rank = -1;
    if (read_bytes(reader, piece->rank, offset, &header, sizeof header) != STATUS_OK)
        return STATUS_FAILED;
    struct tempo_point *points =
        array_reserve(map->points, &map->capacity, header.points, sizeof *points);
    if (!points)
        return STATUS_FAILED;
    map->points = points;
    map->count = header.points;
    map->units_per_second = header.units_per_second;
    reader->origin = header.origin;
    enum status status = read_bytes(reader, piece->rank, offset + sizeof header, points,
                                    map->count * sizeof *points);
    if (status == STATUS_OK)
        reader->mapped = *piece;
    return status;
}

/* The notes are read into the second half of notes[count] and expanded from there: no
 * note is written before those in its place are read. */
enum status spill_read_notes(struct spill_reader *reader, const struct spill_piece *piece,
                             uint64_t skip, uint64_t count, struct note *notes)
{
    if (read_map(reader, piece) != STATUS_OK)
        return STATUS_FAILED;
    const uint8_t *stored = (uint8_t *)notes + count * NOTE_START;
    uint64_t offset = header_offset(piece) + sizeof(struct header) +
                      reader->map.count * sizeof(struct tempo_point);
    if (read_bytes(reader, piece->rank, offset + skip * NOTE_SIZE,
                   (uint8_t *)notes + count * NOTE_START, count * NOTE_SIZE) != STATUS_OK)
        return STATUS_FAILED;
    for (uint64_t i = 0; i < count; i++)
        memmove((uint8_t *)&notes[i] + NOTE_START, stored + i * NOTE_SIZE, NOTE_SIZE);
    tempo_map_assign_seconds(&reader->map, reader->origin, notes, count);
    return STATUS_OK;
}

void spill_reader_close(struct spill_reader *reader)
{
    free(reader->map.points);
    for (int i = 0; i < SPILL_OPEN_FILES; i++)
        if (reader->open[i].descriptor >= 0)
            close(reader->open[i].descriptor);
}

void spill_remove(const char *directory, int ranks)
{
    for (int rank = 0; rank < ranks; rank++) {
        char *path = spill_path(directory, rank);
        if (path)
            unlink(path);
        free(path);
    }
}
