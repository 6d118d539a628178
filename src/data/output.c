/* output: see the header. Rank 0 alone works on the directory itself. */
#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "tutti/file.h"

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory");
}

enum status output_name(const char *path, bool replace, struct output *output)
{
    *output = (struct output){.lock = -1, .replace = replace};
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0)
        return status_fail(STATUS_MISUSE, "the dataset needs a name: -o DATASET");
    output->path = strndup(path, length);
    output->partial = path_format("%.*s.partial", (int)length, path);
    return output->path && output->partial ? STATUS_OK : out_of_memory();
}

static bool belongs_to_dataset(const char *name)
{
    static const char *const patterns[] = {"index.h5", "shard-[0-9]*.h5", UNFINISHED_NAME,
                                           "spill-*",  ".*.h5.partial",   ".",
                                           ".."};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}

/* STATUS_MISUSE, with the name, if the directory holds what no preprocess has written: it
 * must not be deleted. */
static enum status check_only_ours(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) {
        status_fail_errno("%s: can't look into it", path);
        return STATUS_MISUSE;
    }
    enum status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(directory));)
        if (!belongs_to_dataset(entry->d_name))
            status =
                status_fail(STATUS_MISUSE,
                            "%s: not a dataset, it holds '%s': not replaced; move it "
                            "away or choose another name",
                            path, entry->d_name);
    closedir(directory);
    return status;
}

enum status output_check(const struct output *output)
{
    struct stat facts;
    if (lstat(output->path, &facts) != 0) {
        if (errno == ENOENT)
            return STATUS_OK;
        return status_fail_errno("%s: can't be written", output->path);
    }
    if (!output->replace)
        return status_fail(STATUS_MISUSE,
                           "%s: exists; choose another name or add --replace",
                           output->path);
    if (!file_is_directory(output->path))
        return status_fail(STATUS_MISUSE, "%s: a file, not a dataset: not replaced",
                           output->path);
    return check_only_ours(output->path);
}

/* The marker, locked. An interrupted run's lock is gone with its process. */
static enum status lock_partial(struct output *output)
{
    char *marker = path_format("%s/" UNFINISHED_NAME, output->partial);
    if (!marker)
        return out_of_memory();
    enum status status = STATUS_OK;
    output->lock = open(marker, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (output->lock < 0) {
        status = status_fail_errno("%s: can't write", marker);
    } else if (flock(output->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(output->lock);
        output->lock = -1;
        status = status_fail(STATUS_MISUSE, "%s: another preprocess is writing it",
                             output->partial);
    }
    free(marker);
    return status;
}

/* Deletes an interrupted run's files one by one, the marker stays. */
static enum status empty_partial(const struct output *output)
{
    DIR *directory = opendir(output->partial);
    if (!directory)
        return status_fail_errno("%s: can't look into it", output->partial);
    enum status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(directory));)
        if (entry->d_name[strspn(entry->d_name, ".")] != '\0' &&
            strcmp(entry->d_name, UNFINISHED_NAME) != 0 &&
            unlinkat(dirfd(directory), entry->d_name, 0) != 0)
            status =
                status_fail_errno("%s/%s: can't remove", output->partial, entry->d_name);
    closedir(directory);
    return status;
}

enum status output_begin(struct output *output)
{
    char *parent = path_directory(output->path);
    if (!parent)
        return out_of_memory();
    enum status status = file_make_directories(parent);
    free(parent);
    if (status != STATUS_OK)
        return status;
    if (mkdir(output->partial, 0777) != 0) {
        if (errno != EEXIST)
            return status_fail_errno("%s: can't make the directory", output->partial);
        status = check_only_ours(output->partial);
    }
    if (status == STATUS_OK)
        status = lock_partial(output);
    return status == STATUS_OK ? empty_partial(output) : status;
}

enum status output_sync(const struct output *output)
{
    int descriptor = open(output->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open to sync", output->partial);
    enum status status = STATUS_OK;
    if (syncfs(descriptor) != 0)
        status = status_fail_errno("%s: can't sync to disk", output->partial);
    close(descriptor);
    return status;
}

/* Exchanges the new and the old in one step, where the file system can; elsewhere there
 * is a moment without a dataset, and an interruption in it leaves both under other names.
 */
static enum status replace_old(const struct output *output)
{
    if (renameat2(AT_FDCWD, output->partial, AT_FDCWD, output->path, RENAME_EXCHANGE) ==
        0)
        return file_remove_tree(output->partial);
    char *old = path_format("%s.replaced", output->path);
    if (!old)
        return out_of_memory();
    enum status status = file_remove_tree(old);
    if (status == STATUS_OK && rename(output->path, old) != 0)
        status = status_fail_errno("%s: can't move the old dataset away", output->path);
    if (status == STATUS_OK && rename(output->partial, output->path) != 0)
        status = status_fail_errno("%s: can't give the dataset its name", output->path);
    if (status == STATUS_OK)
        status = file_remove_tree(old);
    free(old);
    return status;
}

static enum status rename_partial(const struct output *output)
{
    if (file_exists(output->path))
        return output->replace ? replace_old(output) : output_check(output);
    if (rename(output->partial, output->path) != 0)
        return status_fail_errno("%s: can't give the dataset its name", output->path);
    return STATUS_OK;
}

enum status output_publish(struct output *output)
{
    char *marker = path_format("%s/" UNFINISHED_NAME, output->partial);
    char *parent = path_directory(output->path);
    enum status status = marker && parent ? STATUS_OK : out_of_memory();
    if (status == STATUS_OK && unlink(marker) != 0)
        status = status_fail_errno("%s: can't remove", marker);
    if (status == STATUS_OK)
        status = output_sync(output);
    if (status == STATUS_OK)
        status = rename_partial(output);
    if (status == STATUS_OK)
        status = file_sync(parent);
    free(parent);
    free(marker);
    return status;
}

void output_abandon(struct output *output)
{
    if (output->lock < 0)
        return;
    char *message = strdup(status_message());
    file_remove_tree(output->partial);
    if (message)
        status_set_message(message);
    free(message);
}

void output_free(struct output *output)
{
    if (output->lock >= 0)
        close(output->lock);
    free(output->partial);
    free(output->path);
    *output = (struct output){.lock = -1};
}
