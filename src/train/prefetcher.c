/* prefetcher: a ring of windows between the reader's thread and the loop over steps.
 *
 * Windows are numbered from 0; number n lies in slot n % count. `made` of them are
 * complete and `taken` were handed out, the last of which is in use. So the reader may
 * fill the next slot while made - (taken - 1) < count.
 */
#include "prefetcher.h"

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

struct prefetcher {
    struct streams *streams;
    int rows;
    int count;          /* of slots */
    struct slot *slots; /* [count + 1]: the last holds the position of the beginning */
    int64_t step;       /* of window 0 */
    enum status told;   /* what prefetcher_next returned last */

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

uint64_t prefetcher_window_bytes(int microbatches, int rows, int steps)
{
    uint64_t each_row =
        sizeof(struct stream_row) + (uint64_t)steps * (sizeof(token) + sizeof(int32_t));
    return sizeof(struct slot) + (uint64_t)microbatches * ((uint64_t)rows * each_row +
                                                           sizeof(struct stream_cursor));
}

/* A window of which nothing counts. */
static void blank(const struct prefetcher *prefetcher, struct window *window)
{
    for (int s = 0; s < window->microbatches; s++)
        window_blank(window, s, stream_end(prefetcher->streams->list[s]));
}

static enum status slot_create(const struct prefetcher *prefetcher, int steps,
                               struct slot *slot)
{
    size_t microbatches = (size_t)prefetcher->streams->count;
    slot->rows = calloc(microbatches * (size_t)prefetcher->rows, sizeof *slot->rows);
    slot->cursors = calloc(microbatches, sizeof *slot->cursors);
    if (!slot->rows || !slot->cursors)
        return status_fail(STATUS_FAILED, "out of memory for the position in the data");
    if (steps == 0)
        return STATUS_OK;
    enum status status =
        window_create((int)microbatches, prefetcher->rows, steps, &slot->window);
    if (status == STATUS_OK)
        blank(prefetcher, &slot->window);
    return status;
}

static void slot_free(struct slot *slot)
{
    window_free(&slot->window);
    free(slot->rows);
    free(slot->cursors);
}

static void save_position(const struct prefetcher *prefetcher, struct slot *slot)
{
    for (int s = 0; s < prefetcher->streams->count; s++)
        stream_save(prefetcher->streams->list[s],
                    slot->rows + (size_t)s * (size_t)prefetcher->rows, &slot->cursors[s]);
}

/* The next tokens of all streams. */
static enum status read_window(const struct prefetcher *prefetcher, struct window *window)
{
    enum status status = STATUS_OK;
    int64_t step = prefetcher->step + prefetcher->made;
    if (inject_due(FAULT_READ, step)) {
        errno = EIO;
        status = status_fail_errno("reading for step %" PRId64 " (--inject)", step);
    }
    for (int s = 0; status == STATUS_OK && s < window->microbatches; s++)
        status = stream_next(prefetcher->streams->list[s], window->steps,
                             window_inputs(window, s), window_targets(window, s));
    return status;
}

static enum status fill(struct prefetcher *prefetcher, struct slot *slot)
{
    enum status status = read_window(prefetcher, &slot->window);
    if (status == STATUS_OK)
        save_position(prefetcher, slot);
    else
        blank(prefetcher, &slot->window);
    return status;
}

/* For prefetcher_status, which is asked in another thread. */
static enum status keep(struct prefetcher *prefetcher, enum status status)
{
    if (status != STATUS_OK)
        strcpy(prefetcher->message, status_message());
    return status;
}

/* ---- the thread ---- */

/* Waits until there is something to do. False: nothing any more. */
static bool wait_for_work(struct prefetcher *prefetcher)
{
    int64_t in_use = prefetcher->taken > 0 ? prefetcher->taken - 1 : 0;
    while (!prefetcher->closing &&
           (prefetcher->resting || prefetcher->made - in_use >= prefetcher->count)) {
        pthread_cond_wait(&prefetcher->moved, &prefetcher->lock);
        in_use = prefetcher->taken > 0 ? prefetcher->taken - 1 : 0;
    }
    return !prefetcher->closing;
}

static void *read_ahead(void *context)
{
    struct prefetcher *prefetcher = context;
    pthread_mutex_lock(&prefetcher->lock);
    while (prefetcher->status == STATUS_OK && wait_for_work(prefetcher)) {
        prefetcher->busy = true;
        pthread_mutex_unlock(&prefetcher->lock);
        struct trace_span span = trace_begin(PHASE_READ);
        enum status status =
            fill(prefetcher, &prefetcher->slots[prefetcher->made % prefetcher->count]);
        trace_end(span);
        pthread_mutex_lock(&prefetcher->lock);
        prefetcher->busy = false;
        prefetcher->status = keep(prefetcher, status);
        prefetcher->made += status == STATUS_OK;
        pthread_cond_broadcast(&prefetcher->moved);
    }
    pthread_mutex_unlock(&prefetcher->lock);
    return NULL;
}

/* Signals are for the main thread, which knows what to do with them. */
static enum status start_thread(struct prefetcher *prefetcher)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&prefetcher->thread, NULL, read_ahead, prefetcher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (reason)
        return keep(prefetcher, status_fail(STATUS_FAILED,
                                            "can't start the thread that reads ahead: %s",
                                            strerror(reason)));
    pthread_setname_np(prefetcher->thread, "tutti-reader");
    prefetcher->threaded = true;
    return STATUS_OK;
}

/* ---- opening ---- */

enum status prefetcher_open(struct streams *streams, int rows, int steps, int windows,
                            int64_t step, struct prefetcher **out)
{
    struct prefetcher *prefetcher = calloc(1, sizeof *prefetcher);
    if (!prefetcher)
        return status_fail(STATUS_FAILED, "out of memory for the windows");
    *prefetcher = (struct prefetcher){
        .streams = streams, .rows = rows, .count = windows, .step = step};
    pthread_mutex_init(&prefetcher->lock, NULL);
    pthread_cond_init(&prefetcher->moved, NULL);
    prefetcher->slots = calloc((size_t)windows + 1, sizeof *prefetcher->slots);
    enum status status =
        prefetcher->slots ? STATUS_OK
                          : status_fail(STATUS_FAILED, "out of memory for the windows");
    for (int i = 0; status == STATUS_OK && i <= windows; i++)
        status = slot_create(prefetcher, i < windows ? steps : 0, &prefetcher->slots[i]);
    if (status != STATUS_OK) {
        prefetcher_close(prefetcher);
        return status;
    }
    save_position(prefetcher, &prefetcher->slots[windows]);
    *out = prefetcher;
    return STATUS_OK;
}

void prefetcher_close(struct prefetcher *prefetcher)
{
    if (!prefetcher)
        return;
    if (prefetcher->threaded) {
        pthread_mutex_lock(&prefetcher->lock);
        prefetcher->closing = true;
        pthread_cond_broadcast(&prefetcher->moved);
        pthread_mutex_unlock(&prefetcher->lock);
        pthread_join(prefetcher->thread, NULL);
    }
    for (int i = 0; prefetcher->slots && i <= prefetcher->count; i++)
        slot_free(&prefetcher->slots[i]);
    free(prefetcher->slots);
    pthread_cond_destroy(&prefetcher->moved);
    pthread_mutex_destroy(&prefetcher->lock);
    free(prefetcher);
}

/* ---- the loop's side ---- */

/* The slot of the window in use, or of the beginning. */
static const struct slot *current(const struct prefetcher *prefetcher)
{
    return &prefetcher->slots[prefetcher->taken > 0
                                  ? (prefetcher->taken - 1) % prefetcher->count
                                  : prefetcher->count];
}

const struct stream_row *prefetcher_rows(const struct prefetcher *prefetcher)
{
    return current(prefetcher)->rows;
}

const struct stream_cursor *prefetcher_cursors(const struct prefetcher *prefetcher)
{
    return current(prefetcher)->cursors;
}

enum status prefetcher_status(const struct prefetcher *prefetcher)
{
    if (prefetcher->told != STATUS_OK)
        status_set_message(prefetcher->message);
    return prefetcher->told;
}

static enum status make_now(struct prefetcher *prefetcher)
{
    if (prefetcher->told != STATUS_OK)
        return prefetcher->told;
    enum status status = keep(prefetcher, fill(prefetcher, &prefetcher->slots[0]));
    prefetcher->made += status == STATUS_OK;
    return status;
}

/* The window in use is given up, so that the reader may have its slot. */
static enum status wait_for_window(struct prefetcher *prefetcher)
{
    if (!prefetcher->threaded) {
        enum status status = start_thread(prefetcher);
        if (status != STATUS_OK)
            return status;
    }
    pthread_mutex_lock(&prefetcher->lock);
    prefetcher->resting = false;
    pthread_cond_broadcast(&prefetcher->moved);
    while (prefetcher->made == prefetcher->taken && prefetcher->status == STATUS_OK)
        pthread_cond_wait(&prefetcher->moved, &prefetcher->lock);
    enum status status =
        prefetcher->made > prefetcher->taken ? STATUS_OK : prefetcher->status;
    pthread_mutex_unlock(&prefetcher->lock);
    return status;
}

enum status prefetcher_next(struct prefetcher *prefetcher, struct window *out)
{
    prefetcher->told =
        prefetcher->count > 1 ? wait_for_window(prefetcher) : make_now(prefetcher);
    *out = prefetcher->slots[prefetcher->taken % prefetcher->count].window;
    if (prefetcher->told != STATUS_OK)
        return prefetcher_status(prefetcher);
    pthread_mutex_lock(&prefetcher->lock);
    prefetcher->taken++;
    pthread_cond_broadcast(&prefetcher->moved);
    pthread_mutex_unlock(&prefetcher->lock);
    return STATUS_OK;
}

void prefetcher_rest(struct prefetcher *prefetcher)
{
    pthread_mutex_lock(&prefetcher->lock);
    prefetcher->resting = true;
    while (prefetcher->busy)
        pthread_cond_wait(&prefetcher->moved, &prefetcher->lock);
    pthread_mutex_unlock(&prefetcher->lock);
    streams_release(prefetcher->streams);
}
