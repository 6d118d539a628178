/* text: see the header. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "printable.h"

enum { WORD_BYTES_MAX = 63 };

static char fold_dash(char c)
{
    return c == '-' ? '_' : c;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance; only the last three rows of the table are kept. */
static int edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int rows[3][WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3],
            *twice_above = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            int differs = fold_dash(a[i - 1]) != fold_dash(b[j - 1]);
            row[j] = min_int(above[j - 1] + differs, min_int(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min_int(row[j], twice_above[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *text_suggest(const char *typed, const char *const *names)
{
    size_t length = strlen(typed);
    if (length > WORD_BYTES_MAX)
        return NULL;
    int limit = min_int((int)length, (int)length / 3 + (length < 3)) + 1;
    const char *closest = NULL;
    for (; *names; names++) {
        size_t name_length = strlen(*names);
        if (name_length > WORD_BYTES_MAX)
            continue;
        int edits = edit_distance(typed, length, *names, name_length);
        if (edits < limit) {
            limit = edits;
            closest = *names;
        }
    }
    return closest;
}

bool text_is_blank(const char *text)
{
    return text[strspn(text, " \t")] == '\0';
}

bool text_to_integer(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long read = strtoll(text, &end, 10);
    *value = read;
    return errno == 0 && end != text && text_is_blank(end);
}

/* strtoull accepts "-1" as the largest integer. */
bool text_to_unsigned(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long read = strtoull(text, &end, 10);
    *value = read;
    return errno == 0 && end != text && text_is_blank(end) && !strchr(text, '-');
}

/* strtod also accepts hexadecimal, "inf" and "nan", which are rejected here. */
bool text_to_number(const char **text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(*text, &end);
    bool decimal = true;
    for (const char *c = *text; c < end; c++)
        decimal = decimal && strchr("0123456789+-.eE \t", *c);
    bool complete = end != *text && (*end == '\0' || isblank((unsigned char)*end));
    bool finite = isfinite(*value) != 0;
    *text = end;
    return decimal && complete && finite;
}

/* "1e-08" -> "1e-8" */
static void shorten_exponent(char *text)
{
    char *exponent = strchr(text, 'e');
    if (!exponent)
        return;
    char *digits = exponent + 2; /* after the sign */
    size_t zeros = strspn(digits, "0");
    memmove(digits, digits + zeros, strlen(digits + zeros) + 1);
}

const char *text_number(double value, char *text, size_t size)
{
    const double plain = 1e15; /* integers below it are exact in a double */
    char form[TEXT_NUMBER];
    if (value == trunc(value) && fabs(value) < plain) {
        snprintf(form, sizeof form, "%.0f", value);
    } else {
        int digits = 1;
        do {
            snprintf(form, sizeof form, "%.*g", digits, value);
        } while (strtod(form, NULL) != value && ++digits <= 17);
        shorten_exponent(form);
    }
    snprintf(text, size, "%s", form);
    return text;
}

const char *text_excerpt(const char *value, char *text, size_t size)
{
    static const char more[] = "...";
    if (*printable_copy(text, size, value)) {
        printable_copy(text, size - strlen(more), value);
        strcat(text, more);
    }
    return text;
}
