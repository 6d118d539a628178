/* midi_make: builds the bytes of MIDI files for the tests, valid or invalid. */
#ifndef TUTTI_TESTS_MIDI_MAKE_H
#define TUTTI_TESTS_MIDI_MAKE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *items;
    size_t count, capacity;
};

static inline void put_bytes(struct bytes *bytes, const void *from, size_t count)
{
    if (bytes->count + count > bytes->capacity) {
        bytes->capacity = 2 * bytes->capacity + count + 64;
        bytes->items = realloc(bytes->items, bytes->capacity);
        if (!bytes->items)
            abort();
    }
    if (count)
        memcpy(bytes->items + bytes->count, from, count);
    bytes->count += count;
}

/* PUT(&bytes, 0x00, 0x90, 60, 80) appends these bytes. */
#define PUT(bytes, ...)                                                                  \
    put_bytes((bytes), (const uint8_t[]){__VA_ARGS__},                                   \
              sizeof(const uint8_t[]){__VA_ARGS__})

static inline void put_32(struct bytes *bytes, uint32_t value)
{
    PUT(bytes, (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
        (uint8_t)value);
}

static inline void put_16(struct bytes *bytes, uint32_t value)
{
    PUT(bytes, (uint8_t)(value >> 8), (uint8_t)value);
}

/* A variable-length number. */
static inline void put_number(struct bytes *bytes, uint32_t value)
{
    for (int shift = 28; shift > 0; shift -= 7)
        if (value >> shift)
            PUT(bytes, (uint8_t)(0x80 | (value >> shift & 0x7f)));
    PUT(bytes, (uint8_t)(value & 0x7f));
}

/* A delta time and a channel event of two data bytes. */
static inline void put_event(struct bytes *bytes, uint32_t delta, int status, int first,
                             int second)
{
    put_number(bytes, delta);
    PUT(bytes, (uint8_t)status, (uint8_t)first, (uint8_t)second);
}

static inline void put_program(struct bytes *bytes, uint32_t delta, int channel,
                               int program)
{
    put_number(bytes, delta);
    PUT(bytes, (uint8_t)(0xC0 | channel), (uint8_t)program);
}

static inline void put_tempo(struct bytes *bytes, uint32_t delta, uint32_t tempo)
{
    put_number(bytes, delta);
    PUT(bytes, 0xFF, 0x51, 3, (uint8_t)(tempo >> 16), (uint8_t)(tempo >> 8),
        (uint8_t)tempo);
}

/* A note of velocity 80 on channel 0; `wait` is the delta time of its note-on. */
static inline void put_note(struct bytes *bytes, uint32_t wait, uint32_t length,
                            int pitch)
{
    put_event(bytes, wait, 0x90, pitch, 80);
    put_event(bytes, length, 0x80, pitch, 64);
}

static inline void put_header(struct bytes *bytes, int format, int tracks, int division)
{
    put_bytes(bytes, "MThd", 4);
    put_32(bytes, 6);
    put_16(bytes, (uint32_t)format);
    put_16(bytes, (uint32_t)tracks);
    put_16(bytes, (uint32_t)division & 0xffff);
}

/* Begins a chunk; returns its position, for end_chunk. */
static inline size_t begin_chunk(struct bytes *bytes, const char *type)
{
    put_bytes(bytes, type, 4);
    put_32(bytes, 0);
    return bytes->count;
}

static inline void set_length(struct bytes *bytes, size_t begin, uint32_t length)
{
    for (int i = 0; i < 4; i++)
        bytes->items[begin - 4 + (size_t)i] = (uint8_t)(length >> (24 - 8 * i));
}

static inline void end_chunk(struct bytes *bytes, size_t begin)
{
    set_length(bytes, begin, (uint32_t)(bytes->count - begin));
}

static inline size_t begin_track(struct bytes *bytes)
{
    return begin_chunk(bytes, "MTrk");
}

static inline void put_end_of_track(struct bytes *bytes, uint32_t delta)
{
    put_number(bytes, delta);
    PUT(bytes, 0xFF, 0x2F, 0);
}

static inline void end_track(struct bytes *bytes, size_t begin)
{
    put_end_of_track(bytes, 0);
    end_chunk(bytes, begin);
}

static inline void free_bytes(struct bytes *bytes)
{
    free(bytes->items);
    memset(bytes, 0, sizeof *bytes);
}

/* A small generator for tests that must not depend on the code under test
 * (xorshift64*, Vigna 2016). The seed must not be 0. */
static inline uint32_t draw(uint64_t *state, uint32_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 2685821657736338717ull) >> 33) % below;
}

/* A random file as a sequencer might write it, conforming to SMF 1.0, with every kind of
 * event. `plain` leaves out features that libsmf 1.3 does not support: format 2, SMPTE
 * division, escapes, sysex in packets, long meta events. */
static inline void put_random_event(struct bytes *bytes, uint64_t *state, int plain,
                                    int *running)
{
    int channel = (int)draw(state, 3) * 4 + 1, status = 0x90 | channel;
    put_number(bytes, draw(state, 4) ? draw(state, 200) : draw(state, 40000));
    switch (draw(state, plain ? 11 : 14)) {
    case 0:
        PUT(bytes, (uint8_t)(0xC0 | channel), (uint8_t)draw(state, 128));
        *running = 0;
        return;
    case 1:
        status = 0xB0 | channel;
        PUT(bytes, (uint8_t)status, 64, (uint8_t)draw(state, 128));
        *running = 0;
        return;
    case 2:
        PUT(bytes, 0xFF, 0x51, 3, (uint8_t)draw(state, 16), (uint8_t)draw(state, 256), 1);
        *running = 0;
        return;
    case 3:
        PUT(bytes, (uint8_t)(0xE0 | channel), (uint8_t)draw(state, 128), 64);
        *running = 0;
        return;
    case 11: /* an escape */
        PUT(bytes, 0xF7, 1, 0xF8);
        *running = 0;
        return;
    case 12: /* a message in two packets */
        PUT(bytes, 0xF0, 3, 0x7E, 0x7F, 9, 10, 0xF7, 2, 1, 0xF7);
        *running = 0;
        return;
    case 13: /* a long text */
        PUT(bytes, 0xFF, 1, 0x81, 0x48);
        for (int i = 0; i < 200; i++)
            PUT(bytes, (uint8_t)draw(state, 256));
        *running = 0;
        return;
    default:
        if (draw(state, 2))
            status = 0x80 | channel;
        if (*running != status)
            PUT(bytes, (uint8_t)status);
        PUT(bytes, (uint8_t)(60 + draw(state, 6)), (uint8_t)draw(state, 128));
        *running = status;
    }
}

static inline void put_random_file(struct bytes *bytes, uint64_t seed, int plain)
{
    uint64_t state = seed * 2654435761u + 1;
    int format = (int)draw(&state, plain ? 2 : 3);
    int tracks = format == 0 ? 1 : 1 + (int)draw(&state, 4);
    int smpte[] = {24, 25, 29, 30};
    int division = 1 + (int)draw(&state, 1000);
    if (!plain && draw(&state, 4) == 0)
        division = -smpte[draw(&state, 4)] * 256 + 1 + (int)draw(&state, 100);
    put_header(bytes, format, tracks, division);
    for (int track = 0; track < tracks; track++) {
        size_t begin = begin_track(bytes);
        int running = 0;
        PUT(bytes, 0, 0xFF, 0x03, 1, (uint8_t)('A' + track));
        PUT(bytes, 0, 0xFF, 0x58, 4, (uint8_t)((int)(seed % 8) + track), 3, 24, 8);
        for (uint32_t events = draw(&state, 150); events > 0; events--)
            put_random_event(bytes, &state, plain, &running);
        end_track(bytes, begin);
    }
}

#endif
