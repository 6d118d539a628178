/* output: see the header. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema.h"
#include "dataset.h"
#include "base/file.h"
#include "base/log.h"

static const char command[] = "preprocess";

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory");
}

struct output output_none(void)
{
    return (struct output){.partial_directory = owned_directory_none(),
                           .old = owned_directory_none()};
}

static enum status refuse_name(const char *path)
{
    return status_fail(STATUS_MISUSE,
                       "%s: can't create a folder of this name (expected a name for the "
                       "dataset, such as data/mine)",
                       path);
}

enum status output_set_paths(const char *path, bool replace, struct output *output)
{
    *output = output_none();
    output->replace = replace;
    char *trimmed = path_trim(path);
    if (!trimmed)
        return out_of_memory();
    enum status status = path_names_no_entry(trimmed)
                             ? refuse_name(path)
                             : path_follow_links(trimmed, &output->path);
    free(trimmed);
    if (status == STATUS_OK && path_names_no_entry(output->path))
        status = refuse_name(path);
    if (status != STATUS_OK)
        return status;
    output->partial = path_format("%s.partial", output->path);
    return output->partial ? STATUS_OK : out_of_memory();
}

/* ---- the old dataset ---- */

static bool has_index(const struct owned_directory *old)
{
    struct stat st;
    return fstatat(old->descriptor, INDEX_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode);
}

/* The file names that follow from the dataset's index. */
static enum status read_names(struct owned_directory *old)
{
    struct dataset *dataset = NULL;
    if (dataset_open(old->path, &dataset) != STATUS_OK)
        return owned_directory_add_remedy(STATUS_MISUSE);
    char *names = dataset_file_names(dataset->shard_count);
    dataset_close(dataset);
    enum status status =
        names ? owned_directory_set_manifest(old, names) : out_of_memory();
    free(names);
    return status;
}

/* A marker exists if a preprocess was killed while it replaced the dataset. */
static enum status inspect_old(struct output *output)
{
    struct owned_directory *old = &output->old;
    bool marked = false;
    enum status status =
        owned_directory_open(output->path, false, command, UNFINISHED_NAME, old);
    if (status == STATUS_OK)
        status = owned_directory_read_manifest(old, &marked);
    if (status == STATUS_OK && !marked && has_index(old))
        status = read_names(old);
    if (status == STATUS_OK && owned_directory_check(old) != STATUS_OK)
        return owned_directory_add_remedy(STATUS_MISUSE);
    return status;
}

enum status output_check(struct output *output)
{
    struct stat st;
    if (lstat(output->path, &st) != 0) {
        if (errno == ENOENT)
            return STATUS_OK;
        return status_fail_errno("%s: can't be written", output->path);
    }
    if (!output->replace)
        return status_fail(STATUS_MISUSE,
                           "%s: exists; choose another name or add --replace",
                           output->path);
    if (!S_ISDIR(st.st_mode))
        return status_fail(STATUS_MISUSE, "%s: a file, not a dataset: not replaced",
                           output->path);
    return inspect_old(output);
}

/* ---- the new dataset ---- */

/* Creates OUT.partial. An existing one must not belong to another user;
 * owned_directory_claim checks the rest.
 */
static enum status create_partial(const char *partial)
{
    struct stat st;
    if (mkdir(partial, 0777) == 0)
        return STATUS_OK;
    if (errno != EEXIST)
        return status_fail_errno("%s: can't create the directory", partial);
    if (lstat(partial, &st) == 0 && st.st_uid != geteuid() && geteuid() != 0)
        return status_fail(STATUS_MISUSE,
                           "%s: belongs to another user; move it away or choose another "
                           "name",
                           partial);
    if (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
        return status_fail(STATUS_MISUSE,
                           "%s: a file (expected a directory or nothing): not replaced; "
                           "move it away or choose another name",
                           partial);
    return STATUS_OK;
}

static enum status claim_partial(struct output *output, size_t shards, int ranks)
{
    char *files = dataset_file_names(shards);
    char *names = files ? path_format("%sspill-{0..%d}\n", files, ranks - 1) : NULL;
    enum status status =
        names ? owned_directory_open(output->partial, false, command, UNFINISHED_NAME,
                                     &output->partial_directory)
              : out_of_memory();
    if (status == STATUS_OK)
        status = owned_directory_claim(&output->partial_directory, names, 0, false);
    free(names);
    free(files);
    return status;
}

enum status output_begin(struct output *output, size_t shards, int ranks)
{
    char *parent = path_directory(output->path);
    enum status status = parent ? file_make_directories(parent) : out_of_memory();
    free(parent);
    if (status == STATUS_OK)
        status = create_partial(output->partial);
    return status == STATUS_OK ? claim_partial(output, shards, ranks) : status;
}

enum status output_sync(const char *partial)
{
    int descriptor = open(partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return status_fail_errno("%s: can't open to sync", partial);
    enum status status = STATUS_OK;
    if (syncfs(descriptor) != 0)
        status = status_fail_errno("%s: can't sync to disk", partial);
    close(descriptor);
    return status;
}

/* ---- replacing ---- */

/* Renames `path` to an unused name, and logs a warning with the reason. */
static void move_aside(const struct output *output, const char *path, const char *reason)
{
    char *backup = file_unused_name(output->path, "replaced");
    bool moved = backup && rename(path, backup) == 0;
    log_warn("the former %s is kept as %s: %s", output->path, moved ? backup : path,
             reason);
    free(backup);
}

/* Removes `path`, which was at OUT, if it is the dataset that output_check has
 * checked. */
static void remove_old(const struct output *output, const char *path)
{
    const struct owned_directory *old = &output->old;
    if (!owned_directory_is_at(old, path)) {
        move_aside(output, path, "it was put there while this preprocess was running");
        return;
    }
    enum status status = owned_directory_check(old);
    if (status == STATUS_OK)
        status = owned_directory_clear(old);
    if (status == STATUS_OK)
        unlinkat(old->descriptor, UNFINISHED_NAME, 0);
    if (status == STATUS_OK && rmdir(path) != 0)
        status = status_fail_errno("%s: can't remove", path);
    if (status != STATUS_OK)
        move_aside(output, path, status_message());
}

/* For file systems that can't exchange two names. Between the two renames there is no
 * dataset at OUT; an interruption there leaves both under other names. */
static enum status replace_in_two_steps(const struct output *output)
{
    char *backup = file_unused_name(output->path, "replaced");
    enum status status = STATUS_OK;
    if (!backup || rename(output->path, backup) != 0)
        status = status_fail_errno("%s: can't move the old dataset away", output->path);
    if (status == STATUS_OK && rename(output->partial, output->path) != 0) {
        status = status_fail_errno("%s: can't rename the new dataset to this name",
                                   output->path);
        rename(backup, output->path);
    } else if (status == STATUS_OK) {
        remove_old(output, backup);
    }
    free(backup);
    return status;
}

static enum status replace_old(const struct output *output)
{
    if (renameat2(AT_FDCWD, output->partial, AT_FDCWD, output->path, RENAME_EXCHANGE) !=
        0)
        return replace_in_two_steps(output);
    remove_old(output, output->partial);
    return STATUS_OK;
}

static enum status rename_partial(struct output *output)
{
    struct stat st;
    if (lstat(output->path, &st) == 0)
        return output->replace ? replace_old(output) : output_check(output);
    if (rename(output->partial, output->path) != 0)
        return status_fail_errno("%s: can't rename the new dataset to this name",
                                 output->path);
    return STATUS_OK;
}

/* After the marker is removed and before the directory is renamed, OUT.partial is a
 * complete dataset that no later preprocess recognises as its own, so all slow work is
 * done before. */
enum status output_publish(struct output *output)
{
    char *parent = path_directory(output->path);
    enum status status = parent ? output_sync(output->partial) : out_of_memory();
    if (status == STATUS_OK)
        status = owned_directory_remove_marker(&output->partial_directory);
    if (status == STATUS_OK)
        status = rename_partial(output);
    if (status == STATUS_OK && fsync(output->partial_directory.descriptor) != 0 &&
        errno != EINVAL)
        status = status_fail_errno("%s: can't sync to disk", output->path);
    if (status == STATUS_OK)
        status = file_sync(parent);
    free(parent);
    return status;
}

void output_abandon(struct output *output)
{
    if (output->partial_directory.marker < 0)
        return;
    char *message = strdup(status_message());
    if (owned_directory_clear(&output->partial_directory) != STATUS_OK) {
        log_warn("%s", status_message());
    } else {
        unlinkat(output->partial_directory.descriptor, UNFINISHED_NAME, 0);
        if (owned_directory_is_at(&output->partial_directory, output->partial))
            rmdir(output->partial);
    }
    if (message)
        status_set_message(message);
    free(message);
}

void output_free(struct output *output)
{
    owned_directory_close(&output->partial_directory);
    owned_directory_close(&output->old);
    free(output->partial);
    free(output->path);
    *output = output_none();
}
