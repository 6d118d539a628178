/* status: how functions of tutti report failure.
 *
 * A function that can fail returns an `enum status`. status_fail formats the message
 * where the details are known, and stores it for the calling thread until the next
 * failure. Only the command line prints it, after the ranks have agreed on the outcome
 * (comm_agree). Nothing below the command line prints an error, calls exit() or aborts.
 *
 * The values are the exit codes of the program.
 */
#ifndef TUTTI_BASE_STATUS_H
#define TUTTI_BASE_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_FAILED = 1,  /* the run failed: a file, the data, memory, the machine */
    STATUS_MISUSE = 2,  /* invalid request: an argument, a setting */
    STATUS_STOPPED = 75 /* stopped on request with a checkpoint: run again */
};

enum { STATUS_MESSAGE_SIZE = 2048 };

/* Stores a message and returns `code`, so that a caller can write
 *     return status_fail(STATUS_FAILED, "%s: truncated (%zu bytes)", path, size);
 * The message is one line, without newline or leading "tutti:": location, problem, value
 * found, value expected, and the remedy if known. It is stored escaped as
 * base/printable.h describes: control characters become \xHH. The arguments may include
 * status_message() itself, to extend it. */
enum status status_fail(enum status code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* As status_fail(STATUS_FAILED, ...), with ": " and the text of errno appended. */
enum status status_fail_errno(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* The last message of this thread; "" if none. Valid until the next status_fail. */
const char *status_message(void);

/* Replaces the last message (used when another rank's message is to be reported). */
void status_set_message(const char *text);

#endif
