/* log: one write per line. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "printable.h"
#include "status.h"

enum { LINE_SIZE = STATUS_MESSAGE_SIZE + 64 };

static bool muted_here;

void log_mute(bool muted)
{
    muted_here = muted;
}

bool log_is_muted(void)
{
    return muted_here;
}

/* One line: a line break in the text is escaped, because untrusted text could forge a
 * second line with it. */
__attribute__((format(printf, 2, 0))) static void
put_line(const char *prefix, const char *format, va_list arguments)
{
    char text[LINE_SIZE], line[PRINTABLE_SIZE(LINE_SIZE)];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", prefix);
    vsnprintf(text + used, sizeof text - used, format, arguments);
    printable_copy(line, sizeof line - 1, text);
    used = strlen(line);
    line[used++] = '\n';
    fflush(stderr);
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* nowhere left to report to */
}

void log_info(const char *format, ...)
{
    if (muted_here)
        return;
    va_list arguments;
    va_start(arguments, format);
    put_line("", format, arguments);
    va_end(arguments);
}

void log_warn(const char *format, ...)
{
    if (muted_here)
        return;
    va_list arguments;
    va_start(arguments, format);
    put_line("tutti: warning: ", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_line("tutti: ", format, arguments);
    va_end(arguments);
}
