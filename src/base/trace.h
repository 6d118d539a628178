/* trace: the activities of this process over time, for one timeline of all ranks.
 *
 * Nothing is recorded before trace_start. After it, each phase of the main thread is an
 * event (trace_start observes phase_enter), and so is each span of another thread between
 * trace_begin and trace_end. Events are buffered in a fixed block of memory, and beyond
 * it in an unlinked temporary file, until trace_drain.
 *
 * Every host has its own clock. Times are recorded as clock_seconds returns them and
 * corrected by trace_drain: by an offset that is linear between its measurements.
 */
#ifndef TUTTI_BASE_TRACE_H
#define TUTTI_BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phase.h"
#include "status.h"

/* Events of one lane don't overlap: the main thread is lane 0, and threads in the same
 * phase at the same time have different lanes. */
enum { TRACE_SIDE_BY_SIDE = 4, TRACE_LANES = 1 + PHASES * TRACE_SIDE_BY_SIDE };

struct trace_event {
    double start, duration; /* seconds */
    int32_t step;           /* as of phase_set_step when it began */
    uint8_t phase, lane;
};

/* "training", "checkpoint", "read", "read 2" ... into text[size]. Returns text. */
const char *trace_lane_name(int lane, char *text, size_t size);

/* Starts recording, with memory for `capacity` events (0: a default). Not again before
 * trace_stop. Main thread. */
enum status trace_start(size_t capacity);
void trace_stop(void); /* drops buffered events. Main thread */

/* Begins a span of a thread other than the main one, until trace_end. From any thread;
 * free when tracing is off. At most TRACE_SIDE_BY_SIDE spans of one phase are recorded at
 * the same time. */
struct trace_span {
    double start;
    int32_t step;
    uint8_t phase, lane; /* lane 0: not recorded */
};
struct trace_span trace_begin(enum phase what);
void trace_end(struct trace_span span);

/* Records that the main thread leaves `left` at `now` (clock_seconds). Called
 * by phase_enter. */
void trace_phase(enum phase left, double now);

/* Records that at `at` (clock_seconds) the common clock was ahead by `offset` seconds. In
 * the order of `at`. Main thread. */
enum status trace_clock(double at, double offset);

/* Events buffered, and events lost because neither memory nor disk had space. */
size_t trace_count(void);
size_t trace_lost(void);

/* Moves at most `most` events to events[most], with corrected times; returns their
 * number. Main thread. */
size_t trace_drain(struct trace_event *events, size_t most);

#endif
