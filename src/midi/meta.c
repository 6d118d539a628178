/* meta: meta events, system exclusive and other system messages of a track. */
#include "track_internal.h"

#include <string.h>

enum { QUARTER_FRAME = 0xF1, SONG_POSITION = 0xF2, SONG_SELECT = 0xF3 };

enum {
    META_TRACK_NAME = 0x03,
    META_DEVICE = 0x09,
    META_PORT = 0x21,
    META_END = 0x2F,
    META_TEMPO = 0x51,
    META_TIME_SIGNATURE = 0x58,
    TEMPO_LENGTH = 3
};

/* ---- meta events ---- */

static enum event_result read_tempo(struct track *track, const uint8_t *data,
                                    uint32_t length)
{
    uint32_t tempo = 0;
    if (length >= TEMPO_LENGTH)
        tempo = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];
    if (tempo == 0) {
        track->file->repairs |= MIDI_REPAIR_TEMPO;
        return EVENT_READ;
    }
    track->file->tempo_events++;
    return track_append(track, &track->reader->tempos, tempo, 0);
}

/* Numerator and logarithm of the denominator; the other two bytes concern a metronome.
 * What can't be a time signature is ignored. */
static enum event_result read_signature(struct track *track, const uint8_t *data,
                                        uint32_t length)
{
    if (length < 2 || data[0] == 0 || data[1] > TIME_SIGNATURE_LOG2_MAX)
        return EVENT_READ;
    return track_append(track, &track->reader->signatures,
                        (uint32_t)data[0] << 8 | data[1], 0);
}

static enum event_result read_name(struct track *track, const uint8_t *data,
                                   uint32_t length)
{
    if (notes_set_name(&track->file->notes, track->index, data, length) == STATUS_OK)
        return EVENT_READ;
    reader_no_memory(track->reader);
    return READER_STOPPED;
}

enum event_result track_set_port(struct track *track)
{
    struct ports *ports = &track->reader->ports;
    track->port = ports_find(ports, track->port_id);
    track->keys = ports_keys(ports, track->port);
    if (!track->keys) {
        reader_no_memory(track->reader);
        return READER_STOPPED;
    }
    track->keys->touched = true;
    return EVENT_READ;
}

enum event_result track_read_meta(struct track *track)
{
    if (track->at == track->end)
        return EVENT_TRUNCATED;
    uint8_t type = *track->at++;
    const uint8_t *data;
    uint32_t length;
    enum event_result result = track_read_block(track, &data, &length);
    if (result != EVENT_READ)
        return result;
    if (type == META_END)
        return TRACK_ENDED;
    if (type == META_TEMPO)
        return read_tempo(track, data, length);
    if (type == META_TIME_SIGNATURE)
        return read_signature(track, data, length);
    if (type == META_TRACK_NAME)
        return read_name(track, data, length);
    if (type == META_PORT && length > 0) {
        track->port_id.number = data[0];
        return track_set_port(track);
    }
    if (type == META_DEVICE) {
        track->port_id.device = ports_find_device(&track->reader->ports, data, length);
        return track_set_port(track);
    }
    if (type > 127)
        track->file->repairs |= MIDI_REPAIR_META;
    return EVENT_READ;
}

/* ---- system messages ---- */

static void collect_sysex(struct track *track, const uint8_t *data, uint32_t length)
{
    if (length > SYSEX_BYTES_MAX || track->sysex_length > SYSEX_BYTES_MAX - length) {
        track->sysex_length = SYSEX_BYTES_MAX + 1;
        return;
    }
    memcpy(track->sysex + track->sysex_length, data, length);
    track->sysex_length += length;
}

/* A complete message, with its F7. */
static enum event_result apply_sysex(struct track *track)
{
    struct reader *reader = track->reader;
    uint32_t value;
    uint8_t channel;
    if (track->sysex_length > SYSEX_BYTES_MAX ||
        !sysex_read(track->sysex, track->sysex_length - 1, &value, &channel))
        return EVENT_READ;
    reader->parts_need_replay |= value >> PART_DATA_BITS == PART_MODE ||
                                 value == (PART_RESET << PART_DATA_BITS | SYSTEM_XG);
    return track_append(track, &reader->parts, value, channel);
}

enum event_result track_read_sysex(struct track *track, uint8_t status)
{
    const uint8_t *data;
    uint32_t length;
    enum event_result result = track_read_block(track, &data, &length);
    if (result != EVENT_READ)
        return result;
    bool terminated = length > 0 && data[length - 1] == SYSEX_MORE;
    if (status == SYSEX) {
        if (track->sysex_open)
            track->file->repairs |= MIDI_REPAIR_SYSEX;
        track->sysex_length = 0;
    } else if (!track->sysex_open) {
        return EVENT_READ; /* an escape */
    }
    track->sysex_open = !terminated;
    collect_sysex(track, data, length);
    return terminated ? apply_sysex(track) : EVENT_READ;
}

/* System common and real-time messages are not allowed in files, but do occur. */
enum event_result track_read_system(struct track *track, uint8_t status)
{
    int length = 0;
    if (status == SONG_POSITION)
        length = 2;
    else if (status == QUARTER_FRAME || status == SONG_SELECT)
        length = 1;
    while (length-- > 0 && track->at < track->end && *track->at < 0x80)
        track->at++;
    track->file->repairs |= MIDI_REPAIR_SYSTEM;
    return EVENT_READ;
}
