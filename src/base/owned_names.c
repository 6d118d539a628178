/* owned_names: the list of a marker, see owned_directory.h. Numbers stand for themselves: a
 * pattern such as step-*.h5 would have matched files of the user. */
#include "tutti/owned_directory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tutti/file.h"

enum { DIGITS_MAX = 18 };

/* The number of digits at text; *value is theirs. 0 if there are too many. */
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

/* What text begins with, if that is a number of the range "{0001..0200}" at `range`, as
 * printf prints it with the width of the first: its length, else 0. *range_length is that
 * of the range. */
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

/* True if the line of `length` bytes, without the mark of its kind, stands for `path`. */
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

/* The kind of a line, and its length without the mark of it. */
static enum owned_kind line_kind(const char *line, size_t *length)
{
    char last = *length > 0 ? line[*length - 1] : '\0';
    enum owned_kind kind = last == '/'   ? OWNED_FOLDER
                           : last == '@' ? OWNED_LINK
                                         : OWNED_FILE;
    *length -= kind != OWNED_FILE;
    return kind;
}

static bool is_listed(const char *names, const char *path, enum owned_kind kind)
{
    while (*names) {
        size_t length = strcspn(names, "\n"), bare = length;
        if (line_kind(names, &bare) == kind && matches(names, bare, path))
            return true;
        names += length + (names[length] == '\n');
    }
    return false;
}

/* For "x/.NAME.partial" and "x/.NAME.0123456789ab.partial" the path "x/NAME", which the
 * caller frees; else NULL. */
static char *unfinished_path(const char *path)
{
    enum { RANDOM = 12 };
    const char *base = path_base(path), *end = base + strlen(base);
    static const char tail[] = ".partial";
    if (base[0] != '.' || end - base <= (long)sizeof tail ||
        strcmp(end - (sizeof tail - 1), tail) != 0)
        return NULL;
    end -= sizeof tail - 1;
    if (end - base > RANDOM + 2 && end[-RANDOM - 1] == '.' &&
        strspn(end - RANDOM, "0123456789abcdef") == RANDOM)
        end -= RANDOM + 1;
    return path_format("%.*s%.*s", (int)(base - path), path, (int)(end - base - 1),
                       base + 1);
}

bool owned_names_have(const char *names, const char *path, enum owned_kind kind)
{
    if (is_listed(names, path, kind))
        return true;
    char *final = kind == OWNED_FILE || kind == OWNED_LINK ? unfinished_path(path) : NULL;
    bool has = final && is_listed(names, final, kind);
    free(final);
    return has;
}
