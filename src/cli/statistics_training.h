/* statistics_training: the training split of a dataset, as a corpus. */
#ifndef TUTTI_CLI_STATISTICS_TRAINING_H
#define TUTTI_CLI_STATISTICS_TRAINING_H

#include <stdbool.h>

#include "base/options.h"
#include "base/status.h"
#include "statistics/corpus.h"

/* A corpus and the melody of the last piece added to it. Zero-initialise; free with
 * corpus_builder_free. */
struct corpus_builder {
    struct corpus corpus;
    struct melody melody;
};
void corpus_builder_free(struct corpus_builder *builder);

/* Adds a piece to the struct corpus_builder `builder` (a dataset_pieces_visitor). */
enum status corpus_builder_add(void *builder, struct notes *notes, uint64_t owner);

/* True for a folder with an index.h5. */
bool statistics_is_dataset(const char *path);

/* Adds the pieces of the dataset's training split, which a sandboxed child reads
 * (sandbox.h). Their owners are those of dataset_pieces.h. Sets the settings of *options
 * that piece_prepare reads to those of the dataset. Errors as for dataset_open and
 * sandbox_run. */
enum status statistics_read_training(const char *path, struct corpus *corpus,
                                     struct options *options);

#endif
