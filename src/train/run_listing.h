/* run_listing: the checkpoints in a run's folder. The newest and the best are determined
 * from the contents of the files (step, epoch, history), not from names, times or links,
 * which may change when a run is copied. The links `latest` and `best` are for users.
 */
#ifndef TUTTI_TRAIN_RUN_LISTING_H
#define TUTTI_TRAIN_RUN_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run_names.h"
#include "state.h"
#include "base/status.h"

struct run_entry {
    char name[CHECKPOINT_NAME];
    int64_t step, epoch, epoch_step; /* -1: unreadable */
    char run_id[RUN_ID_SIZE];        /* id of the run that wrote it; "": unknown */
};

struct run_listing {           /* free with run_listing_free */
    struct run_entry *entries; /* unreadable ones first, then newest first */
    size_t count, capacity;
};

/* True for a readable entry written by the run `id`, or by an unknown one. */
bool run_entry_belongs_to(const struct run_entry *entry, const char *id);

/* The same for a file. */
bool run_file_belongs_to(const char *path, const char *id);

/* Lists files with a checkpoint's name, links to files included, and regular files called
 * `latest` or `best`, which a copy of a run has if links were followed. */
enum status run_listing_read(const char *checkpoints, struct run_listing *out);
void run_listing_free(struct run_listing *listing);

/* The listed checkpoint of the epoch with the lowest validation loss in the history, on a
 * tie the earlier epoch, as in schedule_epoch. NULL: none of them has a loss. */
const struct run_entry *run_listing_best(const struct run_listing *listing,
                                         const struct history_row *history, size_t rows);

/* For other modules, in any process, without writing anything: the path of the newest
 * checkpoint in a run's folder `checkpoints`, or of the one with the lowest validation
 * loss that the run has seen; the caller frees it. NULL: there is none. It is determined
 * from the files' contents, so missing or wrong links don't matter. An unreadable file
 * that would be the result by its name is returned, too. */
enum run_selector { RUN_NEWEST, RUN_BEST };
char *run_find_checkpoint(const char *checkpoints, enum run_selector selector);

/* The step of the newest readable checkpoint of the run in a directory; 0 if there is
 * none. */
int64_t run_newest_step(const char *run_directory);

#endif
