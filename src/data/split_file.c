/* split_file: a split decided by the user, as lines "path<TAB>train|valid|test". */
#include "scan.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tutti/dataset.h"
#include "tutti/file.h"

/* The file that `path` names when it begins with this input as it was given (or with its
 * absolute path); SIZE_MAX: none. */
static size_t find_below(const struct scan *scan, size_t input, uint64_t root_offset,
                         const char *path)
{
    const char *root = scan->text.bytes + root_offset;
    const char *label = scan->text.bytes + scan->inputs[input].label;
    size_t length = strlen(root);
    while (length > 1 && root[length - 1] == '/')
        length--;
    bool inside =
        strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0');
    char *recorded = NULL;
    if (inside)
        recorded = path_format("%s%s", label, path + length);
    else if (strcmp(root, ".") == 0)
        recorded = path_format("%s/%s", label, path);
    size_t file = recorded ? scan_find(scan, recorded) : SIZE_MAX;
    free(recorded);
    return file;
}

static size_t find_listed(const struct scan *scan, const char *path)
{
    size_t file = scan_find(scan, path);
    for (size_t i = 0; i < scan->input_count && file == SIZE_MAX; i++) {
        file = find_below(scan, i, scan->inputs[i].given, path);
        if (file == SIZE_MAX)
            file = find_below(scan, i, scan->inputs[i].absolute, path);
    }
    return file;
}

static enum status take_line(const char *origin, size_t number, char *line,
                             struct scan *scan)
{
    line[strcspn(line, "\r\n")] = '\0';
    if (*line == '\0')
        return STATUS_OK;
    char *tab = strrchr(line, '\t');
    if (!tab)
        return status_fail(STATUS_MISUSE,
                           "%s:%zu: no tab (expected: path, tab, train, valid or test)",
                           origin, number);
    *tab = '\0';
    int split = split_from_name(tab + 1);
    if (split < 0)
        return status_fail(STATUS_MISUSE,
                           "%s:%zu: '%s' is no split (expected train, valid or test)",
                           origin, number, tab + 1);
    size_t file = find_listed(scan, line);
    if (file == SIZE_MAX)
        return status_fail(STATUS_MISUSE, "%s:%zu: no input file is called '%s'%s%s",
                           origin, number, line,
                           scan->file_count ? "; the first is " : "",
                           scan->file_count ? scan_path(scan, 0) : "");
    uint8_t *known = &scan->files[file].split;
    if (*known != SCAN_SPLIT_UNLISTED && *known != split)
        return status_fail(STATUS_MISUSE, "%s:%zu: '%s' is %s here and %s above", origin,
                           number, line, split_name((enum split)split),
                           split_name((enum split) * known));
    *known = (uint8_t)split;
    return STATUS_OK;
}

enum status split_file_read(const char *path, struct scan *scan)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        status_fail_errno("%s: can't read the split file", path);
        return STATUS_MISUSE;
    }
    for (size_t i = 0; i < scan->file_count; i++)
        scan->files[i].split = SCAN_SPLIT_UNLISTED;
    char *line = NULL;
    size_t room = 0;
    enum status status = STATUS_OK;
    for (size_t number = 1; status == STATUS_OK && getline(&line, &room, file) >= 0;
         number++)
        status = take_line(path, number, line, scan);
    if (status == STATUS_OK && ferror(file))
        status = status_fail_errno("%s: can't read the split file", path);
    free(line);
    fclose(file);
    return status;
}
