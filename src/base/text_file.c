/* text_file: see the header. */
#include "text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* ---- opening ---- */

static bool is_standard_input(const char *path)
{
    static const char *const names[] = {"-", "/dev/stdin", "/dev/fd/0",
                                        "/proc/self/fd/0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(path, names[i]) == 0)
            return true;
    return false;
}

static enum status cannot_read(const char *path, const char *what)
{
    status_fail_errno("%s: can't read %s", path, what);
    return STATUS_MISUSE;
}

/* Standard input can be read only once. */
static enum status open_standard_input(const char *path, const char *what, int *out)
{
    static const char *used_for;
    if (used_for)
        return status_fail(STATUS_MISUSE,
                           "%s: standard input can't be %s, it is already %s", path, what,
                           used_for);
    used_for = what;
    *out = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return *out >= 0 ? STATUS_OK : cannot_read(path, what);
}

/* True if there is data, or end of file, within that time. */
static bool is_ready(int descriptor, int milliseconds)
{
    struct pollfd waiting = {.fd = descriptor, .events = POLLIN};
    int ready;
    do
        ready = poll(&waiting, 1, milliseconds);
    while (ready < 0 && errno == EINTR);
    return ready != 0;
}

/* For a FIFO that was opened without blocking. */
static enum status wait_for_writer(int descriptor, const char *path)
{
    enum { SHORT = 200 };
    if (is_ready(descriptor, SHORT))
        return STATUS_OK;
    log_info("waiting for a writer of %s", path);
    if (is_ready(descriptor, TEXT_FILE_TIMEOUT * 1000))
        return STATUS_OK;
    return status_fail(STATUS_MISUSE, "%s: a pipe without data for %d s", path,
                       TEXT_FILE_TIMEOUT);
}

static enum status open_named(const char *path, const char *what, int *out)
{
    struct stat st;
    *out = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*out < 0) {
        status_fail_errno("%s: can't open %s", path, what);
        return STATUS_MISUSE;
    }
    if (fstat(*out, &st) != 0)
        return cannot_read(path, what);
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return cannot_read(path, what);
    }
    enum status status = STATUS_OK;
    if (S_ISFIFO(st.st_mode))
        status = wait_for_writer(*out, path);
    if (status == STATUS_OK && fcntl(*out, F_SETFL, O_RDONLY) != 0)
        status = cannot_read(path, what);
    return status;
}

enum status text_file_open(const char *path, const char *what, FILE **out)
{
    int descriptor = -1;
    *out = NULL;
    enum status status = is_standard_input(path)
                             ? open_standard_input(path, what, &descriptor)
                             : open_named(path, what, &descriptor);
    if (status == STATUS_OK && !(*out = fdopen(descriptor, "r")))
        status = cannot_read(path, what);
    if (status != STATUS_OK && descriptor >= 0)
        close(descriptor);
    return status;
}

/* ---- whole files ---- */

static enum status read_whole(FILE *file, const char *path, const char *what,
                              size_t max_bytes, char *text, size_t *size)
{
    *size = fread(text, 1, max_bytes + 1, file);
    if (ferror(file))
        return cannot_read(path, what);
    if (*size > max_bytes)
        return status_fail(STATUS_MISUSE, "%s: more than %zu bytes, too long for %s",
                           path, max_bytes, what);
    text[*size] = '\0';
    return STATUS_OK;
}

enum status text_file_read(const char *path, const char *what, size_t max_bytes,
                           char **text, size_t *size)
{
    FILE *file;
    *text = NULL;
    enum status status = text_file_open(path, what, &file);
    if (status != STATUS_OK)
        return status;
    char *whole = malloc(max_bytes + 2);
    status = whole ? read_whole(file, path, what, max_bytes, whole, size)
                   : status_fail(STATUS_FAILED, "%s: out of memory", path);
    fclose(file);
    if (status == STATUS_OK)
        *text = whole;
    else
        free(whole);
    return status;
}

/* ---- lines ---- */

static enum status refuse(const struct text_lines *lines, const char *why)
{
    return status_fail(STATUS_MISUSE, "%s:%zu: %s", lines->name, lines->number, why);
}

static enum status refuse_length(const struct text_lines *lines)
{
    return status_fail(STATUS_MISUSE, "%s:%zu: the line is longer than %zu bytes",
                       lines->name, lines->number, lines->max_bytes);
}

static bool begins_utf16(const char *text)
{
    return memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0;
}

static enum status grow(struct text_lines *lines)
{
    size_t capacity = lines->capacity ? 2 * lines->capacity : 256;
    char *text = realloc(lines->text, capacity);
    if (!text)
        return status_fail(STATUS_FAILED, "%s: out of memory", lines->name);
    lines->text = text;
    lines->capacity = capacity;
    return STATUS_OK;
}

/* Reads the rest of the line, whose first character is `c`. */
static enum status read_rest(struct text_lines *lines, int c, size_t *length)
{
    enum status status = STATUS_OK;
    for (*length = 0; c != EOF && c != '\n' && status == STATUS_OK;
         c = getc_unlocked(lines->file)) {
        if (c == '\0')
            return refuse(lines, "a zero byte: not a text file");
        if (*length == lines->max_bytes)
            return refuse_length(lines);
        if (*length + 1 >= lines->capacity)
            status = grow(lines);
        if (status == STATUS_OK)
            lines->text[(*length)++] = (char)c;
        if (lines->number == 1 && *length == 2 && begins_utf16(lines->text))
            return refuse(lines, "text in UTF-16: save it as UTF-8");
    }
    lines->terminated = c == '\n';
    return status;
}

static void skip_bom(struct text_lines *lines, size_t *length)
{
    if (*length < 3 || memcmp(lines->text, "\xEF\xBB\xBF", 3) != 0)
        return;
    *length -= 3;
    memmove(lines->text, lines->text + 3, *length);
}

static enum status read_error(const struct text_lines *lines)
{
    status_fail_errno("%s:%zu: can't read further", lines->name, lines->number);
    return STATUS_MISUSE;
}

/* Removes the byte order mark and the carriage return. */
static void trim(struct text_lines *lines, size_t length)
{
    if (lines->number == 1)
        skip_bom(lines, &length);
    if (length > 0 && lines->text[length - 1] == '\r')
        length--;
    lines->text[length] = '\0';
}

enum status text_lines_next(struct text_lines *lines, bool *more)
{
    size_t length = 0;
    *more = false;
    enum status status = lines->capacity ? STATUS_OK : grow(lines);
    if (status != STATUS_OK)
        return status;
    int c = getc(lines->file);
    bool any = c != EOF;
    lines->number += any;
    status = read_rest(lines, c, &length);
    if (status == STATUS_OK && ferror(lines->file))
        status = read_error(lines);
    if (status != STATUS_OK)
        return status;
    trim(lines, length);
    *more = any;
    return STATUS_OK;
}

void text_lines_free(struct text_lines *lines)
{
    free(lines->text);
    lines->text = NULL;
    lines->capacity = 0;
}
