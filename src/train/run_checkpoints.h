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

/* Reads the newest intact checkpoint, for training. Newer ones that are damaged are
 * skipped, with a warning that names them. Changes nothing. STATUS_FAILED if there are
 * checkpoints but all are damaged; if there are no checkpoints, name is "". */
enum status run_checkpoints_read_newest(const struct run_directory *run, char *name,
                                        struct checkpoint *out);

/* Called when a run resumes from the checkpoint `chosen`, whose state is `state`:
 * corrects `latest` and `best`, which are outdated if the run was killed between writing
 * a checkpoint and its links. A regular file called `latest` or `best` (in a copy of the
 * run made with links followed) is renamed to the checkpoint's own name; if it is
 * `chosen`, so is `chosen`. */
void run_checkpoints_repair_links(const struct run_directory *run, char *chosen,
                                  const struct training_state *state);

/* Writes the checkpoint under its name, points `latest` at it and `best` at the one with
 * the lowest validation loss in its history; then removes all but the newest `keep` and
 * the best. Anything else under a name to be written is moved aside, and only
 * checkpoints are removed. A link that can't be created is not a failure. On failure no
 * older checkpoint is lost. STATUS_FAILED also if the folder now belongs to another
 * run. */
enum status run_checkpoints_write(const struct run_directory *run,
                                  struct checkpoint *checkpoint, int64_t keep);

/* The name of the newest checkpoint that exists now: `saved`, the last one written,
 * unless it has been removed; "" if there is none. Returns name. */
const char *run_checkpoints_newest_existing(const struct run_directory *run,
                                            const char *saved,
                                            char name[CHECKPOINT_NAME]);

#endif
