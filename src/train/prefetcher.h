/* prefetcher: the windows of the coming steps, made by a thread of its own while the step
 * before is computed.
 *
 * With each window goes the position of the streams behind it, so a checkpoint takes the
 * place up to which was trained, however far the reader is ahead. Where all tokens are in
 * memory there is nothing to wait for, and no thread: the window is made when it is asked
 * for. Either way the same calls are made in the same order. The thread takes no signals
 * and never calls MPI.
 */
#ifndef TUTTI_TRAIN_PREFETCHER_H
#define TUTTI_TRAIN_PREFETCHER_H

#include "window.h"
#include "data/stream.h"

struct prefetcher;

/* `streams` is borrowed, and used by nobody else until prefetcher_close. `windows`: how
 * many are held, the one in use among them; 1: no thread. `step` is the step that the
 * first window is for. */
enum status prefetcher_open(struct streams *streams, int rows, int steps, int windows,
                            int64_t step, struct prefetcher **out);
void prefetcher_close(struct prefetcher *prefetcher); /* NULL is fine; ends the thread */

/* The next window, borrowed until the next call. When it can't be read: the failure, now
 * and ever after, and a window of which nothing counts (input END, target -1). */
enum status prefetcher_next(struct prefetcher *prefetcher, struct window *out);

/* What prefetcher_next returned last, with its message. */
enum status prefetcher_status(const struct prefetcher *prefetcher);

/* The position behind the window that prefetcher_next gave last: rows[microbatches][rows]
 * and cursors[microbatches]; before the first, that of prefetcher_open. */
const struct stream_row *prefetcher_rows(const struct prefetcher *prefetcher);
const struct stream_cursor *prefetcher_cursors(const struct prefetcher *prefetcher);

/* Waits for the thread to pause and gives back what the streams can read again, until the
 * next prefetcher_next: the memory is free for something else, as a validation. */
void prefetcher_rest(struct prefetcher *prefetcher);

/* Memory of one window with its position. */
uint64_t prefetcher_window_bytes(int microbatches, int rows, int steps);

#endif
