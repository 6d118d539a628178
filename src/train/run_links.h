/* run_links: checkpoints/latest and best, symbolic links for people, where the file
 * system has them. Nothing in the program follows them. Rank 0 only.
 */
#ifndef TUTTI_TRAIN_RUN_LINKS_H
#define TUTTI_TRAIN_RUN_LINKS_H

#include <stdbool.h>

#include "run_directory.h"
#include "base/status.h"

/* True where the file system of that folder has symbolic links. */
bool run_links_work(const char *checkpoints);

/* Points the link `latest` or `best` at the checkpoint of that name. Where that can't be
 * done, an older link or a copy in its place would mislead and is removed. A failure is a
 * warning. */
void run_link(const struct run_directory *run, const char *link, const char *name);

/* Before a checkpoint or link is made at `path`, in checkpoints/: keeps aside what is not
 * the run's to replace. */
enum status run_make_way(const struct run_directory *run, const char *path);

#endif
