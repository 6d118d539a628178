/* schema: the names and types of a dataset's columns, in one place for writer and reader.
 */
#ifndef TUTTI_DATA_SCHEMA_H
#define TUTTI_DATA_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "h5/h5.h"
#include "midi/notes.h"

enum { DATASET_FORMAT_VERSION = 1 };
#define DATASET_FORMAT "tutti dataset"
#define SHARD_FORMAT "tutti dataset shard"

/* In OUT.partial until it is complete: the marker (base/owned_directory.h) that lists
 * what is made there, locked by the preprocess at work. */
#define UNFINISHED_NAME "UNFINISHED"
#define INDEX_NAME "index.h5"

/* A member of an array of structs that is a dataset of its own on disk. */
struct column {
    const char *name;
    enum h5_type type;
    size_t offset; /* of the member, which has the type's size */
};

/* Ends with name == NULL; members of struct note. */
extern const struct column note_columns[];
enum { NOTE_COLUMNS = 11 };

/* A token is a row of this one column. */
extern const struct column token_column;

/* One row of a shard's /pieces, but for its path; members of piece_columns. */
struct piece_row {
    uint64_t hash_high, hash_low, token_hash;
    uint64_t note_first, note_count, token_first, token_count;
    double seconds, tempo, ticks_per_beat, ticks_per_second;
    uint8_t split;
};

extern const struct column piece_columns[];

/* Gives every dataset of a shard or the index that is being written its attribute
 * "description", its "unit" if it has one, and /pieces/split its "names". */
enum status describe_datasets(struct h5_file *file);

/* column[i] = the member of rows[i], and back. */
void column_pack(const struct column *column, const void *rows, size_t row_size,
                 size_t count, void *packed);
void column_unpack(const struct column *column, const void *packed, size_t count,
                   void *rows, size_t row_size);

/* Fingerprint of a shard: its pieces' hashes, splits, counts and tokens' hashes, in
 * order. */
uint64_t shard_hash(const struct piece_row *rows, size_t count);

/* Fingerprint of a dataset: the vocabulary and its shards' fingerprints, in order. */
uint64_t dataset_hash_of(uint64_t vocabulary_hash, const uint64_t *shard_hashes,
                         size_t shards);

/* Fingerprint of what a dataset keeps of its settings, as part of this dataset. */
uint64_t settings_hash_of(uint64_t dataset_hash, const char *settings);

/* "DATASET/shard-0003.h5"; the caller frees it. NULL without memory. */
char *shard_path(const char *dataset, size_t index);

/* The files of a complete dataset, as an owned_directory's list; the caller frees it. */
char *dataset_names(size_t shards);

#endif
