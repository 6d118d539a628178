/* text_file: reads text written by a user, such as a configuration or a list, line by
 * line.
 *
 * Sources:
 *   a file, a link to one         read
 *   "-", /dev/stdin, /dev/fd/0    standard input from its offset, once per process
 *   a FIFO, <(command)            read to its end; rejected if nothing is written within
 *                                 TEXT_FILE_TIMEOUT seconds
 *   a device                      read
 *   a directory, a socket         rejected
 *
 * Lines end with \n or \r\n; the last one may end with the file instead. A UTF-8 byte
 * order mark at the beginning is skipped. Rejected, with file and line: a UTF-16 byte
 * order mark, a zero byte, a line longer than the limit. A read error is never mistaken
 * for the end of the file. */
#ifndef TUTTI_BASE_TEXT_FILE_H
#define TUTTI_BASE_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "status.h"

enum { TEXT_FILE_TIMEOUT = 5 };

/* Opens a text file for reading; the caller closes *out with fclose. `what` describes it
 * in messages: "the configuration". STATUS_MISUSE on an error. */
enum status text_file_open(const char *path, const char *what, FILE **out);

/* Reads a whole text file into *text, which the caller frees; it ends with a zero byte
 * that *size does not count. STATUS_MISUSE on an error, and if there are more than
 * `max_bytes` bytes. */
enum status text_file_read(const char *path, const char *what, size_t max_bytes,
                           char **text, size_t *size);

struct text_lines {
    FILE *file;       /* borrowed */
    const char *name; /* borrowed; of the file, for messages */
    size_t max_bytes; /* limit on the bytes of a line */
    size_t number;    /* of the last line, from 1 */
    char *text;       /* the last line, without its end; may be written to */
    bool terminated;  /* with \n; false: the file may be truncated */
    size_t capacity;
};

/* Reads the next line. *more is false at the end of the file and on an error. */
enum status text_lines_next(struct text_lines *lines, bool *more);
void text_lines_free(struct text_lines *lines);

#endif
