/* log: human-readable lines on stderr, printed by one rank only.
 *
 * Every line is one write, so lines of several processes don't mix. Each call is one
 * line: control characters and line breaks in its text are escaped (base/printable.h).
 */
#ifndef TUTTI_BASE_LOG_H
#define TUTTI_BASE_LOG_H

#include <stdbool.h>

/* Muted processes print no info and no warnings; the command line mutes all ranks but
 * 0. */
void log_mute(bool muted);
bool log_is_muted(void);

/* "text\n" to stderr unless muted. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "tutti: warning: text\n" to stderr unless muted. */
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "tutti: text\n" to stderr, muted or not: the error message of the program. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
