/* checkpoint_path: resolves a path given by the user to a checkpoint file. */
#ifndef TUTTI_TRAIN_CHECKPOINT_PATH_H
#define TUTTI_TRAIN_CHECKPOINT_PATH_H

#include "base/status.h"

/* Resolves `path` to a checkpoint file, *file (the caller frees it). A file resolves to
 * itself; a run's directory, or its checkpoints directory, to the `preferred` checkpoint
 * ("best" or "latest") or, if that does not exist, to the other, whether or not the links
 * exist and are correct. ".../latest" and ".../best" are used as they are; if they are
 * missing or dangling, see checkpoint_path_follow. STATUS_FAILED if there is no such
 * file. */
enum status checkpoint_path_resolve(const char *path, const char *preferred, char **file);

/* The checkpoint for a path ".../latest" or ".../best" that does not exist (no links on
 * this file system, or a dangling one): the newest or the best checkpoint in the folder.
 * The caller frees it. NULL for any other path. */
char *checkpoint_path_follow(const char *path);

#endif
