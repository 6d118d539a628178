/* program_set: see the header. */
#include "program_set.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void skip_blanks(const char **text)
{
    *text += strspn(*text, " ");
}

/* Reads a program and moves *text after it; -1 if there is none. */
static int read_program(const char **text)
{
    int program = 0, digits = 0;
    for (; isdigit((unsigned char)**text) && digits < 3; ++*text, digits++)
        program = 10 * program + (**text - '0');
    return digits > 0 && program < PROGRAMS ? program : -1;
}

static bool read_range(const char **text, struct program_set *set)
{
    int first = read_program(text), last = first;
    if (first >= 0 && **text == '-') {
        ++*text;
        last = read_program(text);
    }
    if (first < 0 || last < first)
        return false;
    for (int program = first; program <= last; program++)
        set->programs[program] = true;
    return true;
}

static bool read_item(const char **text, struct program_set *set)
{
    static const char drums[] = "drums";
    if (strncmp(*text, drums, strlen(drums)) != 0)
        return read_range(text, set);
    *text += strlen(drums);
    set->drums = true;
    return true;
}

static bool read_list(const char *text, struct program_set *set)
{
    for (;; text++) {
        skip_blanks(&text);
        if (!read_item(&text, set))
            return false;
        skip_blanks(&text);
        if (*text != ',')
            return *text == '\0';
    }
}

bool program_set_parse(const char *text, struct program_set *set)
{
    struct program_set parsed = {0};
    if (strcmp(text, "all") == 0) {
        memset(parsed.programs, true, sizeof parsed.programs);
        parsed.drums = true;
    } else if (!read_list(text, &parsed)) {
        return false;
    }
    *set = parsed;
    return true;
}

const char *program_set_expected(char *text, size_t size)
{
    snprintf(text, size, "all, or programs from 0 to %d and drums, as in 0-7,40,drums",
             PROGRAMS - 1);
    return text;
}
