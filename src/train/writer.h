/* writer: writes checkpoints while training continues. Rank 0 only, called by one thread.
 *
 * Training waits only until the state has been copied in memory; a separate thread writes
 * and publishes the copy, updates the links and removes old checkpoints. Only one
 * checkpoint is written at a time: there is memory for one copy, allocated when the run
 * begins.
 */
#ifndef TUTTI_TRAIN_WRITER_H
#define TUTTI_TRAIN_WRITER_H

#include <stdbool.h>
#include <stddef.h>

#include "checkpoint.h"
#include "run_directory.h"
#include "run_listing.h"
#include "base/status.h"

struct writer;

struct writer_result {
    enum status status;
    char name[CHECKPOINT_NAME];        /* of the checkpoint */
    char message[STATUS_MESSAGE_SIZE]; /* why it could not be written */
    double seconds;                    /* spent writing */
};

/* Allocates memory for copies of `source` with up to `rows` rows of history, and starts
 * the thread. `run`, source->encoding and source->pairs are borrowed until writer_close.
 */
enum status writer_open(const struct run_directory *run, const struct checkpoint *source,
                        size_t rows, struct writer **out);

/* True while a checkpoint is being written. */
bool writer_is_busy(struct writer *writer);

/* Collects the result of the last checkpoint, once per checkpoint. With `wait`, waits
 * until it has been written. False if there is none. */
bool writer_collect(struct writer *writer, bool wait, struct writer_result *out);

/* Copies `source` and leaves the writing to the thread. The previous checkpoint must be
 * written and its result collected. Takes ownership of the arrays of source->streams. */
void writer_start(struct writer *writer, struct checkpoint *source);

/* Waits for the checkpoint that is being written. NULL is fine. */
void writer_close(struct writer *writer);

#endif
