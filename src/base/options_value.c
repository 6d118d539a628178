/* options_value: parses and formats one value of a setting.
 *
 * Numbers are parsed completely or not at all: end pointer, errno and range are checked.
 * Integers are plain decimal digits; "1e4" and "10_000" are rejected, and for the former
 * the message gives the digits to write instead.
 */
#include "options_table.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "program_set.h"
#include "scale.h"
#include "time_signature.h"
#include "text.h"

static const char *const yes_words[] = {"yes", "true", "on", "1", NULL};
static const char *const no_words[] = {"no", "false", "off", "0", NULL};

static int word_index(const char *text, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    return -1;
}

static bool number_in_range(const struct option_row *row, double value)
{
    bool above = row->low_open ? value > row->low : value >= row->low;
    bool below = row->high_open ? value < row->high : value <= row->high;
    return above && below;
}

static size_t number_count(const struct option_row *row)
{
    return row->size / sizeof(double);
}

static bool read_numbers(const struct option_row *row, const char *text, void *member)
{
    double values[8];
    size_t count = number_count(row);
    for (size_t i = 0; i < count; i++)
        if (!text_to_number(&text, &values[i]) || !number_in_range(row, values[i]))
            return false;
    if (!text_is_blank(text))
        return false;
    memcpy(member, values, row->size);
    return true;
}

static bool read_word(const struct option_row *row, const char *text, void *member)
{
    int index = word_index(text, row->words);
    if (index >= 0)
        *(int *)member = index;
    return index >= 0;
}

static bool read_boolean(const char *text, void *member)
{
    bool yes = word_index(text, yes_words) >= 0;
    if (!yes && word_index(text, no_words) < 0)
        return false;
    *(bool *)member = yes;
    return true;
}

static bool read_ranged_integer(const struct option_row *row, const char *text,
                                void *member)
{
    int64_t value;
    if (!text_to_integer(text, &value) || value < row->min || value > row->max)
        return false;
    *(int64_t *)member = value;
    return true;
}

static bool read_seed(const char *text, void *member)
{
    uint64_t value;
    if (!text_to_unsigned(text, &value))
        return false;
    *(uint64_t *)member = value;
    return true;
}

/* "LOW..HIGH". */
static bool read_span(const struct option_row *row, const char *text, void *member)
{
    char low[32];
    int64_t values[2];
    const char *dots = strstr(text, "..");
    if (!dots || (size_t)(dots - text) >= sizeof low)
        return false;
    snprintf(low, sizeof low, "%.*s", (int)(dots - text), text);
    if (!text_to_integer(low, &values[0]) || !text_to_integer(dots + 2, &values[1]) ||
        values[0] < row->min || values[0] > 0 || values[1] < 0 || values[1] > row->max)
        return false;
    memcpy(member, values, sizeof values);
    return true;
}

static bool read_string(const struct option_row *row, const char *text, void *member)
{
    size_t length = strlen(text);
    if (length >= row->size)
        return false;
    for (size_t i = 0; i < length; i++)
        if (iscntrl((unsigned char)text[i]))
            return false;
    memcpy(member, text, length + 1);
    return true;
}

/* "N/M" or "N ticks", N and M from 1 to 10000. */
static bool read_grid(const struct option_row *row, const char *text, void *member)
{
    enum { LIMIT = 10000 };
    int first = 0, second = 1, end = 0;
    if (!isdigit((unsigned char)text[0]) || sscanf(text, "%5d%n", &first, &end) != 1)
        return false;
    const char *rest = text + end;
    bool valid = strcmp(rest, " ticks") == 0 || strcmp(rest, " tick") == 0;
    if (rest[0] == '/' && isdigit((unsigned char)rest[1])) {
        valid = sscanf(rest + 1, "%5d%n", &second, &end) == 1;
        valid = valid && rest[1 + end] == '\0';
    }
    valid = valid && first > 0 && first <= LIMIT && second > 0 && second <= LIMIT;
    return valid && read_string(row, text, member);
}

static bool read_scale(const struct option_row *row, const char *text, void *member)
{
    uint16_t pitch_classes;
    return scale_parse(text, &pitch_classes) && read_string(row, text, member);
}

static bool read_programs(const struct option_row *row, const char *text, void *member)
{
    struct program_set set;
    return program_set_parse(text, &set) && read_string(row, text, member);
}

static bool read_metre(const struct option_row *row, const char *text, void *member)
{
    struct metre metre;
    return time_signature_parse(text, &metre) && read_string(row, text, member);
}

static bool read_value(const struct option_row *row, const char *text, void *member)
{
    switch (row->type) {
    case OPTION_WORD:
        return read_word(row, text, member);
    case OPTION_BOOLEAN:
        return read_boolean(text, member);
    case OPTION_INTEGER:
        return read_ranged_integer(row, text, member);
    case OPTION_SEED:
        return read_seed(text, member);
    case OPTION_SPAN:
        return read_span(row, text, member);
    case OPTION_NUMBER:
    case OPTION_NUMBERS:
        return read_numbers(row, text, member);
    case OPTION_PATH:
    case OPTION_TEXT:
        return read_string(row, text, member);
    case OPTION_GRID:
        return read_grid(row, text, member);
    case OPTION_PROGRAMS:
        return read_programs(row, text, member);
    case OPTION_SCALE:
        return read_scale(row, text, member);
    case OPTION_METRE:
        return read_metre(row, text, member);
    }
    return false;
}

/* "; did you mean lstm?", "; in digits: 10000", or "". */
static const char *suggest(const struct option_row *row, const char *text, char *out,
                           size_t size)
{
    out[0] = '\0';
    if (row->type == OPTION_WORD) {
        const char *suggestion = text_suggest(text, row->words);
        if (suggestion)
            snprintf(out, size, "; did you mean %s?", suggestion);
    }
    if (row->type == OPTION_INTEGER || row->type == OPTION_SEED) {
        bool seed = row->type == OPTION_SEED;
        int64_t min = seed ? 0 : row->min, max = seed ? INT64_MAX : row->max;
        double value;
        const char *end = text;
        bool number = text_to_number(&end, &value) && text_is_blank(end);
        if (number && value == trunc(value) && fabs(value) < 1e15 &&
            (int64_t)value >= min && (int64_t)value <= max)
            snprintf(out, size, "; in digits: %.0f", value);
    }
    return out;
}

enum status option_parse(const struct option_row *row, struct options *options,
                         const char *text, const char *origin)
{
    if (read_value(row, text, (char *)options + row->offset))
        return STATUS_OK;
    char shown[100], expected[256], hint[100];
    return status_fail(STATUS_MISUSE, "%s: %s.%s = %s: expected %s%s", origin,
                       row->section, row->key, text_excerpt(text, shown, sizeof shown),
                       option_expected(row, expected, sizeof expected),
                       suggest(row, text, hint, sizeof hint));
}

enum status option_parse_user(const struct option_row *row, struct options *options,
                              const char *text, const char *origin)
{
    char shown[100], *path;
    if (row->type != OPTION_PATH)
        return option_parse(row, options, text, origin);
    if (path_expand_home(text, &path) != STATUS_OK)
        return status_fail(STATUS_MISUSE, "%s: %s.%s = %s: %s", origin, row->section,
                           row->key, text_excerpt(text, shown, sizeof shown),
                           status_message());
    enum status status = option_parse(row, options, path, origin);
    free(path);
    return status;
}

static void format_numbers(const double *values, size_t count, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < count && used < size; i++) {
        char number[TEXT_NUMBER];
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "",
                                 text_number(values[i], number, sizeof number));
    }
}

const char *option_format(const struct option_row *row, const struct options *options,
                          char *text, size_t size)
{
    const void *member = (const char *)options + row->offset;
    switch (row->type) {
    case OPTION_WORD:
        snprintf(text, size, "%s", row->words[*(const int *)member]);
        break;
    case OPTION_BOOLEAN:
        snprintf(text, size, "%s", *(const bool *)member ? "yes" : "no");
        break;
    case OPTION_INTEGER:
        snprintf(text, size, "%" PRId64, *(const int64_t *)member);
        break;
    case OPTION_SEED:
        snprintf(text, size, "%" PRIu64, *(const uint64_t *)member);
        break;
    case OPTION_SPAN:
        snprintf(text, size, "%" PRId64 "..%" PRId64, ((const int64_t *)member)[0],
                 ((const int64_t *)member)[1]);
        break;
    case OPTION_NUMBER:
    case OPTION_NUMBERS:
        format_numbers(member, number_count(row), text, size);
        break;
    case OPTION_PATH:
    case OPTION_TEXT:
    case OPTION_GRID:
    case OPTION_PROGRAMS:
    case OPTION_SCALE:
    case OPTION_METRE:
        snprintf(text, size, "%s", (const char *)member);
        break;
    }
    return text;
}

static void expect_words(const char *const *words, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; words[i] && used < size; i++) {
        const char *between = i == 0 ? "" : words[i + 1] ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%s%s", between, words[i]);
    }
}

static void expect_integer(const struct option_row *row, char *text, size_t size)
{
    if (row->max == INT64_MAX)
        snprintf(text, size, "a whole number, at least %" PRId64, row->min);
    else
        snprintf(text, size, "a whole number from %" PRId64 " to %" PRId64, row->min,
                 row->max);
}

static void expect_number(const struct option_row *row, char *text, size_t size)
{
    char low[TEXT_NUMBER], high[TEXT_NUMBER];
    text_number(row->low, low, sizeof low);
    text_number(row->high, high, sizeof high);
    if (row->type == OPTION_NUMBERS)
        snprintf(text, size, "%zu numbers from %s to %s", number_count(row), low, high);
    else if (row->low_open)
        snprintf(text, size, "a number above %s, %s %s", low,
                 row->high_open ? "below" : "at most", high);
    else
        snprintf(text, size, "a number from %s %s %s", low,
                 row->high_open ? "to below" : "to", high);
}

const char *option_expected(const struct option_row *row, char *text, size_t size)
{
    switch (row->type) {
    case OPTION_WORD:
        expect_words(row->words, text, size);
        break;
    case OPTION_BOOLEAN:
        snprintf(text, size, "yes or no");
        break;
    case OPTION_INTEGER:
        expect_integer(row, text, size);
        break;
    case OPTION_SEED:
        snprintf(text, size, "a whole number from 0 to %" PRIu64, UINT64_MAX);
        break;
    case OPTION_SPAN:
        snprintf(text, size,
                 "LOW..HIGH, LOW from %" PRId64 " to 0, HIGH from 0 to %" PRId64,
                 row->min, row->max);
        break;
    case OPTION_NUMBER:
    case OPTION_NUMBERS:
        expect_number(row, text, size);
        break;
    case OPTION_PATH:
    case OPTION_TEXT:
        snprintf(text, size, "one line of at most %zu bytes", row->size - 1);
        break;
    case OPTION_GRID:
        snprintf(text, size, "beats as \"1/4\" or ticks as \"120 ticks\"");
        break;
    case OPTION_PROGRAMS:
        program_set_expected(text, size);
        break;
    case OPTION_SCALE:
        scale_expected(text, size);
        break;
    case OPTION_METRE:
        snprintf(text, size, TIME_SIGNATURE_EXPECTED);
        break;
    }
    return text;
}
