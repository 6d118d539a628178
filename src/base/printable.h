/* printable: makes untrusted text safe to show on a terminal.
 *
 * File names, texts in files, host names and environment variables may contain escape
 * sequences, line breaks that forge a message, or bidirectional controls. All text that
 * the program shows passes through here: messages by status_fail, log lines by log_...,
 * the rest by printable_line and printable_copy. JSON (base/json.h) and shell words
 * (src/cli/launch.h) have their own escapes.
 *
 * A byte that is not part of valid UTF-8, or is part of one of these characters, is
 * written \xHH, with upper-case digits: U+0000 to U+001F, U+007F to U+009F, the line
 * separators U+2028 and U+2029, and the bidirectional controls U+061C, U+200E, U+200F,
 * U+202A to U+202E and U+2066 to U+2069. Everything else is unchanged, so printable text
 * stays the same. */
#ifndef TUTTI_BASE_PRINTABLE_H
#define TUTTI_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

bool printable_character(uint32_t character);

/* True if printable_copy would change nothing. */
bool printable_text(const char *text);

/* Copies `text` to to[size], size > 0, truncated at a character if it does not fit.
 * Returns the part of `text` that was not copied, "" if everything was. The two must not
 * overlap. */
const char *printable_copy(char *to, size_t size, const char *text);

/* Size of a buffer that fits the escaped form of any text of `size` bytes: four bytes for
 * each, and the zero byte. */
#define PRINTABLE_SIZE(size) (4 * (size) + 1)

/* Writes \xHH for each of `count` bytes to `to`, without a zero byte. Returns the end. */
char *printable_escape(char *to, const char *bytes, size_t count);

/* Prints one line and a line break. A line break within the text is escaped like every
 * other control character. */
void printable_line(FILE *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
