/* chunks: the file's bytes -> container, header, tracks.
 *
 * A chunk's length is used only if the chunk fits in the file; otherwise the next "MTrk"
 * is searched for. Every search starts at or after the end of the previous one, so any
 * file takes one pass over its bytes.
 */
#include "reader.h"

#include <string.h>

enum {
    HEADER_SEARCH = 1024, /* a MacBinary block is 128 bytes */
    HEADER_LENGTH = 6,    /* bytes of the fields that SMF 1.0 defines */
    RIFF_HEADER = 12,
    TRACKS_MAX = 65535
};

static uint32_t little_endian_32(const uint8_t *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static bool begins_with(const uint8_t *at, const uint8_t *end, const char *type)
{
    return end - at >= 4 && memcmp(at, type, 4) == 0;
}

/* RIFF RMID (MMA RP-029): narrows at..end to the data chunk, if there is one. */
static void unwrap_riff(struct reader *reader)
{
    const uint8_t *at = reader->at + RIFF_HEADER;
    while (reader->end - at >= CHUNK_HEADER) {
        uint32_t length = little_endian_32(at + 4);
        size_t remaining = (size_t)(reader->end - at) - CHUNK_HEADER;
        if (memcmp(at, "data", 4) == 0) {
            if (length > remaining)
                reader->file->repairs |= MIDI_REPAIR_CONTAINER;
            reader->at = at + CHUNK_HEADER;
            reader->end = reader->at + (length < remaining ? length : remaining);
            return;
        }
        size_t padded = (size_t)length + (length & 1);
        if (padded > remaining)
            return;
        at += CHUNK_HEADER + padded;
    }
}

static bool find_header(struct reader *reader)
{
    const uint8_t *begin = reader->at, *end = reader->end;
    if (end - begin >= RIFF_HEADER && begins_with(begin, end, "RIFF") &&
        begins_with(begin + 8, end, "RMID"))
        unwrap_riff(reader);
    if (begins_with(reader->at, reader->end, "MThd"))
        return true;
    size_t size = (size_t)(end - begin);
    size_t window = size < HEADER_SEARCH + 4 ? size : HEADER_SEARCH + 4;
    const uint8_t *found = memmem(begin, window, "MThd", 4);
    if (!found)
        return reader_skip(reader, "not MIDI: no MThd in the first %zu bytes", window);
    reader->at = found;
    reader->end = end;
    reader->file->repairs |= MIDI_REPAIR_LEADING;
    return true;
}

/* Some programs write the division as an unsigned number, such as 55440, which has many
 * divisors; a value that is not a valid SMPTE division is read that way. */
static bool read_division(struct reader *reader, uint32_t bits)
{
    struct midi_file *file = reader->file;
    int frames = 256 - (int)(bits >> 8), ticks_per_frame = (int)(bits & 0xff);
    bool smpte = (frames == 24 || frames == 25 || frames == 29 || frames == 30) &&
                 ticks_per_frame > 0;
    if (!smpte) {
        file->division = (int)bits;
        file->notes.ticks_per_beat = bits;
        if (bits >= 0x8000)
            file->repairs |= MIDI_REPAIR_DIVISION;
        return bits != 0 || reader_skip(reader, "division is 0 ticks per quarter note");
    }
    double rate = frames == 29 ? 30000.0 / 1001 : frames;
    file->division = (int)bits - 0x10000;
    file->notes.ticks_per_second = rate * ticks_per_frame;
    return true;
}

static bool read_header(struct reader *reader)
{
    size_t remaining = (size_t)(reader->end - reader->at);
    if (remaining < CHUNK_HEADER + HEADER_LENGTH)
        return reader_skip(reader, "the file ends inside the header (%zu bytes of %d)",
                           remaining, CHUNK_HEADER + HEADER_LENGTH);
    uint32_t length = big_endian_32(reader->at + 4);
    if (length < HEADER_LENGTH)
        return reader_skip(reader, "header of %u bytes (at least %d)", length,
                           HEADER_LENGTH);
    if (length > remaining - CHUNK_HEADER)
        return reader_skip(reader, "header of %u bytes (the file has %zu more)", length,
                           remaining - CHUNK_HEADER);
    const uint8_t *fields = reader->at + CHUNK_HEADER;
    reader->file->format = (int)big_endian_16(fields);
    if (reader->file->format > 2) {
        reader->file->format = 1;
        reader->file->repairs |= MIDI_REPAIR_FORMAT;
    }
    reader->declared_tracks = (int)big_endian_16(fields + 2);
    reader->at = fields + length;
    return read_division(reader, big_endian_16(fields + 4));
}

static bool read_track(struct reader *reader)
{
    struct midi_file *file = reader->file;
    if (file->tracks == TRACKS_MAX)
        return reader_skip(reader, "more than %d tracks", TRACKS_MAX);
    size_t remaining = (size_t)(reader->end - reader->at) - CHUNK_HEADER;
    size_t length = big_endian_32(reader->at + 4);
    const uint8_t *begin = reader->at + CHUNK_HEADER;
    if (length > remaining) {
        length = remaining;
        file->repairs |= MIDI_REPAIR_LENGTH;
    }
    if (!track_read(reader, begin, begin + length, reader->end, &reader->at))
        return false;
    file->tracks++;
    return true;
}

static bool read_chunks(struct reader *reader)
{
    while (reader->end - reader->at >= CHUNK_HEADER) {
        if (begins_with(reader->at, reader->end, "MTrk")) {
            if (!read_track(reader))
                return false;
        } else if (chunk_is_plausible(reader->at, reader->end)) {
            reader->at += CHUNK_HEADER + (size_t)big_endian_32(reader->at + 4);
        } else {
            reader->file->repairs |= MIDI_REPAIR_JUNK;
            reader->at = chunk_find_track(reader->at, reader->end);
        }
    }
    if (reader->at < reader->end)
        reader->file->repairs |= MIDI_REPAIR_JUNK;
    return true;
}

bool chunks_read(struct reader *reader, const uint8_t *bytes, size_t size)
{
    struct midi_file *file = reader->file;
    reader->at = bytes;
    reader->end = bytes + size;
    if (!find_header(reader) || !read_header(reader) || !read_chunks(reader))
        return false;
    if (file->tracks == 0)
        return reader_skip(reader, "no track (%d declared)", reader->declared_tracks);
    if (file->tracks != reader->declared_tracks)
        file->repairs |= MIDI_REPAIR_COUNT;
    if (file->format == 0 && file->tracks > 1) {
        file->format = 1;
        file->repairs |= MIDI_REPAIR_FORMAT;
    }
    return true;
}
