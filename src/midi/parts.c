/* parts: which line is when percussion, and its programs.
 *
 * Tracks are read one after another, but what a bank select or a reset does depends on
 * what came before it in time, whatever the track; so their events are kept, and played
 * back here in order of time once all tracks are read. Files with nothing but program
 * changes, or none, are nearly all, and have nothing to play back.
 */
#include "reader.h"

#include <string.h>

enum {
    GM2_PERCUSSION = 120,
    GM2_MELODY = 121,
    XG_SFX_KIT = 126,
    XG_DRUM_KIT = 127,
    NO_BANK = 0xFF
};

struct part {
    uint8_t program, percussion;
    uint8_t bank;    /* selected, for the next program change; NO_BANK none since reset */
    uint8_t by_bank; /* a bank made it what it is */
};

struct board { /* everything that plays */
    enum sound_system system;
    struct part parts[LINES_MAX];
};

static uint8_t usual_percussion(uint32_t line)
{
    return line % CHANNELS == PERCUSSION_CHANNEL;
}

static void reset_part(struct part *part, uint32_t line)
{
    part->percussion = usual_percussion(line);
    part->bank = NO_BANK;
    part->by_bank = 0;
}

static void set_by_bank(struct part *part, bool percussion)
{
    part->percussion = percussion;
    part->by_bank = 1;
}

/* GM2 has banks 120 and 121, which no other system has a use for; XG has drums in 126 and
 * 127, where others have the sounds of an MT-32, and melody in those below; GS knows no
 * percussion by bank. A bank that is none of these undoes what one of these did. */
static void apply_bank(const struct board *board, struct part *part, uint32_t line)
{
    uint8_t bank = part->bank;
    if (bank == NO_BANK || board->system == SYSTEM_GS)
        return;
    if (board->system == SYSTEM_XG)
        set_by_bank(part, bank == GM2_PERCUSSION || bank >= XG_SFX_KIT);
    else if (bank == GM2_PERCUSSION || bank == GM2_MELODY)
        set_by_bank(part, bank == GM2_PERCUSSION);
    else if (part->by_bank)
        reset_part(part, line);
}

/* A program change that also says what is percussion. */
static bool emit(struct reader *reader, const struct timed *event, uint32_t line,
                 const struct part *part)
{
    struct timed *added = timed_add(&reader->resolved);
    if (!added)
        return reader_no_memory(reader);
    *added = *event;
    added->line = (uint16_t)line;
    added->value = part->program | (part->percussion ? PART_PERCUSSION : 0);
    return true;
}

static bool reset_port(struct reader *reader, struct board *board,
                       const struct timed *event)
{
    uint32_t first = event->line / CHANNELS * CHANNELS;
    for (uint32_t line = first; line < first + CHANNELS; line++) {
        struct part *part = &board->parts[line];
        uint8_t before = part->percussion;
        reset_part(part, line);
        if (part->percussion != before && !emit(reader, event, line, part))
            return false;
    }
    return true;
}

static bool play_event(struct reader *reader, struct board *board,
                       const struct timed *event)
{
    struct part *part = &board->parts[event->line];
    uint8_t data = event->value & ((1 << PART_DATA_BITS) - 1);
    switch ((enum part_kind)(event->value >> PART_DATA_BITS)) {
    case PART_BANK:
        part->bank = data;
        return true;
    case PART_MODE:
        part->percussion = data;
        part->bank = NO_BANK;
        part->by_bank = 0;
        return emit(reader, event, event->line, part);
    case PART_RESET:
        board->system = (enum sound_system)data;
        return reset_port(reader, board, event);
    default:
        part->program = data & (PART_PERCUSSION - 1);
        apply_bank(board, part, event->line);
        return emit(reader, event, event->line, part);
    }
}

/* Only program changes, as they are. */
static void drop_others(struct timed_list *parts)
{
    size_t kept = 0;
    for (size_t i = 0; i < parts->count; i++)
        if (parts->items[i].value >> PART_DATA_BITS == PART_PROGRAM)
            parts->items[kept++] = parts->items[i];
    parts->count = kept;
}

static bool play_back(struct reader *reader)
{
    struct timed_list *parts = &reader->parts;
    struct board board; /* 16 KiB */
    uint32_t lines = reader->ports.count * CHANNELS;
    board.system = SYSTEM_ANY;
    memset(board.parts, 0, lines * sizeof *board.parts);
    for (uint32_t line = 0; line < lines; line++)
        reset_part(&board.parts[line], line);
    timed_sort(parts, timed_by_time);
    reader->resolved.count = 0;
    for (size_t i = 0; i < parts->count; i++)
        if (!play_event(reader, &board, &parts->items[i]))
            return false;
    struct timed_list swap = reader->parts;
    reader->parts = reader->resolved;
    reader->resolved = swap;
    return true;
}

bool parts_resolve(struct reader *reader)
{
    if (!reader->parts_differ)
        drop_others(&reader->parts);
    else if (!play_back(reader))
        return false;
    timed_sort(&reader->parts, timed_by_line);
    return true;
}
