/* performance_decode: tokens -> notes. */
#include <stdlib.h>
#include <string.h>

#include "performance.h"
#include "midi/instruments.h"

struct sounding_note {
    uint64_t start; /* in steps */
    int velocity;   /* 0: none sounds */
};

struct decoder {
    struct notes *out;
    uint64_t time; /* in steps */
    int velocity, program;
    struct sounding_note *sounding; /* [instruments][PITCHES] */
    size_t instruments;
};

static enum status append_note(struct decoder *decoder, int instrument, int pitch,
                               uint64_t end)
{
    struct sounding_note *note =
        &decoder->sounding[(size_t)instrument * PITCHES + (size_t)pitch];
    struct notes *out = decoder->out;
    int velocity = note->velocity;
    note->velocity = 0;
    if (velocity == 0 || end <= note->start)
        return STATUS_OK;
    enum status status = decoded_append(out, (double)note->start / STEPS_PER_SECOND,
                                        (double)end / STEPS_PER_SECOND, pitch, velocity);
    if (status != STATUS_OK)
        return status;
    struct note *added = &out->items[out->count - 1];
    added->percussion = instrument == PERCUSSION;
    added->program = added->percussion ? 0 : (uint8_t)instrument;
    return STATUS_OK;
}

/* A drum sounds for DRUM_STEPS, or until its next hit, which is now. */
static enum status end_drum(struct decoder *decoder, int pitch, uint64_t next_hit)
{
    uint64_t end =
        decoder->sounding[PERCUSSION * PITCHES + pitch].start + (uint64_t)DRUM_STEPS;
    return append_note(decoder, PERCUSSION, pitch, end < next_hit ? end : next_hit);
}

static enum status begin_note(struct decoder *decoder, int instrument, int pitch)
{
    enum status status = instrument == PERCUSSION
                             ? end_drum(decoder, pitch, decoder->time)
                             : append_note(decoder, instrument, pitch, decoder->time);
    decoder->sounding[instrument * PITCHES + pitch] =
        (struct sounding_note){decoder->time, decoder->velocity};
    return status;
}

static enum status decode_event(struct decoder *decoder, struct performance_event event)
{
    switch (event.kind) {
    case EVENT_NOTE_ON:
        return begin_note(decoder, decoder->program, event.number);
    case EVENT_NOTE_OFF:
        return append_note(decoder, decoder->program, event.number, decoder->time);
    case EVENT_TIME_SHIFT:
        decoder->time += (uint64_t)event.number;
        return STATUS_OK;
    case EVENT_VELOCITY:
        decoder->velocity = bin_velocity(event.number);
        return STATUS_OK;
    case EVENT_PROGRAM:
        decoder->program = event.number;
        return STATUS_OK;
    case EVENT_DRUM:
        return begin_note(decoder, PERCUSSION, event.number);
    case EVENT_END:
    case EVENT_UNKNOWN:
        break;
    }
    return STATUS_OK;
}

static enum status end_all(struct decoder *decoder)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < (int)decoder->instruments; i++)
        for (int pitch = 0; pitch < PITCHES && status == STATUS_OK; pitch++)
            status = i == PERCUSSION ? end_drum(decoder, pitch, UINT64_MAX)
                                     : append_note(decoder, i, pitch, decoder->time);
    return status;
}

/* Velocity and program remain in force. */
static void forget_notes(struct decoder *decoder, size_t count_before)
{
    decoder->time = 0;
    memset(decoder->sounding, 0,
           decoder->instruments * PITCHES * sizeof *decoder->sounding);
    decoder->out->count = count_before;
}

enum status performance_decode(const struct encoding *self, const token *tokens,
                               size_t count, size_t skip, struct notes *out)
{
    bool plain = !self->keeps_programs && !self->keeps_drums;
    struct decoder decoder = {.out = out,
                              .velocity = ENCODING_VELOCITY,
                              .instruments = plain ? 1 : INSTRUMENTS};
    enum status status = STATUS_OK;
    size_t count_before = out->count;
    decoder.sounding = calloc(decoder.instruments * PITCHES, sizeof *decoder.sounding);
    if (!decoder.sounding)
        return status_fail(STATUS_FAILED, "no memory to decode %zu tokens", count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (i == skip)
            forget_notes(&decoder, count_before);
        status = decode_event(&decoder, performance_event_of(self, tokens[i]));
    }
    if (skip >= count)
        forget_notes(&decoder, count_before);
    if (status == STATUS_OK)
        status = end_all(&decoder);
    free(decoder.sounding);
    decoded_finish(out);
    if (!plain)
        instruments_assign_channels(out);
    return status;
}
