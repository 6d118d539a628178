/* sysex: parses the system exclusive messages that determine which channels are
 * percussion.
 *
 * Resets: GM on and off, GM2 on (universal, 7E dd 09 xx); GS reset and the SC-88's mode
 * set (Roland); XG system on and all parameters reset (Yamaha). Parts: Roland's "use for
 * rhythm part" (40 1n 15) and Yamaha's part mode (08 nn 07), alone or within a block that
 * begins at a lower address. Checksums are not verified: hand-made files have wrong ones,
 * and players accept them.
 */
#include "reader.h"

#include <string.h>

enum {
    ROLAND = 0x41,
    YAMAHA = 0x43,
    UNIVERSAL = 0x7E,
    GENERAL_MIDI = 0x09,
    GM_ON = 1,
    GM_OFF = 2,
    GM2_ON = 3,
    GS_MODEL = 0x42,
    DATA_SET = 0x12,
    XG_MODEL = 0x4C,
    XG_PART_BLOCK = 0x08
};

static uint32_t part_value(enum part_kind kind, uint32_t data)
{
    return (uint32_t)kind << PART_DATA_BITS | data;
}

/* The byte for `address` in a block of parameters that begins at address `first`; -1 if
 * there is none. */
static int parameter(const uint8_t *data, size_t length, uint8_t first, uint8_t address)
{
    if (first > address || (size_t)(address - first) >= length)
        return -1;
    return data[address - first];
}

static bool read_universal(const uint8_t *data, size_t length, uint32_t *value)
{
    if (length < 4 || data[2] != GENERAL_MIDI || data[3] < GM_ON || data[3] > GM2_ON)
        return false;
    *value = part_value(PART_RESET, data[3] == GM2_ON ? SYSTEM_GM2 : SYSTEM_ANY);
    return true;
}

/* 41 dd 42 12, an address of three bytes, data, checksum. */
static bool read_roland(const uint8_t *data, size_t length, uint32_t *value,
                        uint8_t *channel)
{
    enum { ADDRESS = 4, DATA = 7, RHYTHM = 0x15 };
    if (length < DATA + 2 || data[2] != GS_MODEL || data[3] != DATA_SET)
        return false;
    const uint8_t *address = data + ADDRESS;
    if (memcmp(address, "\x40\x00\x7F", 3) == 0 ||
        memcmp(address, "\x00\x00\x7F", 3) == 0) {
        *value = part_value(PART_RESET, data[DATA] == 0x7F ? SYSTEM_ANY : SYSTEM_GS);
        return true;
    }
    if (address[0] != 0x40 || address[1] >> 4 != 1)
        return false;
    int map = parameter(data + DATA, length - DATA - 1, address[2], RHYTHM);
    uint8_t block = address[1] & 0xf; /* 0: channel 10; 1-9: 1-9; 10-15: 11-16 */
    *channel = block == 0 ? PERCUSSION_CHANNEL : block < 10 ? block - 1 : block;
    *value = part_value(PART_MODE, map > 0);
    return map >= 0;
}

/* 43 1d 4C, an address of three bytes, data. */
static bool read_yamaha(const uint8_t *data, size_t length, uint32_t *value,
                        uint8_t *channel)
{
    enum { ADDRESS = 3, DATA = 6, PART_MODE_ADDRESS = 7 };
    if (length <= DATA || data[1] >> 4 != 1 || data[2] != XG_MODEL)
        return false;
    const uint8_t *address = data + ADDRESS;
    if (address[0] == 0 && address[1] == 0 &&
        (address[2] == 0x7E || address[2] == 0x7F)) {
        *value = part_value(PART_RESET, SYSTEM_XG);
        return true;
    }
    if (address[0] != XG_PART_BLOCK || address[1] >= CHANNELS)
        return false;
    int mode = parameter(data + DATA, length - DATA, address[2], PART_MODE_ADDRESS);
    *channel = address[1];
    *value = part_value(PART_MODE, mode > 0);
    return mode >= 0;
}

bool sysex_read(const uint8_t *data, size_t length, uint32_t *value, uint8_t *channel)
{
    *channel = 0;
    if (length == 0)
        return false;
    switch (data[0]) {
    case UNIVERSAL:
        return read_universal(data, length, value);
    case ROLAND:
        return read_roland(data, length, value, channel);
    case YAMAHA:
        return read_yamaha(data, length, value, channel);
    default:
        return false;
    }
}
