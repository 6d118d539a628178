/* trace: when this process did what, for one timeline of all ranks.
 *
 * Nothing is kept before trace_start. From then on each phase that the main thread leaves
 * is an event (phase_enter sees to it), and so is what another thread does between
 * trace_begin and trace_end. Events wait in memory of a fixed size, and beyond it in an
 * unlinked temporary file, until they are taken.
 *
 * Every host has its own clock. Times are kept as clock_seconds gives them and corrected
 * when they are taken: by an offset that is linear between the moments at which it was
 * measured.
 */
#ifndef TUTTI_BASE_TRACE_H
#define TUTTI_BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phase.h"
#include "status.h"

/* Events of one lane don't overlap: the main thread is lane 0, and each thread that does
 * the same thing at the same time as another one has a lane of its own. */
enum { TRACE_SIDE_BY_SIDE = 4, TRACE_LANES = 1 + PHASES * TRACE_SIDE_BY_SIDE };

struct trace_event {
    double start, duration; /* seconds */
    int32_t step;           /* as of phase_set_step when it began */
    uint8_t phase, lane;
};

/* "training", "checkpoint", "read", "read 2" ... into text[size]. Returns text. */
const char *trace_lane_name(int lane, char *text, size_t size);

/* Room for `capacity` events in memory (0: a default), the main thread's clock starts
 * now. Once until trace_stop. Main thread. */
enum status trace_start(size_t capacity);
void trace_stop(void); /* drops what has not been taken. Main thread */
bool trace_is_on(void);

/* What a thread other than the main one does until trace_end. From any thread; costs
 * nothing when there is no trace. At most TRACE_SIDE_BY_SIDE threads can do one thing at
 * the same time; what is beyond that is not seen. */
struct trace_span {
    double start;
    int32_t step;
    uint8_t phase, lane; /* lane 0: not seen */
};
struct trace_span trace_begin(enum phase what);
void trace_end(struct trace_span span);

/* The main thread leaves `left` at `now` (clock_seconds). phase_enter calls it. */
void trace_phase(enum phase left, double now);

/* At `at` (clock_seconds) the common clock was ahead by `offset` seconds. Calls come in
 * the order of `at`. Main thread. */
enum status trace_clock(double at, double offset);

/* Events that wait, and those that were lost as neither memory nor disk took them. */
size_t trace_count(void);
size_t trace_lost(void);

/* Hands over at most `most` events, with corrected times, and returns how many. Main
 * thread. */
size_t trace_take(struct trace_event *events, size_t most);

#endif
