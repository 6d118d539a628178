/* What the files of dataset share. */
#ifndef TUTTI_DATA_DATASET_INTERNAL_H
#define TUTTI_DATA_DATASET_INTERNAL_H

#include "layout.h"
#include "tutti/dataset.h"
#include "tutti/h5.h"

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

/* "PATH: can't hold it in memory". */
enum status dataset_no_memory(const char *path);

#endif
