/* phase: the current activity of this process, and the time spent in each activity.
 *
 * The training loop calls phase_enter at every change; the watchdog (another thread)
 * reads the current phase, the trace records it, and each epoch reports the sums. A call
 * costs one atomic store and one read of the clock, cheap enough for ten calls per step.
 */
#ifndef TUTTI_BASE_PHASE_H
#define TUTTI_BASE_PHASE_H

#include <stdatomic.h>
#include <stdint.h>

enum phase {
    PHASE_START,      /* everything before the first step */
    PHASE_READ,       /* reading tokens of the next window */
    PHASE_FORWARD,    /* through the model */
    PHASE_BACKWARD,   /* back-propagation and weight gradients */
    PHASE_ALLREDUCE,  /* this rank's part of the allreduce: fixed point, communication */
    PHASE_WAIT,       /* waiting in a collective for other ranks */
    PHASE_OPTIMIZER,  /* mean gradient, clipping, update, packing */
    PHASE_CHECKPOINT, /* gathering and copying the state; waiting for the disk */
    PHASE_VALIDATE,   /* the validation split */
    PHASE_SAMPLE,     /* starting, or waiting for, the MIDI files of an epoch */
    PHASE_END,        /* everything after the last step */
    PHASES
};

/* "start", "read", "forward" ... */
const char *phase_name(enum phase phase);

/* Enters `phase` and returns the previous one. Main thread. */
enum phase phase_enter(enum phase phase);

/* Makes phase_enter call `function` (NULL: none) with the phase that the main thread
 * leaves, and the time (clock_seconds). Main thread. */
typedef void phase_observer(enum phase ended, double now);
void phase_set_observer(phase_observer *function);

/* Sets the current step, from 1; 0 before the first. Main thread. */
void phase_set_step(int64_t step);

/* Reports progress within a phase, such as a validated batch or a received message. The
 * watchdog treats a process without progress for run.hang_timeout_seconds as hung. From
 * any thread. */
void phase_progress(void);

/* Makes phase_progress count in *counter when it is called by this thread, for a thread
 * whose progress must not hide that the main thread hangs. *counter must outlive the
 * thread. */
void phase_divert_progress(_Atomic uint64_t *counter);

/* The current state, from any thread. `progress` counts calls of phase_enter,
 * phase_set_step and phase_progress. */
struct phase_state {
    enum phase phase;
    int64_t step;
    uint64_t progress;
};
struct phase_state phase_state(void);

/* Seconds spent by the main thread in each phase since the process began, including the
 * current one up to now. Main thread. */
void phase_seconds(double seconds[PHASES]);

#endif
