/* split_file: a split given by the user, as lines "path<TAB>train|valid|test".
 *
 * A line with a partial path can match several files. Such ambiguous lines are resolved
 * after all others, among the files that the others have not named: if the list also has
 * "sub/a.mid", "a.mid" means the other file. Resolving one line can leave a single file
 * for another line, before or after it, so rounds are repeated until a round resolves
 * nothing.
 */
#include "scan.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "base/array.h"
#include "base/file.h"
#include "base/path_escape.h"
#include "base/text_file.h"

/* Enough for a path of PATH_MAX bytes, all escaped, and the name of a split. */
enum { LINE_MAX_BYTES = 1 << 15 };

struct line {
    char *path;
    size_t number;
    enum split split;
};

struct split_list {
    const char *origin; /* the split file */
    struct scan *scan;
    const char **by_suffix; /* recorded paths of all files, sorted by reversed bytes */
    size_t by_suffix_count;
    struct line *ambiguous; /* lines that match several files */
    size_t ambiguous_count, ambiguous_capacity;
};

static enum status out_of_memory(void)
{
    return status_fail(STATUS_FAILED, "out of memory while reading the split file");
}

/* --- full paths ------------------------------------------------------------------------
 */

/* Removes "." and empty components in place: "./a//b.mid" becomes "a/b.mid". */
static char *normalise_path(char *path)
{
    char *to = path, *at = path;
    while (*at) {
        if (at == path || at[-1] == '/') {
            if (*at == '/' && at != path) {
                at++;
                continue;
            }
            if (at[0] == '.' && at[1] == '/') {
                at += 2;
                continue;
            }
        }
        *to++ = *at++;
    }
    *to = '\0';
    return path;
}

/* The file whose recorded path is label, slash and rest, concatenated. `rest` is in
 * recorded form or the raw bytes of the name. */
static size_t find_joined(const struct scan *scan, const char *label, const char *slash,
                          const char *rest)
{
    char *escaped = path_escape(rest);
    char *as_text = path_format("%s%s%s", label, slash, rest);
    char *as_bytes = escaped ? path_format("%s%s%s", label, slash, escaped) : NULL;
    size_t file = as_text ? scan_find(scan, as_text) : SIZE_MAX;
    if (file == SIZE_MAX && as_bytes)
        file = scan_find(scan, as_bytes);
    free(as_bytes);
    free(as_text);
    free(escaped);
    return file;
}

/* The file that `path` names if it begins with `root`, the root of an input; if the root
 * is the working directory, `path` is relative to it. SIZE_MAX: none. */
static size_t find_under_root(const struct scan *scan, const char *label,
                              const char *root, const char *path)
{
    size_t length = strlen(root);
    while (length > 1 && root[length - 1] == '/')
        length--;
    if (length == 0 || (length == 1 && root[0] == '.'))
        return find_joined(scan, label, "/", path);
    if (strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0'))
        return find_joined(scan, label, "", path + length);
    return SIZE_MAX;
}

/* `path` can begin with the input as given, or with its absolute path. */
static size_t find_in_input(const struct scan *scan, size_t input, const char *path)
{
    const char *label = scan->text.bytes + scan->inputs[input].label;
    char *argument = strdup(scan->text.bytes + scan->inputs[input].argument);
    size_t file = argument ? find_under_root(scan, label, normalise_path(argument), path)
                           : SIZE_MAX;
    free(argument);
    if (file != SIZE_MAX)
        return file;
    return find_under_root(scan, label, scan->text.bytes + scan->inputs[input].absolute,
                           path);
}

static size_t find_full_path(const struct scan *scan, const char *path)
{
    size_t file = find_joined(scan, "", "", path);
    for (size_t i = 0; i < scan->input_count && file == SIZE_MAX; i++)
        file = find_in_input(scan, i, path);
    return file;
}

/* --- partial paths ---------------------------------------------------------------------
 */

/* Compares from the last byte to the first; a suffix of the other string comes first. */
static int compare_suffixes(const char *a, const char *b)
{
    size_t i = strlen(a), j = strlen(b);
    while (i > 0 && j > 0) {
        unsigned char left = (unsigned char)a[--i], right = (unsigned char)b[--j];
        if (left != right)
            return left < right ? -1 : 1;
    }
    return (i > 0) - (j > 0);
}

static int compare_by_suffix(const void *a, const void *b)
{
    return compare_suffixes(*(const char *const *)a, *(const char *const *)b);
}

static enum status sort_by_suffix(struct split_list *list)
{
    const struct scan *scan = list->scan;
    if (list->by_suffix)
        return STATUS_OK;
    list->by_suffix = malloc((scan->file_count + 1) * sizeof *list->by_suffix);
    if (!list->by_suffix)
        return out_of_memory();
    for (size_t i = 0; i < scan->file_count; i++)
        if (scan->files[i].kind == SCAN_FILE)
            list->by_suffix[list->by_suffix_count++] = scan_path(scan, i);
    qsort(list->by_suffix, list->by_suffix_count, sizeof *list->by_suffix,
          compare_by_suffix);
    return STATUS_OK;
}

static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

/* The files whose path ends with `end`, which begins with a '/', are
 * list->by_suffix[*first .. *first + n), where n is the return value. */
static size_t find_suffix(const struct split_list *list, const char *end, size_t *first)
{
    size_t low = 0, high = list->by_suffix_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_suffixes(list->by_suffix[middle], end) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    while (high < list->by_suffix_count && ends_with(list->by_suffix[high], end))
        high++;
    return high - low;
}

/* The first two files that `path` matches as a suffix; with `unlisted`, only those that
 * no other line has named. *count: 0, 1, or 2 for two or more. */
static enum status find_by_suffix(struct split_list *list, const char *path,
                                  bool unlisted, size_t files[2], int *count)
{
    *count = 0;
    char *escaped = path_escape(path);
    char *suffixes[] = {path_format("/%s", path),
                        escaped ? path_format("/%s", escaped) : NULL};
    enum status status =
        suffixes[0] && suffixes[1] ? sort_by_suffix(list) : out_of_memory();
    for (int form = 0; form < 2 && status == STATUS_OK && *count == 0; form++) {
        size_t first, found = find_suffix(list, suffixes[form], &first);
        for (size_t i = first; i < first + found && *count < 2; i++) {
            size_t file = scan_find(list->scan, list->by_suffix[i]);
            if (!unlisted || list->scan->files[file].split == SCAN_SPLIT_UNLISTED)
                files[(*count)++] = file;
        }
    }
    free(suffixes[1]);
    free(suffixes[0]);
    free(escaped);
    return status;
}

/* --- lines -----------------------------------------------------------------------------
 */

static enum status assign(struct split_list *list, const struct line *line, size_t file)
{
    uint8_t *assigned = &list->scan->files[file].split;
    if (*assigned != SCAN_SPLIT_UNLISTED && *assigned != (uint8_t)line->split)
        return status_fail(STATUS_MISUSE, "%s:%zu: '%s' is %s here and %s above",
                           list->origin, line->number, line->path,
                           split_name(line->split), split_name((enum split) * assigned));
    *assigned = (uint8_t)line->split;
    return STATUS_OK;
}

static enum status add_ambiguous(struct split_list *list, const struct line *line)
{
    struct line *ambiguous = array_reserve(list->ambiguous, &list->ambiguous_capacity,
                                           list->ambiguous_count + 1, sizeof *ambiguous);
    if (!ambiguous)
        return STATUS_FAILED;
    list->ambiguous = ambiguous;
    ambiguous[list->ambiguous_count] = *line;
    ambiguous[list->ambiguous_count].path = strdup(line->path);
    return ambiguous[list->ambiguous_count++].path ? STATUS_OK : out_of_memory();
}

static enum status no_such_file(const struct split_list *list, const struct line *line)
{
    const struct scan *scan = list->scan;
    return status_fail(STATUS_MISUSE, "%s:%zu: no input file is called '%s'%s%s",
                       list->origin, line->number, line->path,
                       scan->file_count ? "; the first is " : "",
                       scan->file_count ? scan_path(scan, 0) : "");
}

static enum status assign_path(struct split_list *list, const struct line *line)
{
    size_t files[2] = {find_full_path(list->scan, line->path), 0};
    int count = files[0] != SIZE_MAX;
    enum status status = STATUS_OK;
    if (count == 0)
        status = find_by_suffix(list, line->path, false, files, &count);
    if (status != STATUS_OK)
        return status;
    if (count == 0)
        return no_such_file(list, line);
    return count == 1 ? assign(list, line, files[0]) : add_ambiguous(list, line);
}

/* One round over the ambiguous lines: those that match only one of the remaining files
 * are resolved and removed. */
static enum status resolve_round(struct split_list *list)
{
    enum status status = STATUS_OK;
    size_t ambiguous = 0;
    for (size_t i = 0; i < list->ambiguous_count; i++) {
        struct line line = list->ambiguous[i];
        size_t files[2];
        int matches = 0;
        if (status == STATUS_OK)
            status = find_by_suffix(list, line.path, true, files, &matches);
        if (status == STATUS_OK && matches == 1) {
            status = assign(list, &line, files[0]);
            free(line.path);
        } else {
            list->ambiguous[ambiguous++] = line;
        }
    }
    list->ambiguous_count = ambiguous;
    return status;
}

static enum status resolve_all(struct split_list *list)
{
    enum status status = STATUS_OK;
    size_t previous = 0;
    while (status == STATUS_OK && list->ambiguous_count != previous) {
        previous = list->ambiguous_count;
        status = resolve_round(list);
    }
    return status;
}

static enum status refuse_ambiguous(struct split_list *list, const struct line *line)
{
    size_t files[2];
    int count;
    enum status status = find_by_suffix(list, line->path, true, files, &count);
    if (status == STATUS_OK && count == 0)
        status = find_by_suffix(list, line->path, false, files, &count);
    if (status != STATUS_OK)
        return status;
    bool in_order = files[0] < files[1];
    return status_fail(
        STATUS_MISUSE,
        "%s:%zu: '%s' matches %s and %s (expected more of the path, as shown here)",
        list->origin, line->number, line->path, scan_path(list->scan, files[!in_order]),
        scan_path(list->scan, files[in_order]));
}

static enum status parse_line(struct split_list *list, size_t number, char *text)
{
    if (*text == '\0')
        return STATUS_OK;
    char *tab = strrchr(text, '\t');
    if (!tab)
        return status_fail(STATUS_MISUSE,
                           "%s:%zu: no tab (expected: path, tab, train, valid or test)",
                           list->origin, number);
    *tab = '\0';
    int split = split_from_name(tab + 1);
    if (split < 0)
        return status_fail(STATUS_MISUSE,
                           "%s:%zu: '%s' is not a split (expected train, valid or test)",
                           list->origin, number, tab + 1);
    struct line line = {normalise_path(text), number, (enum split)split};
    return assign_path(list, &line);
}

static enum status read_lines(struct split_list *list, FILE *file)
{
    struct text_lines lines = {
        .file = file, .name = list->origin, .max_bytes = LINE_MAX_BYTES};
    bool more = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && more) {
        status = text_lines_next(&lines, &more);
        if (more)
            status = parse_line(list, lines.number, lines.text);
    }
    text_lines_free(&lines);
    if (status == STATUS_OK)
        status = resolve_all(list);
    if (status == STATUS_OK && list->ambiguous_count > 0)
        status = refuse_ambiguous(list, &list->ambiguous[0]);
    return status;
}

enum status split_file_read(const char *path, struct scan *scan)
{
    FILE *file;
    enum status status = text_file_open(path, "the split file", &file);
    if (status != STATUS_OK)
        return status;
    struct split_list list = {.origin = path, .scan = scan};
    for (size_t i = 0; i < scan->file_count; i++)
        scan->files[i].split = SCAN_SPLIT_UNLISTED;
    status = read_lines(&list, file);
    for (size_t i = 0; i < list.ambiguous_count; i++)
        free(list.ambiguous[i].path);
    free(list.ambiguous);
    free(list.by_suffix);
    fclose(file);
    return status;
}
