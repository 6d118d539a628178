/* recorded_path: file names, which are any bytes, as text that every reader of a dataset
 * or a checkpoint can hold: valid UTF-8 without control characters.
 *
 * A byte that is not part of valid UTF-8, or is part of a character that is not printable
 * (base/printable.h: all that may break a line or a column, or turn the writing), is
 * written \xHH, two upper-case hexadecimal digits. So that it can be distinguished from
 * such a byte, a backslash in front of x and two hexadecimal digits of either case is
 * written \x5C. Everything else stands for itself: an ordinary name is recorded as it is. */
#ifndef TUTTI_BASE_RECORDED_PATH_H
#define TUTTI_BASE_RECORDED_PATH_H

/* All return what the caller frees, NULL without memory. path_from_recorded is the
 * inverse of both others, of which the second keeps newlines. */
char *path_to_recorded(const char *path);
char *lines_to_recorded(const char *lines);
char *path_from_recorded(const char *recorded);

#endif
