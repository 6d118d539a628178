/* scan: lists the MIDI files of the inputs, sorted.
 *
 * Every directory is sorted before it is walked, so that the file system's order of names
 * has no effect. Directories are identified by device and inode: a link that leads back,
 * or an input inside another, adds nothing. Inputs are walked in the order of their
 * absolute paths, folders before single files, independent of the order of the arguments.
 */
#include "scan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/file.h"
#include "base/path_escape.h"
#include "midi/midi.h"

struct input { /* used until the labels are unique */
    const char *argument;
    char *absolute;
    const char *label; /* a suffix of absolute */
    bool directory;
};

struct directory_key {
    dev_t device;
    ino_t inode;
};

struct walk {
    struct scan *scan;
    uint32_t input;
    uint32_t root_length;
    void *visited; /* tsearch tree of struct directory_key */
};

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory while listing the files");
}

/* --- the inputs ------------------------------------------------------------------------
 */

/* The path with all links in its directories resolved. The last component is kept as
 * given, unless it is "." or "..". */
static char *absolute_path(const char *path)
{
    char *trimmed = strdup(path);
    if (!trimmed)
        return NULL;
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--)
        trimmed[n - 1] = '\0';
    const char *base = path_base(trimmed);
    char *absolute = NULL;
    if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        absolute = realpath(trimmed, NULL);
    } else {
        char *directory = path_directory(trimmed);
        char *real = directory ? realpath(directory, NULL) : NULL;
        absolute = real ? path_join(real, base) : NULL;
        free(real);
        free(directory);
    }
    free(trimmed);
    return absolute;
}

static enum status find_input(const char *argument, struct input *input)
{
    struct stat st;
    if (argument[0] == '\0')
        return status_fail(STATUS_MISUSE,
                           "an empty path where a folder or file is expected");
    if (stat(argument, &st) != 0)
        return status_fail(STATUS_MISUSE, "%s: can't read this folder or file: %s",
                           argument, strerror(errno));
    input->argument = argument;
    input->directory = S_ISDIR(st.st_mode);
    input->absolute = absolute_path(argument);
    if (!input->absolute)
        return status_fail(STATUS_FAILED, "%s: can't find its absolute path: %s",
                           argument, strerror(errno));
    input->label = path_base(input->absolute);
    return STATUS_OK;
}

static int compare_inputs(const void *a, const void *b)
{
    const struct input *left = a, *right = b;
    if (left->directory != right->directory)
        return left->directory ? -1 : 1;
    return strcmp(left->absolute, right->absolute);
}

/* Sorts and drops duplicate inputs. Returns the number of inputs that remain. */
static size_t sort_inputs(struct input *inputs, size_t count)
{
    qsort(inputs, count, sizeof *inputs, compare_inputs);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++) {
        if (unique > 0 && strcmp(inputs[unique - 1].absolute, inputs[i].absolute) == 0)
            free(inputs[i].absolute);
        else
            inputs[unique++] = inputs[i];
    }
    return unique;
}

/* True if `path` is equal to `other` or inside it. */
static bool is_within(const char *path, const char *other)
{
    size_t length = strlen(other);
    return strncmp(path, other, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

/* Extends the label by one parent directory; false if there is none. */
static bool extend_label(struct input *input)
{
    const char *label = input->label;
    if (label - input->absolute < 2)
        return false;
    label--; /* the slash */
    while (label > input->absolute && label[-1] != '/')
        label--;
    input->label = label;
    return true;
}

/* Extends labels until no label equals another or lies inside another. An input inside
 * another one keeps a colliding label only if no parent is left; its files are already
 * listed. */
static enum status disambiguate_labels(struct input *inputs, size_t count)
{
    bool *collides = calloc(count, sizeof *collides);
    if (!collides)
        return out_of_memory();
    for (bool changed = true; changed;) {
        changed = false;
        memset(collides, 0, count * sizeof *collides);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < count; j++)
                if (i != j && is_within(inputs[i].label, inputs[j].label))
                    collides[i] = collides[j] = true;
        for (size_t i = 0; i < count; i++)
            if (collides[i])
                changed |= extend_label(&inputs[i]);
    }
    free(collides);
    return STATUS_OK;
}

/* --- the files -------------------------------------------------------------------------
 */

static enum status add_file(struct walk *walk, const char *recorded, enum scan_kind kind,
                            int error)
{
    struct scan *scan = walk->scan;
    struct scan_file *files = array_reserve(scan->files, &scan->file_capacity,
                                            scan->file_count + 1, sizeof *files);
    if (!files)
        return STATUS_FAILED;
    scan->files = files;
    struct scan_file *file = &scan->files[scan->file_count];
    *file = (struct scan_file){.input = walk->input,
                               .root_length = walk->root_length,
                               .error = error,
                               .kind = (uint8_t)kind,
                               .split = SCAN_SPLIT_BY_HASH};
    enum status status = pool_append(&scan->text, recorded, &file->path);
    if (status == STATUS_OK)
        scan->file_count++;
    return status;
}

static int compare_keys(const void *a, const void *b)
{
    const struct directory_key *left = a, *right = b;
    if (left->device != right->device)
        return left->device < right->device ? -1 : 1;
    return (left->inode > right->inode) - (left->inode < right->inode);
}

static bool is_visited(const struct walk *walk, const char *directory)
{
    struct stat st;
    if (stat(directory, &st) != 0)
        return false;
    struct directory_key key = {st.st_dev, st.st_ino};
    return tfind(&key, &walk->visited, compare_keys) != NULL;
}

/* Marks the directory as visited. One that has vanished fails later, when it is opened.
 */
static enum status mark_visited(struct walk *walk, const char *directory)
{
    struct stat st;
    if (stat(directory, &st) != 0)
        return STATUS_OK;
    struct directory_key *key = malloc(sizeof *key);
    if (!key)
        return out_of_memory();
    *key = (struct directory_key){st.st_dev, st.st_ino};
    void *node = tsearch(key, &walk->visited, compare_keys);
    if (!node) {
        free(key);
        return out_of_memory();
    }
    return STATUS_OK;
}

static int is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_directory(const struct dirent *entry, const char *path)
{
    if (entry->d_type == DT_UNKNOWN || entry->d_type == DT_LNK)
        return file_is_directory(path);
    return entry->d_type == DT_DIR;
}

static enum status walk_directory(struct walk *walk, const char *absolute,
                                  const char *recorded);

static enum status walk_entry(struct walk *walk, const struct dirent *entry,
                              const char *absolute, const char *recorded)
{
    bool directory = is_directory(entry, absolute);
    enum status status = STATUS_OK;
    if (midi_has_extension(entry->d_name))
        status = add_file(walk, recorded, directory ? SCAN_DIRECTORY : SCAN_FILE, 0);
    if (status == STATUS_OK && directory && !is_visited(walk, absolute))
        status = walk_directory(walk, absolute, recorded);
    return status;
}

/* Records a directory that can't be opened, with its errno, as an outcome of its own. */
static enum status add_unopenable(struct walk *walk, const char *recorded, int error)
{
    if (error == ENOMEM)
        return out_of_memory();
    char *path = path_format("%s/", recorded);
    if (!path)
        return out_of_memory();
    enum status status = add_file(walk, path, SCAN_UNOPENABLE, error);
    free(path);
    return status;
}

static enum status walk_directory(struct walk *walk, const char *absolute,
                                  const char *recorded)
{
    struct dirent **entries = NULL;
    if (mark_visited(walk, absolute) != STATUS_OK)
        return STATUS_FAILED;
    int count = scandir(absolute, &entries, is_entry, compare_entries);
    if (count < 0)
        return add_unopenable(walk, recorded, errno);
    enum status status = STATUS_OK;
    for (int i = 0; i < count; i++) {
        if (status == STATUS_OK) {
            char *path = path_join(absolute, entries[i]->d_name);
            char *name = path_escape(entries[i]->d_name);
            char *record = name ? path_join(recorded, name) : NULL;
            status = path && record ? walk_entry(walk, entries[i], path, record)
                                    : out_of_memory();
            free(record);
            free(name);
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* True if a folder's walk has already listed this single file. */
static bool is_listed(const struct walk *walk, const struct input *input)
{
    char *directory = path_directory(input->absolute);
    bool listed =
        directory && midi_has_extension(input->absolute) && is_visited(walk, directory);
    free(directory);
    return listed;
}

/* `label`: as recorded. */
static enum status walk_input(struct walk *walk, const struct input *input,
                              const char *label)
{
    walk->root_length = (uint32_t)strlen(label);
    if (!input->directory)
        return is_listed(walk, input) ? STATUS_OK : add_file(walk, label, SCAN_FILE, 0);
    if (is_visited(walk, input->absolute))
        return STATUS_OK;
    return walk_directory(walk, input->absolute, label);
}

static int compare_files(const void *a, const void *b, void *text)
{
    const struct scan_file *left = a, *right = b;
    const char *bytes = text;
    return strcmp(bytes + left->path, bytes + right->path);
}

static enum status record_input(struct scan *scan, const struct input *input,
                                const char *label)
{
    struct scan_input *recorded = &scan->inputs[scan->input_count++];
    enum status status = pool_append(&scan->text, input->argument, &recorded->argument);
    if (status == STATUS_OK)
        status = pool_append(&scan->text, label, &recorded->label);
    if (status == STATUS_OK)
        status = pool_append(&scan->text, input->absolute, &recorded->absolute);
    return status;
}

static enum status walk_inputs(struct scan *scan, const struct input *inputs,
                               size_t count)
{
    struct walk walk = {.scan = scan};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        walk.input = (uint32_t)i;
        char *label = path_escape(inputs[i].label);
        status = label ? record_input(scan, &inputs[i], label) : out_of_memory();
        if (status == STATUS_OK)
            status = walk_input(&walk, &inputs[i], label);
        free(label);
    }
    tdestroy(walk.visited, free);
    if (status == STATUS_OK && scan->file_count > 0)
        qsort_r(scan->files, scan->file_count, sizeof *scan->files, compare_files,
                scan->text.bytes);
    return status;
}

enum status scan_inputs(const char *const *arguments, size_t count, struct scan *scan)
{
    *scan = (struct scan){0};
    struct input *inputs = calloc(count + 1, sizeof *inputs);
    scan->inputs = calloc(count + 1, sizeof *scan->inputs);
    enum status status = inputs && scan->inputs ? STATUS_OK : out_of_memory();
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = find_input(arguments[i], &inputs[i]);
    if (status == STATUS_OK) {
        count = sort_inputs(inputs, count);
        status = disambiguate_labels(inputs, count);
    }
    if (status == STATUS_OK)
        status = walk_inputs(scan, inputs, count);
    for (size_t i = 0; i < count && inputs; i++)
        free(inputs[i].absolute);
    free(inputs);
    return status;
}

/* --- the list --------------------------------------------------------------------------
 */

/* Allocates the list on the receiving ranks; all must have succeeded before any receives.
 */
static enum status allocate_list(struct scan *scan)
{
    scan->inputs = calloc(scan->input_count + 1, sizeof *scan->inputs);
    scan->files = calloc(scan->file_count + 1, sizeof *scan->files);
    scan->text.bytes = malloc(scan->text.size + 1);
    scan->text.capacity = scan->text.size + 1;
    return scan->inputs && scan->files && scan->text.bytes ? STATUS_OK : out_of_memory();
}

enum status scan_broadcast(struct comm *comm, struct scan *scan)
{
    uint64_t sizes[3] = {scan->input_count, scan->file_count, scan->text.size};
    enum status status = comm_broadcast(comm, sizes, sizeof sizes);
    if (status == STATUS_OK && comm_rank(comm) != 0) {
        *scan = (struct scan){.input_count = sizes[0], .file_count = sizes[1]};
        scan->text.size = sizes[2];
        status = allocate_list(scan);
    }
    status = comm_agree(comm, status);
    if (status == STATUS_OK)
        status = comm_broadcast(comm, scan->inputs, sizes[0] * sizeof *scan->inputs);
    if (status == STATUS_OK)
        status = comm_broadcast(comm, scan->files, sizes[1] * sizeof *scan->files);
    if (status == STATUS_OK)
        status = comm_broadcast(comm, scan->text.bytes, sizes[2]);
    return status;
}

const char *scan_path(const struct scan *scan, size_t file)
{
    return scan->text.bytes + scan->files[file].path;
}

char *scan_absolute(const struct scan *scan, size_t file)
{
    const struct scan_file *row = &scan->files[file];
    const char *root = scan->text.bytes + scan->inputs[row->input].absolute;
    char *below = path_unescape(scan_path(scan, file) + row->root_length);
    const char *name = below ? below + strspn(below, "/") : "";
    char *absolute = !below ? NULL : *name ? path_join(root, name) : strdup(root);
    free(below);
    return absolute;
}

size_t scan_find(const struct scan *scan, const char *path)
{
    size_t low = 0, high = scan->file_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(path, scan_path(scan, middle));
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return SIZE_MAX;
}

void scan_free(struct scan *scan)
{
    free(scan->inputs);
    free(scan->files);
    pool_free(&scan->text);
    *scan = (struct scan){0};
}
