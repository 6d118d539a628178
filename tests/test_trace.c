/* trace: events of phases and threads, the spool file, lanes, the common clock. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/progress.h"
#include "base/trace.h"

static void assert_near(double value, double expected)
{
    const double tolerance = 1e-6;
    if (!(fabs(value - expected) < tolerance))
        fail_msg("%.9f, expected %.9f", value, expected);
}

static int by_start(const void *left, const void *right)
{
    const struct trace_event *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

/* ---- the main thread ---- */

static void phases_are_recorded_as_events(void **state)
{
    struct trace_event events[8];
    (void)state;
    phase_set_step(0);
    phase_enter(PHASE_START);
    assert_int_equal(trace_start(0), STATUS_OK);
    double began = clock_seconds();
    phase_set_step(1);
    phase_enter(PHASE_READ);
    phase_enter(PHASE_FORWARD);
    phase_set_step(2); /* the next step begins with the next event */
    phase_enter(PHASE_READ);
    phase_enter(PHASE_END);
    assert_int_equal(trace_count(), 4);
    assert_int_equal(trace_drain(events, 8), 4);
    const enum phase phases[] = {PHASE_START, PHASE_READ, PHASE_FORWARD, PHASE_READ};
    const int steps[] = {0, 1, 1, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(events[i].phase, phases[i]);
        assert_int_equal(events[i].step, steps[i]);
        assert_int_equal(events[i].lane, 0);
        if (i > 0)
            assert_near(events[i].start, events[i - 1].start + events[i - 1].duration);
    }
    assert_true(events[0].start <= began);
    assert_true(events[3].start + events[3].duration <= clock_seconds());
    assert_int_equal(trace_drain(events, 8), 0);
    trace_stop();
    phase_enter(PHASE_START); /* not recorded, but harmless */
    assert_int_equal(trace_count(), 0);
}

/* ---- more events than memory holds ---- */

static void full_buffer_spills_to_file(void **state)
{
    enum { EVENTS = 1000, AT_ONCE = 7 };
    static struct trace_event all[EVENTS];
    struct trace_event part[AT_ONCE];
    size_t count = 0;
    (void)state;
    assert_int_equal(trace_start(16), STATUS_OK);
    double base = clock_seconds();
    for (int i = 0; i < EVENTS; i++)
        trace_phase(PHASE_ALLREDUCE, base + i + 1);
    assert_int_equal(trace_count(), EVENTS);
    for (size_t n; (n = trace_drain(part, AT_ONCE)) > 0; count += n)
        memcpy(all + count, part, n * sizeof *part);
    assert_int_equal(count, EVENTS);
    assert_int_equal(trace_lost(), 0);
    qsort(all, EVENTS, sizeof *all, by_start);
    for (int i = 1; i < EVENTS; i++) { /* each once, whether spooled or not */
        assert_near(all[i].start, base + i);
        assert_near(all[i].duration, 1);
    }
    trace_phase(PHASE_ALLREDUCE, base + EVENTS + 1); /* recording continues */
    assert_int_equal(trace_drain(part, AT_ONCE), 1);
    assert_near(part[0].start, base + EVENTS);
    trace_stop();
}

static void events_without_space_are_counted_as_lost(void **state)
{
    struct rlimit before, none;
    struct trace_event events[8];
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(trace_start(4), STATUS_OK);
    double base = clock_seconds();
    for (int i = 0; i < 10; i++)
        trace_phase(PHASE_ALLREDUCE, base + i + 1);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(trace_lost(), 6);
    assert_int_equal(trace_drain(events, 8), 4);
    assert_int_equal(trace_drain(events, 8), 0);
    trace_stop();
}

/* ---- threads ---- */

enum { THREADS = TRACE_LANES_PER_PHASE + 1 };
static pthread_barrier_t all_there;

static void *checkpoint(void *unused)
{
    struct trace_span span = trace_begin(PHASE_CHECKPOINT);
    pthread_barrier_wait(&all_there); /* all at the same time */
    trace_end(span);
    return unused;
}

static void concurrent_spans_have_different_lanes(void **state)
{
    pthread_t threads[THREADS];
    struct trace_event events[16];
    char name[32];
    int seen[TRACE_LANES] = {0};
    (void)state;
    assert_int_equal(trace_begin(PHASE_READ).lane, 0); /* there is no trace yet */
    assert_int_equal(trace_start(0), STATUS_OK);
    pthread_barrier_init(&all_there, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, checkpoint, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_there);
    /* one thread more than there are lanes; no two share one */
    assert_int_equal(trace_drain(events, 16), TRACE_LANES_PER_PHASE);
    for (int i = 0; i < TRACE_LANES_PER_PHASE; i++) {
        assert_int_equal(events[i].phase, PHASE_CHECKPOINT);
        assert_true(events[i].lane > 0);
        assert_int_equal(seen[events[i].lane]++, 0);
    }
    struct trace_span again = trace_begin(PHASE_CHECKPOINT); /* the first is free again */
    trace_end(again);
    assert_int_equal(trace_drain(events, 16), 1);
    assert_string_equal(trace_lane_name(events[0].lane, name, sizeof name), "checkpoint");
    assert_string_equal(trace_lane_name(events[0].lane + 1, name, sizeof name),
                        "checkpoint 2");
    assert_string_equal(trace_lane_name(0, name, sizeof name), "training");
    trace_stop();
}

/* ---- clocks ---- */

static void times_are_corrected_by_clock_offset(void **state)
{
    struct trace_event events[8];
    (void)state;
    assert_int_equal(trace_start(0), STATUS_OK);
    double base = clock_seconds() + 100;
    /* ahead by 5 at first, drifting by 0.1 per second, steady from 40 s on */
    assert_int_equal(trace_add_clock_offset(base, 5), STATUS_OK);
    assert_int_equal(trace_add_clock_offset(base + 40, 9), STATUS_OK);
    assert_int_equal(trace_add_clock_offset(base + 80, 9), STATUS_OK);
    const double ends[] = {-10, 10, 20, 60, 100};
    for (int i = 0; i < 5; i++)
        trace_phase(PHASE_FORWARD, base + ends[i]);
    assert_int_equal(trace_drain(events, 8), 5);
    const double starts[] = {-10 + 5, 10 + 6, 20 + 7, 60 + 9};
    const double stops[] = {10 + 6, 20 + 7, 60 + 9, 100 + 9};
    for (int i = 1; i < 5; i++) {
        assert_near(events[i].start, base + starts[i - 1]);
        assert_near(events[i].start + events[i].duration, base + stops[i - 1]);
    }
    trace_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_are_recorded_as_events),
        cmocka_unit_test(full_buffer_spills_to_file),
        cmocka_unit_test(events_without_space_are_counted_as_lost),
        cmocka_unit_test(concurrent_spans_have_different_lanes),
        cmocka_unit_test(times_are_corrected_by_clock_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
