/* options_text: formats settings and their table as text. */
#include "options_table.h"

#include <stdlib.h>
#include <string.h>

#include "printable.h"

enum { KEY_WIDTH = 26, VALUE_WIDTH = 16, UNIT_WIDTH = 9, HELP_COLUMN = 30 };

static bool is_wanted(const struct option_row *row, unsigned sections)
{
    return (option_section_bit(row->section) & sections) != 0;
}

static bool begins_section(size_t i)
{
    return i == 0 || strcmp(option_rows[i].section, option_rows[i - 1].section) != 0;
}

/* In quotes if blanks, '#' or quotes would not be parsed back otherwise. */
static void put_value(const char *value, FILE *out)
{
    size_t length = strlen(value);
    bool blank_end = length && (value[0] == ' ' || value[length - 1] == ' ');
    if (!blank_end && !strpbrk(value, "\"#")) {
        fputs(value, out);
        return;
    }
    putc('"', out);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            putc('\\', out);
        putc(*value, out);
    }
    putc('"', out);
}

char *options_text(const struct options *options, unsigned sections)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (size_t i = 0, shown = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        char value[OPTIONS_TEXT];
        if (!is_wanted(row, sections))
            continue;
        if (begins_section(i))
            fprintf(out, "%s[%s]\n", shown ? "\n" : "", row->section);
        shown++;
        fprintf(out, "%s = ", row->key);
        put_value(option_format(row, options, value, sizeof value), out);
        putc('\n', out);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

void options_print(const struct options *options, unsigned sections, FILE *out)
{
    fprintf(out, "%-*s %-*s %-*s %s\n", KEY_WIDTH, "setting", VALUE_WIDTH, "value",
            UNIT_WIDTH, "unit", "default, if different");
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        char value[OPTIONS_TEXT], shown[PRINTABLE_SIZE(OPTIONS_TEXT)], name[64];
        if (!is_wanted(row, sections))
            continue;
        snprintf(name, sizeof name, "%s.%s", row->section, row->key);
        option_format(row, options, value, sizeof value);
        printable_copy(shown, sizeof shown, value);
        const char *unit = row->unit ? row->unit : "";
        const char *shown_default = row->default_value[0] ? row->default_value : "-";
        fprintf(out, "%-*s ", KEY_WIDTH, name);
        if (strcmp(value, row->default_value) != 0)
            fprintf(out, "%-*s %-*s %s\n", VALUE_WIDTH, value[0] ? shown : "-",
                    UNIT_WIDTH, unit, shown_default);
        else if (unit[0])
            fprintf(out, "%-*s %s\n", VALUE_WIDTH, shown_default, unit);
        else
            fprintf(out, "%s\n", shown_default);
    }
}

void options_help(unsigned sections, FILE *out)
{
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        char setting[OPTIONS_TEXT], expected[256];
        if (!is_wanted(row, sections))
            continue;
        if (begins_section(i))
            fprintf(out, "  [%s]\n", row->section);
        snprintf(setting, sizeof setting, "%s = %s", row->key, row->default_value);
        fprintf(out, "    %-*s %s\n", HELP_COLUMN, setting, row->help);
        fprintf(out, "    %-*s %s%s%s%s\n", HELP_COLUMN, "",
                option_expected(row, expected, sizeof expected), row->unit ? "; " : "",
                row->unit ? row->unit : "",
                row->may_change ? "; may change on resume" : "");
    }
}
