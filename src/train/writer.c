/* writer: a thread with a copy of a checkpoint, and a handshake of three states.
 *
 * IDLE -> WRITING (writer_start) -> WRITTEN (the thread) -> IDLE (writer_collect).
 * The copy belongs to the thread while WRITING and to the caller otherwise, so its
 * contents need no lock. Signals are blocked in the thread and handled by the main one.
 */
#include "writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_checkpoints.h"
#include "base/arena.h"
#include "base/progress.h"
#include "base/team.h"
#include "base/trace.h"

enum writer_state { IDLE, WRITING, WRITTEN };

struct writer {
    const struct run_directory *run;
    struct checkpoint copy; /* owns its streams; encoding and pairs are borrowed */
    struct arena arena;     /* of the copy's weights, moments, average and history */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t state_changed;
    enum writer_state state;
    bool closing;
    struct writer_result result;
};

/* ---- the thread ---- */

static void write_copy(struct writer *writer)
{
    struct writer_result *result = &writer->result;
    struct trace_span span = trace_begin(PHASE_CHECKPOINT);
    double began = clock_seconds();
    run_checkpoint_name(&writer->copy.state, result->name);
    result->status = run_checkpoints_write(writer->run, &writer->copy,
                                           writer->copy.options.run.keep_checkpoints);
    result->seconds = clock_seconds() - began;
    snprintf(result->message, sizeof result->message, "%s",
             result->status == STATUS_OK ? "" : status_message());
    stream_snapshot_free(&writer->copy.streams);
    trace_end(span);
}

static void *write_loop(void *argument)
{
    struct writer *writer = argument;
    team_unbind();
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        while (writer->state != WRITING && !writer->closing)
            pthread_cond_wait(&writer->state_changed, &writer->mutex);
        if (writer->state != WRITING)
            break;
        pthread_mutex_unlock(&writer->mutex);
        write_copy(writer);
        pthread_mutex_lock(&writer->mutex);
        writer->state = WRITTEN;
        pthread_cond_broadcast(&writer->state_changed);
    }
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

static int start_thread(struct writer *writer)
{
    sigset_t all, old_mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old_mask);
    int code = pthread_create(&writer->thread, NULL, write_loop, writer);
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    return code;
}

/* ---- the copy ---- */

/* Called twice, see arena.h. */
static void plan(struct writer *writer, const struct checkpoint *source, size_t rows)
{
    struct checkpoint *copy = &writer->copy;
    size_t parameters = source->params.total;
    copy->weights = arena_array(&writer->arena, parameters, sizeof *copy->weights);
    copy->state.optimizer = source->state.optimizer;
    optimizer_plan(&copy->state.optimizer, &writer->arena);
    copy->state.history = arena_array(&writer->arena, rows, sizeof *copy->state.history);
}

static void copy_floats(float *to, const float *from, size_t count)
{
    if (to)
        memcpy(to, from, count * sizeof *to);
}

/* Copies everything except the streams. */
static void copy_state(struct checkpoint *copy, const struct checkpoint *source)
{
    const struct checkpoint buffers = *copy;
    const struct training_state *state = &source->state;
    *copy = *source;
    copy->weights = buffers.weights;
    copy->state.optimizer.first = buffers.state.optimizer.first;
    copy->state.optimizer.second = buffers.state.optimizer.second;
    copy->state.optimizer.average = buffers.state.optimizer.average;
    copy->state.history = buffers.state.history;
    copy->streams.rows = NULL;
    copy->streams.cursors = NULL;
    copy->streams.hidden = NULL;
    copy_floats(copy->weights, source->weights, source->params.total);
    copy_floats(copy->state.optimizer.first, state->optimizer.first,
                state->optimizer.count);
    copy_floats(copy->state.optimizer.second, state->optimizer.second,
                state->optimizer.count);
    copy_floats(copy->state.optimizer.average, state->optimizer.average,
                state->optimizer.count);
    if (state->history_count)
        memcpy(copy->state.history, state->history,
               state->history_count * sizeof *state->history);
}

/* Allocates the copy and fills it, because the pages of untouched memory would be
 * allocated only during the first checkpoint. */
static enum status create_copy(struct writer *writer, const struct checkpoint *source,
                               size_t rows)
{
    plan(writer, source, rows);
    if (!arena_allocate(&writer->arena))
        return status_fail(STATUS_FAILED, "out of memory for a copy of the state, from "
                                          "which checkpoints are written");
    plan(writer, source, rows);
    copy_state(&writer->copy, source);
    return STATUS_OK;
}

static void free_writer(struct writer *writer)
{
    stream_snapshot_free(&writer->copy.streams);
    arena_free(&writer->arena);
    pthread_cond_destroy(&writer->state_changed);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

/* ---- the caller's side ---- */

enum status writer_open(const struct run_directory *run, const struct checkpoint *source,
                        size_t rows, struct writer **out)
{
    *out = NULL;
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return status_fail(STATUS_FAILED, "out of memory for the checkpoint writer");
    writer->run = run;
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->state_changed, NULL);
    enum status status = create_copy(writer, source, rows);
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

bool writer_collect(struct writer *writer, bool wait, struct writer_result *out)
{
    pthread_mutex_lock(&writer->mutex);
    while (wait && writer->state == WRITING)
        pthread_cond_wait(&writer->state_changed, &writer->mutex);
    bool available = writer->state == WRITTEN;
    if (available) {
        *out = writer->result;
        writer->state = IDLE;
    }
    pthread_mutex_unlock(&writer->mutex);
    return available;
}

void writer_start(struct writer *writer, struct checkpoint *source)
{
    copy_state(&writer->copy, source);
    writer->copy.streams = source->streams;
    source->streams.rows = NULL;
    source->streams.cursors = NULL;
    source->streams.hidden = NULL;
    pthread_mutex_lock(&writer->mutex);
    writer->state = WRITING;
    pthread_cond_broadcast(&writer->state_changed);
    pthread_mutex_unlock(&writer->mutex);
}

void writer_close(struct writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->mutex);
    writer->closing = true;
    pthread_cond_broadcast(&writer->state_changed);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    free_writer(writer);
}
