/* Shared by dataset*.c. */
#ifndef TUTTI_DATA_DATASET_INTERNAL_H
#define TUTTI_DATA_DATASET_INTERNAL_H

#include "schema.h"
#include "dataset.h"
#include "h5/h5.h"

/* An open shard file with its pieces, which are consistent and agree with the shard's
 * hash and counts in the index. */
struct shard_file {
    struct h5_file *file;
    struct piece_row *rows;
    size_t index, count;
    uint64_t notes, tokens;
};

enum status shard_file_open(const struct dataset *dataset, size_t index,
                            struct shard_file *shard);
void shard_file_close(struct shard_file *shard);

/* Opens a file; checks its format attribute and version. */
enum status dataset_open_file(const char *path, const char *format, struct h5_file **out);

/* Opens "DATASET/index.h5" again. */
enum status dataset_open_index(const struct dataset *dataset, struct h5_file **out);

/* Range checks (see dataset_check.c); each message names the file and the column. These
 * check the index before its totals are computed: */
enum status dataset_check_shard_count(const struct h5_file *file, size_t count);
enum status dataset_check_counts(const struct h5_file *file,
                                 const struct dataset *dataset);
/* These check the root's attributes against the totals, the table of files, and the token
 * names. */
enum status dataset_check_totals(const struct h5_file *file,
                                 const struct dataset *dataset);
enum status dataset_check_files(const struct h5_file *file,
                                const struct dataset_files *files);
enum status dataset_check_names(const struct h5_file *file,
                                const struct encoding *encoding);
/* Checks the root attributes of a shard file. */
enum status dataset_check_identity(const struct h5_file *file, size_t index,
                                   uint64_t hash);
/* Describes the first field of a piece or a note that is out of range, such as "the
 * tempo"; NULL if all are in range. */
const char *dataset_invalid_piece_field(const struct piece_row *row);
const char *dataset_invalid_note_field(const struct note *note);

/* "PATH: out of memory". */
enum status dataset_out_of_memory(const char *path);

#endif
