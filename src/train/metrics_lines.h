/* metrics_lines: the lines of an untrusted metrics.jsonl.
 *
 * They are read one by one, so memory does not depend on the file's size. Reading ends at
 * anything that no run writes: a NUL byte, as in the holes of a sparse file, or a line of
 * more than METRICS_LONGEST_LINE bytes. */
#ifndef TUTTI_TRAIN_METRICS_LINES_H
#define TUTTI_TRAIN_METRICS_LINES_H

#include <stdbool.h>

#include "base/status.h"
#include "base/text_file.h"

enum { METRICS_MAX_LINE = 1 << 16 };

struct metrics_lines {
    struct text_lines lines; /* .text: the last line; .terminated: it is complete */
    enum status status;      /* STATUS_FAILED: the file could not be read to its end */
};

/* STATUS_FAILED for anything but a regular file; then there is nothing to close. `path`
 * is borrowed until the close. Never blocks. */
enum status metrics_lines_open(const char *path, struct metrics_lines *out);

/* Reads the next line. False at the end, or if reading ends early; status_message then
 * gives the reason. */
bool metrics_lines_next(struct metrics_lines *from);

/* Back to the first line. */
void metrics_lines_rewind(struct metrics_lines *from);

/* True if reading the file failed, as opposed to contents that end it early. */
bool metrics_lines_read_failed(const struct metrics_lines *from);

void metrics_lines_close(struct metrics_lines *from);

#endif
