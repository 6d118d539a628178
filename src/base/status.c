/* status: the last failure's message, one per thread. */
#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "printable.h"

static _Thread_local char message[STATUS_MESSAGE_SIZE];

enum status status_fail(enum status code, const char *format, ...)
{
    char text[STATUS_MESSAGE_SIZE]; /* the arguments may point into `message` */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printable_copy(message, sizeof message, text);
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
    printable_copy(message, sizeof message, text);
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
