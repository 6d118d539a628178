/* writer_plan: notes -> the events of a format 1 file, in plain arrays.
 *
 * Everything is checked here, because libsmf asserts instead of returning errors, and
 * sorted here, because libsmf then appends without sorting.
 *
 * Program changes: the tracks of a channel share its program. A program change is written
 * wherever the program in force differs from the note's, with tracks merged by tick and,
 * at equal ticks, in track order. Percussion on a channel other than 9, and melody on
 * channel 9, are written as General MIDI 2 specifies, with a bank select before the
 * program change.
 */
#include "writer_internal.h"

#include <math.h>
#include <stdlib.h>

enum {
    CHANNELS = 16,
    PITCHES = 128,
    PROGRAMS = 128,
    LAST_TICK = 0x0FFFFFFF /* the longest delta time: four bytes of seven bits */
};

enum { BANK_SELECT = 0, GM2_PERCUSSION = 120, GM2_MELODY = 121 };

static enum status check_note(const char *path, const struct note *note)
{
    if (note->pitch > 127 || note->velocity < 1 || note->velocity > 127 ||
        note->program > 127 || note->channel >= CHANNELS)
        return status_fail(STATUS_FAILED,
                           "%s: can't write a note of pitch %d, velocity %d, program %d, "
                           "channel %d (0-127, 1-127, 0-127, 0-15)",
                           path, note->pitch, note->velocity, note->program,
                           note->channel);
    if (!(note->start >= 0) || !(note->duration >= 0))
        return status_fail(STATUS_FAILED,
                           "%s: can't write a note at %g s of %g s (both at least 0)",
                           path, note->start, note->duration);
    return STATUS_OK;
}

static enum status plan_note(struct plan *plan, const struct note *note)
{
    enum status status = check_note(plan->path, note);
    if (status != STATUS_OK)
        return status;
    double ticks_per_second = plan->ticks_per_beat * 1e6 / plan->tempo;
    double start = round(note->start * ticks_per_second);
    double end = round((note->start + note->duration) * ticks_per_second);
    if (!(end < LAST_TICK))
        return status_fail(
            STATUS_FAILED,
            "%s: can't write a note that ends at %g s (at most %d ticks, %g s)",
            plan->path, note->start + note->duration, LAST_TICK,
            LAST_TICK / ticks_per_second);
    struct planned_note *planned = &plan->notes[plan->note_count++];
    *planned = (struct planned_note){.start = (int)start,
                                     .end = end > start ? (int)end : (int)start + 1,
                                     .channel = note->channel,
                                     .pitch = note->pitch,
                                     .velocity = note->velocity,
                                     .program = note->program,
                                     .percussion = note->percussion};
    plan->gm2 |= note->percussion != (note->channel == PERCUSSION_CHANNEL);
    return STATUS_OK;
}

static int compare_ints(int a, int b)
{
    return (a > b) - (a < b);
}

/* By start, then key, the longest first; the rest makes the order total. */
static int compare_onsets(const void *left, const void *right)
{
    const struct planned_note *a = left, *b = right;
    int order = compare_ints(a->start, b->start);
    if (!order)
        order = compare_ints(a->channel, b->channel);
    if (!order)
        order = compare_ints(a->pitch, b->pitch);
    if (!order)
        order = compare_ints(b->end, a->end);
    if (!order)
        order = compare_ints(b->velocity, a->velocity);
    return order ? order : compare_ints(a->program, b->program);
}

static int compare_tracks(const void *left, const void *right)
{
    const struct planned_note *a = left, *b = right;
    int order = compare_ints(a->start, b->start);
    if (!order)
        order = compare_ints(a->track, b->track);
    return order ? order : compare_ints(a->pitch, b->pitch);
}

static int compare_events(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    int order = compare_ints(a->track, b->track);
    if (!order)
        order = compare_ints(a->tick, b->tick);
    if (!order)
        order = compare_ints((int)a->kind, (int)b->kind);
    return order ? order : compare_ints(a->bytes[1], b->bytes[1]);
}

/* Truncates notes at the next onset of their key; of those that start together, keeps the
 * first. */
static void resolve_overlaps(struct plan *plan)
{
    struct planned_note *last[CHANNELS][PITCHES] = {{NULL}};
    size_t kept = 0;
    qsort(plan->notes, plan->note_count, sizeof *plan->notes, compare_onsets);
    for (size_t i = 0; i < plan->note_count; i++) {
        struct planned_note note = plan->notes[i];
        struct planned_note **previous = &last[note.channel][note.pitch];
        if (*previous && (*previous)->start == note.start)
            continue;
        if (*previous && (*previous)->end > note.start)
            (*previous)->end = note.start;
        *previous = &plan->notes[kept];
        plan->notes[kept++] = note;
    }
    plan->note_count = kept;
}

/* Numbers the tracks in order of channel, then program; track 0 has the tempo. */
static void number_tracks(struct plan *plan)
{
    int number[CHANNELS][PROGRAMS] = {{0}};
    for (size_t i = 0; i < plan->note_count; i++)
        number[plan->notes[i].channel][plan->notes[i].program] = 1;
    plan->tracks = 1;
    for (int channel = 0; channel < CHANNELS; channel++)
        for (int program = 0; program < PROGRAMS; program++)
            if (number[channel][program])
                number[channel][program] = plan->tracks++;
    for (size_t i = 0; i < plan->note_count; i++)
        plan->notes[i].track = number[plan->notes[i].channel][plan->notes[i].program];
}

static void add_event(struct plan *plan, const struct planned_note *note, int tick,
                      enum event_kind kind)
{
    uint8_t channel = note->channel;
    struct event event = {.tick = tick, .track = note->track, .kind = kind};
    if (kind == EVENT_PROGRAM) {
        event.bytes[0] = (uint8_t)(0xC0 | channel);
        event.bytes[1] = note->program;
    } else if (kind == EVENT_BANK) {
        event.bytes[0] = (uint8_t)(0xB0 | channel);
        event.bytes[1] = BANK_SELECT;
        event.bytes[2] = note->percussion ? GM2_PERCUSSION : GM2_MELODY;
    } else {
        event.bytes[0] = (uint8_t)((kind == EVENT_ON ? 0x90 : 0x80) | channel);
        event.bytes[1] = note->pitch;
        event.bytes[2] = kind == EVENT_ON ? note->velocity : 0;
    }
    plan->events[plan->event_count++] = event;
}

/* Adds the program change, if the note needs one; for a channel's first note, at tick
 * 0. */
static void plan_program(struct plan *plan, const struct planned_note *note,
                         const struct planned_note *previous)
{
    int tick = previous ? note->start : 0;
    if (previous && previous->program == note->program &&
        previous->percussion == note->percussion)
        return;
    if (plan->gm2 && (!previous || previous->percussion != note->percussion))
        add_event(plan, note, tick, EVENT_BANK);
    add_event(plan, note, tick, EVENT_PROGRAM);
}

static void plan_events(struct plan *plan)
{
    const struct planned_note *previous[CHANNELS] = {NULL};
    qsort(plan->notes, plan->note_count, sizeof *plan->notes, compare_tracks);
    for (size_t i = 0; i < plan->note_count; i++) {
        const struct planned_note *note = &plan->notes[i];
        plan_program(plan, note, previous[note->channel]);
        previous[note->channel] = note;
        add_event(plan, note, note->start, EVENT_ON);
        add_event(plan, note, note->end, EVENT_OFF);
    }
    qsort(plan->events, plan->event_count, sizeof *plan->events, compare_events);
}

enum status writer_plan_notes(struct plan *plan, const struct notes *notes)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < notes->count && status == STATUS_OK; i++)
        status = plan_note(plan, &notes->items[i]);
    if (status != STATUS_OK)
        return status;
    resolve_overlaps(plan);
    number_tracks(plan);
    plan_events(plan);
    return STATUS_OK;
}
