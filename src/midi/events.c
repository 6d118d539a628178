/* events: channel events of a track -> notes, part events, pedal events.
 *
 * An event is checked completely before it has any effect, so reading can return to the
 * start of an event that is truncated; if the chunk's length turns out to be too small,
 * reading resumes there.
 *
 * A data byte above 127 is still read as a data byte, as players do: the event keeps its
 * length and reading stays in sync. Only if no valid events follow then, but some do if
 * the byte is taken as the status of the next event, have data bytes been lost; the byte
 * is then read as that status.
 */
#include "track_internal.h"

enum { /* upper halves of status bytes */
       NOTE_OFF = 0x8,
       NOTE_ON = 0x9,
       CONTROL = 0xB,
       PROGRAM = 0xC
};

enum {
    PEDAL_DOWN = 64,
    CONTROL_BANK = 0,
    CONTROL_RESET = 121,
    CONTROL_ALL_NOTES_OFF = 123
};

/* ---- effects ---- */

static enum event_result note_on(struct track *track, uint32_t key, uint8_t velocity)
{
    struct reader *reader = track->reader;
    struct notes *notes = &track->file->notes;
    uint64_t limit = reader->limits->max_notes;
    if (limit && notes->count >= limit) {
        reader_skip(reader, "more than %llu notes", (unsigned long long)limit);
        return READER_STOPPED;
    }
    struct keys *keys = track->keys;
    uint32_t index = (uint32_t)notes->count;
    struct note *note = notes_add(notes);
    if (!note) {
        reader_no_memory(reader);
        return READER_STOPPED;
    }
    *note = (struct note){
        .start_tick = (uint32_t)track->tick,
        .track = track->index,
        .pitch = (uint8_t)(key % PITCHES),
        .velocity = velocity,
        .channel = (uint8_t)(key / PITCHES),
        .percussion = key / PITCHES == PERCUSSION_CHANNEL,
        .port = track->port,
    };
    uint64_t bit = (uint64_t)1 << (key % 64);
    if (keys->sounding[key / 64] & bit)
        notes->items[keys->newest[key]].duration_ticks = index;
    else
        keys->oldest[key] = index;
    keys->newest[key] = index;
    keys->sounding[key / 64] |= bit;
    return EVENT_READ;
}

static void note_off(struct track *track, uint32_t key)
{
    struct keys *keys = track->keys;
    uint64_t bit = (uint64_t)1 << (key % 64);
    if (!(keys->sounding[key / 64] & bit))
        return;
    uint32_t index = keys->oldest[key];
    struct note *note = &track->file->notes.items[index];
    if (index == keys->newest[key])
        keys->sounding[key / 64] &= ~bit;
    else
        keys->oldest[key] = note->duration_ticks;
    note->duration_ticks = (uint32_t)track->tick - note->start_tick;
}

void track_release_keys(struct track *track, uint32_t first_word, uint32_t words)
{
    uint64_t *sounding = track->keys->sounding;
    for (uint32_t word = first_word; word < first_word + words; word++)
        while (sounding[word])
            note_off(track, word * 64 + (uint32_t)__builtin_ctzll(sounding[word]));
}

enum event_result track_append_pedal(struct track *track, uint32_t channel, uint8_t value)
{
    uint16_t bit = (uint16_t)(1u << channel);
    uint16_t *down = &track->reader->pedals_down[track->port];
    *down = (uint16_t)(value >= PEDAL_DOWN ? *down | bit : *down & ~bit);
    return track_append(track, &track->reader->pedals, MIDI_SUSTAIN << 8 | value,
                        channel);
}

static enum event_result handle_bank(struct track *track, uint32_t channel, uint8_t value)
{
    enum { FIRST_SPECIAL = 120 }; /* lower values matter only after an XG reset */
    struct reader *reader = track->reader;
    reader->parts_need_replay |= value >= FIRST_SPECIAL;
    return track_append(track, &reader->parts, PART_BANK << PART_DATA_BITS | value,
                        channel);
}

static enum event_result handle_controller(struct track *track, uint32_t channel,
                                           uint8_t number, uint8_t value)
{
    if (number == CONTROL_BANK)
        return handle_bank(track, channel, value);
    if (number == MIDI_SUSTAIN)
        return track_append_pedal(track, channel, value);
    if (number == CONTROL_RESET)
        return track_append_pedal(track, channel, 0);
    if (number != MIDI_ALL_SOUND_OFF && number < CONTROL_ALL_NOTES_OFF)
        return EVENT_READ;
    track_release_keys(track, channel * PITCHES / 64, PITCHES / 64);
    if (number == MIDI_ALL_SOUND_OFF &&
        track_append(track, &track->reader->pedals, MIDI_ALL_SOUND_OFF << 8, channel) !=
            EVENT_READ)
        return READER_STOPPED;
    return track_append(track, &track->reader->all_off, 0, channel);
}

static enum event_result handle_program(struct track *track, uint32_t channel,
                                        uint32_t value)
{
    if (channel == PERCUSSION_CHANNEL)
        value |= PART_PERCUSSION;
    return track_append(track, &track->reader->parts, value, channel);
}

/* ---- channel events ---- */

static enum event_result read_note(struct track *track, uint32_t key, uint8_t velocity)
{
    if (velocity > 0)
        return note_on(track, key, velocity);
    note_off(track, key);
    return EVENT_READ;
}

static enum event_result read_channel_event(struct track *track, uint8_t status);

/* A channel event with a data byte above 127 is ignored, unless the byte is a velocity or
 * the value of a controller. Not inlined, because that would slow down the common
 * path. */
static __attribute__((noinline)) enum event_result repair_data_bytes(struct track *track,
                                                                     uint8_t status)
{
    size_t length = midi_data_length(status);
    const uint8_t *data = track->at, *high = data + (data[0] <= 127);
    if (*high < FIRST_SYSTEM &&
        !events_are_plausible(data + length, track->end, status, true) &&
        events_are_plausible(high, track->end, 0, false)) {
        track->file->repairs |= MIDI_REPAIR_SHORT;
        track->running = track->last_status = *high;
        track->at = high + 1;
        return read_channel_event(track, *high); /* complete: checked */
    }
    track->file->repairs |= MIDI_REPAIR_DATA;
    if (data[0] <= 127 && (status >> 4 != CONTROL || data[0] != CONTROL_BANK))
        return EVENT_REPAIRED;
    track->at += length;
    return EVENT_READ;
}

static enum event_result read_channel_event(struct track *track, uint8_t status)
{
    uint32_t kind = status >> 4, channel = status & 0xf;
    size_t length = midi_data_length(status);
    if ((size_t)(track->end - track->at) < length)
        return EVENT_TRUNCATED;
    uint8_t first = track->at[0], second = length == 2 ? track->at[1] : 0;
    if ((first | second) > 127) {
        enum event_result result = repair_data_bytes(track, status);
        if (result != EVENT_REPAIRED)
            return result;
        second = 127;
    }
    track->at += length;
    if (kind <= NOTE_ON) /* most events */
        return read_note(track, channel * PITCHES + first, kind == NOTE_ON ? second : 0);
    switch (kind) {
    case CONTROL:
        return handle_controller(track, channel, first, second);
    case PROGRAM:
        return handle_program(track, channel, first);
    default:
        return EVENT_READ;
    }
}

/* Data bytes without a preceding status byte. */
static enum event_result read_running_event(struct track *track)
{
    if (track->running)
        return read_channel_event(track, track->running);
    track->file->repairs |= MIDI_REPAIR_STATUS;
    if (track->last_status) {
        track->running = track->last_status;
        return read_channel_event(track, track->running);
    }
    if (track->end - track->at < 2)
        return EVENT_TRUNCATED;
    track->at += 1 + (track->at[1] <= 127);
    return EVENT_READ;
}

/* ---- all events ---- */

/* An event after its delta time. */
static enum event_result read_message(struct track *track)
{
    uint8_t status = *track->at;
    if (status < 0x80)
        return read_running_event(track);
    track->at++;
    if (status < FIRST_SYSTEM) {
        track->running = track->last_status = status;
        return read_channel_event(track, status);
    }
    track->running = 0;
    if (status == META)
        return track_read_meta(track);
    if (status == SYSEX || status == SYSEX_MORE)
        return track_read_sysex(track, status);
    return track_read_system(track, status);
}

static enum event_result read_event(struct track *track)
{
    uint32_t delta;
    enum event_result result = track_read_vlq(track, &delta);
    if (result != EVENT_READ)
        return result;
    track->tick += delta;
    if (track->at == track->end)
        return EVENT_TRUNCATED;
    return track->tick > UINT32_MAX ? EVENT_TOO_LATE : read_message(track);
}

/* Reads note events up to the first event that is not an undamaged note event, which
 * read_event then reads. Most events are notes; one loop over them is twice as fast. */
static enum event_result read_notes(struct track *track)
{
    enum { EVENT_BYTES = 7, STATUS_BIT = 0x80 }; /* delta time, status, data */
    enum event_result result = EVENT_READ;
    const uint8_t *at = track->at;
    uint64_t tick = track->tick;
    while (result == EVENT_READ && track->end - at >= EVENT_BYTES) {
        uint32_t delta = *at & 0x7f;
        for (int i = 0; i < 3 && *at & STATUS_BIT; i++)
            delta = delta << 7 | (*++at & 0x7f);
        bool is_complete = !(*at++ & STATUS_BIT);
        uint8_t status = *at & STATUS_BIT ? *at++ : track->running;
        bool is_note = status >= NOTE_OFF << 4 && status >> 4 <= NOTE_ON;
        tick += delta;
        if (!is_complete || !is_note || (at[0] | at[1]) > 127 || tick > UINT32_MAX)
            break;
        track->running = track->last_status = status;
        track->tick = tick;
        track->at = at += 2;
        result = read_note(track, (status & 0xfu) * PITCHES + at[-2],
                           status >> 4 == NOTE_ON ? at[-1] : 0);
    }
    return result;
}

enum event_result track_read_events(struct track *track)
{
    while (track->at < track->end) {
        if (read_notes(track) != EVENT_READ)
            return READER_STOPPED;
        if (track->at == track->end)
            break;
        const uint8_t *at = track->at;
        uint64_t tick = track->tick;
        uint8_t running = track->running;
        enum event_result result = read_event(track);
        if (result == EVENT_READ)
            continue;
        if (result == EVENT_TRUNCATED || result == EVENT_TOO_LATE) {
            track->at = at;
            track->tick = tick;
            track->running = running;
        }
        return result;
    }
    return EVENT_READ;
}
