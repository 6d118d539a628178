/* progress: the progress of a long task, with rate and time left.
 *
 * On a terminal one line is redrawn at most ten times a second. Elsewhere a plain line is
 * printed, at intervals that grow from five seconds, so that the log of a day-long task
 * stays short. Muted with the log, so every rank may call it.
 */
#ifndef TUTTI_BASE_PROGRESS_H
#define TUTTI_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_TASK = 64 };

struct progress {
    char task[PROGRESS_TASK]; /* "epoch 3/20" */
    const char *unit;         /* of `done` and `total`: "files", "tokens"; borrowed */
    uint64_t total;           /* 0: not known */
    double started, last_drawn;
    bool terminal;
};

/* Monotonic seconds. */
double clock_seconds(void);

/* `task` is copied, up to PROGRESS_TASK - 1 bytes; `unit` is borrowed until
 * progress_end. */
void progress_begin(struct progress *progress, const char *task, const char *unit,
                    uint64_t total);

/* `note` (may be NULL or "") is shown after the counts: "loss 2.31". */
void progress_update(struct progress *progress, uint64_t done, const char *note);

/* The line that progress_update shows after `elapsed` seconds: "TASK: 120 of 400 files,
 * 30 %, 24.0 files/s, 12 s left, NOTE"; without percentage and time left when the total
 * is 0 (not known). Returns text. */
const char *progress_line(const struct progress *progress, uint64_t done, double elapsed,
                          const char *note, char *text, size_t size);

/* Clears the redrawn line. The caller may then print a final one (log_info). */
void progress_end(struct progress *progress);

/* "3 s", "2 min 5 s", "1 h 2 min" into text[size]. Returns text. */
const char *duration_text(double seconds, char *text, size_t size);

#endif
