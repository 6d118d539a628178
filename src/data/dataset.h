/* dataset: reads a directory of HDF5 files, index.h5 and shard-0000.h5 ....
 *
 * A piece's shard follows from a hash of its notes, and so does its split unless a split
 * file is given. No two pieces have equal tokens. The number of shards is configured and
 * independent of the number of ranks. Every rank opens the index and only those shards
 * that it needs.
 *
 * Every HDF5 dataset has an attribute "description", and "unit" where one applies.
 *
 * index.h5
 *
 *   /                  attributes format, format_version, dataset_hash, settings_hash
 *                      (of /settings and the dataset_hash; absent in older datasets),
 *                      files, pieces, notes, tokens; of these notes, in all pieces,
 *                      those that the encoding leaves out or merges: notes_percussion,
 *                      notes_out_of_range, notes_merged (absent in older datasets)
 *   /settings          the [data] section, text
 *   /vocabulary        attributes encoding, grid
 *   /vocabulary/names  of the tokens
 *   /vocabulary/hash   text
 *   /vocabulary/merges with data.bpe: [N][2], see merges.h
 *   /shards/pieces     [shards][train, valid, test]; also notes, tokens, seconds
 *   /shards/hash       [shards] of each shard's pieces
 *   /files/path        one row per input file, sorted by path; bytes of a name that are
 *                      not text are escaped: see data/preprocess.h
 *   /files/outcome     index into the attribute names: ok, repaired, skipped, duplicate
 *   /files/reason      how it was repaired, why it was skipped, "of PATH" it duplicates
 *   /files/hash_high   of the notes, with hash_low; 0 if there are none
 *   /files/bytes       file size if it was read; further columns notes, seconds
 *
 * shard-0000.h5
 *
 *   /                  attributes format, format_version, shard, shard_hash
 *   /pieces/path       one row per piece, sorted by hash
 *   /pieces/hash_high  notes_hash, with hash_low
 *   /pieces/token_hash hash64 of its tokens
 *   /pieces/split      0 train, 1 valid, 2 test: index into the attribute names
 *   /pieces/tempo      at the start, microseconds per quarter note; further columns
 *                      seconds, ticks_per_beat, ticks_per_second
 *   /pieces/note_first with note_count: its rows of /notes
 *   /pieces/token_first  with token_count: its rows of /tokens
 *   /notes/start       in seconds, with duration; in ticks start_tick, duration_ticks;
 *                      further columns pitch, velocity, program, channel, port, track,
 *                      percussion; with data.pedal = extend the sustain pedal is applied
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
/* -1 if the text is not the name of a split. */
int split_from_name(const char *text);

enum file_outcome { FILE_OK, FILE_REPAIRED, FILE_SKIPPED, FILE_DUPLICATE, FILE_OUTCOMES };
const char *file_outcome_name(enum file_outcome outcome);

struct split_counts {
    uint64_t pieces[SPLITS], notes[SPLITS], tokens[SPLITS];
    double seconds[SPLITS];
};

struct dataset { /* the index; immutable after dataset_open */
    char *path;
    struct encoding *encoding;
    uint64_t vocabulary_hash;
    uint64_t dataset_hash; /* of all pieces' hashes, splits and tokens */
    char *settings;        /* the [data] section it was preprocessed with */
    size_t shard_count;
    struct split_counts *shards;
    uint64_t *shard_hashes;
    struct split_counts total;
    uint64_t outcomes[FILE_OUTCOMES];
    bool knows_lost;        /* false: an older dataset, without these counts */
    struct lost_notes lost; /* of all pieces */
    uint64_t filtered;      /* notes of all pieces left out by data.only_programs and
                               data.tracks, not counted in `total` */
};

/* Opens a dataset's index. Errors name the path and the remedy (not a dataset: run
 * `tutti preprocess`; an unfinished one; a newer version; damage). Not collective. */
enum status dataset_open(const char *path, struct dataset **out);
void dataset_close(struct dataset *dataset); /* NULL is fine */

/* The settings that the dataset determines (options_read_dataset), defaults for the rest.
 * dataset_open has checked that they parse, are unchanged, and agree with vocabulary and
 * shards. */
enum status dataset_settings(const struct dataset *dataset, struct options *options);

/* A piece of one split of one shard, in the shard's order (by hash). */
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

/* Appends to *out the pieces of one split of shard `index`, with their tokens. Verifies
 * the checksums, that every token is in the vocabulary, and the counts against the index.
 */
enum status dataset_read_shard(const struct dataset *dataset, size_t index,
                               enum split split, struct shard *out);
void shard_free(struct shard *shard);

/* Visits the pieces of one split of one shard, in the shard's order, in parts of `count`
 * tokens (one call with 0 for an empty piece); `ends`: the piece ends with this part.
 * Only one chunk of tokens is in memory at a time. Its checksum is verified, and every
 * token is checked to be in the vocabulary. */
typedef void dataset_visitor(void *context, const token *tokens, size_t count, bool ends);
enum status dataset_visit_shard(const struct dataset *dataset, size_t index,
                                enum split split, dataset_visitor *visit, void *context);

/* Checks the shards part, part + parts, part + 2 parts ...; part 0 also checks the index.
 * CHECK_ALL reads entire files, which verifies every checksum in them, including columns
 * that the caller does not need. CHECK_PIECES reads only the tables of pieces and
 * compares them with the index: for streamed data, which is too large to read before the
 * first step and whose tokens are verified when they are read. Ranks share the work (part
 * = rank, parts = ranks); the caller makes them agree on the outcome. Not collective. */
enum dataset_check { CHECK_ALL, CHECK_PIECES };
enum status dataset_check_part(const struct dataset *dataset, enum dataset_check scope,
                               int part, int parts);

/* Reads and checks everything: the checksums of every file, each piece's hash against its
 * notes, its tokens against its re-encoded notes, and all counts against the index. */
enum status dataset_verify(const struct dataset *dataset);

/* The outcome of every input file, from the index's table /files. */
struct dataset_files { /* free with dataset_files_free */
    size_t count;
    char **paths;      /* sorted */
    char **reasons;    /* repaired: how, comma-separated; skipped: why; duplicate: "of
                          PATH" */
    uint8_t *outcomes; /* enum file_outcome */
    uint64_t *bytes;   /* file size; 0 if it was not read */
    uint64_t *notes;
    double *seconds;
};

enum status dataset_read_files(const struct dataset *dataset,
                               struct dataset_files *files);
void dataset_files_free(struct dataset_files *files);

/* Assigns the shards to `microbatches` microbatches: assigned[s] = microbatch of shard s.
 * Shards are assigned in order of decreasing training tokens, each to the microbatch with
 * the fewest tokens so far (ties: the lower index). The result depends only on the index
 * and `microbatches`. STATUS_MISUSE if a microbatch would get no training tokens; the
 * message states the largest possible number of microbatches. */
enum status dataset_assign(const struct dataset *dataset, int microbatches,
                           int *assigned);

/* The same by the tokens of `split`; a microbatch can remain empty. */
enum status dataset_assign_split(const struct dataset *dataset, enum split split,
                                 int microbatches, int *assigned);

#endif
