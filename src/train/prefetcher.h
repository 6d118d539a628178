/* prefetcher: prepares the windows of the next steps in a thread of its own while the
 * current step is computed.
 *
 * Each window comes with the position of the streams after it, so a checkpoint holds the
 * position of the last window that was trained on, however far ahead the reader is. If
 * all tokens are in memory, there is nothing to wait for and no thread: a window is
 * prepared when it is requested. Either way the streams are read by the same calls in the
 * same order. The thread receives no signals and never calls MPI.
 */
#ifndef TUTTI_TRAIN_PREFETCHER_H
#define TUTTI_TRAIN_PREFETCHER_H

#include "window.h"
#include "data/stream.h"

struct prefetcher;

/* `streams` is borrowed, and not used by anything else until prefetcher_close. `windows`:
 * number of windows held, including the one in use; 1: no thread. `step` is the step of
 * the first window.
 */
enum status prefetcher_open(struct streams *streams, int rows, int steps, int windows,
                            int64_t step, struct prefetcher **out);
void prefetcher_close(struct prefetcher *prefetcher); /* NULL is fine; ends the thread */

/* The next window, borrowed until the next call. If it can't be read, this and all later
 * calls return the failure and a window that doesn't count (inputs END, targets -1). */
enum status prefetcher_next(struct prefetcher *prefetcher, struct window *out);

/* The last result of prefetcher_next, with its message. */
enum status prefetcher_status(const struct prefetcher *prefetcher);

/* The position after the window that prefetcher_next returned last:
 * rows[microbatches][rows] and cursors[microbatches]; before the first call, the position
 * at prefetcher_open. */
const struct stream_row *prefetcher_rows(const struct prefetcher *prefetcher);
const struct stream_cursor *prefetcher_cursors(const struct prefetcher *prefetcher);

/* Pauses the thread until the next prefetcher_next and frees the tokens that the streams
 * can read again, so that the memory is available, for example for validation. */
void prefetcher_pause(struct prefetcher *prefetcher);

/* Bytes of one window with its position. */
uint64_t prefetcher_window_bytes(int microbatches, int rows, int steps);

#endif
