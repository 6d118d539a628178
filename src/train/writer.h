/* writer: writes checkpoints while training goes on. Rank 0 only, called by one thread.
 *
 * Training waits for a copy of the state in memory; a thread of its own writes and
 * publishes the copy, moves the links and removes what is too old. One at a time: there
 * is room for one copy, made when the run begins.
 */
#ifndef TUTTI_TRAIN_WRITER_H
#define TUTTI_TRAIN_WRITER_H

#include <stdbool.h>

#include "run_directory.h"
#include "checkpoint.h"
#include "base/status.h"

struct writer;

struct writer_outcome {
    enum status status;
    char name[CHECKPOINT_NAME];        /* of the checkpoint */
    char message[STATUS_MESSAGE_SIZE]; /* why it is not there */
    double seconds;                    /* that writing took */
};

/* Makes room for copies of `now` with up to `epochs` rows of history, and starts the
 * thread. `run` and now->encoding are borrowed until writer_close. */
enum status writer_open(const struct run_directory *run, const struct checkpoint *now,
                        size_t epochs, struct writer **out);

/* Is a checkpoint being written? */
bool writer_is_busy(struct writer *writer);

/* The outcome of the last checkpoint, once for each; with `wait` when it is written, else
 * if it is. False: there is none (to come). */
bool writer_take_outcome(struct writer *writer, bool wait, struct writer_outcome *out);

/* Copies the state and leaves the writing to the thread. The one before must be through
 * and its outcome taken. Takes over stream_rows, cursors and states. */
void writer_start(struct writer *writer, struct checkpoint *now);

/* Waits for the one that is being written. NULL is fine. */
void writer_close(struct writer *writer);

#endif
