/* run_directory: the checkpoints of a run as files. Rank 0 only.
 *
 *     run.dir/checkpoints/epoch-0001.h5      behind an epoch
 *                         step-00000123.h5   within an epoch: on request, or by the clock
 *                         latest, best       links for people, where the file system has
 *                                            links; nothing here follows them
 *     run.dir/samples/
 *     run.dir/lock                           held while a run writes, see run_lock.h
 */
#ifndef TUTTI_TRAIN_RUN_DIRECTORY_H
#define TUTTI_TRAIN_RUN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run_listing.h"
#include "tutti/checkpoint.h"
#include "tutti/status.h"

struct run_directory { /* zero-initialise; free with run_directory_free */
    char *path, *checkpoints, *samples;
    struct run_lock *lock;
    bool linkless; /* the file system has no symbolic links */
};

/* Makes the directories, and takes their lock until run_directory_free. STATUS_FAILED,
 * after a wait of some seconds, if another process has it. */
enum status run_directory_open(const char *path, struct run_directory *out);
void run_directory_free(struct run_directory *run);

/* How many checkpoints there are, readable or not. */
enum status run_directory_count(const struct run_directory *run, size_t *count);

/* Reads the newest checkpoint that is whole, for training, points `latest` and `best`
 * where they belong, and removes what interrupted writes have left. A whole file that is
 * called `latest` or `best` (a copy of the run with its links followed) gets its own
 * name back. Checkpoints that are newer are named in a warning and passed over.
 * STATUS_FAILED if there are some but none is whole; with none at all, name is "". */
enum status run_directory_newest(const struct run_directory *run, char *name,
                                 struct checkpoint *out);

/* "epoch-0003.h5" when no epoch is under way, else "step-00000123.h5". Returns name. */
const char *run_directory_name(const struct checkpoint *checkpoint,
                               char name[CHECKPOINT_NAME]);

/* Writes the checkpoint under its name and points `latest` at it, and `best` at the one
 * of the lowest validation loss in its history; then removes all but the newest `keep`
 * and the best. A link that can't be made is no failure. On failure no checkpoint that
 * was there is lost. */
enum status run_directory_write(const struct run_directory *run,
                                struct checkpoint *checkpoint, int64_t keep);

#endif
