/* trace: records the activities of this process over time, for a common timeline of all
 * ranks.
 *
 * Nothing is recorded before trace_start. After it, each phase of the main thread is an
 * event (trace_start registers an observer of phases), and so is each span of another
 * thread between trace_begin and trace_end. Until trace_drain, events are buffered in a
 * fixed block of memory, which spills to an unlinked temporary file.
 *
 * Every host has its own clock. Times are recorded as returned by clock_seconds;
 * trace_drain corrects them with offsets interpolated linearly between the measured ones
 * (trace_add_clock_offset).
 */
#ifndef TUTTI_BASE_TRACE_H
#define TUTTI_BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phase.h"
#include "status.h"

/* Events in one lane don't overlap: the main thread has lane 0, and threads that are in
 * the same phase at the same time have different lanes. */
enum { TRACE_LANES_PER_PHASE = 4, TRACE_LANES = 1 + PHASES * TRACE_LANES_PER_PHASE };

struct trace_event {
    double start, duration; /* seconds */
    int32_t step;           /* set by phase_set_step, when the event began */
    uint8_t phase, lane;
};

/* "training", "checkpoint", "read", "read 2" ... into text[size]. Returns text. */
const char *trace_lane_name(int lane, char *text, size_t size);

/* Starts recording, with memory for `capacity` events (0: a default). Must not be called
 * again before trace_stop. Main thread. */
enum status trace_start(size_t capacity);
void trace_stop(void); /* drops buffered events. Main thread */

/* Begins a span of a thread other than the main one, until trace_end. From any thread;
 * costs nothing when tracing is off. At most TRACE_LANES_PER_PHASE spans of one phase are
 * recorded at the same time. */
struct trace_span {
    double start;
    int32_t step;
    uint8_t phase, lane; /* lane 0: not recorded */
};
struct trace_span trace_begin(enum phase phase);
void trace_end(struct trace_span span);

/* Records that the main thread leaves `ended` at `now` (clock_seconds). Called
 * by phase_enter. */
void trace_phase(enum phase ended, double now);

/* Records that at time `at` (clock_seconds) the common clock was ahead by `offset`
 * seconds. Call it in the order of `at`. Main thread. */
enum status trace_add_clock_offset(double at, double offset);

/* Events buffered, and events lost because neither memory nor disk had space. */
size_t trace_count(void);
size_t trace_lost(void);

/* Moves up to `max_events` events to events[max_events], with corrected times; returns
 * their number. Main thread. */
size_t trace_drain(struct trace_event *events, size_t max_events);

#endif
