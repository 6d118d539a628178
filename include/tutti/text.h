/* text: small things about words and numbers, for messages and settings. */
#ifndef TUTTI_TEXT_H
#define TUTTI_TEXT_H

#include <stddef.h>

/* The name that a mistyped word probably meant, or NULL: the closest of `names` (which
 * ends with NULL; the first of equally close ones) if no more than a third of the
 * letters, and at least one, have to be inserted, deleted, replaced or swapped with their
 * neighbour.
 * '-' and '_' are the same letter. Words of more than 63 bytes mean nothing. */
const char *text_meant(const char *typed, const char *const *names);

enum { TEXT_NUMBER = 32 };

/* A double in the fewest significant digits that strtod reads back to the same value,
 * integers below 1e15 without exponent: "0.002", "345600", "1e-8". "nan", "inf", "-inf"
 * for those. Returns text; TEXT_NUMBER bytes are room enough. */
const char *text_number(double value, char *text, size_t size);

/* `value` fit for a one-line message: control characters become '?', and what is longer
 * than size - 1 bytes ends in "...". Returns text; size > 3. */
const char *text_shown(const char *value, char *text, size_t size);

#endif
