/* phase: what this process is doing at the moment, and where its time went.
 *
 * The training loop says phase_enter at every turn; the watchdog (another thread) reads
 * what it said last, the trace keeps it, and the end of an epoch sums it up. One store
 * and one look at the clock each, so it may be called some ten times a step.
 */
#ifndef TUTTI_BASE_PHASE_H
#define TUTTI_BASE_PHASE_H

#include <stdint.h>

enum phase {
    PHASE_START,      /* everything before the first step */
    PHASE_READ,       /* tokens of the next window */
    PHASE_FORWARD,    /* through the model */
    PHASE_BACKWARD,   /* back-propagation and weight gradients */
    PHASE_SUM,        /* this rank's part of the sum: fixed point, messages */
    PHASE_WAIT,       /* in a collective, for other ranks */
    PHASE_OPTIMIZER,  /* mean gradient, clipping, update, packing */
    PHASE_CHECKPOINT, /* gathering and copying the state; waiting for the disk */
    PHASE_VALIDATE,   /* the validation split */
    PHASE_SAMPLE,     /* MIDI files of an epoch */
    PHASE_END,        /* everything behind the last step */
    PHASES
};

/* "start", "read", "forward" ... */
const char *phase_name(enum phase phase);

/* The main thread goes over to `phase`; returns the one before, to go back to. */
enum phase phase_enter(enum phase phase);

/* The step that is under way, from 1; 0 before the first. Main thread. */
void phase_set_step(int64_t step);

/* Something has moved, though the phase has not changed: a batch validated, a message
 * come. The watchdog takes a process that does not move for run.hang_seconds for
 * hung. */
void phase_move(void);

/* As seen from any thread. `moves` grows with every phase_enter, phase_set_step and
 * phase_move. */
struct phase_state {
    enum phase phase;
    int64_t step;
    uint64_t moves;
};
struct phase_state phase_state(void);

/* Seconds that the main thread has spent in each phase since the process began, the
 * current one up to now. Main thread. */
void phase_seconds(double seconds[PHASES]);

#endif
