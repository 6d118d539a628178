/* prefetcher: a ring of windows between the reader's thread and the loop over steps.
 *
 * Windows are numbered from 0; number n is in slot n % count. `produced` windows are
 * complete and `consumed` have been handed out. The last one handed out is in use; the
 * slots of those before it are released. So the reader may fill the next slot while
 * produced - (consumed - 1) < count.
 */
#include "prefetcher.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/inject.h"
#include "base/team.h"
#include "base/trace.h"

/* A window and the position of the streams after it. */
struct slot {
    struct window window;
    struct stream_row *rows;
    struct stream_cursor *cursors;
};

struct prefetcher {
    struct streams *streams;
    int rows;
    int count;               /* of slots */
    struct slot *slots;      /* [count + 1]: the last holds the position at the start */
    struct arena arena;      /* of slots and windows */
    int64_t step;            /* of window 0 */
    enum status last_status; /* the last result of prefetcher_next */

    pthread_t thread;
    bool thread_started;    /* the thread was started */
    pthread_mutex_t lock;   /* guards the members below */
    pthread_cond_t changed; /* one of them has changed */
    int64_t produced, consumed;
    bool busy;   /* the thread is reading from the streams */
    bool paused; /* the thread must not read */
    bool closing;
    enum status status; /* why window number `produced` can't be read */
    char message[STATUS_MESSAGE_SIZE];
};

/* ---- windows ---- */

/* Places a slot's arrays; if `steps` is 0, only those of its position. */
static void slot_plan(struct slot *slot, const struct window *shape, struct arena *arena)
{
    size_t microbatches = (size_t)shape->microbatches;
    size_t rows = microbatches * (size_t)shape->rows;
    slot->window = *shape;
    slot->rows = arena_array(arena, rows, sizeof *slot->rows);
    slot->cursors = arena_array(arena, microbatches, sizeof *slot->cursors);
    if (shape->steps > 0)
        window_plan(&slot->window, arena);
}

uint64_t prefetcher_window_bytes(int microbatches, int rows, int steps)
{
    const struct window shape = {
        .microbatches = microbatches, .rows = rows, .steps = steps};
    struct arena arena = {0};
    struct slot slot;
    slot_plan(&slot, &shape, &arena);
    return sizeof slot + arena.used;
}

/* Fills a window with tokens that don't count. */
static void fill_blank(const struct prefetcher *prefetcher, struct window *window)
{
    for (int s = 0; s < window->microbatches; s++)
        window_blank(window, s, stream_end(prefetcher->streams->list[s]));
}

static void save_position(const struct prefetcher *prefetcher, struct slot *slot)
{
    for (int s = 0; s < prefetcher->streams->count; s++)
        stream_save(prefetcher->streams->list[s],
                    slot->rows + (size_t)s * (size_t)prefetcher->rows, &slot->cursors[s]);
}

static enum status read_window(const struct prefetcher *prefetcher, struct window *window)
{
    enum status status = STATUS_OK;
    int64_t step = prefetcher->step + prefetcher->produced;
    if (inject_triggered(FAULT_READ, step)) {
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
        fill_blank(prefetcher, &slot->window);
    return status;
}

/* Saves the message for prefetcher_status, which another thread calls. */
static enum status save_message(struct prefetcher *prefetcher, enum status status)
{
    if (status != STATUS_OK)
        strcpy(prefetcher->message, status_message());
    return status;
}

/* ---- the thread ---- */

/* Waits for a free slot. False if the prefetcher is closing. */
static bool wait_for_free_slot(struct prefetcher *prefetcher)
{
    int64_t released = prefetcher->consumed > 0 ? prefetcher->consumed - 1 : 0;
    while (!prefetcher->closing &&
           (prefetcher->paused || prefetcher->produced - released >= prefetcher->count)) {
        pthread_cond_wait(&prefetcher->changed, &prefetcher->lock);
        released = prefetcher->consumed > 0 ? prefetcher->consumed - 1 : 0;
    }
    return !prefetcher->closing;
}

static void *read_ahead(void *context)
{
    struct prefetcher *prefetcher = context;
    team_unbind();
    pthread_mutex_lock(&prefetcher->lock);
    while (prefetcher->status == STATUS_OK && wait_for_free_slot(prefetcher)) {
        prefetcher->busy = true;
        pthread_mutex_unlock(&prefetcher->lock);
        struct trace_span span = trace_begin(PHASE_READ);
        enum status status = fill(
            prefetcher, &prefetcher->slots[prefetcher->produced % prefetcher->count]);
        trace_end(span);
        pthread_mutex_lock(&prefetcher->lock);
        prefetcher->busy = false;
        prefetcher->status = save_message(prefetcher, status);
        prefetcher->produced += status == STATUS_OK;
        pthread_cond_broadcast(&prefetcher->changed);
    }
    pthread_mutex_unlock(&prefetcher->lock);
    return NULL;
}

/* Signals are handled by the main thread. */
static enum status start_thread(struct prefetcher *prefetcher)
{
    sigset_t all, old_mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old_mask);
    int reason = pthread_create(&prefetcher->thread, NULL, read_ahead, prefetcher);
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    if (reason)
        return save_message(prefetcher,
                            status_fail(STATUS_FAILED,
                                        "can't start the thread that reads ahead: %s",
                                        strerror(reason)));
    pthread_setname_np(prefetcher->thread, "tutti-reader");
    prefetcher->thread_started = true;
    return STATUS_OK;
}

/* ---- opening ---- */

/* Called twice, see arena.h: the slots, one per window and one for the position at the
 * start. */
static void plan(struct prefetcher *prefetcher, int steps)
{
    const int count = prefetcher->count;
    struct window shape = {.microbatches = prefetcher->streams->count,
                           .rows = prefetcher->rows,
                           .steps = steps};
    struct slot ignored;
    prefetcher->slots =
        arena_array(&prefetcher->arena, (size_t)count + 1, sizeof *prefetcher->slots);
    for (int i = 0; i <= count; i++) {
        shape.steps = i < count ? steps : 0;
        slot_plan(prefetcher->slots ? &prefetcher->slots[i] : &ignored, &shape,
                  &prefetcher->arena);
    }
}

enum status prefetcher_open(struct streams *streams, int rows, int steps, int windows,
                            int64_t step, struct prefetcher **out)
{
    struct prefetcher *prefetcher = calloc(1, sizeof *prefetcher);
    if (!prefetcher)
        return status_fail(STATUS_FAILED, "out of memory for the windows");
    *prefetcher = (struct prefetcher){
        .streams = streams, .rows = rows, .count = windows, .step = step};
    plan(prefetcher, steps);
    if (!arena_allocate(&prefetcher->arena)) {
        free(prefetcher);
        return status_fail(STATUS_FAILED, "out of memory for %d windows", windows);
    }
    plan(prefetcher, steps);
    pthread_mutex_init(&prefetcher->lock, NULL);
    pthread_cond_init(&prefetcher->changed, NULL);
    for (int i = 0; i < windows; i++)
        fill_blank(prefetcher, &prefetcher->slots[i].window);
    save_position(prefetcher, &prefetcher->slots[windows]);
    *out = prefetcher;
    return STATUS_OK;
}

void prefetcher_close(struct prefetcher *prefetcher)
{
    if (!prefetcher)
        return;
    if (prefetcher->thread_started) {
        pthread_mutex_lock(&prefetcher->lock);
        prefetcher->closing = true;
        pthread_cond_broadcast(&prefetcher->changed);
        pthread_mutex_unlock(&prefetcher->lock);
        pthread_join(prefetcher->thread, NULL);
    }
    arena_free(&prefetcher->arena);
    pthread_cond_destroy(&prefetcher->changed);
    pthread_mutex_destroy(&prefetcher->lock);
    free(prefetcher);
}

/* ---- the loop's side ---- */

/* The slot of the window in use, or of the position at the start. */
static const struct slot *current(const struct prefetcher *prefetcher)
{
    return &prefetcher->slots[prefetcher->consumed > 0
                                  ? (prefetcher->consumed - 1) % prefetcher->count
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
    if (prefetcher->last_status != STATUS_OK)
        status_set_message(prefetcher->message);
    return prefetcher->last_status;
}

static enum status read_now(struct prefetcher *prefetcher)
{
    if (prefetcher->last_status != STATUS_OK)
        return prefetcher->last_status;
    enum status status =
        save_message(prefetcher, fill(prefetcher, &prefetcher->slots[0]));
    prefetcher->produced += status == STATUS_OK;
    return status;
}

/* Starts or wakes the thread if necessary, and waits for the next window. */
static enum status wait_for_window(struct prefetcher *prefetcher)
{
    if (!prefetcher->thread_started) {
        enum status status = start_thread(prefetcher);
        if (status != STATUS_OK)
            return status;
    }
    pthread_mutex_lock(&prefetcher->lock);
    prefetcher->paused = false;
    pthread_cond_broadcast(&prefetcher->changed);
    while (prefetcher->produced == prefetcher->consumed &&
           prefetcher->status == STATUS_OK)
        pthread_cond_wait(&prefetcher->changed, &prefetcher->lock);
    enum status status =
        prefetcher->produced > prefetcher->consumed ? STATUS_OK : prefetcher->status;
    pthread_mutex_unlock(&prefetcher->lock);
    return status;
}

enum status prefetcher_next(struct prefetcher *prefetcher, struct window *out)
{
    prefetcher->last_status =
        prefetcher->count > 1 ? wait_for_window(prefetcher) : read_now(prefetcher);
    *out = prefetcher->slots[prefetcher->consumed % prefetcher->count].window;
    if (prefetcher->last_status != STATUS_OK)
        return prefetcher_status(prefetcher);
    pthread_mutex_lock(&prefetcher->lock);
    prefetcher->consumed++;
    pthread_cond_broadcast(&prefetcher->changed);
    pthread_mutex_unlock(&prefetcher->lock);
    return STATUS_OK;
}

void prefetcher_pause(struct prefetcher *prefetcher)
{
    pthread_mutex_lock(&prefetcher->lock);
    prefetcher->paused = true;
    while (prefetcher->busy)
        pthread_cond_wait(&prefetcher->changed, &prefetcher->lock);
    pthread_mutex_unlock(&prefetcher->lock);
    streams_release(prefetcher->streams);
}
