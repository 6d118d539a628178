/* writer_metre: tempo changes and time signatures of a file to be written. */
#include "writer_internal.h"

#include <math.h>

/* Adds an event of the first track, in place of an earlier one of its kind at the tick.
 */
static void add_event(struct plan *plan, const struct event *event, size_t first)
{
    if (plan->event_count > first &&
        plan->events[plan->event_count - 1].tick == event->tick)
        plan->event_count--;
    plan->events[plan->event_count++] = *event;
}

static enum status scale_tick(const struct plan *plan, uint32_t tick, int *scaled)
{
    double exact = round(tick * plan->tick_scale);
    if (!(exact < LAST_TICK))
        return status_fail(STATUS_FAILED,
                           "%s: can't write a tempo or time signature at tick %.0f "
                           "(at most %d)",
                           plan->path, exact, LAST_TICK);
    *scaled = (int)exact;
    return STATUS_OK;
}

static enum status plan_tempo(struct plan *plan, const struct tempo_change *change,
                              size_t first)
{
    uint32_t tempo = change->tempo;
    struct event event = {.kind = EVENT_TEMPO,
                          .length = 6,
                          .bytes = {0xFF, 0x51, 3, (uint8_t)(tempo >> 16),
                                    (uint8_t)(tempo >> 8), (uint8_t)tempo}};
    if (tempo < 1 || tempo > TEMPO_MAX)
        return status_fail(STATUS_FAILED,
                           "%s: can't write a tempo of %u microseconds per beat (1 to "
                           "%d)",
                           plan->path, tempo, TEMPO_MAX);
    enum status status = scale_tick(plan, change->tick, &event.tick);
    if (status == STATUS_OK && event.tick == 0)
        plan->tempo = (int)tempo;
    else if (status == STATUS_OK)
        add_event(plan, &event, first);
    return status;
}

/* After the numerator and the logarithm of the denominator: MIDI clocks (24 in a quarter
 * note) per click of the metronome, which clicks on every beat, and notated 32nds per
 * quarter note. */
static enum status plan_signature(struct plan *plan,
                                  const struct time_signature *signature, size_t first)
{
    enum { CLOCKS_PER_WHOLE_NOTE = 96, THIRTY_SECONDS = 8 };
    uint8_t numerator = signature->numerator, log2 = signature->denominator_log2;
    if (numerator == 0 || log2 > TIME_SIGNATURE_LOG2_MAX)
        return status_fail(STATUS_FAILED,
                           "%s: can't write a time signature of %d/2^%d (1 to 255, 2^0 "
                           "to 2^%d)",
                           plan->path, numerator, log2, TIME_SIGNATURE_LOG2_MAX);
    struct event event = {.kind = EVENT_SIGNATURE,
                          .length = 7,
                          .bytes = {0xFF, 0x58, 4, numerator, log2,
                                    (uint8_t)(CLOCKS_PER_WHOLE_NOTE >> log2),
                                    THIRTY_SECONDS}};
    enum status status = scale_tick(plan, signature->tick, &event.tick);
    if (status == STATUS_OK)
        add_event(plan, &event, first);
    return status;
}

enum status writer_plan_metre(struct plan *plan, const struct notes *notes)
{
    const struct tempo_changes *tempos = &notes->tempos;
    const struct time_signatures *signatures = &notes->signatures;
    enum status status = STATUS_OK;
    if (tempos->count + signatures->count == 0)
        return STATUS_OK;
    if (!(notes->ticks_per_beat > 0))
        return status_fail(STATUS_FAILED,
                           "%s: can't write tempo changes or time signatures of notes "
                           "without ticks per beat",
                           plan->path);
    plan->tick_scale = plan->ticks_per_beat / notes->ticks_per_beat;
    if (tempos->count > 0)
        plan->tempo = DEFAULT_TEMPO;
    for (size_t i = 0; i < tempos->count && status == STATUS_OK; i++)
        status = plan_tempo(plan, &tempos->items[i], 0);
    size_t first = plan->event_count;
    for (size_t i = 0; i < signatures->count && status == STATUS_OK; i++)
        status = plan_signature(plan, &signatures->items[i], first);
    return status;
}
