/* log: one write per line. */
#include "tutti/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tutti/status.h"

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

__attribute__((format(printf, 2, 0))) static void
put_line(const char *prefix, const char *format, va_list arguments)
{
    char line[LINE_SIZE];
    size_t used = (size_t)snprintf(line, sizeof line, "%s", prefix);
    vsnprintf(line + used, sizeof line - used - 1, format, arguments);
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
