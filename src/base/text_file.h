/* text_file: text that a user has written, a configuration or a list, line by line.
 *
 * Where it may come from:
 *   a file, a link to one         read
 *   "-", /dev/stdin, /dev/fd/0    standard input from where it stands, once a process
 *   a FIFO, <(command)            read to its end; one to which nobody writes is refused
 *                                 after TEXT_FILE_PATIENCE seconds
 *   a device                      read
 *   a directory, a socket         refused
 *
 * Lines end with \n or \r\n, the last one also with the end of the file. A byte order
 * mark of UTF-8 at the beginning is skipped. Refused, with file and line: a byte order
 * mark of UTF-16, a zero byte, a line longer than is allowed. A fault of reading is never
 * taken for the end. */
#ifndef TUTTI_BASE_TEXT_FILE_H
#define TUTTI_BASE_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "status.h"

enum { TEXT_FILE_PATIENCE = 5 };

/* Opens it for reading; the caller closes *out with fclose. `what` it is, for messages:
 * "the configuration". STATUS_MISUSE on a fault. */
enum status text_file_open(const char *path, const char *what, FILE **out);

/* Reads it whole into *text, which the caller frees; it ends with a zero byte that *size
 * does not count. STATUS_MISUSE on a fault, and if there is more than `most` bytes. */
enum status text_file_read(const char *path, const char *what, size_t most, char **text,
                           size_t *size);

struct text_lines {
    FILE *file;       /* borrowed */
    const char *name; /* borrowed: of the file, for messages */
    size_t longest;   /* bytes that a line may have */
    size_t number;    /* of the last line, from 1 */
    char *text;       /* the last line, without its end; may be written to */
    bool ended;       /* with \n: false for a last line that may have been cut off */
    size_t capacity;
};

/* Takes the next line. *more is false at the end of the file, and on a fault. */
enum status text_lines_next(struct text_lines *lines, bool *more);
void text_lines_free(struct text_lines *lines);

#endif
