/* trace: one buffer, protected by one lock.
 *
 * The step loop allocates nothing: the block of memory holds a few thousand steps, and
 * when full it is appended to a temporary file, which trace_drain reads back. The order
 * of the drained events is unspecified.
 */
#include "trace.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "array.h"
#include "progress.h"

enum { DEFAULT_CAPACITY = 1 << 16 };

/* At time `at` of this process's clock the common one was ahead by `offset`. */
struct clock_point {
    double at, offset;
};

static atomic_bool enabled;

static struct {
    pthread_mutex_t lock; /* protects events, spool, busy, lost and their counts */
    struct trace_event *events;
    size_t count, capacity;
    FILE *spool;             /* NULL: not yet needed */
    size_t spooled, drained; /* events in the file; of these, drained */
    size_t lost;
    bool busy[TRACE_LANES];

    double phase_start; /* when the main thread entered its phase, in step `step` */
    int32_t step;
    struct clock_point *points;
    size_t point_count, point_capacity;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *trace_lane_name(int lane, char *text, size_t size)
{
    int phase = (lane - 1) / TRACE_LANES_PER_PHASE,
        index = (lane - 1) % TRACE_LANES_PER_PHASE;
    if (lane == 0)
        snprintf(text, size, "training");
    else if (index == 0)
        snprintf(text, size, "%s", phase_name((enum phase)phase));
    else
        snprintf(text, size, "%s %d", phase_name((enum phase)phase), index + 1);
    return text;
}

/* ---- start and stop ---- */

static bool is_enabled(void)
{
    return atomic_load_explicit(&enabled, memory_order_acquire);
}

enum status trace_start(size_t capacity)
{
    store.capacity = capacity ? capacity : DEFAULT_CAPACITY;
    store.events = calloc(store.capacity, sizeof *store.events);
    if (!store.events)
        return status_fail(STATUS_FAILED, "out of memory for a trace of %zu events",
                           store.capacity);
    store.phase_start = clock_seconds();
    store.step = (int32_t)phase_state().step;
    atomic_store_explicit(&enabled, true, memory_order_release);
    phase_set_observer(trace_phase);
    return STATUS_OK;
}

void trace_stop(void)
{
    phase_set_observer(NULL);
    atomic_store(&enabled, false);
    pthread_mutex_lock(&store.lock);
    free(store.events);
    if (store.spool)
        fclose(store.spool);
    store.events = NULL;
    store.spool = NULL;
    store.count = store.capacity = store.spooled = store.drained = store.lost = 0;
    memset(store.busy, 0, sizeof store.busy);
    pthread_mutex_unlock(&store.lock);
    free(store.points);
    store.points = NULL;
    store.point_count = store.point_capacity = 0;
}

/* ---- recording ---- */

/* Appends the whole block of memory to the file. */
static bool flush_to_spool(void)
{
    size_t size = store.count * sizeof *store.events;
    off_t end = (off_t)(store.spooled * sizeof *store.events);
    if (!store.spool && !(store.spool = tmpfile()))
        return false;
    if (pwrite(fileno(store.spool), store.events, size, end) != (ssize_t)size)
        return false;
    store.spooled += store.count;
    store.count = 0;
    return true;
}

static void record(const struct trace_event *event)
{
    pthread_mutex_lock(&store.lock);
    if (!store.events || (store.count == store.capacity && !flush_to_spool()))
        store.lost++;
    else
        store.events[store.count++] = *event;
    pthread_mutex_unlock(&store.lock);
}

void trace_phase(enum phase ended, double now)
{
    if (!is_enabled())
        return;
    const struct trace_event event = {
        .start = store.phase_start,
        .duration = now - store.phase_start,
        .step = store.step,
        .phase = (uint8_t)ended,
    };
    store.phase_start = now;
    store.step = (int32_t)phase_state().step;
    record(&event);
}

struct trace_span trace_begin(enum phase phase)
{
    struct trace_span span = {.phase = (uint8_t)phase};
    if (!is_enabled())
        return span;
    pthread_mutex_lock(&store.lock);
    for (int i = 0; i < TRACE_LANES_PER_PHASE && !span.lane; i++) {
        int lane = 1 + (int)phase * TRACE_LANES_PER_PHASE + i;
        if (!store.busy[lane])
            span.lane = (uint8_t)lane;
    }
    store.busy[span.lane] = true;
    pthread_mutex_unlock(&store.lock);
    span.step = (int32_t)phase_state().step;
    span.start = clock_seconds();
    return span;
}

void trace_end(struct trace_span span)
{
    if (span.lane == 0 || !is_enabled())
        return;
    const struct trace_event event = {.start = span.start,
                                      .duration = clock_seconds() - span.start,
                                      .step = span.step,
                                      .phase = span.phase,
                                      .lane = span.lane};
    record(&event);
    pthread_mutex_lock(&store.lock);
    store.busy[span.lane] = false;
    pthread_mutex_unlock(&store.lock);
}

/* ---- the common clock ---- */

enum status trace_add_clock_offset(double at, double offset)
{
    struct clock_point *points = array_reserve(store.points, &store.point_capacity,
                                               store.point_count + 1, sizeof *points);
    if (!points)
        return STATUS_FAILED;
    store.points = points;
    store.points[store.point_count++] = (struct clock_point){at, offset};
    return STATUS_OK;
}

/* Linear between two measurements; constant before the first and after the last one. */
static double offset_at(double at)
{
    const struct clock_point *points = store.points;
    size_t count = store.point_count, i = count;
    if (count == 0)
        return 0;
    while (i > 0 && points[i - 1].at > at) /* most times are close to the last point */
        i--;
    if (i == 0 || i == count)
        return points[i == 0 ? 0 : count - 1].offset;
    const struct clock_point *a = &points[i - 1], *b = &points[i];
    return a->offset + (b->offset - a->offset) * (at - a->at) / (b->at - a->at);
}

static void correct_clock(struct trace_event *event)
{
    double end = event->start + event->duration;
    end += offset_at(end);
    event->start += offset_at(event->start);
    event->duration = end - event->start;
}

/* ---- draining ---- */

size_t trace_count(void)
{
    pthread_mutex_lock(&store.lock);
    size_t count = store.count + store.spooled - store.drained;
    pthread_mutex_unlock(&store.lock);
    return count;
}

size_t trace_lost(void)
{
    pthread_mutex_lock(&store.lock);
    size_t lost = store.lost;
    pthread_mutex_unlock(&store.lock);
    return lost;
}

/* Events that can't be read back are lost. */
static size_t drain_spool(struct trace_event *events, size_t max_events)
{
    size_t left = store.spooled - store.drained,
           n = left < max_events ? left : max_events;
    ssize_t got = pread(fileno(store.spool), events, n * sizeof *events,
                        (off_t)(store.drained * sizeof *events));
    if (got != (ssize_t)(n * sizeof *events)) {
        store.lost += left;
        store.drained = store.spooled;
        n = 0;
    }
    store.drained += n;
    if (store.drained == store.spooled) {
        store.drained = store.spooled = 0;
        if (ftruncate(fileno(store.spool), 0) != 0)
            return n; /* overwritten by the next flush_to_spool */
    }
    return n;
}

static size_t drain_memory(struct trace_event *events, size_t max_events)
{
    size_t n = store.count < max_events ? store.count : max_events;
    if (n == 0)
        return 0;
    memcpy(events, store.events, n * sizeof *events);
    store.count -= n;
    memmove(store.events, store.events + n, store.count * sizeof *events);
    return n;
}

size_t trace_drain(struct trace_event *events, size_t max_events)
{
    pthread_mutex_lock(&store.lock);
    size_t n = store.spooled > store.drained ? drain_spool(events, max_events) : 0;
    n += drain_memory(events + n, max_events - n);
    pthread_mutex_unlock(&store.lock);
    for (size_t i = 0; i < n; i++)
        correct_clock(&events[i]);
    return n;
}
