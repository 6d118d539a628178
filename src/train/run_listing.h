/* run_listing: the checkpoints of a run as found in their folder. Which is newest and
 * which is best is asked of the files themselves (step, epoch, history), not of names,
 * times or links, which copying a run changes: the links `latest` and `best` are for
 * people.
 */
#ifndef TUTTI_TRAIN_RUN_LISTING_H
#define TUTTI_TRAIN_RUN_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tutti/checkpoint.h"
#include "tutti/status.h"

enum { CHECKPOINT_NAME = 40 };

struct run_entry {
    char name[CHECKPOINT_NAME];
    int64_t step, epoch, epoch_step; /* -1: the file can't say */
};

struct run_listing {           /* free with run_listing_free */
    struct run_entry *entries; /* unreadable ones first, then the newest first */
    size_t count, capacity;
};

/* "epoch-0003.h5", "step-00000123.h5"? */
bool run_is_checkpoint_name(const char *name);

/* Lists the files with a checkpoint's name, and whole files called `latest` or `best`,
 * which a copy with its links followed has. */
enum status run_listing_read(const char *checkpoints, struct run_listing *out);
void run_listing_free(struct run_listing *listing);

/* Of the checkpoints that are there, the one written after the epoch with the lowest
 * validation loss in the history; on a tie the earlier epoch, as schedule_epoch counts.
 * NULL: none of them has such a loss. */
const struct run_entry *run_listing_best(const struct run_listing *listing,
                                         const struct history_row *history, size_t rows);

#endif
