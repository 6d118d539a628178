/* run_directory: a run's folder and the files in it. Rank 0 only. Whose it is and what is
 * kept of others' files is in run_claim.h.
 *
 *     run.dir/checkpoints/epoch-0001.h5      after an epoch
 *                         step-00000123.h5   within an epoch: on request, or by the clock
 *                         latest, best       links for people, where the file system has
 *                                            links; nothing here follows them
 *     run.dir/samples/epoch-0001-1.mid
 *     run.dir/settings.conf
 *     run.dir/lock                           held while a run writes, see run_lock.h
 */
#ifndef TUTTI_TRAIN_RUN_DIRECTORY_H
#define TUTTI_TRAIN_RUN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run_claim.h"
#include "run_listing.h"
#include "checkpoint.h"
#include "base/status.h"

struct run_directory { /* zero-initialise; free with run_directory_free */
    char *path, *checkpoints, *samples;
    struct run_lock *lock;
    struct run_claim *claim;
    bool linkless; /* the file system has no symbolic links */
};

/* Looks whether a run may begin there (run_claim_check). A root-cause.txt that the
 * watchdog has not written is kept aside; else nothing is changed. */
enum status run_directory_check(const char *path, enum run_start start);

/* Checks, makes and marks the directories, takes their lock until run_directory_free, and
 * removes what interrupted writes have left. STATUS_FAILED, after a wait of some seconds,
 * if another process has the lock. */
enum status run_directory_open(const char *path, enum run_start start,
                               struct run_directory *out);
void run_directory_free(struct run_directory *run);

/* Writes settings.conf. One that the run has not written, or that somebody has changed
 * since, is kept aside. */
enum status run_directory_write_settings(const struct run_directory *run,
                                         const char *text);

/* How many checkpoints there are, readable or not. */
enum status run_directory_count(const struct run_directory *run, size_t *count);

/* Reads the newest checkpoint that is whole, for training. Checkpoints that are newer are
 * named in a warning and passed over. Changes nothing. STATUS_FAILED if there are some
 * but none is whole; with none at all, name is "". */
enum status run_directory_newest(const struct run_directory *run, char *name,
                                 struct checkpoint *out);

/* When a run goes on from the checkpoint `chosen`: points `latest` and `best` where they
 * belong, after a kill between a checkpoint and its links. A whole file that is called
 * `latest` or `best` (a copy of the run with its links followed) gets its own name, which
 * `chosen` then has. */
void run_directory_settle_links(const struct run_directory *run, char *chosen,
                                const struct checkpoint *read);

/* "epoch-0003.h5" when no epoch is under way, else "step-00000123.h5". Returns name. */
const char *run_directory_name(const struct checkpoint *checkpoint,
                               char name[CHECKPOINT_NAME]);

/* Writes the checkpoint under its name and points `latest` at it, and `best` at the one
 * of the lowest validation loss in its history; then removes all but the newest `keep`
 * and the best. What lies under a name to be written and is no checkpoint is kept aside,
 * and only checkpoints are removed. A link that can't be made is no failure. On failure
 * no checkpoint that was there is lost. STATUS_FAILED, too, once the folder is another
 * run's. */
enum status run_directory_write(const struct run_directory *run,
                                struct checkpoint *checkpoint, int64_t keep);

/* The name of the newest checkpoint that is there now: `saved`, the last one written,
 * unless it has gone; "" if there is none. Returns name. */
const char *run_directory_left(const struct run_directory *run, const char *saved,
                               char name[CHECKPOINT_NAME]);

/* A new folder in samples/, under a name that nobody can predict and for this user alone,
 * to write samples into; *path, which the caller gives to run_directory_end_samples. */
enum status run_directory_begin_samples(const struct run_directory *run, char **path);

/* Moves the samples in that folder to samples/, where what the run has not written is
 * kept aside, and removes the folder; frees path. With `keep` false they are dropped. */
enum status run_directory_end_samples(const struct run_directory *run, char *path,
                                      bool keep);

#endif
