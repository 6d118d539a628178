/* options_read: configuration files.
 *
 * libinih parses sections and keys. It truncates lines silently (at 200 bytes in common
 * builds), gives its handler no line number, and treats a line that begins with a blank
 * as a continuation. So next_line reads and counts the lines itself, rejects lines that
 * are not settings, and passes libinih the trimmed line up to its '='; the value is
 * parsed here. A value ends at " #"; in double quotes (with \" and \\) it may contain
 * anything except control characters. */
#include "options_table.h"

#include <ctype.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "text_file.h"

enum { LINE_BYTES_MAX = 4096, TEXT_BYTES_MAX = 1 << 20, EXCERPT_SIZE = 80 };

/* The author of the text. */
enum source_kind { SOURCE_USER, SOURCE_CHECKPOINT, SOURCE_DATASET };

struct source {
    enum source_kind kind;
    const char *name;
    struct options *options;
    enum status status;
    struct text_lines lines;
    char *text;  /* of the line, trimmed */
    char *value; /* after its '=' */
    char origin[OPTIONS_TEXT + 32];
    size_t *set_on_line; /* for each row; 0: not set */
};

/* Records a failure in the source and stops libinih. */
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

/* Reads one line into source->text. False at end of file and on an error. */
static bool read_line(struct source *source)
{
    bool more = false;
    if (source->status == STATUS_OK)
        source->status = text_lines_next(&source->lines, &more);
    if (!more)
        return false;
    source->text = source->lines.text;
    snprintf(source->origin, sizeof source->origin, "%s:%zu", source->name,
             source->lines.number);
    if (source->lines.number == 1 && strncmp(source->text, "\x89HDF", 4) == 0) {
        source->status = status_fail(
            STATUS_MISUSE, "%s: an HDF5 file, but settings are expected", source->name);
        return false;
    }
    return true;
}

/* Extends the message about an unknown section or key if the text was written by
 * tutti. */
static enum status add_version_hint(const struct source *source, enum status status)
{
    if (source->kind == SOURCE_USER)
        return status;
    return status_fail(status,
                       "%s (written by another version of tutti, or changed since)",
                       status_message());
}

static enum status check_section_line(const struct source *source)
{
    char shown[EXCERPT_SIZE], name[EXCERPT_SIZE];
    text_excerpt(source->text, shown, sizeof shown);
    size_t length = strcspn(source->text, "]");
    if (source->text[length] != ']')
        return status_fail(STATUS_MISUSE, "%s: %s: the ']' is missing", source->origin,
                           shown);
    snprintf(name, sizeof name, "%.*s", (int)length - 1, source->text + 1);
    if (!option_section_bit(name))
        return add_version_hint(source, option_unknown(name, "", source->origin));
    if (source->kind == SOURCE_DATASET && option_section_bit(name) != SECTION_DATA)
        return status_fail(STATUS_MISUSE,
                           "%s: [%s]: a dataset has settings of [data] only",
                           source->origin, name);
    const char *rest = source->text + length + 1;
    rest += strspn(rest, " \t");
    if (*rest != '\0' && *rest != '#' && *rest != ';')
        return status_fail(STATUS_MISUSE, "%s: %s: expected nothing after the ']'",
                           source->origin, shown);
    return STATUS_OK;
}

/* Splits "key = value" after the '='. */
static enum status split_setting(struct source *source, int size)
{
    char shown[EXCERPT_SIZE];
    size_t length = strcspn(source->text, "=:");
    if (source->text[length] != '=' || length + 2 > (size_t)size)
        return status_fail(STATUS_MISUSE, "%s: %s: expected [section] or key = value",
                           source->origin,
                           text_excerpt(source->text, shown, sizeof shown));
    source->value = source->text + length + 1;
    return STATUS_OK;
}

/* libinih's reader: the next line, "[section]", "key =" or "". */
static char *next_line(char *line, int size, void *context)
{
    struct source *source = context;
    enum status status = STATUS_OK;
    if (!read_line(source))
        return NULL;
    trim(source->text);
    source->value = source->text;
    int length = (int)strlen(source->text);
    if (length == 0 || strchr("#;", source->text[0])) {
        length = 0;
    } else if (source->text[0] == '[') {
        status = check_section_line(source);
        length = (int)strcspn(source->text, "]") + 1;
    } else {
        status = split_setting(source, size);
        length = (int)(source->value - source->text);
    }
    if (status != STATUS_OK)
        return refuse(source, status);
    snprintf(line, (size_t)size, "%.*s", length, source->text);
    return line;
}

static enum status unquote(const struct source *source, char *value)
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
                           closed ? "nothing but a comment after the closing '\"'"
                                  : "a closing '\"'");
    return STATUS_OK;
}

/* Removes comment and quotes, in place. */
static enum status clean_value(const struct source *source, char *value)
{
    trim(value);
    if (value[0] == '"')
        return unquote(source, value);
    for (char *c = value; *c; c++)
        if (*c == '#' && (c == value || isblank((unsigned char)c[-1])))
            *c-- = '\0';
    trim(value);
    return STATUS_OK;
}

/* In a dataset, settings that it does not determine must have their defaults. */
static enum status check_default(const struct source *source,
                                 const struct option_row *row)
{
    char shown[EXCERPT_SIZE];
    if (strcmp(source->value, row->default_value) == 0)
        return STATUS_OK;
    return status_fail(STATUS_MISUSE, "%s: %s.%s = %s: not a setting of datasets",
                       source->origin, row->section, row->key,
                       text_excerpt(source->value, shown, sizeof shown));
}

static enum status set_value(const struct source *source, const struct option_row *row)
{
    enum status status = clean_value(source, source->value);
    if (status != STATUS_OK)
        return status;
    if (source->kind == SOURCE_DATASET && !row->in_dataset)
        return check_default(source, row);
    return (source->kind == SOURCE_USER ? option_parse_user : option_parse)(
        row, source->options, source->value, source->origin);
}

static enum status handle_setting(struct source *source, const char *section,
                                  const char *key)
{
    const struct option_row *row = option_find(section, key);
    if (section[0] == '\0')
        return status_fail(STATUS_MISUSE, "%s: %s is before the first [section]",
                           source->origin, key);
    if (!row)
        return add_version_hint(source, option_unknown(section, key, source->origin));
    size_t *line = &source->set_on_line[row - option_rows];
    if (*line)
        return status_fail(STATUS_MISUSE, "%s: %s.%s is already set on line %zu",
                           source->origin, section, row->key, *line);
    *line = source->lines.number;
    return set_value(source, row);
}

/* libinih's handler; ignores `value`, which source->value replaces. */
static int handle(void *context, const char *section, const char *key, const char *value)
{
    struct source *source = context;
    (void)value;
    if (source->status == STATUS_OK)
        source->status = handle_setting(source, section, key);
    return source->status == STATUS_OK;
}

static bool has_section(const size_t *set_on_line, const char *section)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (set_on_line[i] && strcmp(option_rows[i].section, section) == 0)
            return true;
    return false;
}

static enum status read_source(struct source *source)
{
    source->set_on_line = calloc(option_row_count, sizeof *source->set_on_line);
    if (!source->set_on_line)
        return status_fail(STATUS_FAILED, "%s: out of memory", source->name);
    int bad_line = ini_parse_stream(next_line, source, handle, source);
    if (source->status == STATUS_OK && bad_line != 0)
        source->status =
            status_fail(STATUS_MISUSE, "%s:%d: expected [section] or key = value",
                        source->name, bad_line);
    if (source->status == STATUS_OK && source->kind == SOURCE_DATASET &&
        !has_section(source->set_on_line, "data"))
        source->status =
            status_fail(STATUS_MISUSE, "%s: no settings of [data]", source->name);
    free(source->set_on_line);
    return source->status;
}

/* Reads into a copy, so that an error changes nothing. */
static enum status read_bytes(struct options *options, const char *text, size_t size,
                              enum source_kind kind, const char *name)
{
    static const char blank[] = "\n"; /* some implementations of fmemopen reject size 0 */
    const char *bytes = size ? text : blank;
    FILE *file = fmemopen((void *)(uintptr_t)bytes, size ? size : 1, "r");
    if (!file)
        return status_fail(STATUS_FAILED, "%s: out of memory", name);
    struct options copy = *options;
    struct source source = {.kind = kind, .name = name, .options = &copy};
    source.lines =
        (struct text_lines){.file = file, .name = name, .max_bytes = LINE_BYTES_MAX};
    enum status status = read_source(&source);
    if (status == STATUS_OK)
        *options = copy;
    text_lines_free(&source.lines);
    fclose(file);
    return status;
}

enum status options_read_file(struct options *options, const char *path)
{
    char *text;
    size_t size;
    enum status status = options_load_file(path, &text, &size);
    if (status == STATUS_OK)
        status = options_read_user_text(options, text, size, path);
    free(text);
    return status;
}

enum status options_load_file(const char *path, char **text, size_t *size)
{
    return text_file_read(path, "the configuration", TEXT_BYTES_MAX, text, size);
}

enum status options_read_user_text(struct options *options, const char *text, size_t size,
                                   const char *origin)
{
    return read_bytes(options, text, size, SOURCE_USER, origin);
}

/* The size limit applies to text from checkpoints and datasets as well. */
static enum status read_stored(struct options *options, const char *text,
                               enum source_kind kind, const char *origin)
{
    size_t size = strlen(text);
    if (size > TEXT_BYTES_MAX)
        return status_fail(STATUS_MISUSE, "%s: %zu bytes of settings (at most %d)",
                           origin, size, TEXT_BYTES_MAX);
    return read_bytes(options, text, size, kind, origin);
}

enum status options_read_text(struct options *options, const char *text,
                              const char *origin)
{
    return read_stored(options, text, SOURCE_CHECKPOINT, origin);
}

enum status options_read_dataset(struct options *options, const char *text,
                                 const char *origin)
{
    options_defaults(options);
    enum status status = read_stored(options, text, SOURCE_DATASET, origin);
    if (status == STATUS_OK && options_check(options) != STATUS_OK)
        status = status_fail(STATUS_MISUSE, "%s: %s", origin, status_message());
    return status == STATUS_MISUSE ? STATUS_FAILED : status;
}
