/* remi_encode: notes -> tokens of remi. */
#include <math.h>
#include <stdlib.h>

#include "remi.h"

/* ---- time: from ticks of the file to grid steps ---- */

enum { SMPTE_SCALE = 1001, DECODED_BEATS_PER_SECOND = 2 };

/* grid steps = ticks * multiplier / divisor; see pianoroll.c for SMPTE. */
struct scale {
    uint64_t multiplier, divisor;
};

/* Bars of one time signature, from grid step `start` on. */
struct section {
    uint64_t start;
    int signature;
};

struct timeline {
    const struct encoding *encoding;
    struct scale scale;
    struct section *sections;
    size_t count;
};

static enum status find_scale(const struct notes *notes, struct scale *scale)
{
    *scale = (struct scale){REMI_QUARTER, (uint64_t)llround(notes->ticks_per_beat)};
    if (notes->ticks_per_second > 0)
        *scale = (struct scale){(uint64_t)REMI_QUARTER * DECODED_BEATS_PER_SECOND *
                                    SMPTE_SCALE,
                                (uint64_t)llround(notes->ticks_per_second * SMPTE_SCALE)};
    return scale->divisor
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "notes without a division: neither ticks per "
                                            "beat nor ticks per second");
}

/* round(steps of `ticks` / length), halves up; `start` grid steps are subtracted. */
static uint64_t round_steps(const struct scale *scale, uint64_t ticks, uint64_t start,
                            uint64_t length)
{
    uint64_t steps = ticks * scale->multiplier - start * scale->divisor;
    uint64_t unit = length * scale->divisor;
    return (2 * steps + unit) / (2 * unit);
}

/* The section in force at a tick, from sections[from] on. */
static size_t find_section(const struct timeline *timeline, size_t from, uint32_t tick)
{
    while (from + 1 < timeline->count &&
           timeline->sections[from + 1].start * timeline->scale.divisor <=
               tick * timeline->scale.multiplier)
        from++;
    return from;
}

/* The section of a grid step, from sections[from] on. */
static const struct section *section_at(const struct timeline *timeline, size_t from,
                                        uint64_t time)
{
    while (from + 1 < timeline->count && timeline->sections[from + 1].start <= time)
        from++;
    return &timeline->sections[from];
}

/* The grid step of the position nearest to a tick in a section. */
static uint64_t nearest_position(const struct timeline *timeline,
                                 const struct section *section, uint32_t tick)
{
    uint64_t length = remi_position_length(timeline->encoding, section->signature);
    return section->start +
           length * round_steps(&timeline->scale, tick, section->start, length);
}

/* The start of the bar at a tick or of the next one; the start of a bar that began less
 * than a position before. */
static uint64_t next_bar(const struct timeline *timeline, uint32_t tick)
{
    const struct section *last = &timeline->sections[timeline->count - 1];
    const struct scale *scale = &timeline->scale;
    uint64_t bar = remi_bar_length(last->signature),
             position = remi_position_length(timeline->encoding, last->signature),
             steps = tick * scale->multiplier / scale->divisor;
    if (steps <= last->start)
        return last->start;
    uint64_t positions = (steps - last->start) / position;
    return last->start + (positions * position + bar - 1) / bar * bar;
}

static void add_section(struct timeline *timeline, uint64_t start, int signature)
{
    if (timeline->sections[timeline->count - 1].start == start)
        timeline->count--;
    if (timeline->count == 0 ||
        timeline->sections[timeline->count - 1].signature != signature)
        timeline->sections[timeline->count++] = (struct section){start, signature};
}

static enum status make_timeline(const struct encoding *encoding,
                                 const struct notes *notes, struct timeline *timeline)
{
    *timeline = (struct timeline){.encoding = encoding};
    enum status status = find_scale(notes, &timeline->scale);
    if (status != STATUS_OK)
        return status;
    const struct time_signatures *signatures = &notes->signatures;
    bool uses = remi_has(encoding, REMI_TIME_SIGNATURE);
    timeline->sections = calloc(signatures->count + 1, sizeof *timeline->sections);
    if (!timeline->sections)
        return status_fail(STATUS_FAILED, "no memory to encode %zu time signatures",
                           signatures->count);
    timeline->sections[timeline->count++] = (struct section){0, REMI_COMMON_TIME};
    for (size_t i = 0; uses && i < signatures->count; i++) {
        const struct time_signature *metre = &signatures->items[i];
        int signature =
            remi_find_time_signature(metre->numerator, metre->denominator_log2);
        if (signature >= 0)
            add_section(timeline, next_bar(timeline, metre->tick), signature);
    }
    return STATUS_OK;
}

/* ---- notes and tempos on the grid ---- */

struct event { /* a note that begins, by time, then key */
    uint64_t time;
    uint16_t key; /* program * 128 + pitch */
    uint8_t velocity;
    uint16_t duration;
};

struct tempo {
    uint64_t time;
    int index;
};

struct piece {
    struct timeline timeline;
    struct event *events;
    struct tempo *tempos; /* in force from their time on, the first at 0 */
    size_t count, tempo_count;
};

bool remi_encodes_note(const struct encoding *self, const struct note *note)
{
    return !note->percussion || remi_has(self, REMI_DRUM);
}

static uint16_t key_of(const struct encoding *encoding, const struct note *note)
{
    int program = remi_has(encoding, REMI_PROGRAM) ? note->program & 127 : 0;
    if (note->percussion)
        program = REMI_DRUMS;
    return (uint16_t)(program * PITCHES + (note->pitch & (PITCHES - 1)));
}

static uint8_t velocity_bin(unsigned velocity)
{
    return (uint8_t)((velocity - (velocity > 0)) / 4 % REMI_VELOCITIES);
}

/* The DURATION of a note that begins in a section. */
static uint16_t duration_of(const struct timeline *timeline,
                            const struct section *section, const struct note *note)
{
    uint64_t position = remi_position_length(timeline->encoding, section->signature);
    uint64_t positions = round_steps(&timeline->scale, note->duration_ticks, 0, position);
    return (uint16_t)remi_nearest_duration(timeline->encoding, positions);
}

static int compare_events(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

/* Merges events of a time and key. */
static void merge_events(struct piece *piece)
{
    size_t kept = 0;
    for (size_t i = 0; i < piece->count; i++) {
        const struct event *event = &piece->events[i];
        struct event *last = kept ? &piece->events[kept - 1] : NULL;
        if (!last || compare_events(last, event) != 0) {
            piece->events[kept++] = *event;
            continue;
        }
        last->velocity =
            last->velocity > event->velocity ? last->velocity : event->velocity;
        last->duration =
            last->duration > event->duration ? last->duration : event->duration;
    }
    piece->count = kept;
}

static enum status place_notes(const struct encoding *self, const struct notes *notes,
                               struct piece *piece)
{
    const struct timeline *timeline = &piece->timeline;
    size_t at = 0;
    piece->events = malloc((notes->count + 1) * sizeof *piece->events);
    if (!piece->events)
        return status_fail(STATUS_FAILED, "no memory to encode %zu notes", notes->count);
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (!remi_encodes_note(self, note))
            continue;
        at = find_section(timeline, at, note->start_tick);
        uint64_t time =
            nearest_position(timeline, &timeline->sections[at], note->start_tick);
        piece->events[piece->count++] = (struct event){
            .time = time,
            .key = key_of(self, note),
            .velocity = velocity_bin(note->velocity),
            .duration = duration_of(timeline, section_at(timeline, at, time), note)};
    }
    qsort(piece->events, piece->count, sizeof *piece->events, compare_events);
    merge_events(piece);
    return STATUS_OK;
}

static enum status place_tempos(const struct encoding *self, const struct notes *notes,
                                struct piece *piece)
{
    const struct tempo_changes *changes = &notes->tempos;
    size_t at = 0;
    if (!remi_has(self, REMI_TEMPO))
        return STATUS_OK;
    piece->tempos = malloc((changes->count + 1) * sizeof *piece->tempos);
    if (!piece->tempos)
        return status_fail(STATUS_FAILED, "no memory to encode %zu tempos",
                           changes->count);
    piece->tempos[piece->tempo_count++] =
        (struct tempo){0, remi_nearest_tempo(DEFAULT_TEMPO)};
    for (size_t i = 0; i < changes->count; i++) {
        uint32_t tick = changes->items[i].tick;
        at = find_section(&piece->timeline, at, tick);
        const struct section *section = &piece->timeline.sections[at];
        uint64_t time = nearest_position(&piece->timeline, section, tick);
        piece->tempo_count -= piece->tempos[piece->tempo_count - 1].time == time;
        piece->tempos[piece->tempo_count++] =
            (struct tempo){time, remi_nearest_tempo(changes->items[i].tempo)};
    }
    return STATUS_OK;
}

static enum status place(const struct encoding *self, const struct notes *notes,
                         struct piece *piece)
{
    *piece = (struct piece){0};
    enum status status = make_timeline(self, notes, &piece->timeline);
    if (status == STATUS_OK)
        status = place_notes(self, notes, piece);
    if (status == STATUS_OK)
        status = place_tempos(self, notes, piece);
    return status;
}

static void free_piece(struct piece *piece)
{
    free(piece->timeline.sections);
    free(piece->events);
    free(piece->tempos);
}

/* ---- tokens ---- */

struct encoder {
    const struct encoding *encoding;
    const struct notes *notes;
    const struct piece *piece;
    struct tokens *out;
    size_t limit;    /* of out->count */
    size_t section;  /* of the bar */
    uint64_t bar;    /* start of the bar */
    uint64_t next;   /* start of the next bar */
    int position;    /* last of the bar; -1: none */
    size_t tempo;    /* the next one */
    int tempo_index; /* in force; -1: none */
};

static enum status emit(struct encoder *encoder, enum remi_kind kind, int index)
{
    if (encoder->out->count >= encoder->limit)
        return encoding_fail_too_long(encoder->encoding, encoder->notes);
    return tokens_append(encoder->out,
                         (token)(encoder->encoding->remi.first[kind] + index));
}

/* Begins the bar at encoder->next. */
static enum status begin_bar(struct encoder *encoder)
{
    const struct timeline *timeline = &encoder->piece->timeline;
    while (encoder->section + 1 < timeline->count &&
           timeline->sections[encoder->section + 1].start <= encoder->next)
        encoder->section++;
    int signature = timeline->sections[encoder->section].signature;
    encoder->bar = encoder->next;
    encoder->next += remi_bar_length(signature);
    encoder->position = -1;
    enum status status = emit(encoder, REMI_BAR, 0);
    if (status == STATUS_OK && remi_has(encoder->encoding, REMI_TIME_SIGNATURE))
        status = emit(encoder, REMI_TIME_SIGNATURE, signature);
    return status;
}

/* Writes the bars up to a time, and its position if it is not the current one. */
static enum status go_to(struct encoder *encoder, uint64_t time)
{
    enum status status = STATUS_OK;
    while (time >= encoder->next && status == STATUS_OK)
        status = begin_bar(encoder);
    int signature = encoder->piece->timeline.sections[encoder->section].signature;
    uint32_t length = remi_position_length(encoder->encoding, signature);
    int position = (int)((time - encoder->bar) / length);
    if (status != STATUS_OK || position == encoder->position)
        return status;
    encoder->position = position;
    return emit(encoder, REMI_POSITION, position);
}

/* Writes the tempo changes up to a time. */
static enum status write_tempos(struct encoder *encoder, uint64_t time)
{
    const struct piece *piece = encoder->piece;
    enum status status = STATUS_OK;
    for (; encoder->tempo < piece->tempo_count && status == STATUS_OK; encoder->tempo++) {
        const struct tempo *tempo = &piece->tempos[encoder->tempo];
        if (tempo->time > time)
            break;
        if (tempo->index == encoder->tempo_index)
            continue;
        encoder->tempo_index = tempo->index;
        status = go_to(encoder, tempo->time > encoder->bar ? tempo->time : encoder->bar);
        if (status == STATUS_OK)
            status = emit(encoder, REMI_TEMPO, tempo->index);
    }
    return status;
}

static enum status write_note(struct encoder *encoder, const struct event *event)
{
    int program = event->key / PITCHES, pitch = event->key % PITCHES;
    enum status status = STATUS_OK;
    if (remi_has(encoder->encoding, REMI_PROGRAM))
        status = emit(encoder, REMI_PROGRAM, program);
    if (status == STATUS_OK)
        status = emit(encoder, program == REMI_DRUMS ? REMI_DRUM : REMI_PITCH, pitch);
    if (status == STATUS_OK)
        status = emit(encoder, REMI_VELOCITY, event->velocity);
    return status == STATUS_OK ? emit(encoder, REMI_DURATION, event->duration) : status;
}

/* The start of the bar of the first note. */
static uint64_t find_first_bar(const struct piece *piece)
{
    uint64_t time = piece->events[0].time;
    const struct section *section = section_at(&piece->timeline, 0, time);
    uint32_t length = remi_bar_length(section->signature);
    return section->start + (time - section->start) / length * length;
}

static enum status write_piece(struct encoder *encoder)
{
    const struct piece *piece = encoder->piece;
    enum status status = STATUS_OK;
    if (piece->count == 0)
        return STATUS_OK;
    encoder->next = encoder->bar = find_first_bar(piece);
    while (encoder->tempo + 1 < piece->tempo_count &&
           piece->tempos[encoder->tempo + 1].time <= encoder->bar)
        encoder->tempo++;
    for (size_t i = 0; i < piece->count && status == STATUS_OK; i++) {
        status = write_tempos(encoder, piece->events[i].time);
        if (status == STATUS_OK)
            status = go_to(encoder, piece->events[i].time);
        if (status == STATUS_OK)
            status = write_note(encoder, &piece->events[i]);
    }
    return status;
}

enum status remi_encode(const struct encoding *self, const struct notes *notes,
                        struct tokens *out)
{
    size_t count_before = out->count;
    struct piece piece = {0};
    struct encoder encoder = {.encoding = self,
                              .notes = notes,
                              .piece = &piece,
                              .out = out,
                              .limit = count_before + ENCODING_TOKENS_MAX,
                              .position = -1,
                              .tempo_index = -1};
    enum status status = notes->count > 0 ? place(self, notes, &piece) : STATUS_OK;
    if (status == STATUS_OK)
        status = write_piece(&encoder);
    if (status != STATUS_OK)
        out->count = count_before;
    free_piece(&piece);
    return status;
}

enum status remi_find_grid_steps(const struct encoding *self, const struct notes *notes,
                                 double *first, double *length)
{
    struct piece piece = {0};
    enum status status = place(self, notes, &piece);
    *first = *length = 0;
    if (status == STATUS_OK) {
        const struct scale *scale = &piece.timeline.scale;
        *length = (double)scale->divisor / (double)scale->multiplier;
        if (piece.count > 0)
            *first = (double)find_first_bar(&piece) * *length;
    }
    free_piece(&piece);
    return status;
}
