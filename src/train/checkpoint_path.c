/* checkpoint_path: see the header. */
#include "checkpoint_path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run_listing.h"
#include "base/file.h"

/* directory/name if that file exists, else NULL (also if out of memory). */
static char *existing_file(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    if (path && (!file_exists(path) || file_is_directory(path))) {
        free(path);
        return NULL;
    }
    return path;
}

/* True if the link at `path` points to `file` in its own folder. */
static bool links_to(const char *path, const char *file)
{
    char target[256];
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    return strcmp(target, path_base(file)) == 0;
}

/* The newest or the best checkpoint in a folder, under the name of its link if that is
 * correct; NULL if there is none. */
static char *find_kind(const char *directory, bool best)
{
    char *file = run_find_checkpoint(directory, best ? RUN_BEST : RUN_NEWEST);
    char *link = file ? path_join(directory, best ? "best" : "latest") : NULL;
    bool correct = link && links_to(link, file);
    free(correct ? file : link);
    return correct ? link : file;
}

/* The preferred kind, else the other. Files named `best` and `latest` are accepted if
 * there is nothing else. */
static char *find_in(const char *directory, bool best)
{
    char *file = NULL;
    for (int i = 0; i < 2 && !file; i++, best = !best) {
        file = find_kind(directory, best);
        if (!file)
            file = existing_file(directory, best ? "best" : "latest");
    }
    return file;
}

char *checkpoint_path_follow(const char *path)
{
    bool best = strcmp(path_base(path), "best") == 0;
    if ((!best && strcmp(path_base(path), "latest") != 0) || file_exists(path))
        return NULL;
    char *directory = path_directory(path);
    char *file = directory ? find_kind(directory, best) : NULL;
    free(directory);
    return file;
}

static enum status find_in_run(const char *path, bool best, char **file)
{
    char *inner = path_join(path, "checkpoints");
    *file = inner ? find_in(inner, best) : NULL;
    free(inner);
    if (!*file)
        *file = find_in(path, best);
    if (*file)
        return STATUS_OK;
    return status_fail(
        STATUS_FAILED,
        "%s: a directory without a checkpoint (there is none in its folder checkpoints); "
        "give a checkpoint file, or the directory of a run that has finished an epoch",
        path);
}

enum status checkpoint_path_resolve(const char *path, const char *preferred, char **file)
{
    *file = NULL;
    if (file_is_stream(path))
        return status_fail(STATUS_MISUSE,
                           "%s: a checkpoint is an HDF5 file, which can't be read from "
                           "%s; give the name of the file",
                           path, path[0] == '-' ? "standard input" : "a pipe");
    *file = checkpoint_path_follow(path);
    if (*file)
        return STATUS_OK;
    if (!file_exists(path))
        return status_fail(STATUS_FAILED,
                           "%s: no such file; a checkpoint or a run's directory "
                           "was expected",
                           path);
    if (file_is_directory(path))
        return find_in_run(path, strcmp(preferred, "best") == 0, file);
    *file = strdup(path);
    return *file ? STATUS_OK : status_fail(STATUS_FAILED, "%s: out of memory", path);
}
