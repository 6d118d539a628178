/* text: words and numbers, for messages and settings. */
#ifndef TUTTI_BASE_TEXT_H
#define TUTTI_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The closest of `names` (ending with NULL) to a mistyped word, or NULL; the first of
 * equally close ones. The edit distance (letters inserted, deleted, replaced or swapped
 * with their neighbour) must be at most a third of the word's length, or 1 for words of
 * one or two letters. '-' and '_' count as the same letter. NULL for words of more than
 * 63 bytes. */
const char *text_suggest(const char *typed, const char *const *names);

/* True if the whole text is a decimal 64-bit integer, with optional blanks around it. */
bool text_to_integer(const char *text, int64_t *value);

/* True if the whole text is a decimal integer from 0 to 2^64-1, with optional blanks
 * around it. */
bool text_to_unsigned(const char *text, uint64_t *value);

/* Parses a finite decimal number (not hexadecimal, not "inf") that ends at a blank or the
 * end of the text, and moves *text after it. */
bool text_to_number(const char **text, double *value);

/* True if the text consists only of blanks. */
bool text_is_blank(const char *text);

enum { TEXT_NUMBER = 32 };

/* A double with the fewest significant digits that strtod parses back to the same value;
 * integers below 1e15 without exponent: "0.002", "345600", "1e-8". Also "nan", "inf" and
 * "-inf". Returns text; TEXT_NUMBER bytes suffice. */
const char *text_number(double value, char *text, size_t size);

/* `value` for a one-line message: escaped as in base/printable.h, and truncated with
 * "..." if longer than size - 1 bytes. Returns text; size > 3. */
const char *text_excerpt(const char *value, char *text, size_t size);

#endif
