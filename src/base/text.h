/* text: small things about words and numbers, for messages and settings. */
#ifndef TUTTI_BASE_TEXT_H
#define TUTTI_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The name that a mistyped word probably meant, or NULL: the closest of `names` (which
 * ends with NULL; the first of equally close ones) if no more than a third of the
 * letters, and at least one, have to be inserted, deleted, replaced or swapped with their
 * neighbour.
 * '-' and '_' are the same letter. Words of more than 63 bytes mean nothing. */
const char *text_meant(const char *typed, const char *const *names);

/* Is the whole text a decimal integer of 64 bits (blanks around it allowed)? */
bool text_to_integer(const char *text, int64_t *value);

/* Is the whole text a decimal integer from 0 to 2^64-1 (blanks around it allowed)? */
bool text_to_unsigned(const char *text, uint64_t *value);

/* Reads a finite decimal number (not hexadecimal, not "inf") that ends at a blank or the
 * end of the text, and moves *text behind it. */
bool text_to_number(const char **text, double *value);

/* Nothing but blanks? */
bool text_is_blank(const char *text);

enum { TEXT_NUMBER = 32 };

/* A double in the fewest significant digits that strtod reads back to the same value,
 * integers below 1e15 without exponent: "0.002", "345600", "1e-8". "nan", "inf", "-inf"
 * for those. Returns text; TEXT_NUMBER bytes are room enough. */
const char *text_number(double value, char *text, size_t size);

/* The length of the character of UTF-8 at `text`, and its number; 0 if there is none (RFC
 * 3629: no overlong forms, no surrogates, nothing above U+10FFFF). Reads nothing after a
 * zero byte. */
size_t text_character(const char *text, uint32_t *character);

/* `value` fit for a one-line message: escaped as in base/printable.h, and what is longer
 * than size - 1 bytes then ends in "...". Returns text; size > 3. */
const char *text_shown(const char *value, char *text, size_t size);

#endif
