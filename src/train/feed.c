/* feed: a ring of windows between the reader's thread and the loop over steps.
 *
 * Windows are numbered from 0; number n lies in slot n % count. `made` of them are complete
 * and `taken` were handed out, the last of which is in use. So the reader may fill the next
 * slot while made - (taken - 1) < count.
 */
#include "feed.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/inject.h"
#include "base/trace.h"

/* A window and where the streams stand behind it. */
struct slot {
    struct window window;
    struct stream_row *rows;
    struct stream_cursor *cursors;
};

struct feed {
    struct streams *streams;
    int rows;
    int count;          /* of slots */
    struct slot *slots; /* [count + 1]: the last holds the position of the beginning */
    int64_t step;       /* of window 0 */
    enum status told;   /* what feed_next returned last */

    pthread_t thread;
    bool threaded;        /* the thread is there */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t moved; /* any of it has changed */
    int64_t made, taken;
    bool busy;    /* the thread is at work in the streams */
    bool resting; /* it is asked not to be */
    bool closing;
    enum status status; /* of window number `made`, when it can't be made */
    char message[STATUS_MESSAGE_SIZE];
};

/* ---- windows ---- */

uint64_t feed_window_bytes(int slices, int rows, int steps)
{
    uint64_t each_row =
        sizeof(struct stream_row) + (uint64_t)steps * (sizeof(token) + sizeof(int32_t));
    return sizeof(struct slot) +
           (uint64_t)slices * ((uint64_t)rows * each_row + sizeof(struct stream_cursor));
}

/* A window of which nothing counts. */
static void blank(const struct feed *feed, struct window *window)
{
    for (int s = 0; s < window->slices; s++)
        window_blank(window, s, stream_end(feed->streams->list[s]));
}

static enum status slot_create(const struct feed *feed, int steps, struct slot *slot)
{
    size_t slices = (size_t)feed->streams->count;
    slot->rows = calloc(slices * (size_t)feed->rows, sizeof *slot->rows);
    slot->cursors = calloc(slices, sizeof *slot->cursors);
    if (!slot->rows || !slot->cursors)
        return status_fail(STATUS_FAILED, "out of memory for the position in the data");
    if (steps == 0)
        return STATUS_OK;
    enum status status = window_create((int)slices, feed->rows, steps, &slot->window);
    if (status == STATUS_OK)
        blank(feed, &slot->window);
    return status;
}

static void slot_free(struct slot *slot)
{
    window_free(&slot->window);
    free(slot->rows);
    free(slot->cursors);
}

static void save_position(const struct feed *feed, struct slot *slot)
{
    for (int s = 0; s < feed->streams->count; s++)
        stream_save(feed->streams->list[s], slot->rows + (size_t)s * (size_t)feed->rows,
                    &slot->cursors[s]);
}

/* The next tokens of all streams. */
static enum status read_window(const struct feed *feed, struct window *window)
{
    enum status status = STATUS_OK;
    int64_t step = feed->step + feed->made;
    if (inject_due(FAULT_READ, step)) {
        errno = EIO;
        status = status_fail_errno("reading for step %" PRId64 " (--inject)", step);
    }
    for (int s = 0; status == STATUS_OK && s < window->slices; s++)
        status = stream_next(feed->streams->list[s], window->steps,
                             window_inputs(window, s), window_targets(window, s));
    return status;
}

static enum status fill(struct feed *feed, struct slot *slot)
{
    enum status status = read_window(feed, &slot->window);
    if (status == STATUS_OK)
        save_position(feed, slot);
    else
        blank(feed, &slot->window);
    return status;
}

/* For feed_status, which is asked in another thread. */
static enum status keep(struct feed *feed, enum status status)
{
    if (status != STATUS_OK)
        strcpy(feed->message, status_message());
    return status;
}

/* ---- the thread ---- */

/* Waits until there is something to do. False: nothing any more. */
static bool wait_for_work(struct feed *feed)
{
    int64_t in_use = feed->taken > 0 ? feed->taken - 1 : 0;
    while (!feed->closing && (feed->resting || feed->made - in_use >= feed->count)) {
        pthread_cond_wait(&feed->moved, &feed->lock);
        in_use = feed->taken > 0 ? feed->taken - 1 : 0;
    }
    return !feed->closing;
}

static void *read_ahead(void *context)
{
    struct feed *feed = context;
    pthread_mutex_lock(&feed->lock);
    while (feed->status == STATUS_OK && wait_for_work(feed)) {
        feed->busy = true;
        pthread_mutex_unlock(&feed->lock);
        struct trace_span span = trace_begin(PHASE_READ);
        enum status status = fill(feed, &feed->slots[feed->made % feed->count]);
        trace_end(span);
        pthread_mutex_lock(&feed->lock);
        feed->busy = false;
        feed->status = keep(feed, status);
        feed->made += status == STATUS_OK;
        pthread_cond_broadcast(&feed->moved);
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

/* Signals are for the main thread, which knows what to do with them. */
static enum status start_thread(struct feed *feed)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&feed->thread, NULL, read_ahead, feed);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (reason)
        return keep(feed, status_fail(STATUS_FAILED,
                                      "can't start the thread that reads ahead: %s",
                                      strerror(reason)));
    pthread_setname_np(feed->thread, "tutti-reader");
    feed->threaded = true;
    return STATUS_OK;
}

/* ---- opening ---- */

enum status feed_open(struct streams *streams, int rows, int steps, int windows,
                      int64_t step, struct feed **out)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return status_fail(STATUS_FAILED, "out of memory for the windows");
    *feed =
        (struct feed){.streams = streams, .rows = rows, .count = windows, .step = step};
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->moved, NULL);
    feed->slots = calloc((size_t)windows + 1, sizeof *feed->slots);
    enum status status =
        feed->slots ? STATUS_OK
                    : status_fail(STATUS_FAILED, "out of memory for the windows");
    for (int i = 0; status == STATUS_OK && i <= windows; i++)
        status = slot_create(feed, i < windows ? steps : 0, &feed->slots[i]);
    if (status != STATUS_OK) {
        feed_close(feed);
        return status;
    }
    save_position(feed, &feed->slots[windows]);
    *out = feed;
    return STATUS_OK;
}

void feed_close(struct feed *feed)
{
    if (!feed)
        return;
    if (feed->threaded) {
        pthread_mutex_lock(&feed->lock);
        feed->closing = true;
        pthread_cond_broadcast(&feed->moved);
        pthread_mutex_unlock(&feed->lock);
        pthread_join(feed->thread, NULL);
    }
    for (int i = 0; feed->slots && i <= feed->count; i++)
        slot_free(&feed->slots[i]);
    free(feed->slots);
    pthread_cond_destroy(&feed->moved);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

/* ---- the loop's side ---- */

/* The slot of the window in use, or of the beginning. */
static const struct slot *current(const struct feed *feed)
{
    return &feed->slots[feed->taken > 0 ? (feed->taken - 1) % feed->count : feed->count];
}

const struct stream_row *feed_rows(const struct feed *feed)
{
    return current(feed)->rows;
}

const struct stream_cursor *feed_cursors(const struct feed *feed)
{
    return current(feed)->cursors;
}

enum status feed_status(const struct feed *feed)
{
    if (feed->told != STATUS_OK)
        status_set_message(feed->message);
    return feed->told;
}

static enum status make_now(struct feed *feed)
{
    if (feed->told != STATUS_OK)
        return feed->told;
    enum status status = keep(feed, fill(feed, &feed->slots[0]));
    feed->made += status == STATUS_OK;
    return status;
}

/* The window in use is given up, so that the reader may have its slot. */
static enum status wait_for_window(struct feed *feed)
{
    if (!feed->threaded) {
        enum status status = start_thread(feed);
        if (status != STATUS_OK)
            return status;
    }
    pthread_mutex_lock(&feed->lock);
    feed->resting = false;
    pthread_cond_broadcast(&feed->moved);
    while (feed->made == feed->taken && feed->status == STATUS_OK)
        pthread_cond_wait(&feed->moved, &feed->lock);
    enum status status = feed->made > feed->taken ? STATUS_OK : feed->status;
    pthread_mutex_unlock(&feed->lock);
    return status;
}

enum status feed_next(struct feed *feed, struct window *out)
{
    feed->told = feed->count > 1 ? wait_for_window(feed) : make_now(feed);
    *out = feed->slots[feed->taken % feed->count].window;
    if (feed->told != STATUS_OK)
        return feed_status(feed);
    pthread_mutex_lock(&feed->lock);
    feed->taken++;
    pthread_cond_broadcast(&feed->moved);
    pthread_mutex_unlock(&feed->lock);
    return STATUS_OK;
}

void feed_rest(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->resting = true;
    while (feed->busy)
        pthread_cond_wait(&feed->moved, &feed->lock);
    pthread_mutex_unlock(&feed->lock);
    streams_rest(feed->streams);
}
