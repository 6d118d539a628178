/* phase: atomics for the other threads, plain sums for the main thread. */
#include "phase.h"

#include <stdatomic.h>
#include <string.h>

#include "progress.h"

static const char *const names[PHASES] = {
    "start",     "read",       "forward",  "backward", "sum", "wait",
    "optimizer", "checkpoint", "validate", "sample",   "end",
};

static _Atomic int current = PHASE_START;
static _Atomic int64_t current_step;
static _Atomic uint64_t progress;
static _Thread_local _Atomic uint64_t *diverted; /* NULL: to `progress` */

static double spent[PHASES],
    enter_time; /* `enter_time` is 0 until the first phase_enter */
static phase_observer *observer;

const char *phase_name(enum phase phase)
{
    return names[phase];
}

enum phase phase_enter(enum phase phase)
{
    int previous = atomic_load_explicit(&current, memory_order_relaxed);
    double now = clock_seconds();
    if (enter_time > 0)
        spent[previous] += now - enter_time;
    enter_time = now;
    if (observer)
        observer((enum phase)previous, now);
    atomic_store_explicit(&current, (int)phase, memory_order_relaxed);
    phase_progress();
    return (enum phase)previous;
}

void phase_set_observer(phase_observer *function)
{
    observer = function;
}

void phase_set_step(int64_t step)
{
    atomic_store_explicit(&current_step, step, memory_order_relaxed);
    phase_progress();
}

void phase_progress(void)
{
    atomic_fetch_add_explicit(diverted ? diverted : &progress, 1, memory_order_relaxed);
}

void phase_divert_progress(_Atomic uint64_t *counter)
{
    diverted = counter;
}

struct phase_state phase_state(void)
{
    return (struct phase_state){
        .phase = (enum phase)atomic_load_explicit(&current, memory_order_relaxed),
        .step = atomic_load_explicit(&current_step, memory_order_relaxed),
        .progress = atomic_load_explicit(&progress, memory_order_relaxed),
    };
}

void phase_seconds(double seconds[PHASES])
{
    phase_enter((enum phase)atomic_load_explicit(&current, memory_order_relaxed));
    memcpy(seconds, spent, sizeof spent);
}
