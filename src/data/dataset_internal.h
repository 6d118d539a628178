/* What the files of dataset share. */
#ifndef TUTTI_DATA_DATASET_INTERNAL_H
#define TUTTI_DATA_DATASET_INTERNAL_H

#include "schema.h"
#include "dataset.h"
#include "h5/h5.h"

/* A shard file, open, with its pieces; they were checked against each other, against the
 * shard's hash in the index and against the counts there. */
struct shard_file {
    struct h5_file *file;
    struct piece_row *rows;
    size_t index, count;
    uint64_t notes, tokens;
};

enum status shard_file_open(const struct dataset *dataset, size_t index,
                            struct shard_file *shard);
void shard_file_close(struct shard_file *shard);

/* Opens a file and checks its format attribute and version. */
enum status open_format(const char *path, const char *format, struct h5_file **out);

/* "DATASET/index.h5", read again. */
enum status open_index(const struct dataset *dataset, struct h5_file **out);

/* Whether numbers are such as can be, see dataset_check.c; each message names the file
 * and the column. Of the index, before and after its sums are made: */
enum status dataset_check_shard_count(const struct h5_file *file, size_t count);
enum status dataset_check_counts(const struct h5_file *file,
                                 const struct dataset *dataset);
/* The root's attributes against the sums; the table of files; the tokens' names. */
enum status dataset_check_totals(const struct h5_file *file,
                                 const struct dataset *dataset);
enum status dataset_check_files(const struct h5_file *file,
                                const struct dataset_files *files);
enum status dataset_check_names(const struct h5_file *file,
                                const struct encoding *encoding);
/* The root's attributes of a shard. */
enum status dataset_check_identity(const struct h5_file *file, size_t index,
                                   uint64_t hash);
/* What of a piece or a note can't be, in words: "the tempo"; NULL: all can. */
const char *dataset_wrong_piece(const struct piece_row *row);
const char *dataset_wrong_note(const struct note *note);

/* "PATH: can't hold it in memory". */
enum status dataset_no_memory(const char *path);

#endif
