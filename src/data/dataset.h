/* dataset: a directory of HDF5 files, index.h5 and shard-0000.h5 ..., for reading.
 *
 * A piece's shard and split come from a hash of its notes; no two pieces have equal
 * tokens; the number of shards is configured and has nothing to do with ranks. Every rank
 * opens the index, and of the shards only those it needs.
 *
 * Every dataset has an attribute "description", and "unit" if it has one.
 *
 * index.h5
 *
 *   /                  attributes format, format_version, dataset_hash, settings_hash
 *                      (of /settings and the dataset_hash; older ones have none), files,
 *                      pieces, notes, tokens
 *   /settings          the [data] section, text
 *   /vocabulary        attributes encoding, grid
 *   /vocabulary/names  of the tokens
 *   /vocabulary/hash   text
 *   /shards/pieces     [shards][train, valid, test]; likewise notes, tokens, seconds
 *   /shards/hash       [shards] of each shard's pieces
 *   /files/path        one row for every input file, sorted by path; bytes of a name that
 *                      are no text are escaped: see data/ingest.h
 *   /files/outcome     number into the attribute names: ok, repaired, skipped, duplicate
 *   /files/reason      how it was repaired, why it was skipped, "of PATH" it duplicates
 *   /files/hash_high   of the notes, with hash_low; 0 where there are none
 *   /files/bytes       of the file if it was read; further columns notes, seconds
 *
 * shard-0000.h5
 *
 *   /                  attributes format, format_version, shard, shard_hash
 *   /pieces/path       one row for every piece, sorted by hash
 *   /pieces/hash_high  notes_hash, with hash_low
 *   /pieces/token_hash hash64 of its tokens
 *   /pieces/split      0 train, 1 valid, 2 test: number into the attribute names
 *   /pieces/tempo      at the start, microseconds per quarter note; further columns
 *                      seconds, ticks_per_beat, ticks_per_second
 *   /pieces/note_first with note_count: its rows of /notes
 *   /pieces/token_first  with token_count: its rows of /tokens
 *   /notes/start       in seconds, with duration; in ticks start_tick, duration_ticks;
 *                      further columns pitch, velocity, program, channel, track; after
 *                      the sustain pedal was applied
 *   /tokens            u16, without END
 */
#ifndef TUTTI_DATA_DATASET_H
#define TUTTI_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/options.h"
#include "base/status.h"
#include "encode/encoding.h"

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
    uint64_t *shard_hashes;
    struct dataset_shard total;
    uint64_t outcomes[FILE_OUTCOMES];
};

/* Opens a dataset's index. Errors name the path and what to do (not a dataset: run
 * `tutti preprocess`; an unfinished one; a newer version; damage). Not collective. */
enum status dataset_open(const char *path, struct dataset **out);
void dataset_close(struct dataset *dataset); /* NULL is fine */

/* What the dataset decides (options_read_dataset), the defaults elsewhere. dataset_open
 * has checked that it can be read, is unchanged, and fits vocabulary and shards. */
enum status dataset_settings(const struct dataset *dataset, struct options *options);

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

/* Appends to *out the pieces of one split of shard `index`, with their tokens. Checks
 * the checksums, that every token is in the vocabulary, and the counts against the index.
 */
enum status dataset_read_shard(const struct dataset *dataset, size_t index,
                               enum split split, struct shard *out);
void shard_free(struct shard *shard);

/* Calls `take` for the pieces of one split of one shard, in the shard's order, part by
 * part: `count` tokens (0 at least once for an empty piece), and whether the piece ends
 * with them. A chunk of tokens is in memory at a time; its checksum is tested, and that
 * every token is in the vocabulary. */
typedef void dataset_taker(void *context, const token *tokens, size_t count, bool ends);
enum status dataset_scan_shard(const struct dataset *dataset, size_t index,
                               enum split split, dataset_taker *take, void *context);

/* Checks the shards part, part + parts, part + 2 parts ...; with part 0 the index too.
 * CHECK_ALL reads the files whole, so that every checksum in them is tested, also of
 * columns that the caller will not need. CHECK_PIECES reads of the shards only the tables
 * of pieces, and tests them against the index: for data of which nobody wants to read all
 * before the first step, and of which every token is tested when it is read. Ranks share
 * the work (part = rank, parts = ranks) and agree on the outcome themselves. Not
 * collective. */
enum dataset_check { CHECK_ALL, CHECK_PIECES };
enum status dataset_check_part(const struct dataset *dataset, enum dataset_check what,
                               int part, int parts);

/* Reads and checks everything: the checksums of every file, each piece's hash against its
 * notes, its tokens against its notes encoded again, and all counts against the index. */
enum status dataset_verify(const struct dataset *dataset);

/* The outcome of every input file: the index's table. */
struct dataset_files { /* free with dataset_files_free */
    size_t count;
    char **paths; /* sorted */
    char *
        *reasons; /* repaired: how, comma-separated; skipped: why; duplicate: "of PATH" */
    uint8_t *outcomes; /* enum file_outcome */
    uint64_t *bytes;   /* of the file; 0 if it was not read */
    uint64_t *notes;
    double *seconds;
};

enum status dataset_read_files(const struct dataset *dataset,
                               struct dataset_files *files);
void dataset_files_free(struct dataset_files *files);

/* Deals the shards to `microbatches` microbatches: dealt[s] = microbatch of shard s.
 * Largest first (training tokens), each to the microbatch with the fewest so far, ties to
 * the lower number; a function of the index and `microbatches` only. STATUS_MISUSE when a
 * microbatch would get no training tokens, with the largest number of microbatches that
 * works. */
enum status dataset_assign(const struct dataset *dataset, int microbatches, int *dealt);

/* The same by the tokens of any split; microbatches may stay empty. */
enum status dataset_deal_split(const struct dataset *dataset, enum split split,
                               int microbatches, int *dealt);

#endif
