/* run_directory: a run's folder. Rank 0 only. run_claim.h defines which folders belong
 * to a run and which files of others are moved aside.
 *
 *     run.dir/checkpoints/epoch-0001.h5      after an epoch         (run_checkpoints.h)
 *                         step-00000123.h5   within an epoch: on request, or by the clock
 *                         latest, best       links for users              (run_links.h)
 *     run.dir/samples/epoch-0001-1.mid                                  (run_samples.h)
 *     run.dir/settings.conf
 *     run.dir/lock                           held while a run writes       (run_lock.h)
 */
#ifndef TUTTI_TRAIN_RUN_DIRECTORY_H
#define TUTTI_TRAIN_RUN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "run_check.h"
#include "run_claim.h"
#include "base/status.h"

struct run_directory { /* zero-initialise; free with run_directory_free */
    char *path, *checkpoints, *samples;
    struct run_lock *lock;
    struct run_claim *claim;
    bool lacks_symlinks; /* the file system has no symbolic links */
};

/* Checks whether a run may begin there (run_check). A root-cause.txt that the
 * watchdog has not written is moved aside; nothing else is changed. */
enum status run_directory_check(const char *path, enum run_start start);

/* Checks, creates and marks the directories, holds their lock until run_directory_free,
 * and removes the temporary files of interrupted writes. STATUS_FAILED, after a wait of
 * some seconds, if another process has the lock. */
enum status run_directory_open(const char *path, enum run_start start,
                               struct run_directory *out);
void run_directory_free(struct run_directory *run);

/* Removes a staging folder of samples (run_samples.h), as a killed process may leave it,
 * in the open directory `folder`. */
void run_directory_remove_samples(int folder, const char *name);

/* To be called before `name`, a path relative to run.dir, is written to `path`: moves
 * aside a file that the run has not written, and records these bytes in the claim, which
 * the caller saves. */
enum status run_directory_prepare_write(const struct run_directory *run, const char *path,
                                        const char *name, const void *bytes, size_t size);

/* True for a regular file; links are not followed. */
bool run_is_regular_file(const char *path);

/* Writes settings.conf. An existing file that the run has not written, or that was
 * changed since, is moved aside. */
enum status run_directory_write_settings(const struct run_directory *run,
                                         const char *text);

#endif
