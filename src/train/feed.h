/* feed: the windows of the coming steps, made by a thread of its own while the step before
 * is computed.
 *
 * With each window goes the position of the streams behind it, so a checkpoint takes the
 * place up to which was trained, however far the reader is ahead. Where all tokens are in
 * memory there is nothing to wait for, and no thread: the window is made when it is asked
 * for. Either way the same calls are made in the same order. The thread takes no signals
 * and never calls MPI.
 */
#ifndef TUTTI_TRAIN_FEED_H
#define TUTTI_TRAIN_FEED_H

#include "window.h"
#include "data/stream.h"

struct feed;

/* `streams` is borrowed, and used by nobody else until feed_close. `windows`: how many are
 * held, the one in use among them; 1: no thread. `step` is the step that the first window
 * is for. */
enum status feed_open(struct streams *streams, int rows, int steps, int windows,
                      int64_t step, struct feed **out);
void feed_close(struct feed *feed); /* NULL is fine; ends the thread */

/* The next window, borrowed until the next call. When it can't be read: the failure, now
 * and ever after, and a window of which nothing counts (input END, target -1). */
enum status feed_next(struct feed *feed, struct window *out);

/* What feed_next returned last, with its message. */
enum status feed_status(const struct feed *feed);

/* The position behind the window that feed_next gave last: rows[slices][rows] and
 * cursors[slices]; before the first, that of feed_open. */
const struct stream_row *feed_rows(const struct feed *feed);
const struct stream_cursor *feed_cursors(const struct feed *feed);

/* Waits for the thread to pause and gives back what the streams can read again, until the
 * next feed_next: the memory is free for something else, as a validation. */
void feed_rest(struct feed *feed);

/* Memory of one window with its position. */
uint64_t feed_window_bytes(int slices, int rows, int steps);

#endif
