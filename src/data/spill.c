/* spill: see the header. The buffer fits into a core's cache. A larger one, up to a spill
 * held entirely in memory, is slower: the first touch of memory costs more than a write
 * to the file. */
#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum { BUFFER_SIZE = 1 << 20 };

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

enum status spill_append(struct spill_writer *spill, const struct notes *notes,
                         const struct tokens *tokens, uint64_t *offset)
{
    *offset = spill->size;
    enum status status =
        append_bytes(spill, notes->items, notes->count * sizeof *notes->items);
    return status == STATUS_OK
               ? append_bytes(spill, tokens->items, tokens->count * sizeof *tokens->items)
               : status;
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
    *reader = (struct spill_reader){.directory = directory};
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

enum status spill_read(struct spill_reader *reader, int rank, uint64_t offset,
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

void spill_reader_close(struct spill_reader *reader)
{
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
