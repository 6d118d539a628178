/* schema: names and types of a dataset's columns, shared by writer and reader. */
#ifndef TUTTI_DATA_SCHEMA_H
#define TUTTI_DATA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "h5/h5.h"
#include "midi/notes.h"

enum { DATASET_FORMAT_VERSION = 1 };
#define DATASET_FORMAT "tutti dataset"
#define SHARD_FORMAT "tutti dataset shard"

/* In OUT.partial until it is complete: the marker (base/owned_directory.h) that lists the
 * files to be written there; locked by the running preprocess. */
#define UNFINISHED_NAME "UNFINISHED"
#define INDEX_NAME "index.h5"

/* Attributes of the index's root: struct lost_notes, summed over all pieces. */
#define LOST_PERCUSSION "notes_percussion"
#define LOST_OUT_OF_RANGE "notes_out_of_range"
#define LOST_MERGED "notes_merged"

/* Attribute of the index's root: the notes that data.only_programs and data.tracks left
 * out, summed over all pieces. */
#define NOTES_FILTERED "notes_filtered"

/* A member of an array of structs, stored as an HDF5 dataset of its own. */
struct column {
    const char *name;
    enum h5_type type;
    size_t offset; /* of the member, which has the type's size */
};

/* Members of struct note; ends with name == NULL. */
extern const struct column note_columns[];
enum { NOTE_COLUMNS = 11 };

/* The only column of the tokens. */
extern const struct column token_column;

/* One row of a shard's /pieces, without its path; members as in piece_columns. */
struct piece_row {
    uint64_t hash_high, hash_low, token_hash;
    uint64_t note_first, note_count, token_first, token_count;
    double seconds, tempo, ticks_per_beat, ticks_per_second;
    uint8_t split;
};

extern const struct column piece_columns[];

/* Writes the attributes "description" and, where one applies, "unit" of every dataset of
 * the index or of a shard that is being written and has all its datasets; of a shard also
 * "names" of /pieces/split. `pedal`: the notes' durations include the sustain pedal. */
enum status describe_index(struct h5_file *file);
enum status describe_shard(struct h5_file *file, bool pedal);

/* packed[i] = the member of rows[i], and back. */
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

/* Fingerprint of the settings stored in a dataset, bound to that dataset. */
uint64_t settings_hash_of(uint64_t dataset_hash, const char *settings);

/* "DATASET/shard-0003.h5"; the caller frees it. NULL if out of memory. */
char *shard_path(const char *dataset, size_t index);

/* The files of a complete dataset, as the list of an owned_directory. The caller frees
 * it; NULL if out of memory. */
char *dataset_file_names(size_t shards);

#endif
