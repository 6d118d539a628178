/* options_read: configuration files.
 *
 * libinih reads the sections and keys. Its lines are short (200 bytes where it was built
 * so) and are cut silently, its handler is told no line number, and a line that begins
 * with a blank would continue the one before. So the reader below takes the lines from
 * the file itself, counts them, refuses what is not a setting, and hands libinih the
 * trimmed line up to its '='; the value stays here. A value ends at " #"; in double
 * quotes (with \" and \\) it may hold anything but control characters. */
#include "options_table.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "tutti/text.h"

enum { LONGEST_LINE = 4096, SHOWN = 80 };

struct source {
    FILE *file;
    bool kept; /* by tutti; else typed by a user */
    const char *name;
    struct options *options;
    enum status status;
    int line;
    char text[LONGEST_LINE + 2]; /* of the line, trimmed */
    char *value;                 /* behind its '=' */
    char origin[OPTIONS_TEXT + 32];
    int *seen; /* for each row: the line that set it, or 0 */
};

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
    char shown[SHOWN], hint[2 * SHOWN] = "", sections[SHOWN];
    text_shown(key, shown, sizeof shown);
    if (!option_section_bit(section)) {
        char shown_section[SHOWN];
        text_shown(section, shown_section, sizeof shown_section);
        describe_sections(sections, sizeof sections);
        return status_fail(
            STATUS_MISUSE, "%s: unknown section [%s], expected one of %s%s", origin,
            shown_section, sections,
            suggestion(text_meant(section, option_sections), hint, sizeof hint));
    }
    suggestion(options_meant(section, key), hint, sizeof hint);
    for (size_t i = 0; option_sections[i]; i++)
        if (option_find(option_sections[i], key))
            snprintf(hint, sizeof hint, "; %s is a key of [%s]", shown,
                     option_sections[i]);
    return status_fail(STATUS_MISUSE, "%s: unknown key %s in [%s]%s", origin, shown,
                       section, hint);
}

/* Keeps a failure in the source and ends libinih's reading. */
static char *refuse(struct source *source, enum status status)
{
    source->status = status;
    return NULL;
}

static void trim(char *text)
{
    size_t blanks = strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length > blanks && strchr(" \t\r\n", text[length - 1]))
        length--;
    memmove(text, text + blanks, length - blanks);
    text[length - blanks] = '\0';
}

/* One line of the file into source->text. False at the end and on a fault. */
static bool take_line(struct source *source)
{
    size_t length = 0;
    int c = getc(source->file);
    if (c == EOF)
        return false;
    snprintf(source->origin, sizeof source->origin, "%s:%d", source->name,
             ++source->line);
    for (; c != EOF && c != '\n'; c = getc(source->file)) {
        if (c == '\0')
            status_fail(STATUS_MISUSE, "%s: a zero byte: not a text file",
                        source->origin);
        else if (length == LONGEST_LINE)
            status_fail(STATUS_MISUSE, "%s: the line is longer than %d bytes",
                        source->origin, LONGEST_LINE);
        if (c == '\0' || length == LONGEST_LINE) {
            source->status = STATUS_MISUSE;
            return false;
        }
        source->text[length++] = (char)c;
    }
    source->text[length] = '\0';
    if (source->line == 1 && strncmp(source->text, "\x89HDF", 4) == 0) {
        source->status = status_fail(
            STATUS_MISUSE, "%s: an HDF5 file, but settings are expected", source->name);
        return false;
    }
    return true;
}

static enum status check_section_line(const struct source *source)
{
    char shown[SHOWN], name[SHOWN];
    text_shown(source->text, shown, sizeof shown);
    size_t length = strcspn(source->text, "]");
    if (source->text[length] != ']')
        return status_fail(STATUS_MISUSE, "%s: %s: the ']' is missing", source->origin,
                           shown);
    snprintf(name, sizeof name, "%.*s", (int)length - 1, source->text + 1);
    if (!option_section_bit(name))
        return option_unknown(name, "", source->origin);
    const char *rest = source->text + length + 1;
    rest += strspn(rest, " \t");
    if (*rest != '\0' && *rest != '#' && *rest != ';')
        return status_fail(STATUS_MISUSE, "%s: %s: expected nothing behind the ']'",
                           source->origin, shown);
    return STATUS_OK;
}

/* Splits "key = value" behind the '='. */
static enum status split_setting(struct source *source, int room)
{
    char shown[SHOWN];
    size_t length = strcspn(source->text, "=:");
    if (source->text[length] != '=' || length + 2 > (size_t)room)
        return status_fail(STATUS_MISUSE, "%s: %s: expected [section] or key = value",
                           source->origin, text_shown(source->text, shown, sizeof shown));
    source->value = source->text + length + 1;
    return STATUS_OK;
}

/* libinih's reader: the next line that says something, "[section]" or "key =". */
static char *next_line(char *line, int room, void *context)
{
    struct source *source = context;
    enum status status = STATUS_OK;
    if (!take_line(source))
        return NULL;
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    if (source->line == 1 && strncmp(source->text, byte_order_mark, 3) == 0)
        memset(source->text, ' ', 3);
    trim(source->text);
    source->value = source->text;
    int length = (int)strlen(source->text);
    if (length == 0 || strchr("#;", source->text[0])) {
        length = 0;
    } else if (source->text[0] == '[') {
        status = check_section_line(source);
        length = (int)strcspn(source->text, "]") + 1;
    } else {
        status = split_setting(source, room);
        length = (int)(source->value - source->text);
    }
    if (status != STATUS_OK)
        return refuse(source, status);
    snprintf(line, (size_t)room, "%.*s", length, source->text);
    return line;
}

static enum status take_quoted(const struct source *source, char *value)
{
    char *to = value;
    const char *from = value + 1;
    for (; *from && *from != '"'; from++) {
        if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
            from++;
        *to++ = *from;
    }
    bool closed = *from == '"';
    const char *rest = closed ? from + 1 + strspn(from + 1, " \t") : from;
    bool clean = *rest == '\0' || *rest == '#';
    *to = '\0';
    if (!closed || !clean)
        return status_fail(STATUS_MISUSE, "%s: expected %s", source->origin,
                           closed ? "nothing but a comment behind the closing '\"'"
                                  : "a closing '\"'");
    return STATUS_OK;
}

/* Takes comment and quotes away, in place. */
static enum status clean_value(const struct source *source, char *value)
{
    trim(value);
    if (value[0] == '"')
        return take_quoted(source, value);
    for (char *c = value; *c; c++)
        if (*c == '#' && (c == value || isblank((unsigned char)c[-1])))
            *c-- = '\0';
    trim(value);
    return STATUS_OK;
}

static enum status take_setting(struct source *source, const char *section,
                                const char *key)
{
    const struct option_row *row = option_find(section, key);
    if (section[0] == '\0')
        return status_fail(STATUS_MISUSE, "%s: %s stands before the first [section]",
                           source->origin, key);
    if (!row)
        return option_unknown(section, key, source->origin);
    int *seen = &source->seen[row - option_rows];
    if (*seen)
        return status_fail(STATUS_MISUSE, "%s: %s.%s is already set on line %d",
                           source->origin, section, row->key, *seen);
    *seen = source->line;
    enum status status = clean_value(source, source->value);
    if (status != STATUS_OK)
        return status;
    return (source->kept ? option_parse : option_parse_typed)(
        row, source->options, source->value, source->origin);
}

/* libinih's handler; what it thinks the value is, is not looked at. */
static int handle(void *context, const char *section, const char *key, const char *value)
{
    struct source *source = context;
    (void)value;
    if (source->status == STATUS_OK)
        source->status = take_setting(source, section, key);
    return source->status == STATUS_OK;
}

static bool section_seen(const int *seen, const char *section)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (seen[i] && strcmp(option_rows[i].section, section) == 0)
            return true;
    return false;
}

/* What is missing from a section was not yet a setting when it was written. */
static enum status fill_in_older(struct source *source)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < option_row_count && status == STATUS_OK; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->before && !source->seen[i] && section_seen(source->seen, row->section))
            status = option_parse(row, source->options, row->before, source->name);
    }
    return status;
}

static enum status read_source(struct source *source)
{
    source->seen = calloc(option_row_count, sizeof *source->seen);
    if (!source->seen)
        return status_fail(STATUS_FAILED, "%s: out of memory", source->name);
    int bad_line = ini_parse_stream(next_line, source, handle, source);
    if (source->status == STATUS_OK && ferror(source->file)) {
        status_fail_errno("%s: can't read", source->name);
        source->status = STATUS_MISUSE;
    }
    if (source->status == STATUS_OK && bad_line != 0)
        source->status =
            status_fail(STATUS_MISUSE, "%s:%d: expected [section] or key = value",
                        source->name, bad_line);
    if (source->status == STATUS_OK && source->kept)
        source->status = fill_in_older(source);
    free(source->seen);
    return source->status;
}

/* Reads into a copy, so that a fault changes nothing. */
static enum status read_stream(struct options *options, FILE *file, bool kept,
                               const char *name)
{
    struct options copy = *options;
    struct source source = {.file = file, .kept = kept, .name = name, .options = &copy};
    enum status status = read_source(&source);
    if (status == STATUS_OK)
        *options = copy;
    return status;
}

enum status options_read_file(struct options *options, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        status_fail_errno("%s: can't open the configuration", path);
        return STATUS_MISUSE;
    }
    enum status status = read_stream(options, file, false, path);
    fclose(file);
    return status;
}

enum status options_read_text(struct options *options, const char *text,
                              const char *origin)
{
    if (text[0] == '\0')
        return STATUS_OK; /* fmemopen takes no empty text everywhere */
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    if (!file)
        return status_fail(STATUS_FAILED, "%s: out of memory", origin);
    enum status status = read_stream(options, file, true, origin);
    fclose(file);
    return status;
}
