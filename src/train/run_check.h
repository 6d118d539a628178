/* run_check: decides which folders a run may claim (run_claim.h). Rank 0 only; writes
 * nothing.
 *
 * A folder without a marker may be claimed if it holds nothing under a name that a run
 * writes (run_names.h); other names are never touched. A folder with readable checkpoints
 * (a copy, or one older than the marker) is also accepted when a run is resumed. All
 * others are refused.
 *
 * Links. run.dir itself may be a link: the user has named it. `checkpoints` and `samples`
 * may be links to a folder elsewhere, for example on another disk, if they belong to this
 * user or root and the folder contains only files that runs write; so a link planted by
 * another user, or to a folder used for something else, is refused. Under any other name
 * that a run writes, anything but a regular file (a link, a pipe, a device) is refused
 * and never opened.
 */
#ifndef TUTTI_TRAIN_RUN_CHECK_H
#define TUTTI_TRAIN_RUN_CHECK_H

#include <stdbool.h>

#include "run_claim.h"
#include "base/status.h"

enum run_start { RUN_NEW, RUN_RESUMED };

/* Checks that a run may write into the directory, which need not exist. STATUS_MISUSE
 * names the obstacle and the remedy. */
enum status run_check(const char *directory, enum run_start start);

/* Fails with the message for a new run in a folder with checkpoints of an earlier one. */
enum status run_fail_has_checkpoints(const char *directory);

/* True for a root-cause.txt written by the watchdog, recognised by its first words. */
bool run_is_root_cause(const char *path);

#endif
