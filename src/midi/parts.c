/* parts: resolves when each channel is percussion, and its programs.
 *
 * Tracks are read one after another, but the effect of a bank select or a reset depends
 * on the events before it in time, in any track. So the events are collected, and
 * replayed here in order of time after all tracks have been read. Almost all files have
 * only program changes, or none, and need no replay.
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
    uint8_t program;
    bool percussion;
    uint8_t bank;      /* selected; takes effect at the next program change */
    bool is_from_bank; /* `percussion` was set by a bank */
};

struct synth { /* the state of all ports */
    enum sound_system system;
    struct part parts[PORT_CHANNELS_MAX];
};

static bool default_percussion(uint32_t port_channel)
{
    return port_channel % CHANNELS == PERCUSSION_CHANNEL;
}

static void reset_part(struct part *part, uint32_t port_channel)
{
    part->percussion = default_percussion(port_channel);
    part->bank = NO_BANK;
    part->is_from_bank = false;
}

static void set_from_bank(struct part *part, bool percussion)
{
    part->percussion = percussion;
    part->is_from_bank = true;
}

/* GM2 has banks 120 and 121, which no other system uses; XG has drums in 126 and 127,
 * where other systems have MT-32 sounds, and melody below; GS has no percussion banks.
 * Selecting any other bank undoes the effect of these. */
static void apply_bank(const struct synth *synth, struct part *part,
                       uint32_t port_channel)
{
    uint8_t bank = part->bank;
    if (bank == NO_BANK || synth->system == SYSTEM_GS)
        return;
    if (synth->system == SYSTEM_XG)
        set_from_bank(part, bank == GM2_PERCUSSION || bank >= XG_SFX_KIT);
    else if (bank == GM2_PERCUSSION || bank == GM2_MELODY)
        set_from_bank(part, bank == GM2_PERCUSSION);
    else if (part->is_from_bank)
        reset_part(part, port_channel);
}

/* Appends a program change with its percussion flag. */
static bool append_program_change(struct reader *reader, const struct timed_event *event,
                                  uint32_t port_channel, const struct part *part)
{
    struct timed_event *added = timed_events_add(&reader->resolved_parts);
    if (!added)
        return reader_no_memory(reader);
    *added = *event;
    added->port_channel = (uint16_t)port_channel;
    added->value = part->program | (part->percussion ? PART_PERCUSSION : 0);
    return true;
}

static bool reset_port(struct reader *reader, struct synth *synth,
                       const struct timed_event *event)
{
    uint32_t first = event->port_channel / CHANNELS * CHANNELS;
    for (uint32_t port_channel = first; port_channel < first + CHANNELS; port_channel++) {
        struct part *part = &synth->parts[port_channel];
        bool was_percussion = part->percussion;
        reset_part(part, port_channel);
        if (part->percussion != was_percussion &&
            !append_program_change(reader, event, port_channel, part))
            return false;
    }
    return true;
}

static bool replay_event(struct reader *reader, struct synth *synth,
                         const struct timed_event *event)
{
    struct part *part = &synth->parts[event->port_channel];
    uint8_t data = event->value & ((1 << PART_DATA_BITS) - 1);
    switch ((enum part_kind)(event->value >> PART_DATA_BITS)) {
    case PART_BANK:
        part->bank = data;
        return true;
    case PART_MODE:
        part->percussion = data;
        part->bank = NO_BANK;
        part->is_from_bank = false;
        return append_program_change(reader, event, event->port_channel, part);
    case PART_RESET:
        synth->system = (enum sound_system)data;
        return reset_port(reader, synth, event);
    default:
        part->program = data & (PART_PERCUSSION - 1);
        apply_bank(synth, part, event->port_channel);
        return append_program_change(reader, event, event->port_channel, part);
    }
}

/* Drops everything but program changes. */
static void filter_program_changes(struct timed_events *parts)
{
    size_t kept = 0;
    for (size_t i = 0; i < parts->count; i++)
        if (parts->items[i].value >> PART_DATA_BITS == PART_PROGRAM)
            parts->items[kept++] = parts->items[i];
    parts->count = kept;
}

static bool replay(struct reader *reader)
{
    struct timed_events *parts = &reader->parts;
    struct synth synth; /* 16 KiB */
    uint32_t port_channels = reader->ports.count * CHANNELS;
    synth.system = SYSTEM_ANY;
    memset(synth.parts, 0, port_channels * sizeof *synth.parts);
    for (uint32_t port_channel = 0; port_channel < port_channels; port_channel++)
        reset_part(&synth.parts[port_channel], port_channel);
    timed_events_sort(parts, timed_events_by_tick);
    reader->resolved_parts.count = 0;
    for (size_t i = 0; i < parts->count; i++)
        if (!replay_event(reader, &synth, &parts->items[i]))
            return false;
    struct timed_events swap = reader->parts;
    reader->parts = reader->resolved_parts;
    reader->resolved_parts = swap;
    return true;
}

bool parts_resolve(struct reader *reader)
{
    if (!reader->parts_need_replay)
        filter_program_changes(&reader->parts);
    else if (!replay(reader))
        return false;
    timed_events_sort(&reader->parts, timed_events_by_channel);
    return true;
}
