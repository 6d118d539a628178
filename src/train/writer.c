/* writer: a thread, its copy of the state, and a state of three values between the two
 * threads.
 *
 * IDLE -> WRITING (writer_start) -> WRITTEN (the thread) -> IDLE (the outcome is taken).
 * The copy belongs to the thread while WRITING and to the caller otherwise, so that its
 * contents need no lock. Signals are the main thread's business and blocked here.
 */
#include "writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/trace.h"

enum writer_state { IDLE, WRITING, WRITTEN };

struct writer {
    const struct run_directory *run;
    struct checkpoint copy; /* its encoding and pairs are borrowed */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum writer_state state;
    bool leave;
    struct writer_outcome outcome;
};

/* ---- the thread ---- */

static void write_copy(struct writer *writer)
{
    struct writer_outcome *outcome = &writer->outcome;
    struct trace_span span = trace_begin(PHASE_CHECKPOINT);
    double began = clock_seconds();
    run_directory_name(&writer->copy, outcome->name);
    outcome->status =
        run_directory_write(writer->run, &writer->copy, writer->copy.options.run.keep);
    outcome->seconds = clock_seconds() - began;
    snprintf(outcome->message, sizeof outcome->message, "%s",
             outcome->status == STATUS_OK ? "" : status_message());
    checkpoint_free_streams(&writer->copy);
    trace_end(span);
}

static void *work(void *argument)
{
    struct writer *writer = argument;
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        while (writer->state != WRITING && !writer->leave)
            pthread_cond_wait(&writer->changed, &writer->mutex);
        if (writer->state != WRITING)
            break;
        pthread_mutex_unlock(&writer->mutex);
        write_copy(writer);
        pthread_mutex_lock(&writer->mutex);
        writer->state = WRITTEN;
        pthread_cond_broadcast(&writer->changed);
    }
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

static int start_thread(struct writer *writer)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&writer->thread, NULL, work, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* ---- the copy ---- */

static float *copy_block(float *to, const float *from, size_t count)
{
    if (from)
        memcpy(to, from, count * sizeof *to);
    return from ? to : NULL;
}

/* Everything but the streams, into the memory of the copy. */
static void copy_state(struct checkpoint *copy, const struct checkpoint *now)
{
    const struct checkpoint room = *copy;
    *copy = *now;
    copy->weights = copy_block(room.weights, now->weights, now->params.total);
    copy->optimizer.first =
        copy_block(room.optimizer.first, now->optimizer.first, now->optimizer.count);
    copy->optimizer.second =
        copy_block(room.optimizer.second, now->optimizer.second, now->optimizer.count);
    copy->history = room.history;
    if (now->history_count)
        memcpy(copy->history, now->history, now->history_count * sizeof *now->history);
    copy->stream_rows = NULL;
    copy->cursors = NULL;
    copy->states = NULL;
}

/* Room, and the state of now in it: memory that has not been touched would come to its
 * pages in the first checkpoint's time. */
static enum status make_room(struct checkpoint *copy, const struct checkpoint *now,
                             size_t epochs)
{
    copy->history = calloc(epochs + 1, sizeof *copy->history);
    copy->weights = calloc(now->params.total, sizeof *copy->weights);
    enum status status =
        optimizer_create(&now->options, now->params.total, &copy->optimizer);
    if (status == STATUS_OK && copy->history && copy->weights)
        copy_state(copy, now);
    else
        status = status_fail(STATUS_FAILED, "out of memory for a copy of the state, from "
                                            "which checkpoints are written");
    return status;
}

static void free_writer(struct writer *writer)
{
    writer->copy.encoding = NULL;
    writer->copy.pairs = NULL;
    checkpoint_free(&writer->copy);
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

/* ---- the caller's side ---- */

enum status writer_open(const struct run_directory *run, const struct checkpoint *now,
                        size_t epochs, struct writer **out)
{
    *out = NULL;
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return status_fail(STATUS_FAILED, "out of memory for the writer of checkpoints");
    writer->run = run;
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->changed, NULL);
    enum status status = make_room(&writer->copy, now, epochs);
    int code = status == STATUS_OK ? start_thread(writer) : 0;
    if (code)
        status = status_fail(STATUS_FAILED,
                             "can't start the thread that writes "
                             "checkpoints: %s",
                             strerror(code));
    if (status == STATUS_OK)
        *out = writer;
    else
        free_writer(writer);
    return status;
}

bool writer_is_busy(struct writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    bool busy = writer->state == WRITING;
    pthread_mutex_unlock(&writer->mutex);
    return busy;
}

bool writer_take_outcome(struct writer *writer, bool wait, struct writer_outcome *out)
{
    pthread_mutex_lock(&writer->mutex);
    while (wait && writer->state == WRITING)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    bool there = writer->state == WRITTEN;
    if (there) {
        *out = writer->outcome;
        writer->state = IDLE;
    }
    pthread_mutex_unlock(&writer->mutex);
    return there;
}

void writer_start(struct writer *writer, struct checkpoint *now)
{
    struct checkpoint *copy = &writer->copy;
    copy_state(copy, now);
    copy->stream_rows = now->stream_rows;
    copy->cursors = now->cursors;
    copy->states = now->states;
    now->stream_rows = NULL;
    now->cursors = NULL;
    now->states = NULL;
    pthread_mutex_lock(&writer->mutex);
    writer->state = WRITING;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
}

void writer_close(struct writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->mutex);
    writer->leave = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    free_writer(writer);
}
