/* owned_manifest: matches paths against the manifest; see owned_directory.h.
 * Numbers are matched as ranges, because a pattern such as step-*.h5 would match the
 * user's own files. */
#include "owned_directory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

enum { DIGITS_MAX = 18 };

/* Returns the number of digits at the start of `text`, and sets *value to their value; 0
 * if there are too many. */
static int read_digits(const char *text, long long *value)
{
    int count = 0;
    for (*value = 0; isdigit((unsigned char)text[count]); count++) {
        if (count == DIGITS_MAX)
            return 0;
        *value = *value * 10 + (text[count] - '0');
    }
    return count;
}

/* The length of the number at the start of `text` if the range at `range`,
 * "{0001..0200}", contains it, zero-padded to the width of the first number of the range;
 * 0 otherwise. *range_length is the length of the range. */
static int match_number(const char *range, int *range_length, const char *text)
{
    long long low, high, value;
    int width = read_digits(range + 1, &low), last_width = 0;
    const char *dots = range + 1 + width;
    if (width > 0 && strncmp(dots, "..", 2) == 0)
        last_width = read_digits(dots + 2, &high);
    if (last_width == 0 || dots[2 + last_width] != '}')
        return 0;
    *range_length = (int)(dots + 2 + last_width + 1 - range);
    char printed[DIGITS_MAX + 2];
    int length = read_digits(text, &value);
    snprintf(printed, sizeof printed, "%0*lld", width, value);
    bool same = length > 0 && length == (int)strlen(printed) &&
                strncmp(printed, text, (size_t)length) == 0;
    return same && value >= low && value <= high ? length : 0;
}

/* True if the line of `length` bytes, without the suffix of its kind, matches `path`. */
static bool matches(const char *line, size_t length, const char *path)
{
    const char *end = line + length;
    while (line < end && *path) {
        int range = 1, number = 1;
        if (*line == '{')
            number = match_number(line, &range, path);
        else if (*line != *path)
            return false;
        if (number == 0 || range > end - line)
            return false;
        line += range;
        path += number;
    }
    return line == end && *path == '\0';
}

/* The kind of a line, given by its suffix; subtracts the suffix from *length. */
static enum owned_kind line_kind(const char *line, size_t *length)
{
    char last = *length > 0 ? line[*length - 1] : '\0';
    enum owned_kind kind = last == '/'   ? OWNED_DIRECTORY
                           : last == '@' ? OWNED_LINK
                                         : OWNED_FILE;
    *length -= kind != OWNED_FILE;
    return kind;
}

static bool is_listed(const char *manifest, const char *path, enum owned_kind kind)
{
    while (*manifest) {
        size_t length = strcspn(manifest, "\n"), bare = length;
        if (line_kind(manifest, &bare) == kind && matches(manifest, bare, path))
            return true;
        manifest += length + (manifest[length] == '\n');
    }
    return false;
}

/* file_final_name, except that directories have random temporary names only. */
static const char *final_name(const char *name, size_t *length, bool is_folder)
{
    size_t whole = *length;
    bool is_random;
    const char *final = file_final_name(name, length, &is_random);
    if (final && (is_random || !is_folder))
        return final;
    *length = whole;
    return NULL;
}

/* The path with all temporary names replaced by their final ones; the caller frees it. */
static char *final_path(const char *path, enum owned_kind kind)
{
    char *final = malloc(strlen(path) + 1), *to = final;
    while (final && *path) {
        size_t length = strcspn(path, "/"), kept = length;
        bool is_last = path[length] == '\0';
        const char *name = final_name(path, &kept, !is_last || kind == OWNED_DIRECTORY);
        memcpy(to, name ? name : path, name ? kept : length);
        to += name ? kept : length;
        path += length;
        if (*path)
            *to++ = *path++;
    }
    if (final)
        *to = '\0';
    return final;
}

bool owned_manifest_contains(const char *manifest, const char *path, enum owned_kind kind)
{
    if (is_listed(manifest, path, kind))
        return true;
    char *final = final_path(path, kind);
    bool contained =
        final && strcmp(final, path) != 0 && is_listed(manifest, final, kind);
    free(final);
    return contained;
}
