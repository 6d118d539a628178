/* spill: temporary files that pass pieces from the rank that read a file to the rank that
 * writes its shard. Each rank appends to one file, "spill-RANK". A piece is stored as
 *
 *   tokens      token[]
 *   header      units per second and length of the tempo map, origin of the ticks
 *   tempo map   struct tempo_point[]
 *   notes       struct note[], without start and duration
 *
 * all as they are in memory: only the run that wrote a spill reads it. Tokens that are
 * merged afterwards, so that they become fewer, replace the first of them. The seconds of the
 * notes would be half of the file; they are computed again from the ticks. */
#ifndef TUTTI_DATA_SPILL_H
#define TUTTI_DATA_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "encode/encoding.h"
#include "midi/notes.h"
#include "midi/tempo_map.h"

struct spill_writer { /* zero-initialise; free with spill_free */
    char *path;
    int descriptor;
    uint8_t *buffer;
    size_t buffered;
    uint64_t size; /* of the file, including buffered bytes */
};

/* Creates the file, which must not exist. */
enum status spill_create(const char *directory, int rank, struct spill_writer *spill);

/* Appends a piece, whose notes count their ticks from tick `origin` of the tempo map.
 * *offset: its position in the file. */
enum status spill_append(struct spill_writer *spill, const struct notes *notes,
                         const struct tempo_map *map, uint32_t origin,
                         const struct tokens *tokens, uint64_t *offset);

/* Flushes and closes the file; afterwards all of it can be read. No append may follow. */
enum status spill_close(struct spill_writer *spill);
void spill_free(struct spill_writer *spill);

/* A closed file is opened again, so that tokens in it can be replaced; to be closed as
 * before. */
enum status spill_reopen(struct spill_writer *spill);

/* Replaces the first `count` tokens of the piece at `offset`, which has at least as many.
 */
enum status spill_replace_tokens(const struct spill_writer *spill, uint64_t offset,
                                 const token *tokens, uint64_t count);

enum { SPILL_OPEN_FILES = 64 };

/* A piece in a spill. */
struct spill_piece {
    int rank;        /* in whose spill it is */
    uint64_t offset; /* from spill_append */
    uint64_t tokens; /* how many it has */
};

/* Reads the spills of all ranks, with at most SPILL_OPEN_FILES open at a time. */
struct spill_reader {
    const char *directory; /* borrowed */
    struct {
        int rank, descriptor;
    } open[SPILL_OPEN_FILES];
    struct spill_piece mapped; /* the piece to which map and origin belong */
    struct tempo_map map;
    uint32_t origin;
};

void spill_reader_open(const char *directory, struct spill_reader *reader);

/* Reads `count` of the piece's tokens, from the one with index `skip` on. */
enum status spill_read_tokens(struct spill_reader *reader,
                              const struct spill_piece *piece, uint64_t skip,
                              uint64_t count, token *tokens);

/* Reads `count` of the piece's notes, from the one with index `skip` on. */
enum status spill_read_notes(struct spill_reader *reader, const struct spill_piece *piece,
                             uint64_t skip, uint64_t count, struct note *notes);
void spill_reader_close(struct spill_reader *reader);

/* Deletes the spills of `ranks` ranks. */
void spill_remove(const char *directory, int ranks);

#endif
