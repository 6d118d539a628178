/* sample_thread: a thread with a copy of the weights, and a handshake of three states, as
 * in writer.c.
 *
 * IDLE -> WRITING (sample_thread_start) -> WRITTEN (the thread) -> IDLE (collect). The
 * copy belongs to the thread while WRITING and to the caller otherwise. Signals are
 * blocked in the thread. Its progress is counted apart from that of the process:
 * otherwise training could hang unnoticed while samples are under way.
 */
#include "sample_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "run_samples.h"
#include "base/phase.h"
#include "base/team.h"
#include "base/trace.h"

enum thread_state { IDLE, WRITING, WRITTEN };

struct sample_thread {
    const struct run_directory *run;
    sample_function *function;
    void *context;
    struct checkpoint copy; /* owns its weights */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t state_changed;
    enum thread_state state;
    bool closing;
    atomic_bool cancelled;
    _Atomic uint64_t progress; /* of the thread */
    uint64_t progress_seen;    /* by the caller */
    struct sample_result result;
};

/* ---- the thread ---- */

static enum status write_samples(struct sample_thread *thread)
{
    char *path;
    enum status status = run_samples_begin(thread->run, &path);
    if (status != STATUS_OK)
        return status;
    const struct epoch_samples samples = {
        .checkpoint = &thread->copy, .directory = path, .cancelled = &thread->cancelled};
    status = thread->function(&samples, thread->result.message, thread->context);
    if (status == STATUS_OK)
        return run_samples_end(thread->run, path, true);
    run_samples_end(thread->run, path, false);
    return status;
}

static void write_epoch(struct sample_thread *thread)
{
    struct sample_result *result = &thread->result;
    struct trace_span span = trace_begin(PHASE_SAMPLE);
    result->epoch = thread->copy.state.epoch;
    result->status = write_samples(thread);
    if (result->status != STATUS_OK)
        snprintf(result->message, sizeof result->message, "%s", status_message());
    trace_end(span);
}

static void lower_priority(void)
{
#ifdef __linux__ /* elsewhere this is the priority of the process */
    const int lowest = 19;
    setpriority(PRIO_PROCESS, 0, lowest);
#endif
}

static void *write_loop(void *argument)
{
    struct sample_thread *thread = argument;
    team_unbind();
    lower_priority();
    phase_divert_progress(&thread->progress);
    pthread_mutex_lock(&thread->mutex);
    for (;;) {
        while (thread->state != WRITING && !thread->closing)
            pthread_cond_wait(&thread->state_changed, &thread->mutex);
        if (thread->state != WRITING)
            break;
        pthread_mutex_unlock(&thread->mutex);
        write_epoch(thread);
        pthread_mutex_lock(&thread->mutex);
        thread->state = WRITTEN;
        pthread_cond_broadcast(&thread->state_changed);
    }
    pthread_mutex_unlock(&thread->mutex);
    return NULL;
}

static enum status start_thread(struct sample_thread *thread)
{
    sigset_t all, old_mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old_mask);
    int code = pthread_create(&thread->thread, NULL, write_loop, thread);
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    if (code)
        return status_fail(STATUS_FAILED,
                           "can't start the thread that writes samples: %s",
                           strerror(code));
    pthread_setname_np(thread->thread, "tutti-samples");
    return STATUS_OK;
}

/* ---- the copy ---- */

static void copy_checkpoint(struct checkpoint *copy, const struct checkpoint *source)
{
    float *weights = copy->weights;
    memcpy(weights, source->weights, source->params.total * sizeof *weights);
    *copy = *source;
    copy->weights = weights;
    copy->state.optimizer = (struct optimizer){0};
    copy->state.history = NULL;
    copy->state.history_count = 0;
    copy->streams = (struct stream_snapshot){0};
    copy->pairs = NULL;
}

/* Fills the copy too, because the pages of untouched memory would be allocated only
 * during training. */
static enum status create_copy(struct sample_thread *thread,
                               const struct checkpoint *source)
{
    thread->copy.weights = malloc((source->params.total + 1) * sizeof(float));
    if (!thread->copy.weights)
        return status_fail(STATUS_FAILED, "out of memory for a copy of the weights, from "
                                          "which samples are generated");
    copy_checkpoint(&thread->copy, source);
    return STATUS_OK;
}

/* ---- the caller's side ---- */

static void init_locks(struct sample_thread *thread)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&thread->state_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&thread->mutex, NULL);
}

static void free_thread(struct sample_thread *thread)
{
    pthread_cond_destroy(&thread->state_changed);
    pthread_mutex_destroy(&thread->mutex);
    free(thread->copy.weights);
    free(thread);
}

enum status sample_thread_open(const struct run_directory *run,
                               const struct checkpoint *source, sample_function *function,
                               void *context, struct sample_thread **out)
{
    *out = NULL;
    struct sample_thread *thread = calloc(1, sizeof *thread);
    if (!thread)
        return status_fail(STATUS_FAILED, "out of memory for the samples");
    thread->run = run;
    thread->function = function;
    thread->context = context;
    init_locks(thread);
    enum status status = create_copy(thread, source);
    if (status == STATUS_OK)
        status = start_thread(thread);
    if (status == STATUS_OK)
        *out = thread;
    else
        free_thread(thread);
    return status;
}

void sample_thread_start(struct sample_thread *thread, const struct checkpoint *source)
{
    copy_checkpoint(&thread->copy, source);
    atomic_store(&thread->cancelled, false);
    pthread_mutex_lock(&thread->mutex);
    thread->state = WRITING;
    pthread_cond_broadcast(&thread->state_changed);
    pthread_mutex_unlock(&thread->mutex);
}

static struct timespec time_after(double seconds)
{
    const long second = 1000000000;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += (time_t)seconds;
    time.tv_nsec += (long)((seconds - (double)(time_t)seconds) * (double)second);
    time.tv_sec += time.tv_nsec / second;
    time.tv_nsec %= second;
    return time;
}

bool sample_thread_wait(struct sample_thread *thread, double seconds)
{
    const struct timespec end = time_after(seconds);
    int code = 0;
    pthread_mutex_lock(&thread->mutex);
    while (thread->state == WRITING && code == 0)
        code = pthread_cond_timedwait(&thread->state_changed, &thread->mutex, &end);
    bool complete = thread->state != WRITING;
    pthread_mutex_unlock(&thread->mutex);
    uint64_t progress = atomic_load(&thread->progress);
    if (progress != thread->progress_seen)
        phase_progress();
    thread->progress_seen = progress;
    return complete;
}

bool sample_thread_collect(struct sample_thread *thread, struct sample_result *out)
{
    pthread_mutex_lock(&thread->mutex);
    bool available = thread->state == WRITTEN;
    if (available) {
        *out = thread->result;
        thread->state = IDLE;
    }
    pthread_mutex_unlock(&thread->mutex);
    return available;
}

void sample_thread_cancel(struct sample_thread *thread)
{
    atomic_store(&thread->cancelled, true);
}

void sample_thread_close(struct sample_thread *thread)
{
    if (!thread)
        return;
    sample_thread_cancel(thread);
    pthread_mutex_lock(&thread->mutex);
    thread->closing = true;
    pthread_cond_broadcast(&thread->state_changed);
    pthread_mutex_unlock(&thread->mutex);
    pthread_join(thread->thread, NULL);
    free_thread(thread);
}
