/* follow: checks whether bytes look like events, to resynchronise in damaged tracks.
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

struct walker {
    const uint8_t *at, *end;
    uint8_t running; /* running status; 0: none */
    bool ended;      /* at End of Track */
};

static bool pass_number(struct walker *walker, uint32_t *number)
{
    *number = 0;
    for (int i = 0; i < 4 && walker->at < walker->end; i++) {
        uint8_t byte = *walker->at++;
        *number = *number << 7 | (byte & 0x7f);
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool pass_data(struct walker *walker, size_t length)
{
    for (; length > 0; length--)
        if (walker->at == walker->end || *walker->at++ > 127)
            return false;
    return true;
}

static bool pass_block(struct walker *walker)
{
    uint32_t length;
    if (!pass_number(walker, &length) || length > (size_t)(walker->end - walker->at))
        return false;
    walker->at += length;
    return true;
}

static bool pass_meta(struct walker *walker)
{
    if (walker->at == walker->end || *walker->at > 127)
        return false;
    walker->ended = *walker->at++ == META_END;
    return pass_block(walker);
}

/* An event after its delta time. */
static bool pass_message(struct walker *walker)
{
    if (walker->at == walker->end)
        return false;
    if (*walker->at >= 0x80)
        walker->running = *walker->at++;
    uint8_t status = walker->running;
    if (status < FIRST_SYSTEM)
        return status && pass_data(walker, midi_data_length(status));
    walker->running = 0;
    if (status == META)
        return pass_meta(walker);
    return (status == SYSEX || status == SYSEX_MORE) && pass_block(walker);
}

bool events_follow(const uint8_t *at, const uint8_t *end, uint8_t running, bool timed)
{
    enum { ENOUGH = 16 }; /* consecutive events: not a coincidence */
    struct walker walker = {.at = at, .end = end, .running = running};
    for (int i = 0; i < ENOUGH && walker.at < end && !walker.ended; i++) {
        uint32_t delta;
        if ((timed || i > 0) && !pass_number(&walker, &delta))
            return false;
        if (!pass_message(&walker))
            return false;
    }
    return true;
}
