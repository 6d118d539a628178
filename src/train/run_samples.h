/* run_samples: samples are written in a staging folder, samples/.epoch.*.partial, and
 * moved to samples/ when all of an epoch are complete. Rank 0 only.
 */
#ifndef TUTTI_TRAIN_RUN_SAMPLES_H
#define TUTTI_TRAIN_RUN_SAMPLES_H

#include <stdbool.h>

#include "run_directory.h"
#include "base/status.h"

/* Creates a staging folder in samples/, with an unpredictable name and accessible only to
 * this user. *path is to be passed to run_samples_end. */
enum status run_samples_begin(const struct run_directory *run, char **path);

/* With `publish`, moves the staged samples to samples/, where files that the run has not
 * written are moved aside. Removes the staging folder with its remaining samples; frees
 * path. */
enum status run_samples_end(const struct run_directory *run, char *path, bool publish);

#endif
