/* options_find: looks up settings by name, and suggests names for mistyped ones. */
#include "options_table.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

enum { EXCERPT_SIZE = 80 };

unsigned option_section_bit(const char *section)
{
    for (unsigned i = 0; option_sections[i]; i++)
        if (strcmp(section, option_sections[i]) == 0)
            return 1u << i;
    return 0;
}

static bool same_key(const char *key, const char *typed)
{
    while (*key && (*key == *typed || (*key == '_' && *typed == '-'))) {
        key++;
        typed++;
    }
    return *key == *typed;
}

const struct option_row *option_find(const char *section, const char *key)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (strcmp(option_rows[i].section, section) == 0 &&
            same_key(option_rows[i].key, key))
            return &option_rows[i];
    return NULL;
}

bool options_has(const char *section, const char *key)
{
    return option_find(section, key) != NULL;
}

const char *options_suggest(const char *section, const char *typed)
{
    enum { KEYS_MAX = 63 };
    const char *names[KEYS_MAX + 1] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < option_row_count && count < KEYS_MAX; i++)
        if (strcmp(option_rows[i].section, section) == 0)
            names[count++] = option_rows[i].key;
    return text_suggest(typed, names);
}

bool options_is_boolean(const char *section, const char *key)
{
    const struct option_row *row = option_find(section, key);
    return row && row->type == OPTION_BOOLEAN;
}

/* "; did you mean X?", or nothing. */
static const char *suggestion(const char *meant, char *text, size_t size)
{
    text[0] = '\0';
    if (meant)
        snprintf(text, size, "; did you mean %s?", meant);
    return text;
}

static void describe_sections(char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; option_sections[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s[%s]", i ? " " : "",
                                 option_sections[i]);
}

enum status option_unknown(const char *section, const char *key, const char *origin)
{
    char shown[EXCERPT_SIZE], hint[2 * EXCERPT_SIZE] = "", sections[EXCERPT_SIZE];
    text_excerpt(key, shown, sizeof shown);
    if (!option_section_bit(section)) {
        char shown_section[EXCERPT_SIZE];
        text_excerpt(section, shown_section, sizeof shown_section);
        describe_sections(sections, sizeof sections);
        return status_fail(
            STATUS_MISUSE, "%s: unknown section [%s], expected one of %s%s", origin,
            shown_section, sections,
            suggestion(text_suggest(section, option_sections), hint, sizeof hint));
    }
    suggestion(options_suggest(section, key), hint, sizeof hint);
    for (size_t i = 0; option_sections[i]; i++)
        if (option_find(option_sections[i], key))
            snprintf(hint, sizeof hint, "; %s is a key of [%s]", shown,
                     option_sections[i]);
    return status_fail(STATUS_MISUSE, "%s: unknown key %s in [%s]%s", origin, shown,
                       section, hint);
}
