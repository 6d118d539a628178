/* dataset_pieces: the pieces of a dataset as notes, decoded from their tokens. */
#ifndef TUTTI_STATISTICS_DATASET_PIECES_H
#define TUTTI_STATISTICS_DATASET_PIECES_H

#include <stdint.h>

#include "base/status.h"
#include "data/dataset.h"
#include "midi/notes.h"

/* Called with each piece, which it may change; `owner` identifies the piece (see corpus.h)
 * and is dataset_pieces_owner of the notes that it was encoded from. */
typedef enum status dataset_pieces_visitor(void *context, struct notes *notes,
                                           uint64_t owner);

/* Visits the pieces of a split, by shard and hash. One shard is in memory at a time.
 * Returns the first failure of a visit; errors as for dataset_read_shard. */
enum status dataset_pieces_visit(const struct dataset *dataset, enum split split,
                                 dataset_pieces_visitor *visit, void *context);

uint64_t dataset_pieces_owner(struct hash128 notes_hash); /* not 0 */

#endif
