/* printable: what comes from outside, fit to be shown on a terminal.
 *
 * File names, texts in files, names of hosts and environment variables may hold escape
 * sequences, line breaks that forge a message of their own, or marks that turn the
 * direction of writing. All text that leaves the program for people passes through here:
 * messages by status_fail, lines of the log by log_..., the rest by printable_line and
 * printable_copy. JSON (base/json.h) and shell words (src/cli/launch.h) escape in their
 * own ways.
 *
 * A byte that is not part of valid UTF-8, or is part of one of these characters, becomes
 * \xHH, with upper-case digits: U+0000 to U+001F, U+007F to U+009F, the line separators
 * U+2028 and U+2029, and the bidirectional controls U+061C, U+200E, U+200F, U+202A to
 * U+202E and U+2066 to U+2069. All else stays as it is, so what is printable already does
 * not change. */
#ifndef TUTTI_BASE_PRINTABLE_H
#define TUTTI_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

bool printable_character(uint32_t character);

/* True if printable_copy would change nothing. */
bool printable_text(const char *text);

/* Copies `text` into to[size], size > 0; what does not fit is left out, never a part of a
 * character. Returns where in `text` that begins; its end if all is copied. The two must
 * not overlap. */
const char *printable_copy(char *to, size_t size, const char *text);

/* Four bytes for each of the text, and its end. */
#define PRINTABLE_SIZE(size) (4 * (size) + 1)

/* Prints one line, and a line break after it. A line break within is text from outside
 * and is escaped like everything else. */
void printable_line(FILE *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
