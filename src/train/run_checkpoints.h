/* run_checkpoints: the checkpoints in a run's folder: their names, finding the newest,
 * writing one and removing old ones. Rank 0 only.
 */
#ifndef TUTTI_TRAIN_RUN_CHECKPOINTS_H
#define TUTTI_TRAIN_RUN_CHECKPOINTS_H

#include <stddef.h>
#include <stdint.h>

#include "checkpoint.h"
#include "run_directory.h"
#include "run_listing.h"
#include "state.h"
#include "base/status.h"

/* "epoch-0003.h5" at the end of an epoch, else "step-00000123.h5". Returns name. */
const char *run_checkpoint_name(const struct training_state *state,
                                char name[CHECKPOINT_NAME]);

/* Counts the checkpoints, readable or not. */
enum status run_checkpoints_count(const struct run_directory *run, size_t *count);

/* Reads the newest whole checkpoint, for training. Newer ones that are damaged are named
 * in a warning and passed over. Changes nothing. STATUS_FAILED if there are some but none
 * is whole; with none at all, name is "". */
enum status run_checkpoints_read_newest(const struct run_directory *run, char *name,
                                        struct checkpoint *out);

/* When a run resumes from the checkpoint `chosen`, whose state is given: points `latest`
 * and `best` where they belong, after a kill between a checkpoint and its links. A whole
 * file called `latest` or `best` (a copy of the run with its links followed) gets its own
 * name, which `chosen` then has. */
void run_checkpoints_repair_links(const struct run_directory *run, char *chosen,
                                  const struct training_state *state);

/* Writes the checkpoint under its name, points `latest` at it and `best` at the one with
 * the lowest validation loss in its history; then removes all but the newest `keep` and
 * the best. Keeps aside what lies under a name to be written and is no checkpoint, and
 * removes only checkpoints. A link that can't be made is no failure. On failure no older
 * checkpoint is lost. STATUS_FAILED also once the folder belongs to another run. */
enum status run_checkpoints_write(const struct run_directory *run,
                                  struct checkpoint *checkpoint, int64_t keep);

/* The name of the newest checkpoint that exists now: `saved`, the last one written,
 * unless it has been removed; "" if there is none. Returns name. */
const char *run_checkpoints_left(const struct run_directory *run, const char *saved,
                                 char name[CHECKPOINT_NAME]);

#endif
