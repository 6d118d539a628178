/* spill: pieces on their way from the rank that read a file to the rank that writes its
 * shard. Each rank appends to one file, "spill-RANK"; a piece is its note columns, one
 * behind the other in the order of note_columns, then its tokens, as they lie in memory:
 * a spill is read by the program that wrote it and by no other. */
#ifndef TUTTI_DATA_SPILL_H
#define TUTTI_DATA_SPILL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/status.h"
#include "encode/encoding.h"
#include "midi/notes.h"

struct spill_writer { /* zero-initialise; free with spill_free */
    char *path;
    int descriptor;
    uint8_t *buffer;
    size_t buffered;
    uint64_t size; /* of the whole, what is buffered included */
};

/* Makes the file, which must not exist. */
enum status spill_create(const char *directory, int rank, struct spill_writer *spill);

/* Appends a piece; *offset is where it begins. */
enum status spill_append(struct spill_writer *spill, const struct notes *notes,
                         const struct tokens *tokens, uint64_t *offset);

/* Nothing more will be appended: from here on all of it can be read. */
enum status spill_finish(struct spill_writer *spill);
void spill_free(struct spill_writer *spill);

enum { SPILL_OPEN_FILES = 64 };

/* Reads the spills of all ranks, a bounded number of them open at a time. */
struct spill_reader {
    const char *directory; /* borrowed */
    struct {
        int rank, descriptor;
    } open[SPILL_OPEN_FILES];
};

void spill_reader_open(const char *directory, struct spill_reader *reader);

/* What lies from `offset` on, into `count` parts one after another, which are used up. */
enum status spill_read(struct spill_reader *reader, int rank, uint64_t offset,
                       struct iovec *parts, int count);
void spill_reader_close(struct spill_reader *reader);

/* Deletes the spills of `ranks` ranks. */
void spill_remove(const char *directory, int ranks);

#endif
