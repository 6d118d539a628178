/* resync: checks whether bytes look like events, to resynchronise in damaged tracks.
 * Every rule of SMF 1.0 is checked, because damaged bytes soon violate one.
 */
#include "reader.h"

enum {
    FIRST_SYSTEM = 0xF0,
    SYSEX = 0xF0,
    SYSEX_MORE = 0xF7,
    META = 0xFF,
    META_END = 0x2F
};

struct cursor {
    const uint8_t *at, *end;
    uint8_t running; /* running status; 0: none */
    bool ended;      /* at End of Track */
};

static bool check_vlq(struct cursor *cursor, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4 && cursor->at < cursor->end; i++) {
        uint8_t byte = *cursor->at++;
        *value = *value << 7 | (byte & 0x7f);
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool check_data(struct cursor *cursor, size_t length)
{
    for (; length > 0; length--)
        if (cursor->at == cursor->end || *cursor->at++ > 127)
            return false;
    return true;
}

static bool check_block(struct cursor *cursor)
{
    uint32_t length;
    if (!check_vlq(cursor, &length) || length > (size_t)(cursor->end - cursor->at))
        return false;
    cursor->at += length;
    return true;
}

static bool check_meta(struct cursor *cursor)
{
    if (cursor->at == cursor->end || *cursor->at > 127)
        return false;
    cursor->ended = *cursor->at++ == META_END;
    return check_block(cursor);
}

/* An event after its delta time. */
static bool check_message(struct cursor *cursor)
{
    if (cursor->at == cursor->end)
        return false;
    if (*cursor->at >= 0x80)
        cursor->running = *cursor->at++;
    uint8_t status = cursor->running;
    if (status < FIRST_SYSTEM)
        return status && check_data(cursor, midi_data_length(status));
    cursor->running = 0;
    if (status == META)
        return check_meta(cursor);
    return (status == SYSEX || status == SYSEX_MORE) && check_block(cursor);
}

bool events_are_plausible(const uint8_t *at, const uint8_t *end, uint8_t running,
                          bool has_delta)
{
    enum { EVENTS_CHECKED = 16 }; /* consecutive events: not a coincidence */
    struct cursor cursor = {.at = at, .end = end, .running = running};
    for (int i = 0; i < EVENTS_CHECKED && cursor.at < end && !cursor.ended; i++) {
        uint32_t delta;
        if ((has_delta || i > 0) && !check_vlq(&cursor, &delta))
            return false;
        if (!check_message(&cursor))
            return false;
    }
    return true;
}
