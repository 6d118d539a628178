/* log: lines for people on stderr, printed by one rank only.
 *
 * Every line goes out in one write, so lines of several processes don't mix. Each call is
 * one line: control characters and line breaks in its text are escaped, as
 * base/printable.h says.
 */
#ifndef TUTTI_BASE_LOG_H
#define TUTTI_BASE_LOG_H

#include <stdbool.h>

/* Only the process that is not muted prints; the command line mutes all ranks but 0. */
void log_mute(bool muted);
bool log_is_muted(void);

/* "text\n" to stderr unless muted. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "tutti: warning: text\n" to stderr unless muted. */
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "tutti: text\n" to stderr, muted or not: the one line of a failure. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
