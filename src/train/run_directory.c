/* run_directory: see the header. */
#include "run_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_links.h"
#include "run_lock.h"
#include "run_names.h"
#include "base/file.h"
#include "base/log.h"

static const double lock_timeout = 10; /* that a killed process may take to exit */

/* ---- opening ---- */

static enum status out_of_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

void run_directory_remove_samples(int folder, const char *name)
{
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = inner >= 0 ? fdopendir(inner) : NULL;
    for (struct dirent *at; directory && (at = readdir(directory));)
        if (run_is_output_name(RUN_SAMPLES, at->d_name) ||
            run_is_temporary_name(RUN_SAMPLES, at->d_name))
            unlinkat(inner, at->d_name, 0);
    if (directory)
        closedir(directory);
    else if (inner >= 0)
        close(inner);
    unlinkat(folder, name, AT_REMOVEDIR);
}

static void remove_temporary_in(const char *path, enum run_folder folder)
{
    DIR *directory = opendir(path);
    struct stat st;
    for (struct dirent *at; directory && (at = readdir(directory));) {
        if (!run_is_temporary_name(folder, at->d_name) ||
            fstatat(dirfd(directory), at->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode) && folder == RUN_SAMPLES)
            run_directory_remove_samples(dirfd(directory), at->d_name);
        else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
            unlinkat(dirfd(directory), at->d_name, 0);
    }
    if (directory)
        closedir(directory);
}

/* Removes the temporary files of interrupted writes. */
static void remove_temporary(const struct run_directory *run)
{
    remove_temporary_in(run->path, RUN_TOP);
    remove_temporary_in(run->checkpoints, RUN_CHECKPOINTS);
    remove_temporary_in(run->samples, RUN_SAMPLES);
}

enum status run_directory_check(const char *path, enum run_start start)
{
    struct stat st;
    enum status status = run_check(path, start);
    if (status != STATUS_OK)
        return status;
    char *cause = path_join(path, "root-cause.txt");
    if (!cause)
        return out_of_memory(path);
    if (lstat(cause, &st) == 0 && !run_is_root_cause(cause))
        status = run_move_aside(cause);
    free(cause);
    return status;
}

static enum status create_directories(const struct run_directory *run,
                                      enum run_start start)
{
    enum status status = run_directory_check(run->path, start);
    if (status == STATUS_OK)
        status = file_make_directories(run->path);
    if (status == STATUS_OK)
        status = run_claim_mark(run->path);
    if (status == STATUS_OK)
        status = file_make_directories(run->checkpoints);
    if (status == STATUS_OK)
        status = file_make_directories(run->samples);
    return status;
}

enum status run_directory_open(const char *path, enum run_start start,
                               struct run_directory *out)
{
    *out = (struct run_directory){.path = strdup(path),
                                  .checkpoints = path_join(path, "checkpoints"),
                                  .samples = path_join(path, "samples")};
    enum status status = out->path && out->checkpoints && out->samples
                             ? create_directories(out, start)
                             : out_of_memory(path);
    if (status == STATUS_OK)
        status = run_lock_acquire(path, lock_timeout, &out->lock);
    if (status == STATUS_OK)
        status = run_claim_open(path, &out->claim);
    if (status != STATUS_OK) {
        run_directory_free(out);
        return status;
    }
    remove_temporary(out);
    out->lacks_symlinks = !run_links_supported(out->checkpoints);
    if (out->lacks_symlinks)
        log_info("%s: no symbolic links on this file system: checkpoints/latest and best "
                 "are left out; every command works without them",
                 path);
    return STATUS_OK;
}

void run_directory_free(struct run_directory *run)
{
    run_claim_close(run->claim);
    run_lock_release(run->lock);
    free(run->path);
    free(run->checkpoints);
    free(run->samples);
    *run = (struct run_directory){0};
}

/* ---- files known by their contents ---- */

bool run_is_regular_file(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* True if the run has written the file as it is, or is about to write the same
 * contents. */
static bool has_own_content(const struct run_directory *run, const char *path,
                            const char *name, const void *text, size_t size)
{
    enum { MAX_SIZE = 16 << 20 };
    uint8_t *bytes = NULL;
    size_t found = 0;
    if (file_read(path, MAX_SIZE, &bytes, &found) != STATUS_OK)
        return false;
    bool has = (found == size && memcmp(bytes, text, size) == 0) ||
               run_claim_has_record(run->claim, name, bytes, found);
    free(bytes);
    return has;
}

enum status run_directory_prepare_write(const struct run_directory *run, const char *path,
                                        const char *name, const void *bytes, size_t size)
{
    struct stat st;
    enum status status = STATUS_OK;
    bool is_own_file =
        run_is_regular_file(path) && has_own_content(run, path, name, bytes, size);
    if (!is_own_file && lstat(path, &st) == 0)
        status = run_move_aside(path);
    return status == STATUS_OK ? run_claim_record(run->claim, name, bytes, size) : status;
}

enum status run_directory_write_settings(const struct run_directory *run,
                                         const char *text)
{
    static const char name[] = "settings.conf";
    char *path = path_join(run->path, name);
    enum status status =
        path ? run_directory_prepare_write(run, path, name, text, strlen(text))
             : out_of_memory(run->path);
    if (status == STATUS_OK)
        status = run_claim_save(run->claim);
    if (status == STATUS_OK)
        status = file_write_nofollow(path, text, strlen(text));
    free(path);
    return status;
}
