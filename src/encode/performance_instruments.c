/* performance_instruments: notes -> tokens with PROGRAM or DRUM tokens.
 *
 * All events of the piece are collected as integers whose order is that of time,
 * instrument, NOTE_OFF before NOTE_ON, and pitch; then sorted and written. Onsets are
 * visited by ascending start, with the latest note of each pitch of each instrument. */
#include <stdlib.h>
#include <string.h>

#include "performance.h"

/* ---- events ---- */

/* From the least significant bit: bin, pitch, 1 for NOTE_ON and DRUM, instrument, step. */
enum { BIN_BITS = 5, PITCH_BITS = 7, INSTRUMENT_BITS = 8 };
enum {
    PITCH_AT = BIN_BITS,
    ON_AT = PITCH_AT + PITCH_BITS,
    INSTRUMENT_AT = ON_AT + 1,
    TIME_AT = INSTRUMENT_AT + INSTRUMENT_BITS
};

static uint32_t event_time(uint64_t event)
{
    return (uint32_t)(event >> TIME_AT);
}

static unsigned event_instrument(uint64_t event)
{
    return event >> INSTRUMENT_AT & ((1u << INSTRUMENT_BITS) - 1);
}

struct events {
    uint64_t *items;
    uint64_t *buffer; /* as long; for sorting */
    size_t count;
};

static enum status allocate_events(struct events *events, size_t onsets)
{
    size_t capacity = 2 * onsets + 1;
    events->items = malloc(capacity * sizeof *events->items);
    events->buffer = malloc(capacity * sizeof *events->buffer);
    if (!events->items || !events->buffer)
        return status_fail(STATUS_FAILED, "no memory to encode %zu notes", onsets);
    return STATUS_OK;
}

static void free_events(struct events *events)
{
    free(events->items);
    free(events->buffer);
}

static void add_event(struct events *events, uint32_t time, unsigned instrument, bool on,
                      unsigned pitch, int bin)
{
    events->items[events->count++] =
        (uint64_t)time << TIME_AT | (uint64_t)instrument << INSTRUMENT_AT |
        (uint64_t)on << ON_AT | (uint64_t)pitch << PITCH_AT | (uint64_t)bin;
}

/* Radix sort by bytes, from the least significant; bytes that are equal in all events are
 * skipped. */
static void sort_events(struct events *events)
{
    enum { BYTES = sizeof(uint64_t), VALUES = 256 };
    size_t starts[BYTES][VALUES] = {{0}};
    for (size_t i = 0; i < events->count; i++)
        for (int byte = 0; byte < BYTES; byte++)
            starts[byte][events->items[i] >> 8 * byte & 255]++;
    for (int byte = 0; byte < BYTES && events->count > 0; byte++) {
        size_t *start = starts[byte], sum = 0;
        if (start[events->items[0] >> 8 * byte & 255] == events->count)
            continue;
        for (int value = 0; value < VALUES; value++) {
            size_t count = start[value];
            start[value] = sum;
            sum += count;
        }
        for (size_t i = 0; i < events->count; i++)
            events->buffer[start[events->items[i] >> 8 * byte & 255]++] =
                events->items[i];
        uint64_t *sorted = events->buffer;
        events->buffer = events->items;
        events->items = sorted;
    }
}

/* ---- onsets -> events ---- */

struct latest_note {     /* of a pitch of an instrument */
    uint32_t start, end; /* end 0: none yet */
    uint8_t velocity;
};

struct latest_notes {
    struct latest_note notes[INSTRUMENTS][PITCHES];
    bool plays[INSTRUMENTS];
};

/* Adds the events of a note that ends at `end`. */
static void add_note(struct events *events, unsigned instrument, unsigned pitch,
                     const struct latest_note *note, uint32_t end)
{
    int bin = velocity_bin(note->velocity);
    add_event(events, note->start, instrument, true, pitch, bin);
    if (instrument != PERCUSSION)
        add_event(events, end, instrument, false, pitch, 0);
}

/* A note of this pitch begins: merges it with one that begins in the same step;
 * otherwise the latest note ends, and if it would have lasted longer, so does the new
 * one. */
static void begin_note(struct latest_notes *latest, const struct onset *onset,
                       struct events *events)
{
    struct latest_note *note = &latest->notes[onset->program][onset->pitch];
    uint32_t end = onset->end;
    uint8_t velocity = onset->velocity;
    latest->plays[onset->program] = true;
    if (note->end > 0) {
        bool merged = note->start == onset->start;
        if (!merged)
            add_note(events, onset->program, onset->pitch, note,
                     note->end < onset->start ? note->end : onset->start);
        if (note->end > end)
            end = note->end;
        if (merged && note->velocity > velocity)
            velocity = note->velocity;
    }
    *note = (struct latest_note){onset->start, end, velocity};
}

static void collect_events(const struct onsets *onsets, struct latest_notes *latest,
                           struct events *events)
{
    for (size_t i = 0; i < onsets->count; i++)
        begin_note(latest, &onsets->items[i], events);
    for (unsigned instrument = 0; instrument < INSTRUMENTS; instrument++)
        for (unsigned pitch = 0; latest->plays[instrument] && pitch < PITCHES; pitch++) {
            const struct latest_note *note = &latest->notes[instrument][pitch];
            if (note->end > 0)
                add_note(events, instrument, pitch, note, note->end);
        }
}

/* ---- events -> tokens ---- */

struct writer {
    const struct encoding *encoding;
    token *at;     /* the next token to write */
    uint32_t time; /* in steps */
    int program, bin;
};

static void write_event(struct writer *writer, uint64_t event)
{
    unsigned instrument = event_instrument(event);
    int pitch = event >> PITCH_AT & (PITCHES - 1), bin = event & (VELOCITY_BINS - 1);
    bool on = event >> ON_AT & 1;
    writer->at = performance_write_shifts(writer->at, event_time(event) - writer->time);
    writer->time = event_time(event);
    if (instrument != PERCUSSION && (int)instrument != writer->program) {
        writer->program = (int)instrument;
        *writer->at++ = (token)(PROGRAM + writer->program);
    }
    if (on && bin != writer->bin) {
        writer->bin = bin;
        *writer->at++ = (token)(VELOCITY + bin);
    }
    int first = instrument == PERCUSSION ? first_drum(writer->encoding)
                : on                     ? NOTE_ON
                                         : NOTE_OFF;
    *writer->at++ = (token)(first + pitch);
}

/* Writes the events of a step, beginning with those of the program in force. */
static void write_step(struct writer *writer, const uint64_t *events, size_t count)
{
    size_t first = 0;
    while (first < count && (int)event_instrument(events[first]) != writer->program)
        first++;
    for (size_t i = first; i < count; i++)
        write_event(writer, events[i]);
    for (size_t i = 0; i < first; i++)
        write_event(writer, events[i]);
}

static enum status write_events(const struct encoding *self, const struct events *events,
                                struct tokens *out)
{
    size_t count = events->count;
    if (count == 0)
        return STATUS_OK;
    uint32_t last = event_time(events->items[count - 1]);
    enum status status = tokens_reserve(out, 4 * count + last / SHIFT_MAX);
    if (status != STATUS_OK)
        return status;
    struct writer writer = {.encoding = self,
                            .at = out->items + out->count,
                            .program = self->keeps_programs ? NO_PROGRAM : 0,
                            .bin = NO_BIN};
    for (size_t first = 0, next; first < count; first = next) {
        next = first + 1;
        while (next < count &&
               event_time(events->items[next]) == event_time(events->items[first]))
            next++;
        write_step(&writer, events->items + first, next - first);
    }
    out->count = (size_t)(writer.at - out->items);
    return STATUS_OK;
}

enum status performance_encode_instruments(const struct encoding *self,
                                           const struct notes *notes, struct tokens *out)
{
    size_t count_before = out->count;
    struct onsets onsets = {0};
    struct events events = {0};
    struct latest_notes *latest = NULL;
    enum status status = performance_quantise(self, notes, &onsets);
    if (status == STATUS_OK)
        status = onsets_truncate(&onsets);
    if (status == STATUS_OK)
        status = allocate_events(&events, onsets.count);
    if (status == STATUS_OK) {
        latest = calloc(1, sizeof *latest);
        if (!latest)
            status =
                status_fail(STATUS_FAILED, "no memory to encode %zu notes", notes->count);
    }
    if (status == STATUS_OK) {
        collect_events(&onsets, latest, &events);
        sort_events(&events);
        status = write_events(self, &events, out);
    }
    if (status == STATUS_OK && out->count - count_before > ENCODING_TOKENS_MAX)
        status = encoding_fail_too_long(self, notes);
    if (status != STATUS_OK)
        out->count = count_before;
    free(latest);
    free_events(&events);
    onsets_free(&onsets);
    return status;
}
