/* dataset: a directory of HDF5 files, index.h5 and shard-0000.h5 ..., opened for reading.
 *
 * A piece's shard and split come from a hash of its notes; the number of shards is configured
 * and has nothing to do with ranks. Every rank opens the index, and of the shards only those
 * it needs.
 *
 *   index.h5   /settings (text)   /vocabulary/{names, hash}   /shards/{pieces, notes, tokens}
 *              (per shard; tokens also per split)   /files/{path, outcome, reason, piece hash,
 *              notes, seconds}: one row for every input file
 *   shard      /pieces/{path, hash_high, hash_low, split, ticks_per_beat, tempo, seconds,
 *              note_first, note_count, token_first, token_count}
 *              /notes/{start, duration, start_tick, duration_ticks, pitch, velocity, program,
 *              channel, track}   /tokens (u16)
 *
 * A piece's tokens in a shard are without END.
 */
#ifndef TUTTI_DATASET_H
#define TUTTI_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "tutti/encoding.h"
#include "tutti/hash.h"
#include "tutti/options.h"
#include "tutti/status.h"

enum split { SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST, SPLITS };
const char *split_name(enum split split); /* "train", "valid", "test" */
/* -1 when the text names no split. */
int split_from_name(const char *text);

enum file_outcome { FILE_OK, FILE_REPAIRED, FILE_SKIPPED, FILE_DUPLICATE, FILE_OUTCOMES };
const char *file_outcome_name(enum file_outcome outcome);

struct dataset_shard {
    uint64_t pieces[SPLITS], notes[SPLITS], tokens[SPLITS];
    double seconds[SPLITS];
};

struct dataset { /* the index; immutable after dataset_open */
    char *path;
    struct encoding *encoding;
    uint64_t vocabulary_hash;
    uint64_t dataset_hash; /* of all pieces' hashes, splits and tokens */
    char *settings;        /* the [data] section it was made with */
    size_t shard_count;
    struct dataset_shard *shards;
    struct dataset_shard total;
    uint64_t outcomes[FILE_OUTCOMES];
};

/* Opens a dataset's index. Errors name the path and what to do (not a dataset: run
 * `tutti preprocess`; a newer version; damage). Not collective. */
enum status dataset_open(const char *path, struct dataset **out);
void dataset_close(struct dataset *dataset); /* NULL is fine */

/* Pieces of one split of one shard, in the shard's order (by hash). */
struct piece {
    struct hash128 hash;
    size_t token_first, token_count; /* into tokens */
    uint64_t notes;
    double seconds;
};

struct shard { /* zero-initialise; free with shard_free */
    struct piece *pieces;
    size_t piece_count;
    token *tokens;
    size_t token_count;
};

/* Appends to *shard the pieces of one split of shard `index`, with their tokens. Checks the
 * checksums, that every token is in the vocabulary, and the counts against the index. */
enum status dataset_read_shard(const struct dataset *dataset, size_t index,
                               enum split split, struct shard *shard);
void shard_free(struct shard *shard);

/* Reads and checks everything: checksums, counts, hashes, tokens against notes decoded
 * again. */
enum status dataset_verify(const struct dataset *dataset);

/* Deals the shards to `slices` slices: dealt[s] = slice of shard s. Largest first (training
 * tokens), each to the slice with the fewest so far, ties to the lower number; a function of
 * the index and `slices` only. STATUS_MISUSE when a slice would get no training tokens, with
 * the largest number of slices that works. */
enum status dataset_deal(const struct dataset *dataset, int slices, int *dealt);

#endif
