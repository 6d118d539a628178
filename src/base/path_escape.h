/* path_escape: file names, which may contain any bytes, as text for datasets and
 * checkpoints: valid UTF-8 without control characters.
 *
 * A byte that is not part of valid UTF-8, or is part of an unprintable character
 * (base/printable.h), is written \xHH with two upper-case hexadecimal digits. A backslash
 * before x and two hexadecimal digits, of either case, is written \x5C, so that a literal
 * "\xHH" can be told from an escaped byte. Everything else is unchanged, so ordinary
 * names stay the same. */
#ifndef TUTTI_BASE_PATH_ESCAPE_H
#define TUTTI_BASE_PATH_ESCAPE_H

/* The caller frees each result; NULL if out of memory. path_unescape is the inverse
 * of the other two; path_escape_lines does not escape newlines. */
char *path_escape(const char *path);
char *path_escape_lines(const char *lines);
char *path_unescape(const char *escaped);

#endif
