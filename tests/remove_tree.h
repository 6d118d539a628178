/* Removes the files of a test. The program has no such function: it deletes files only by
 * name. */
#ifndef TUTTI_TESTS_REMOVE_TREE_H
#define TUTTI_TESTS_REMOVE_TREE_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/status.h"

static inline int remove_entry(const char *path, const struct stat *info, int kind,
                               struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

/* Deletes a directory with all it holds, or a file; a missing one is fine. Links are
 * removed, never followed. */
static inline enum status file_remove_tree(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0 && errno == ENOENT)
        return STATUS_OK;
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return status_fail_errno("%s: can't remove", path);
    return STATUS_OK;
}

#endif
