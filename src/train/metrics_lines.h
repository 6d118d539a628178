/* metrics_lines: the lines of a run's metrics.jsonl, which may come from anybody.
 *
 * They are taken one by one, so the file's size costs no memory. What no run writes there
 * ends the reading: a zero byte, with which the holes of a file begin that is large on
 * paper only, and a line of more than METRICS_LONGEST_LINE bytes. */
#ifndef TUTTI_TRAIN_METRICS_LINES_H
#define TUTTI_TRAIN_METRICS_LINES_H

#include <stdbool.h>

#include "base/status.h"
#include "base/text_file.h"

enum { METRICS_LONGEST_LINE = 1 << 16 };

struct metrics_lines {
    struct text_lines lines; /* .text is the last line, .ended whether it is whole */
    enum status status;      /* STATUS_FAILED: not all of the file could be read */
};

/* STATUS_FAILED for anything but a regular file; then there is nothing to close. `path`
 * has to last. Waits for nothing. */
enum status metrics_lines_open(const char *path, struct metrics_lines *out);

/* Takes the next line. False at the end, and where there is no line, which status_message
 * then explains. */
bool metrics_lines_next(struct metrics_lines *from);

/* Back to the first line. */
void metrics_lines_rewind(struct metrics_lines *from);

/* Could the file itself not be read, whatever is in it? */
bool metrics_lines_broken(const struct metrics_lines *from);

void metrics_lines_close(struct metrics_lines *from);

#endif
