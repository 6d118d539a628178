/* status: the last failure's message, one per thread. */
#include "tutti/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[STATUS_MESSAGE_SIZE];

/* A path may hold a newline or an escape sequence; a message is one line of text. */
static void keep(const char *text)
{
    size_t length = strlen(text);
    memmove(message, text, length + 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)message[i] < ' ' || message[i] == 127)
            message[i] = '?';
}

enum status status_fail(enum status code, const char *format, ...)
{
    char text[STATUS_MESSAGE_SIZE]; /* the arguments may point into `message` */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    keep(text);
    return code;
}

enum status status_fail_errno(const char *format, ...)
{
    const char *reason = strerror(errno);
    char text[STATUS_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, ": %s", reason);
    keep(text);
    return STATUS_FAILED;
}

const char *status_message(void)
{
    return message;
}

void status_set_message(const char *text)
{
    snprintf(message, sizeof message, "%s", text);
}
