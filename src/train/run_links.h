/* run_links: checkpoints/latest and best, symbolic links for users, if the file system
 * supports them. The program itself does not depend on them. Rank 0 only.
 */
#ifndef TUTTI_TRAIN_RUN_LINKS_H
#define TUTTI_TRAIN_RUN_LINKS_H

#include <stdbool.h>

#include "run_directory.h"
#include "base/status.h"

/* True if the file system of that folder supports symbolic links. */
bool run_links_supported(const char *checkpoints);

/* Points the link `latest` or `best` at the checkpoint of that name. If that can't be
 * done, an older link or a copy in its place would be misleading and is removed. A
 * failure only causes a warning. */
void run_links_set(const struct run_directory *run, const char *link, const char *name);

/* To be called before a checkpoint or link is created at `path`, in checkpoints/: moves
 * aside a file that the run must not replace. */
enum status run_move_foreign_aside(const struct run_directory *run, const char *path);

#endif
