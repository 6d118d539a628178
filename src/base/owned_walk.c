/* owned_walk: visits everything in an owned directory, to check or to delete it; see
 * owned_directory.h. The names in a directory are read before anything in it is deleted,
 * because on some file systems readdir skips entries of a directory that is modified
 * meanwhile. */
#include "owned_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"
#include "file.h"

enum status owned_no_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

enum status owned_misuse_errno(const char *path, const char *what)
{
    status_fail_errno("%s: %s", path, what);
    return STATUS_MISUSE;
}

/* ---- listing ---- */

void owned_listing_free(struct owned_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->names[i]);
    free(listing->names);
}

static enum status append_name(struct owned_listing *listing, const char *name)
{
    char **grown = array_reserve(listing->names, &listing->capacity, listing->count + 1,
                                 sizeof *listing->names);
    if (!grown)
        return STATUS_FAILED;
    listing->names = grown;
    listing->names[listing->count] = strdup(name);
    return listing->names[listing->count++] ? STATUS_OK : owned_no_memory(name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status owned_listing_read(int descriptor, const char *shown,
                               struct owned_listing *listing)
{
    *listing = (struct owned_listing){0};
    int copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        if (copy >= 0)
            close(copy);
        return owned_misuse_errno(shown, "can't read the directory");
    }
    enum status status = STATUS_OK;
    errno = 0;
    for (struct dirent *at; status == STATUS_OK && (at = readdir(stream)); errno = 0)
        if (strcmp(at->d_name, ".") != 0 && strcmp(at->d_name, "..") != 0)
            status = append_name(listing, at->d_name);
    if (status == STATUS_OK && errno != 0)
        status = owned_misuse_errno(shown, "can't read the directory");
    closedir(stream);
    if (listing->count > 0)
        qsort(listing->names, listing->count, sizeof *listing->names, compare_names);
    return status;
}

/* ---- walking ---- */

struct walk {
    const struct owned_directory *directory;
    dev_t device;
    bool deletes;
    enum status foreign; /* STATUS_MISUSE after the first entry that is not listed */
};

static enum owned_kind kind_of(const struct stat *st)
{
    return S_ISREG(st->st_mode)   ? OWNED_FILE
           : S_ISDIR(st->st_mode) ? OWNED_DIRECTORY
           : S_ISLNK(st->st_mode) ? OWNED_LINK
                                  : OWNED_OTHER;
}

static enum status refuse_foreign(const struct owned_directory *directory,
                                  const char *path, enum owned_kind kind)
{
    static const char *const words[] = {
        [OWNED_FILE] = "",
        [OWNED_DIRECTORY] = " (a directory)",
        [OWNED_LINK] = " (a symbolic link)",
        [OWNED_OTHER] = " (not a regular file)",
    };
    return status_fail(STATUS_MISUSE, "%s: holds '%s'%s, which tutti %s has not made",
                       directory->path, path, words[kind], directory->command);
}

static enum status walk_folder(struct walk *walk, int parent, const char *name,
                               const char *path);

static enum status delete_entry(const struct walk *walk, int parent, const char *name,
                                const char *path, enum owned_kind kind)
{
    /* entries left in a subdirectory are foreign, and have been reported */
    if (unlinkat(parent, name, kind == OWNED_DIRECTORY ? AT_REMOVEDIR : 0) == 0 ||
        errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST)
        return STATUS_OK;
    return status_fail_errno("%s/%s: can't remove", walk->directory->path, path);
}

static enum status visit(struct walk *walk, int parent, const char *name,
                         const char *path)
{
    struct stat st;
    bool is_marker = path == name && strcmp(name, walk->directory->marker_name) == 0;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? STATUS_OK
                               : owned_misuse_errno(path, "can't read its attributes");
    enum owned_kind kind = kind_of(&st);
    if (is_marker && kind == OWNED_FILE)
        return STATUS_OK;
    bool listed = owned_manifest_contains(walk->directory->manifest, path, kind);
    if (!listed || st.st_dev != walk->device) {
        enum status status = refuse_foreign(walk->directory, path, kind);
        walk->foreign = walk->foreign == STATUS_OK ? status : walk->foreign;
        return walk->deletes ? STATUS_OK : status;
    }
    enum status status =
        kind == OWNED_DIRECTORY ? walk_folder(walk, parent, name, path) : STATUS_OK;
    if (status == STATUS_OK && walk->deletes)
        status = delete_entry(walk, parent, name, path, kind);
    return status;
}

/* Visits all entries of the directory `path`; "": the top. */
static enum status walk_entries(struct walk *walk, int descriptor, const char *path)
{
    struct owned_listing listing;
    enum status status =
        owned_listing_read(descriptor, path[0] ? path : walk->directory->path, &listing);
    for (size_t i = 0; i < listing.count && status == STATUS_OK; i++) {
        const char *name = listing.names[i];
        char *inner = path[0] ? path_format("%s/%s", path, name) : NULL;
        if (path[0] && !inner)
            status = owned_no_memory(name);
        else
            status = visit(walk, descriptor, name, inner ? inner : name);
        free(inner);
    }
    owned_listing_free(&listing);
    return status;
}

static enum status walk_folder(struct walk *walk, int parent, const char *name,
                               const char *path)
{
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return owned_misuse_errno(path, "can't read the directory");
    enum status status = walk_entries(walk, folder, path);
    close(folder);
    return status;
}

static enum status walk_all(const struct owned_directory *directory, bool deletes)
{
    struct stat st;
    if (fstat(directory->descriptor, &st) != 0)
        return owned_misuse_errno(directory->path, "can't read its attributes");
    struct walk walk = {.directory = directory, .device = st.st_dev, .deletes = deletes};
    enum status status = walk_entries(&walk, directory->descriptor, "");
    return status == STATUS_OK ? walk.foreign : status;
}

enum status owned_directory_check(const struct owned_directory *directory)
{
    return walk_all(directory, false);
}

enum status owned_directory_clear(const struct owned_directory *directory)
{
    return walk_all(directory, true);
}
