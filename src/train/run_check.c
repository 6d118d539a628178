/* run_check: see the header. */
#include "run_check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_listing.h"
#include "run_names.h"
#include "base/file.h"

static enum status out_of_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

/* ---- names of the run ---- */

static bool exists(const char *path, struct stat *st)
{
    return path && lstat(path, st) == 0;
}

/* Under the name of a file there must be a regular file or nothing. */
static enum status check_top_name(const char *directory, const char *name)
{
    struct stat st;
    char *path = path_join(directory, name);
    enum status status = path ? STATUS_OK : out_of_memory(directory);
    if (exists(path, &st) && !S_ISREG(st.st_mode))
        status =
            status_fail(STATUS_MISUSE,
                        "%s: %s (a run writes a file of this name, and never through "
                        "a link): remove or rename it, or set another run.dir",
                        path, file_kind(st.st_mode));
    free(path);
    return status;
}

static enum status check_top(const char *directory)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && run_top_names[i]; i++)
        status = check_top_name(directory, run_top_names[i]);
    return status;
}

/* The first name in the folder for which `matches` is true; the caller frees it. NULL:
 * none, or no such folder. */
static char *first_name(const char *path, enum run_folder folder,
                        bool (*matches)(enum run_folder folder, const char *name))
{
    char *found = NULL;
    DIR *directory = opendir(path);
    for (struct dirent *at; directory && !found && (at = readdir(directory));)
        if (matches(folder, at->d_name))
            found = strdup(at->d_name);
    if (directory)
        closedir(directory);
    return found;
}

static bool is_foreign(enum run_folder folder, const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           !run_is_output_name(folder, name) && !run_is_temporary_name(folder, name) &&
           !run_is_moved_aside(name);
}

/* Checks that the run may write into the folder that this link leads to. */
static enum status check_link(const char *path, const struct stat *link,
                              enum run_folder folder)
{
    static const char remedy[] = "make it a folder, or set another run.dir";
    if (!file_is_directory(path))
        return status_fail(STATUS_MISUSE, "%s: a link that leads to no folder: %s", path,
                           remedy);
    if (link->st_uid != geteuid() && link->st_uid != 0)
        return status_fail(STATUS_MISUSE, "%s: a link made by another user: %s", path,
                           remedy);
    char *foreign = first_name(path, folder, is_foreign);
    if (!foreign)
        return STATUS_OK;
    enum status status = status_fail(STATUS_MISUSE,
                                     "%s: a link to a folder that is not only a run's, "
                                     "as it holds %s: move that away, "
                                     "or set another run.dir",
                                     path, foreign);
    free(foreign);
    return status;
}

static enum status check_folder(const char *directory, const char *name,
                                enum run_folder folder)
{
    struct stat st;
    char *path = path_join(directory, name);
    enum status status = path ? STATUS_OK : out_of_memory(directory);
    if (!exists(path, &st) || S_ISDIR(st.st_mode))
        status = path ? STATUS_OK : status;
    else if (S_ISLNK(st.st_mode))
        status = check_link(path, &st, folder);
    else
        status = status_fail(STATUS_MISUSE,
                             "%s: %s (a run has a folder of this name): move it away, or "
                             "set another run.dir",
                             path, file_kind(st.st_mode));
    free(path);
    return status;
}

bool run_is_root_cause(const char *path)
{
    static const char prefix[] = "tutti: root cause: ";
    char text[sizeof prefix] = "";
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool matches =
        file >= 0 && read(file, text, sizeof prefix - 1) > 0 && strcmp(text, prefix) == 0;
    if (file >= 0)
        close(file);
    return matches;
}

/* True for a root-cause.txt left by a launch that died before its run marked the
 * folder. */
static bool is_own_root_cause(const char *path)
{
    return strcmp(path_base(path), "root-cause.txt") == 0 && run_is_root_cause(path);
}

/* In a folder without a marker: the path of a file under a name that a run writes, or
 * NULL. The caller frees it. */
static char *find_obstacle(const char *directory)
{
    static const char *const folders[] = {
        [RUN_CHECKPOINTS] = "checkpoints", [RUN_SAMPLES] = "samples"};
    struct stat st;
    for (size_t i = 0; run_top_names[i]; i++) {
        char *path = path_join(directory, run_top_names[i]);
        if (exists(path, &st) && !is_own_root_cause(path))
            return path;
        free(path);
    }
    for (enum run_folder f = RUN_CHECKPOINTS; f <= RUN_SAMPLES; f++) {
        char *path = path_join(directory, folders[f]);
        char *name = path ? first_name(path, f, run_is_output_name) : NULL;
        char *found = name ? path_join(path, name) : NULL;
        free(path);
        free(name);
        if (found)
            return found;
    }
    return NULL;
}

/* ---- checkpoints ---- */

/* Counts readable checkpoints. */
static enum status count_checkpoints(const char *directory, size_t *count)
{
    struct run_listing listing = {0};
    char *path = path_join(directory, "checkpoints");
    enum status status = path ? STATUS_OK : out_of_memory(directory);
    *count = 0;
    if (path && file_is_directory(path))
        status = run_listing_read(path, &listing);
    for (size_t i = 0; i < listing.count; i++)
        *count += listing.entries[i].step >= 0;
    run_listing_free(&listing);
    free(path);
    return status;
}

/* Checks for the marker again, because a run started at the same time may have created it
 * since the first check. */
static enum status fail_obstacle(const char *directory, const char *found)
{
    bool marked;
    char id[RUN_ID_SIZE];
    enum status status = run_claim_peek(directory, &marked, id);
    if (status != STATUS_OK || marked)
        return status;
    return status_fail(STATUS_MISUSE,
                       "%s: in the way: a run writes a file of this name, but %s is not "
                       "marked as a run's folder (%s): rename or move it, or set another "
                       "run.dir",
                       found, directory, RUN_MARKER);
}

static enum status check_unmarked(const char *directory, enum run_start start)
{
    size_t count;
    enum status status = count_checkpoints(directory, &count);
    if (status == STATUS_OK && count > 0 && start == RUN_NEW)
        status = run_fail_has_checkpoints(directory);
    if (status != STATUS_OK || count > 0)
        return status;
    char *found = find_obstacle(directory);
    if (found)
        status = fail_obstacle(directory, found);
    free(found);
    return status;
}

static enum status check_linked_listing(const char *checkpoints, const char *id)
{
    struct run_listing listing;
    enum status status = run_listing_read(checkpoints, &listing);
    for (size_t i = 0; i < listing.count && status == STATUS_OK; i++)
        if (listing.entries[i].step >= 0 &&
            !run_entry_belongs_to(&listing.entries[i], id))
            status = status_fail(STATUS_MISUSE,
                                 "%s: a link to the checkpoints of another run, as %s: "
                                 "make it a folder, or set another run.dir",
                                 checkpoints, listing.entries[i].name);
    run_listing_free(&listing);
    return status;
}

/* A link may have been copied with a run from elsewhere. Readable checkpoints in its
 * folder must be this run's or have no id. */
static enum status check_checkpoints_link(const char *directory, const char *id)
{
    struct stat st;
    char *checkpoints = path_join(directory, "checkpoints");
    enum status status = checkpoints ? STATUS_OK : out_of_memory(directory);
    if (exists(checkpoints, &st) && S_ISLNK(st.st_mode))
        status = check_linked_listing(checkpoints, id);
    free(checkpoints);
    return status;
}

enum status run_fail_has_checkpoints(const char *directory)
{
    return status_fail(STATUS_MISUSE,
                       "%s/checkpoints holds the checkpoints of an earlier run: add "
                       "--resume to continue it, or set another run.dir",
                       directory);
}

enum status run_check(const char *directory, enum run_start start)
{
    bool marked = false;
    char id[RUN_ID_SIZE] = "";
    enum status status = check_top(directory);
    if (status == STATUS_OK)
        status = check_folder(directory, "checkpoints", RUN_CHECKPOINTS);
    if (status == STATUS_OK)
        status = check_folder(directory, "samples", RUN_SAMPLES);
    if (status == STATUS_OK)
        status = run_claim_peek(directory, &marked, id);
    if (status == STATUS_OK && !marked)
        status = check_unmarked(directory, start);
    return status == STATUS_OK ? check_checkpoints_link(directory, id) : status;
}
