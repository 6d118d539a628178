/* track: one MTrk chunk's events -> notes, tempos, part events, pedal events.
 *
 * An event is looked at completely before anything of it takes effect, so one that the
 * bytes cut short can be taken back; when the chunk's length turns out to have been too
 * small, reading goes on from there.
 *
 * A data byte above 127 is read in its place, as players do: whatever it meant, the event
 * has its length, and reading stays in step. Only if no events follow then, and some do
 * where that byte is the next event's status, data bytes were lost, and it is that.
 */
#include "reader.h"

#include <string.h>

enum taken {
    TAKEN,
    ENDED,    /* End of Track */
    CUT,      /* the bytes end inside the event */
    TOO_LATE, /* the event's tick can't be counted */
    MENDED,   /* the event counts, its second data byte as 127 */
    STOPPED   /* reader->stop is set */
};

enum { /* status bytes and their upper halves */
       NOTE_OFF = 0x8,
       NOTE_ON = 0x9,
       CONTROL = 0xB,
       PROGRAM = 0xC,
       FIRST_SYSTEM = 0xF0,
       SYSEX = 0xF0,
       SONG_POSITION = 0xF2,
       QUARTER_FRAME = 0xF1,
       SONG_SELECT = 0xF3,
       SYSEX_MORE = 0xF7,
       META = 0xFF
};

enum {
    META_DEVICE = 0x09,
    META_PORT = 0x21,
    META_END = 0x2F,
    META_TEMPO = 0x51,
    TEMPO_LENGTH = 3
};

enum {
    PEDAL_DOWN = 64,
    CONTROL_BANK = 0,
    CONTROL_RESET = 121,
    CONTROL_ALL_NOTES_OFF = 123
};

enum {
    SHORT_NUMBER = 4,        /* bytes of 7 bits that SMF 1.0 allows */
    NUMBER_MASK = 0xFFFFFFF, /* what they hold */
    SYSEX_KEPT = 64          /* bytes: none of those that matter is longer */
};

struct track {
    struct reader *reader;
    struct midi_file *file;
    const uint8_t *at, *end;
    struct keys *keys; /* of the port */
    uint64_t tick;
    struct port_name port_name;
    uint16_t index;
    uint8_t port;
    uint8_t running; /* the status that data bytes belong to; 0 none */
    uint8_t last;    /* the last channel status, cancelled or not; 0 none */
    bool sysex_open; /* a system exclusive message waits for its F7 */
    uint8_t sysex[SYSEX_KEPT];
    size_t sysex_length; /* of the message so far; more than SYSEX_KEPT: not kept */
};

/* Whole numbers of 32 or 64 bits are written like this where a time ran backwards: a
 * negative one, whose low 28 bits would be years, is taken as 0. */
static __attribute__((noinline)) enum taken take_long_number(struct track *track,
                                                             uint32_t *number)
{
    const uint8_t *at = track->at;
    uint32_t value = 0;
    uint8_t byte;
    do {
        if (at == track->end)
            return CUT;
        byte = *at++;
        value = value << 7 | (byte & 0x7f);
    } while (byte & 0x80);
    track->file->repairs |= MIDI_REPAIR_NUMBER;
    track->at = at;
    *number = value >> 24 == 0xFF ? 0 : value & NUMBER_MASK;
    return TAKEN;
}

static inline enum taken take_number(struct track *track, uint32_t *number)
{
    const uint8_t *at = track->at;
    uint32_t value = 0;
    uint8_t byte;
    do {
        if (at == track->end)
            return CUT;
        byte = *at++;
        value = value << 7 | (byte & 0x7f);
    } while (byte & 0x80);
    if (at - track->at > SHORT_NUMBER)
        return take_long_number(track, number);
    track->at = at;
    *number = value;
    return TAKEN;
}

/* A length and as many bytes. */
static enum taken take_block(struct track *track, const uint8_t **block, uint32_t *length)
{
    enum taken taken = take_number(track, length);
    if (taken != TAKEN)
        return taken;
    if (*length > (size_t)(track->end - track->at))
        return CUT;
    *block = track->at;
    track->at += *length;
    return TAKEN;
}

static enum taken note_on(struct track *track, uint32_t key, uint8_t velocity)
{
    struct reader *reader = track->reader;
    struct notes *notes = &track->file->notes;
    uint64_t limit = reader->limits->max_notes;
    if (limit && notes->count >= limit) {
        reader_skip(reader, "more than %llu notes", (unsigned long long)limit);
        return STOPPED;
    }
    struct keys *keys = track->keys;
    uint32_t index = (uint32_t)notes->count;
    struct note *note = notes_add(notes);
    if (!note) {
        reader_no_memory(reader);
        return STOPPED;
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
    return TAKEN;
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

static void all_notes_off(struct track *track, uint32_t first_word, uint32_t words)
{
    uint64_t *sounding = track->keys->sounding;
    for (uint32_t word = first_word; word < first_word + words; word++)
        while (sounding[word])
            note_off(track, word * 64 + (uint32_t)__builtin_ctzll(sounding[word]));
}

static enum taken keep(struct track *track, struct timed_list *list, uint32_t value,
                       uint32_t channel)
{
    uint32_t order = (uint32_t)list->count;
    struct timed *event = timed_add(list);
    if (!event) {
        reader_no_memory(track->reader);
        return STOPPED;
    }
    *event = (struct timed){
        .tick = (uint32_t)track->tick,
        .order = order,
        .notes = (uint32_t)track->file->notes.count,
        .value = value,
        .line = line_of(track->port, channel),
    };
    return TAKEN;
}

static enum taken pedal(struct track *track, uint32_t channel, uint8_t value)
{
    uint16_t bit = (uint16_t)(1u << channel);
    uint16_t *down = &track->reader->pedals_down[track->port];
    *down = (uint16_t)(value >= PEDAL_DOWN ? *down | bit : *down & ~bit);
    return keep(track, &track->reader->pedals, MIDI_SUSTAIN << 8 | value, channel);
}

static enum taken bank(struct track *track, uint32_t channel, uint8_t value)
{
    enum { FIRST_SPECIAL = 120 }; /* below, only XG's are, and its reset comes first */
    struct reader *reader = track->reader;
    reader->parts_differ |= value >= FIRST_SPECIAL;
    return keep(track, &reader->parts, PART_BANK << PART_DATA_BITS | value, channel);
}

static enum taken control(struct track *track, uint32_t channel, uint8_t number,
                          uint8_t value)
{
    if (number == CONTROL_BANK)
        return bank(track, channel, value);
    if (number == MIDI_SUSTAIN)
        return pedal(track, channel, value);
    if (number == CONTROL_RESET)
        return pedal(track, channel, 0);
    if (number != MIDI_ALL_SOUND_OFF && number < CONTROL_ALL_NOTES_OFF)
        return TAKEN;
    all_notes_off(track, channel * PITCHES / 64, PITCHES / 64);
    if (number == MIDI_ALL_SOUND_OFF &&
        keep(track, &track->reader->pedals, MIDI_ALL_SOUND_OFF << 8, channel) != TAKEN)
        return STOPPED;
    return keep(track, &track->reader->offs, 0, channel);
}

static enum taken program(struct track *track, uint32_t channel, uint32_t value)
{
    if (channel == PERCUSSION_CHANNEL)
        value |= PART_PERCUSSION;
    return keep(track, &track->reader->parts, value, channel);
}

static enum taken take_note(struct track *track, uint32_t key, uint8_t velocity)
{
    if (velocity > 0)
        return note_on(track, key, velocity);
    note_off(track, key);
    return TAKEN;
}

static enum taken take_channel_event(struct track *track, uint8_t status);

/* A channel event with a data byte above 127 is ignored, but for a velocity or the value
 * of a controller. Not inlined: it would slow down the common path. */
static __attribute__((noinline)) enum taken take_damaged(struct track *track,
                                                         uint8_t status)
{
    size_t length = midi_data_length(status);
    const uint8_t *data = track->at, *high = data + (data[0] <= 127);
    if (*high < FIRST_SYSTEM && !events_follow(data + length, track->end, status, true) &&
        events_follow(high, track->end, 0, false)) {
        track->file->repairs |= MIDI_REPAIR_SHORT;
        track->running = track->last = *high;
        track->at = high + 1;
        return take_channel_event(track, *high); /* whole: that was looked at */
    }
    track->file->repairs |= MIDI_REPAIR_DATA;
    if (data[0] <= 127 && (status >> 4 != CONTROL || data[0] != CONTROL_BANK))
        return MENDED;
    track->at += length;
    return TAKEN;
}

static enum taken take_channel_event(struct track *track, uint8_t status)
{
    uint32_t kind = status >> 4, channel = status & 0xf;
    size_t length = midi_data_length(status);
    if ((size_t)(track->end - track->at) < length)
        return CUT;
    uint8_t first = track->at[0], second = length == 2 ? track->at[1] : 0;
    if ((first | second) > 127) {
        enum taken taken = take_damaged(track, status);
        if (taken != MENDED)
            return taken;
        second = 127;
    }
    track->at += length;
    if (kind <= NOTE_ON) /* nearly all are */
        return take_note(track, channel * PITCHES + first, kind == NOTE_ON ? second : 0);
    switch (kind) {
    case CONTROL:
        return control(track, channel, first, second);
    case PROGRAM:
        return program(track, channel, first);
    default:
        return TAKEN;
    }
}

/* Data bytes without a status in front of them. */
static enum taken take_running_event(struct track *track)
{
    if (track->running)
        return take_channel_event(track, track->running);
    track->file->repairs |= MIDI_REPAIR_STATUS;
    if (track->last) {
        track->running = track->last;
        return take_channel_event(track, track->running);
    }
    if (track->end - track->at < 2)
        return CUT;
    track->at += 1 + (track->at[1] <= 127);
    return TAKEN;
}

static enum taken take_tempo(struct track *track, const uint8_t *data, uint32_t length)
{
    uint32_t tempo = 0;
    if (length >= TEMPO_LENGTH)
        tempo = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];
    if (tempo == 0) {
        track->file->repairs |= MIDI_REPAIR_TEMPO;
        return TAKEN;
    }
    track->file->tempo_events++;
    return keep(track, &track->reader->tempos, tempo, 0);
}

static enum taken change_port(struct track *track)
{
    struct ports *ports = &track->reader->ports;
    track->port = ports_find(ports, track->port_name);
    track->keys = ports_keys(ports, track->port);
    if (!track->keys) {
        reader_no_memory(track->reader);
        return STOPPED;
    }
    track->keys->touched = true;
    return TAKEN;
}

static enum taken take_meta(struct track *track)
{
    if (track->at == track->end)
        return CUT;
    uint8_t type = *track->at++;
    const uint8_t *data;
    uint32_t length;
    enum taken taken = take_block(track, &data, &length);
    if (taken != TAKEN)
        return taken;
    if (type == META_END)
        return ENDED;
    if (type == META_TEMPO)
        return take_tempo(track, data, length);
    if (type == META_PORT && length > 0) {
        track->port_name.number = data[0];
        return change_port(track);
    }
    if (type == META_DEVICE) {
        track->port_name.device = ports_find_device(&track->reader->ports, data, length);
        return change_port(track);
    }
    if (type > 127)
        track->file->repairs |= MIDI_REPAIR_META;
    return TAKEN;
}

static void collect_sysex(struct track *track, const uint8_t *data, uint32_t length)
{
    if (length > SYSEX_KEPT || track->sysex_length > SYSEX_KEPT - length) {
        track->sysex_length = SYSEX_KEPT + 1;
        return;
    }
    memcpy(track->sysex + track->sysex_length, data, length);
    track->sysex_length += length;
}

/* A message with its F7. */
static enum taken obey_sysex(struct track *track)
{
    struct reader *reader = track->reader;
    uint32_t value;
    uint8_t channel;
    if (track->sysex_length > SYSEX_KEPT ||
        !sysex_read(track->sysex, track->sysex_length - 1, &value, &channel))
        return TAKEN;
    reader->parts_differ |= value >> PART_DATA_BITS == PART_MODE ||
                            value == (PART_RESET << PART_DATA_BITS | SYSTEM_XG);
    return keep(track, &reader->parts, value, channel);
}

static enum taken take_sysex(struct track *track, uint8_t status)
{
    const uint8_t *data;
    uint32_t length;
    enum taken taken = take_block(track, &data, &length);
    if (taken != TAKEN)
        return taken;
    bool terminated = length > 0 && data[length - 1] == SYSEX_MORE;
    if (status == SYSEX) {
        if (track->sysex_open)
            track->file->repairs |= MIDI_REPAIR_SYSEX;
        track->sysex_length = 0;
    } else if (!track->sysex_open) {
        return TAKEN; /* an escape */
    }
    track->sysex_open = !terminated;
    collect_sysex(track, data, length);
    return terminated ? obey_sysex(track) : TAKEN;
}

/* System common and real-time messages have no place in a file, but some are there. */
static enum taken take_system(struct track *track, uint8_t status)
{
    int length = 0;
    if (status == SONG_POSITION)
        length = 2;
    else if (status == QUARTER_FRAME || status == SONG_SELECT)
        length = 1;
    while (length-- > 0 && track->at < track->end && *track->at < 0x80)
        track->at++;
    track->file->repairs |= MIDI_REPAIR_SYSTEM;
    return TAKEN;
}

/* An event without its delta time. */
static enum taken take_message(struct track *track)
{
    uint8_t status = *track->at;
    if (status < 0x80)
        return take_running_event(track);
    track->at++;
    if (status < FIRST_SYSTEM) {
        track->running = track->last = status;
        return take_channel_event(track, status);
    }
    track->running = 0;
    if (status == META)
        return take_meta(track);
    if (status == SYSEX || status == SYSEX_MORE)
        return take_sysex(track, status);
    return take_system(track, status);
}

static enum taken take_event(struct track *track)
{
    uint32_t delta;
    enum taken taken = take_number(track, &delta);
    if (taken != TAKEN)
        return taken;
    track->tick += delta;
    if (track->at == track->end)
        return CUT;
    return track->tick > UINT32_MAX ? TOO_LATE : take_message(track);
}

/* Events up to the end of the bytes or whatever else ends a track. Afterwards `at` is
 * behind the last event that was whole. */
static enum taken take_events(struct track *track)
{
    while (track->at < track->end) {
        const uint8_t *at = track->at;
        uint64_t tick = track->tick;
        uint8_t running = track->running;
        enum taken taken = take_event(track);
        if (taken == TAKEN)
            continue;
        if (taken == CUT || taken == TOO_LATE) {
            track->at = at;
            track->tick = tick;
            track->running = running;
        }
        return taken;
    }
    return TAKEN;
}

/* Notes that still sound end; repairs are noted. */
static void finish(struct track *track, enum taken how)
{
    struct ports *ports = &track->reader->ports;
    midi_repairs *repairs = &track->file->repairs;
    for (uint32_t port = 0; port < ports->count; port++) {
        track->keys = ports->keys[port];
        if (!track->keys || !track->keys->touched)
            continue;
        all_notes_off(track, 0, KEY_WORDS);
        track->keys->touched = false;
    }
    if (track->sysex_open)
        *repairs |= MIDI_REPAIR_SYSEX;
    if (how == TAKEN)
        *repairs |= MIDI_REPAIR_NO_END;
    else if (how == CUT)
        *repairs |= MIDI_REPAIR_CUT;
    else if (how == TOO_LATE)
        *repairs |= MIDI_REPAIR_TOO_LATE;
}

/* Format 2: this track was a pattern of its own; the next begins where it ended. */
static bool finish_pattern(struct track *track, size_t first_note)
{
    struct reader *reader = track->reader;
    for (uint32_t port = 0; port < reader->ports.count; port++) {
        track->port = (uint8_t)port;
        for (uint32_t channel = 0; channel < CHANNELS; channel++)
            if (reader->pedals_down[port] >> channel & 1 &&
                pedal(track, channel, 0) != TAKEN)
                return false;
    }
    reader->origin = track->tick;
    bool assigned = timing_assign_parts(reader, first_note);
    reader->parts.count = 0;
    reader->parts_differ = false;
    return assigned;
}

/* Where the next chunk begins. */
static const uint8_t *find_next(struct track *track, enum taken how,
                                const uint8_t *chunk_end, const uint8_t *file_end)
{
    midi_repairs *repairs = &track->file->repairs;
    if (track->at > chunk_end) {
        *repairs |= MIDI_REPAIR_LENGTH;
        return track->at;
    }
    if (how != ENDED || track->at == chunk_end)
        return chunk_end;
    if (file_end - track->at >= CHUNK_HEADER && memcmp(track->at, "MTrk", 4) == 0) {
        *repairs |= MIDI_REPAIR_LENGTH;
        return track->at;
    }
    *repairs |= MIDI_REPAIR_AFTER_END;
    return chunk_end;
}

bool track_read(struct reader *reader, const uint8_t *at, const uint8_t *end,
                const uint8_t *file_end, const uint8_t **next)
{
    struct midi_file *file = reader->file;
    struct track track = {
        .reader = reader,
        .file = file,
        .at = at,
        .end = end,
        .tick = reader->origin,
        .index = (uint16_t)file->tracks,
    };
    size_t first_note = file->notes.count, first_off = reader->offs.count;
    bool pattern = file->format == 2;
    if (change_port(&track) != TAKEN)
        return false;
    if (pattern && keep(&track, &reader->tempos, DEFAULT_TEMPO, 0) != TAKEN)
        return false;
    enum taken how = take_events(&track);
    if ((how == TAKEN || how == CUT) && !chunk_is_plausible(end, file_end)) {
        /* the length must have been too small: events go on where no chunk begins */
        track.end = chunk_find_track(end, file_end);
        how = take_events(&track);
    }
    if (how == STOPPED)
        return false;
    finish(&track, how);
    offs_end_track(reader, first_note, first_off);
    *next = find_next(&track, how, end, file_end);
    return !pattern || finish_pattern(&track, first_note);
}
