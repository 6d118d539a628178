/* writer_plan: notes -> the events of a format 1 file, in plain arrays.
 *
 * Everything is checked here, because libsmf asserts instead of returning errors, and
 * sorted here, because libsmf then appends without sorting.
 *
 * Program changes: the tracks of a channel of a port share its program. A program change
 * is written wherever the program in force differs from the note's, with tracks merged by
 * tick and, at equal ticks, in track order. Percussion on a channel other than 9, and melody on
 * channel 9, are written as General MIDI 2 specifies, with a bank select before the
 * program change.
 */
#include "writer_internal.h"

#include <math.h>
#include <stdlib.h>

#include "instruments.h"

enum { CHANNELS = 16, PORTS = 256, TRACKS_MAX = 65535 };

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

/* The ticks at which a note starts and ends, rounded to integers. */
static void find_ticks(const struct plan *plan, const struct note *note, double *start,
                       double *end)
{
    double seconds = plan->ticks_per_beat * 1e6 / plan->tempo, scale = plan->tick_scale;
    *start = round(scale > 0 ? note->start_tick * scale : note->start * seconds);
    *end = round(scale > 0 ? ((double)note->start_tick + note->duration_ticks) * scale
                           : (note->start + note->duration) * seconds);
}

static enum status plan_note(struct plan *plan, const struct note *note)
{
    enum status status = check_note(plan->path, note);
    if (status != STATUS_OK)
        return status;
    double start, end;
    find_ticks(plan, note, &start, &end);
    if (!(end < LAST_TICK))
        return status_fail(STATUS_FAILED,
                           "%s: can't write a note that ends at %g s, tick %.0f "
                           "(at most %d)",
                           plan->path, note->start + note->duration, end, LAST_TICK);
    struct planned_note *planned = &plan->notes[plan->note_count++];
    *planned = (struct planned_note){.start = (int)start,
                                     .end = end > start ? (int)end : (int)start + 1,
                                     .source = note->track,
                                     .port = note->port,
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

/* By port, then channel. */
static int compare_channels(const struct planned_note *a, const struct planned_note *b)
{
    int order = compare_ints(a->port, b->port);
    return order ? order : compare_ints(a->channel, b->channel);
}

/* By key: a pitch of a channel. */
static int compare_keys(const struct planned_note *a, const struct planned_note *b)
{
    int order = compare_channels(a, b);
    return order ? order : compare_ints(a->pitch, b->pitch);
}

/* By key, then start, the longest first; the rest makes the order total. */
static int compare_onsets(const void *left, const void *right)
{
    const struct planned_note *a = left, *b = right;
    int order = compare_keys(a, b);
    if (!order)
        order = compare_ints(a->start, b->start);
    if (!order)
        order = compare_ints(b->end, a->end);
    if (!order)
        order = compare_ints(b->velocity, a->velocity);
    if (!order)
        order = compare_ints(a->program, b->program);
    if (!order)
        order = compare_ints(a->percussion, b->percussion);
    return order ? order : compare_ints(a->source, b->source);
}

/* By the track that they are written to. */
static int compare_instruments(const struct planned_note *a, const struct planned_note *b)
{
    int order = compare_channels(a, b);
    if (!order)
        order = compare_ints(a->program, b->program);
    return order ? order : compare_ints(a->percussion, b->percussion);
}

/* By track, then start and pitch. */
static int compare_within_tracks(const void *left, const void *right)
{
    const struct planned_note *a = left, *b = right;
    int order = compare_instruments(a, b);
    if (!order)
        order = compare_ints(a->start, b->start);
    return order ? order : compare_ints(a->pitch, b->pitch);
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
    struct planned_note *notes = plan->notes;
    size_t kept = 0;
    qsort(notes, plan->note_count, sizeof *notes, compare_onsets);
    for (size_t i = 0; i < plan->note_count; i++) {
        struct planned_note *previous = kept ? &notes[kept - 1] : NULL;
        bool same_key = previous && compare_keys(previous, &notes[i]) == 0;
        if (same_key && previous->start == notes[i].start)
            continue;
        if (same_key && previous->end > notes[i].start)
            previous->end = notes[i].start;
        notes[kept++] = notes[i];
    }
    plan->note_count = kept;
}

static bool has_several_instruments(const struct plan *plan)
{
    const struct planned_note *notes = plan->notes;
    for (size_t i = 1; i < plan->note_count; i++)
        if (notes[i].program != notes[0].program ||
            notes[i].percussion != notes[0].percussion)
            return true;
    return false;
}

/* The name of the track that `note` came from. Track 0 names the whole piece, and so does
 * the first track of the file. */
static const char *find_name(const struct notes *notes, const struct planned_note *note,
                             bool several_instruments)
{
    const char *name = note->source > 0 ? notes_name(notes, note->source) : NULL;
    if (name || !several_instruments)
        return name;
    return instrument_name(note->program, note->percussion);
}

/* Assigns notes to tracks, in the order of compare_instruments, after track 0. */
static enum status plan_tracks(struct plan *plan, const struct notes *notes)
{
    bool several = has_several_instruments(plan);
    plan->tracks[0].name = notes_name(notes, 0);
    plan->track_count = 1;
    qsort(plan->notes, plan->note_count, sizeof *plan->notes, compare_within_tracks);
    for (size_t i = 0; i < plan->note_count; i++) {
        struct planned_note *note = &plan->notes[i];
        if (i == 0 || compare_instruments(note - 1, note) != 0) {
            if (plan->track_count == TRACKS_MAX)
                return status_fail(STATUS_FAILED, "%s: can't write more than %d tracks",
                                   plan->path, TRACKS_MAX);
            plan->tracks[plan->track_count++] = (struct planned_track){
                .name = find_name(notes, note, several), .port = note->port};
        }
        note->track = plan->track_count - 1;
    }
    return STATUS_OK;
}

static void add_event(struct plan *plan, const struct planned_note *note, int tick,
                      enum event_kind kind)
{
    uint8_t channel = note->channel;
    struct event event = {.tick = tick, .track = note->track, .kind = kind, .length = 3};
    if (kind == EVENT_PROGRAM) {
        event.length = 2;
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
    const struct planned_note *previous[PORTS][CHANNELS] = {{NULL}}; /* 32 KiB */
    qsort(plan->notes, plan->note_count, sizeof *plan->notes, compare_tracks);
    for (size_t i = 0; i < plan->note_count; i++) {
        const struct planned_note *note = &plan->notes[i];
        plan_program(plan, note, previous[note->port][note->channel]);
        previous[note->port][note->channel] = note;
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
    status = plan_tracks(plan, notes);
    if (status == STATUS_OK)
        plan_events(plan);
    return status;
}
