/* track: reads one MTrk chunk: where it begins and ends, and what remains to be done at
 * its end. */
#include "track_internal.h"

#include <string.h>

/* Ends the notes that still sound and records repairs. */
static void finish_track(struct track *track, enum event_result result)
{
    struct ports *ports = &track->reader->ports;
    midi_repairs *repairs = &track->file->repairs;
    for (uint32_t port = 0; port < ports->count; port++) {
        track->keys = ports->keys[port];
        if (!track->keys || !track->keys->touched)
            continue;
        track_release_keys(track, 0, KEY_WORDS);
        track->keys->touched = false;
    }
    if (track->sysex_open)
        *repairs |= MIDI_REPAIR_SYSEX;
    if (result == EVENT_READ)
        *repairs |= MIDI_REPAIR_NO_END;
    else if (result == EVENT_TRUNCATED)
        *repairs |= MIDI_REPAIR_TRUNCATED;
    else if (result == EVENT_TOO_LATE)
        *repairs |= MIDI_REPAIR_TOO_LATE;
}

/* Format 2: a pattern begins at 120 beats per minute and in 4/4. */
static bool begin_pattern(struct track *track)
{
    struct reader *reader = track->reader;
    const uint32_t signature = DEFAULT_NUMERATOR << 8 | DEFAULT_DENOMINATOR_LOG2;
    return track_append(track, &reader->tempos, DEFAULT_TEMPO, 0) == EVENT_READ &&
           track_append(track, &reader->signatures, signature, 0) == EVENT_READ;
}

/* Format 2: the track is a pattern; the next one begins where it ends. */
static bool finish_pattern(struct track *track, size_t first_note)
{
    struct reader *reader = track->reader;
    for (uint32_t port = 0; port < reader->ports.count; port++) {
        track->port = (uint8_t)port;
        for (uint32_t channel = 0; channel < CHANNELS; channel++)
            if (reader->pedals_down[port] >> channel & 1 &&
                track_append_pedal(track, channel, 0) != EVENT_READ)
                return false;
    }
    reader->origin = track->tick;
    bool assigned = timing_assign_parts(reader, first_note);
    reader->parts.count = 0;
    reader->parts_need_replay = false;
    return assigned;
}

/* Where the next chunk begins. */
static const uint8_t *find_next_chunk(struct track *track, enum event_result result,
                                      const uint8_t *chunk_end, const uint8_t *file_end)
{
    midi_repairs *repairs = &track->file->repairs;
    if (track->at > chunk_end) {
        *repairs |= MIDI_REPAIR_LENGTH;
        return track->at;
    }
    if (result != TRACK_ENDED || track->at == chunk_end)
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
    size_t first_note = file->notes.count, first_all_off = reader->all_off.count;
    bool pattern = file->format == 2;
    if (track_set_port(&track) != EVENT_READ)
        return false;
    if (pattern && !begin_pattern(&track))
        return false;
    enum event_result result = track_read_events(&track);
    if ((result == EVENT_READ || result == EVENT_TRUNCATED) &&
        !chunk_is_plausible(end, file_end)) {
        /* no chunk begins at its end: the length was too small, so continue reading */
        track.end = chunk_find_track(end, file_end);
        result = track_read_events(&track);
    }
    if (result == READER_STOPPED)
        return false;
    finish_track(&track, result);
    all_off_drop_trailing(reader, first_note, first_all_off);
    *next = find_next_chunk(&track, result, end, file_end);
    return !pattern || finish_pattern(&track, first_note);
}
