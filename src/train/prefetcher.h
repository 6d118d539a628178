/* prefetcher: the windows of the next steps, made by a thread of its own while the
 * current step is computed.
 *
 * Each window comes with the position of the streams after it, so a checkpoint holds the
 * position of the last window that was trained on, however far ahead the reader is. Where
 * all tokens are in memory there is nothing to wait for and no thread: a window is made
 * when it is asked for. Either way the same calls are made in the same order. The thread
 * receives no signals and never calls MPI.
 */
#ifndef TUTTI_TRAIN_PREFETCHER_H
#define TUTTI_TRAIN_PREFETCHER_H

#include "window.h"
#include "data/stream.h"

struct prefetcher;

/* `streams` is borrowed and used by nothing else until prefetcher_close. `windows` are
 * held, including the one in use; 1: no thread. `step` is the step of the first window.
 */
enum status prefetcher_open(struct streams *streams, int rows, int steps, int windows,
                            int64_t step, struct prefetcher **out);
void prefetcher_close(struct prefetcher *prefetcher); /* NULL is fine; ends the thread */

/* The next window, borrowed until the next call. If it can't be read: the failure, from
 * now on in every call, and a window that doesn't count (inputs END, targets -1). */
enum status prefetcher_next(struct prefetcher *prefetcher, struct window *out);

/* The last result of prefetcher_next, with its message. */
enum status prefetcher_status(const struct prefetcher *prefetcher);

/* The position after the window that prefetcher_next returned last:
 * rows[microbatches][rows] and cursors[microbatches]; before the first call, that of
 * prefetcher_open. */
const struct stream_row *prefetcher_rows(const struct prefetcher *prefetcher);
const struct stream_cursor *prefetcher_cursors(const struct prefetcher *prefetcher);

/* Pauses the thread until the next prefetcher_next and frees what the streams can read
 * again: the memory is then available, for example to a validation. */
void prefetcher_rest(struct prefetcher *prefetcher);

/* Bytes of one window with its position. */
uint64_t prefetcher_window_bytes(int microbatches, int rows, int steps);

#endif
