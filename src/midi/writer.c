/* writer: notes -> a format 1 file, through libsmf; the only unit that knows libsmf.
 *
 * Everything is checked and planned in plain arrays first, because libsmf asserts where
 * it could refuse; then events are handed over track by track in order of time, which it
 * appends without sorting. What it saves it reads back, and to delete a track takes it
 * time that grows with the square of the events. So a track goes through it in parts,
 * each a file of its own, and the bytes of the parts are joined here.
 *
 * Program changes: a channel's tracks share its program, so one is written wherever the
 * program in force, with tracks merged by tick and equal ticks in the order of tracks, is
 * not the note's. Percussion on another channel than the usual one, and melody there, is
 * written as General MIDI 2 has it: a bank in front of the program change.
 */
#include "midi.h"

#include <glib.h>
#include <math.h>
#include <smf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"

enum {
    PART_EVENTS = 1024, /* of a track, that go through libsmf at once */
    HEADER_BYTES = 14,
    TRACK_HEADER_BYTES = 8,
    END_OF_TRACK_BYTES = 4,
    CHANNELS = 16,
    PITCHES = 128,
    PROGRAMS = 128,
    MOST_TICKS_PER_BEAT = 32767,
    SLOWEST_TEMPO = 0xFFFFFF,
    LAST_TICK = 0x0FFFFFFF /* the longest delta time: four bytes of seven bits */
};

enum { BANK_SELECT = 0, GM2_PERCUSSION = 120, GM2_MELODY = 121 };

struct planned { /* a note in ticks */
    int start, end, track;
    uint8_t channel, pitch, velocity, program, percussion;
};

/* Events of one tick and track go out in this order: a repeated note must end first. */
enum kind { EVENT_OFF, EVENT_BANK, EVENT_PROGRAM, EVENT_ON };

struct event {
    int tick, track;
    enum kind kind;
    uint8_t bytes[3];
};

struct plan {
    const char *path;
    int ticks_per_beat, tempo, tracks;
    struct planned *notes;
    size_t note_count;
    struct event *events; /* room for an on, an off, a bank and a program of each note */
    size_t event_count;
    bool gm2; /* banks are needed */
    enum status (*write)(const char *path, const void *bytes, size_t size);
};

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
    struct planned *planned = &plan->notes[plan->note_count++];
    *planned = (struct planned){.start = (int)start,
                                .end = end > start ? (int)end : (int)start + 1,
                                .channel = note->channel,
                                .pitch = note->pitch,
                                .velocity = note->velocity,
                                .program = note->program,
                                .percussion = note->percussion};
    plan->gm2 |= note->percussion != (note->channel == PERCUSSION_CHANNEL);
    return STATUS_OK;
}

static int compare_numbers(int a, int b)
{
    return (a > b) - (a < b);
}

/* By start, then key; the longest first, and a rule for equals. */
static int compare_onsets(const void *left, const void *right)
{
    const struct planned *a = left, *b = right;
    int order = compare_numbers(a->start, b->start);
    if (!order)
        order = compare_numbers(a->channel, b->channel);
    if (!order)
        order = compare_numbers(a->pitch, b->pitch);
    if (!order)
        order = compare_numbers(b->end, a->end);
    if (!order)
        order = compare_numbers(b->velocity, a->velocity);
    return order ? order : compare_numbers(a->program, b->program);
}

static int compare_tracks(const void *left, const void *right)
{
    const struct planned *a = left, *b = right;
    int order = compare_numbers(a->start, b->start);
    if (!order)
        order = compare_numbers(a->track, b->track);
    return order ? order : compare_numbers(a->pitch, b->pitch);
}

static int compare_events(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    int order = compare_numbers(a->track, b->track);
    if (!order)
        order = compare_numbers(a->tick, b->tick);
    if (!order)
        order = compare_numbers((int)a->kind, (int)b->kind);
    return order ? order : compare_numbers(a->bytes[1], b->bytes[1]);
}

/* Cuts notes at the next onset of their key, and keeps one of those that start together.
 */
static void separate_notes(struct plan *plan)
{
    struct planned *last[CHANNELS][PITCHES] = {{NULL}};
    size_t kept = 0;
    qsort(plan->notes, plan->note_count, sizeof *plan->notes, compare_onsets);
    for (size_t i = 0; i < plan->note_count; i++) {
        struct planned note = plan->notes[i];
        struct planned **before = &last[note.channel][note.pitch];
        if (*before && (*before)->start == note.start)
            continue;
        if (*before && (*before)->end > note.start)
            (*before)->end = note.start;
        *before = &plan->notes[kept];
        plan->notes[kept++] = note;
    }
    plan->note_count = kept;
}

/* Numbers the tracks by channel, then program; track 0 has the tempo. */
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

static void add_event(struct plan *plan, const struct planned *note, int tick,
                      enum kind kind)
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

/* What a note's part needs before it: a channel's first goes to the very start. */
static void plan_part(struct plan *plan, const struct planned *note,
                      const struct planned *before)
{
    int tick = before ? note->start : 0;
    if (before && before->program == note->program &&
        before->percussion == note->percussion)
        return;
    if (plan->gm2 && (!before || before->percussion != note->percussion))
        add_event(plan, note, tick, EVENT_BANK);
    add_event(plan, note, tick, EVENT_PROGRAM);
}

static void plan_events(struct plan *plan)
{
    const struct planned *before[CHANNELS] = {NULL};
    qsort(plan->notes, plan->note_count, sizeof *plan->notes, compare_tracks);
    for (size_t i = 0; i < plan->note_count; i++) {
        const struct planned *note = &plan->notes[i];
        plan_part(plan, note, before[note->channel]);
        before[note->channel] = note;
        add_event(plan, note, note->start, EVENT_ON);
        add_event(plan, note, note->end, EVENT_OFF);
    }
    qsort(plan->events, plan->event_count, sizeof *plan->events, compare_events);
}

static bool add_bytes(smf_track_t *track, uint8_t *bytes, int length, int tick)
{
    smf_event_t *event = smf_event_new_from_pointer(bytes, length);
    if (event)
        smf_track_add_event_pulses(track, event, tick);
    return event != NULL;
}

/* The first track: what holds for all. */
static bool add_beginning(smf_track_t *track, const struct plan *plan)
{
    uint8_t gm2_on[] = {0xF0, 0x7E, 0x7F, 0x09, 0x03, 0xF7};
    uint8_t tempo[] = {0xFF,
                       0x51,
                       3,
                       (uint8_t)(plan->tempo >> 16),
                       (uint8_t)(plan->tempo >> 8),
                       (uint8_t)plan->tempo};
    return add_bytes(track, tempo, sizeof tempo, 0) &&
           (!plan->gm2 || add_bytes(track, gm2_on, sizeof gm2_on, 0));
}

/* How far the events have been handed over: all before `next`, the last of them at `tick`
 * of its track. */
struct progress {
    size_t next;
    int tick;
};

static bool is_next(const struct plan *plan, const struct progress *done, int track)
{
    return done->next < plan->event_count && plan->events[done->next].track == track;
}

/* The next events of track `number`, in time from where the part before ended. */
static bool build_part(smf_t *smf, const struct plan *plan, int number,
                       struct progress *done)
{
    smf_track_t *track = smf_track_new();
    if (!track)
        return false;
    smf_add_track(smf, track);
    if (number == 0 && !add_beginning(track, plan))
        return false;
    int begin = done->tick;
    for (int i = 0; i < PART_EVENTS && is_next(plan, done, number); i++) {
        struct event event = plan->events[done->next++];
        int length = event.kind == EVENT_PROGRAM ? 2 : 3;
        done->tick = event.tick;
        if (!add_bytes(track, event.bytes, length, event.tick - begin))
            return false;
    }
    return smf_track_add_eot_pulses(track, done->tick - begin) == 0;
}

/* libsmf prints to the terminal what its return value says as well. */
static void ignore_log(const gchar *domain, GLogLevelFlags level, const gchar *text,
                       gpointer data)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)data;
}

/* The file as it grows, and what libsmf saves to. */
struct output {
    uint8_t *bytes;
    size_t count, capacity;
    int memory;
};

/* Room for `size` bytes more, which count as written; NULL without memory. */
static uint8_t *extend(struct output *output, size_t size)
{
    uint8_t *bytes =
        array_reserve(output->bytes, &output->capacity, output->count + size, 1);
    if (!bytes)
        return NULL;
    output->bytes = bytes;
    output->count += size;
    return bytes + output->count - size;
}

static void put_number(uint8_t *to, int size, size_t number)
{
    for (int i = size - 1; i >= 0; i--, number >>= 8)
        to[i] = (uint8_t)number;
}

/* The events of the track that has been saved, its end included. */
static enum status take_part(const struct plan *plan, struct output *output)
{
    const off_t begin = HEADER_BYTES + TRACK_HEADER_BYTES;
    struct stat facts;
    if (fstat(output->memory, &facts) != 0 || facts.st_size < begin + END_OF_TRACK_BYTES)
        return status_fail(STATUS_FAILED, "%s: can't write in memory", plan->path);
    size_t size = (size_t)(facts.st_size - begin);
    uint8_t *to = extend(output, size);
    if (!to)
        return STATUS_FAILED;
    if (pread(output->memory, to, size, begin) != (ssize_t)size)
        return status_fail_errno("%s: can't read in memory", plan->path);
    return STATUS_OK;
}

/* Has libsmf write a part into memory that is nobody else's: having saved a file it reads
 * it back by its name, and an assertion ends the process if that is not what it wrote. */
static enum status save_part(const struct plan *plan, int number, struct progress *done,
                             struct output *output)
{
    char name[64];
    smf_t *smf = smf_new();
    if (!smf)
        return status_fail(STATUS_FAILED, "%s: no memory to write MIDI", plan->path);
    snprintf(name, sizeof name, "/proc/self/fd/%d", output->memory);
    enum status status = STATUS_OK;
    if (smf_set_ppqn(smf, plan->ticks_per_beat) != 0 ||
        !build_part(smf, plan, number, done))
        status = status_fail(STATUS_FAILED, "%s: libsmf refuses the notes", plan->path);
    else if (smf_save(smf, name) != 0)
        status = status_fail_errno("%s: can't write in memory (%s)", plan->path, name);
    smf_delete(smf);
    return status == STATUS_OK ? take_part(plan, output) : status;
}

static enum status save_track(const struct plan *plan, int number, struct progress *done,
                              struct output *output)
{
    if (!extend(output, TRACK_HEADER_BYTES))
        return STATUS_FAILED;
    size_t begin = output->count;
    done->tick = 0;
    enum status status = save_part(plan, number, done, output);
    while (status == STATUS_OK && is_next(plan, done, number)) {
        output->count -= END_OF_TRACK_BYTES; /* it was not the end */
        status = save_part(plan, number, done, output);
    }
    uint8_t *header = output->bytes + begin - TRACK_HEADER_BYTES;
    memcpy(header, "MTrk", 4);
    put_number(header + 4, 4, output->count - begin);
    return status;
}

static enum status save(const struct plan *plan, struct output *output)
{
    static const uint8_t start[] = {'M', 'T', 'h', 'd', 0, 0, 0, 6, 0, 1}; /* format 1 */
    struct progress done = {0};
    uint8_t *header = extend(output, HEADER_BYTES);
    if (!header)
        return STATUS_FAILED;
    memcpy(header, start, sizeof start);
    put_number(header + 10, 2, (size_t)plan->tracks);
    put_number(header + 12, 2, (size_t)plan->ticks_per_beat);
    enum status status = STATUS_OK;
    for (int number = 0; number < plan->tracks && status == STATUS_OK; number++)
        status = save_track(plan, number, &done, output);
    return status;
}

static enum status save_quietly(const struct plan *plan, struct output *output)
{
    GLogFunc before = g_log_set_default_handler(ignore_log, NULL);
    enum status status = save(plan, output);
    g_log_set_default_handler(before, NULL);
    return status;
}

static enum status write_events(const struct plan *plan)
{
    struct output output = {.memory = memfd_create("midi", MFD_CLOEXEC)};
    if (output.memory < 0)
        return status_fail_errno("%s: can't write in memory", plan->path);
    enum status status = save_quietly(plan, &output);
    if (status == STATUS_OK)
        status = plan->write(plan->path, output.bytes, output.count);
    close(output.memory);
    free(output.bytes);
    return status;
}

static enum status write_planned(struct plan *plan, const struct notes *notes)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < notes->count && status == STATUS_OK; i++)
        status = plan_note(plan, &notes->items[i]);
    if (status != STATUS_OK)
        return status;
    separate_notes(plan);
    number_tracks(plan);
    plan_events(plan);
    return write_events(plan);
}

static enum status
write_notes(const char *path, const struct notes *notes, int ticks_per_beat, int tempo,
            enum status (*write)(const char *path, const void *bytes, size_t size))
{
    if (ticks_per_beat < 1 || ticks_per_beat > MOST_TICKS_PER_BEAT || tempo < 1 ||
        tempo > SLOWEST_TEMPO)
        return status_fail(
            STATUS_FAILED,
            "%s: can't write %d ticks per beat (1 to %d) at %d microseconds "
            "per beat (1 to %d)",
            path, ticks_per_beat, MOST_TICKS_PER_BEAT, tempo, SLOWEST_TEMPO);
    struct plan plan = {
        .path = path, .ticks_per_beat = ticks_per_beat, .tempo = tempo, .write = write};
    plan.notes = calloc(notes->count + 1, sizeof *plan.notes);
    plan.events = calloc(4 * notes->count + 1, sizeof *plan.events);
    enum status status = STATUS_OK;
    if (plan.notes && plan.events)
        status = write_planned(&plan, notes);
    else
        status =
            status_fail(STATUS_FAILED, "%s: no memory for %zu notes", path, notes->count);
    free(plan.notes);
    free(plan.events);
    return status;
}

enum status midi_write(const char *path, const struct notes *notes, int ticks_per_beat,
                       int tempo)
{
    return write_notes(path, notes, ticks_per_beat, tempo, file_write);
}

enum status midi_write_own(const char *path, const struct notes *notes,
                           int ticks_per_beat, int tempo)
{
    return write_notes(path, notes, ticks_per_beat, tempo, file_write_own);
}
