/* spill: temporary files that pass pieces from the rank that read a file to the rank that
 * writes its shard. Each rank appends to one file, "spill-RANK". A piece is stored as its
 * notes (struct note), followed by its tokens, both as they are in memory: only the run
 * that wrote a spill reads it. */
#ifndef TUTTI_DATA_SPILL_H
#define TUTTI_DATA_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "encode/encoding.h"
#include "midi/notes.h"

struct spill_writer { /* zero-initialise; free with spill_free */
    char *path;
    int descriptor;
    uint8_t *buffer;
    size_t buffered;
    uint64_t size; /* of the file, including buffered bytes */
};

/* Creates the file, which must not exist. */
enum status spill_create(const char *directory, int rank, struct spill_writer *spill);

/* Appends a piece; *offset: its position in the file. */
enum status spill_append(struct spill_writer *spill, const struct notes *notes,
                         const struct tokens *tokens, uint64_t *offset);

/* Flushes and closes the file; afterwards all of it can be read. No append may follow. */
enum status spill_close(struct spill_writer *spill);
void spill_free(struct spill_writer *spill);

enum { SPILL_OPEN_FILES = 64 };

/* Reads the spills of all ranks, with at most SPILL_OPEN_FILES open at a time. */
struct spill_reader {
    const char *directory; /* borrowed */
    struct {
        int rank, descriptor;
    } open[SPILL_OPEN_FILES];
};

void spill_reader_open(const char *directory, struct spill_reader *reader);

/* Reads bytes[size] from `offset` on of the rank's spill. */
enum status spill_read(struct spill_reader *reader, int rank, uint64_t offset,
                       void *bytes, size_t size);
void spill_reader_close(struct spill_reader *reader);

/* Deletes the spills of `ranks` ranks. */
void spill_remove(const char *directory, int ranks);

#endif
