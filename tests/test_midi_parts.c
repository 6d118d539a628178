/* midi_read: percussion selected by bank select and system exclusive; ports, by number
 * and by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "midi_expect.h"

#define SYSEX(bytes, ...)                                                                \
    put_sysex(bytes, (const uint8_t[]){__VA_ARGS__, 0xF7},                               \
              sizeof(const uint8_t[]){__VA_ARGS__, 0xF7})

static void put_sysex(struct bytes *bytes, const uint8_t *data, size_t count)
{
    PUT(bytes, 0, 0xF0, (uint8_t)count);
    put_bytes(bytes, data, count);
}

#define GM_ON 0x7E, 0x7F, 0x09, 0x01
#define GM2_ON 0x7E, 0x7F, 0x09, 0x03
#define GS_RESET 0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41
#define GS_PART(block, map) 0x41, 0x10, 0x42, 0x12, 0x40, 0x10 | (block), 0x15, map, 0
#define XG_ON 0x43, 0x10, 0x4C, 0x00, 0x00, 0x7E, 0x00
#define XG_PART(part, mode) 0x43, 0x10, 0x4C, 0x08, part, 0x07, mode

static void put_bank(struct bytes *bytes, int channel, int bank, int program)
{
    put_event(bytes, 0, 0xB0 | channel, 0, bank);
    put_event(bytes, 0, 0xB0 | channel, 32, 0);
    put_program(bytes, 0, channel, program);
}

static void put_short_note(struct bytes *bytes, int channel)
{
    put_event(bytes, 1, 0x90 | channel, 60, 80);
    put_event(bytes, 1, 0x80 | channel, 60, 0);
}

/* "P40 M0": percussion or melody, and the program, of each note in time order. */
static void expect_parts(struct bytes *bytes, const char *parts)
{
    struct midi_file file = {0};
    char text[256] = "";
    size_t used = 0;
    read_bytes(bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    for (size_t i = 0; i < file.notes.count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%d", i ? " " : "",
                                 file.notes.items[i].percussion ? 'P' : 'M',
                                 file.notes.items[i].program);
    assert_string_equal(text, parts);
    midi_free(&file);
}

/* Expects these parts of a track that the statements write to `bytes`. */
#define EXPECT_PARTS(parts, ...)                                                         \
    do {                                                                                 \
        size_t begin;                                                                    \
        struct bytes bytes = one_track(&begin);                                          \
        __VA_ARGS__;                                                                     \
        end_track(&bytes, begin);                                                        \
        expect_parts(&bytes, parts);                                                     \
    } while (0)

static void note(struct bytes *bytes, int channel)
{
    put_short_note(bytes, channel);
}

static void channel_10_is_percussion(void **state)
{
    (void)state;
    EXPECT_PARTS("M0 P0 M0", note(&bytes, 8); note(&bytes, 9); note(&bytes, 10));
    EXPECT_PARTS("P8 P16", put_program(&bytes, 0, 9, 8); note(&bytes, 9);
                 put_bank(&bytes, 9, 0, 16); note(&bytes, 9));
}

static void gm2_banks_select_percussion(void **state)
{
    (void)state;
    EXPECT_PARTS("P0 M3", SYSEX(&bytes, GM2_ON); put_bank(&bytes, 10, 120, 0);
                 note(&bytes, 10); put_bank(&bytes, 10, 121, 3); note(&bytes, 10));
    EXPECT_PARTS("M5 P0", SYSEX(&bytes, GM2_ON); put_bank(&bytes, 9, 121, 5);
                 note(&bytes, 9); put_bank(&bytes, 9, 120, 0); note(&bytes, 9));
    /* no other system uses these banks, so the reset may be missing */
    EXPECT_PARTS("P0 M1 P2", put_bank(&bytes, 3, 120, 0); note(&bytes, 3);
                 put_bank(&bytes, 9, 121, 1); note(&bytes, 9); put_bank(&bytes, 9, 0, 2);
                 note(&bytes, 9));
}

static void bank_takes_effect_at_program_change(void **state)
{
    (void)state;
    EXPECT_PARTS("M0 P7", SYSEX(&bytes, GM2_ON); put_event(&bytes, 0, 0xBA, 0, 120);
                 note(&bytes, 10); put_program(&bytes, 0, 10, 7); note(&bytes, 10));
    EXPECT_PARTS("P7 P8", put_bank(&bytes, 10, 120, 7); note(&bytes, 10);
                 put_program(&bytes, 0, 10, 8); note(&bytes, 10)); /* the bank persists */
}

static void xg_banks_select_percussion(void **state)
{
    (void)state;
    EXPECT_PARTS("P0 P1 M2 M3", SYSEX(&bytes, XG_ON); put_bank(&bytes, 4, 127, 0);
                 note(&bytes, 4); put_bank(&bytes, 4, 126, 1); note(&bytes, 4);
                 put_bank(&bytes, 4, 64, 2); note(&bytes, 4); put_bank(&bytes, 4, 0, 3);
                 note(&bytes, 4));
    EXPECT_PARTS("P0 M4", SYSEX(&bytes, XG_ON); put_program(&bytes, 0, 9, 0);
                 note(&bytes, 9); put_bank(&bytes, 9, 0, 4); note(&bytes, 9));
    /* in other systems bank 127 has the sounds of an MT-32 */
    EXPECT_PARTS("M0 P0", put_bank(&bytes, 4, 127, 0); note(&bytes, 4);
                 put_bank(&bytes, 9, 127, 0); note(&bytes, 9));
    EXPECT_PARTS("M0 M0", SYSEX(&bytes, GS_RESET); put_bank(&bytes, 4, 127, 0);
                 note(&bytes, 4); put_bank(&bytes, 4, 120, 0); note(&bytes, 4));
}

static void sysex_selects_percussion(void **state)
{
    (void)state;
    EXPECT_PARTS("P0 M0", SYSEX(&bytes, GS_RESET); SYSEX(&bytes, GS_PART(1, 2));
                 note(&bytes, 0); SYSEX(&bytes, GS_PART(0, 0)); note(&bytes, 9));
    EXPECT_PARTS("P0 M0 P5", SYSEX(&bytes, GS_PART(15, 1)); note(&bytes, 15);
                 SYSEX(&bytes, GS_PART(15, 0)); note(&bytes, 15);
                 SYSEX(&bytes, GS_PART(10, 1)); put_bank(&bytes, 10, 0, 5);
                 note(&bytes, 10)); /* bank 0 has no effect in GS */
    EXPECT_PARTS("P0 M0", SYSEX(&bytes, XG_PART(2, 2)); note(&bytes, 2);
                 SYSEX(&bytes, XG_PART(9, 0)); note(&bytes, 9));
    /* a program change alone keeps it */
    EXPECT_PARTS("P4", SYSEX(&bytes, XG_ON); SYSEX(&bytes, XG_PART(2, 1));
                 put_program(&bytes, 0, 2, 4); note(&bytes, 2));
    /* within a longer block, and in two packets */
    EXPECT_PARTS("P0", SYSEX(&bytes, 0x43, 0x10, 0x4C, 0x08, 3, 5, 1, 1, 1);
                 note(&bytes, 3));
    EXPECT_PARTS("P0", PUT(&bytes, 0, 0xF0, 4, 0x41, 0x10, 0x42, 0x12, 9, 0xF7, 6, 0x40,
                           0x11, 0x15, 1, 0, 0xF7);
                 note(&bytes, 0));
}

static void other_sysex_is_ignored(void **state)
{
    (void)state;
    EXPECT_PARTS("M0 P0", SYSEX(&bytes, 0x41, 0x10, 0x16, 0x12, 0x40, 0x11, 0x15, 1, 0);
                 SYSEX(&bytes, 0x41, 0x10, 0x42, 0x11, 0x40, 0x11, 0x15, 1, 0);
                 SYSEX(&bytes, 0x41, 0x10, 0x42, 0x12, 0x40, 0x11, 0x16, 1, 0);
                 SYSEX(&bytes, 0x41, 0x10, 0x42, 0x12, 0x40, 0x11); SYSEX(&bytes, 0x43);
                 SYSEX(&bytes, 0x43, 0x10, 0x4C, 0x08, 0, 0x06, 1);
                 SYSEX(&bytes, 0x43, 0x10, 0x4C, 0x08, 16, 0x07, 1);
                 SYSEX(&bytes, 0x7E, 0x7F); note(&bytes, 0); note(&bytes, 9));
}

static void reset_restores_default_parts(void **state)
{
    (void)state;
    EXPECT_PARTS("P3 M3 M3 M4", put_bank(&bytes, 5, 120, 3); note(&bytes, 5);
                 SYSEX(&bytes, GM_ON); note(&bytes, 5); put_program(&bytes, 0, 5, 3);
                 note(&bytes, 5); SYSEX(&bytes, XG_ON); SYSEX(&bytes, GS_RESET);
                 put_bank(&bytes, 5, 127, 4); note(&bytes, 5));
    EXPECT_PARTS("M0 P0", SYSEX(&bytes, GS_PART(0, 0)); note(&bytes, 9);
                 SYSEX(&bytes, GS_RESET); note(&bytes, 9));
}

/* The message is in one track, the notes are in another: only the time matters. */
static void part_events_apply_across_tracks(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    for (int i = 0; i < 3; i++)
        put_event(&bytes, 10, 0x95, 60, i % 2 ? 0 : 80);
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_event(&bytes, 20, 0xB5, 0, 120);
    put_program(&bytes, 5, 5, 1);
    end_track(&bytes, begin);
    expect_parts(&bytes, "M0 P1");
}

/* Every pattern of format 2 begins with the default parts. */
static void each_pattern_begins_with_default_parts(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 2, 2, 480);
    for (int pattern = 0; pattern < 2; pattern++) {
        size_t begin = begin_track(&bytes);
        if (pattern == 0)
            put_bank(&bytes, 5, 120, 3);
        put_short_note(&bytes, 5);
        end_track(&bytes, begin);
    }
    expect_parts(&bytes, "P3 M0");
}

/* The hash includes percussion where it differs from the default of the channel. */
static void hash_depends_on_unusual_percussion(void **state)
{
    (void)state;
    size_t begin;
    struct hash128 hashes[2];
    for (int i = 0; i < 2; i++) {
        struct midi_file file = {0};
        struct bytes bytes = one_track(&begin);
        put_bank(&bytes, 9, i ? 121 : 120, 0);
        put_short_note(&bytes, 9);
        end_track(&bytes, begin);
        read_bytes(&bytes, NULL, &file);
        hashes[i] = notes_hash(&file.notes);
        midi_free(&file);
    }
    assert_int_not_equal(hash128_compare(hashes[0], hashes[1]), 0);
}

/* ---- ports ---- */

static void put_port(struct bytes *bytes, int port)
{
    PUT(bytes, 0, 0xFF, 0x21, 1, (uint8_t)port);
}

static void put_device(struct bytes *bytes, const char *name)
{
    PUT(bytes, 0, 0xFF, 0x09, (uint8_t)strlen(name));
    put_bytes(bytes, name, strlen(name));
}

/* "0:M40 1:P0": port, percussion or melody, program. */
static void expect_ports(struct bytes *bytes, const char *ports)
{
    struct midi_file file = {0};
    char text[256] = "";
    size_t used = 0;
    read_bytes(bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    for (size_t i = 0; i < file.notes.count; i++) {
        const struct note *at = &file.notes.items[i];
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%d:%c%d", i ? " " : "",
                             at->port, at->percussion ? 'P' : 'M', at->program);
    }
    assert_string_equal(text, ports);
    midi_free(&file);
}

static struct bytes two_tracks(size_t *begin)
{
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    *begin = begin_track(&bytes);
    return bytes;
}

static void next_track(struct bytes *bytes, size_t *begin)
{
    end_track(bytes, *begin);
    *begin = begin_track(bytes);
}

static void programs_are_per_port_and_channel(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = two_tracks(&begin);
    put_program(&bytes, 0, 0, 40);
    put_short_note(&bytes, 0);
    next_track(&bytes, &begin);
    put_port(&bytes, 99);
    put_number(&bytes, 5);
    PUT(&bytes, 0xFF, 1, 0);
    put_short_note(&bytes, 0);
    put_short_note(&bytes, 9);
    end_track(&bytes, begin);
    expect_ports(&bytes, "0:M40 1:M0 1:P0");
}

/* A note that sounds while the port changes; its note-off is on the note's port. */
static void note_off_applies_to_the_port_of_its_note(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_event(&bytes, 0, 0x90, 60, 80);
    put_port(&bytes, 1);
    put_event(&bytes, 10, 0x90, 60, 80);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_port(&bytes, 0);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_port(&bytes, 2);
    put_event(&bytes, 10, 0x90, 61, 80); /* never released */
    put_port(&bytes, 3);
    put_end_of_track(&bytes, 10);
    end_chunk(&bytes, begin);
    expect(&bytes, 0, "0+30:60 10+10:60 40+10:61");
}

static void device_names_select_ports(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = two_tracks(&begin);
    put_device(&bytes, "Synth 1"); /* the first has no effect */
    put_program(&bytes, 0, 0, 40);
    put_short_note(&bytes, 0);
    put_device(&bytes, "Synth 2");
    put_short_note(&bytes, 0);
    put_device(&bytes, "Synth 1");
    put_short_note(&bytes, 0);
    next_track(&bytes, &begin);
    put_event(&bytes, 100, 0x90, 60, 80);
    put_device(&bytes, "Synth 2");
    put_port(&bytes, 5); /* ports of that device */
    put_event(&bytes, 100, 0x90, 60, 80);
    end_track(&bytes, begin);
    expect_ports(&bytes, "0:M40 1:M0 0:M40 0:M40 2:M0");
}

static void parts_are_per_port_and_channel(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = two_tracks(&begin);
    SYSEX(&bytes, GM2_ON);
    put_bank(&bytes, 4, 120, 1);
    put_short_note(&bytes, 4);
    next_track(&bytes, &begin);
    put_port(&bytes, 1);
    put_number(&bytes, 5);
    PUT(&bytes, 0xFF, 1, 0);
    put_short_note(&bytes, 4);
    put_bank(&bytes, 9, 121, 2);
    put_short_note(&bytes, 9);
    SYSEX(&bytes, XG_PART(6, 1));
    put_short_note(&bytes, 6);
    end_track(&bytes, begin);
    expect_ports(&bytes, "0:P1 1:M0 1:M2 1:P0");
}

/* More ports than can be distinguished: all are read, and the excess ones share the
 * last. */
static void excess_ports_share_the_last_one(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    for (int i = 0; i < 400; i++) {
        char name[16];
        snprintf(name, sizeof name, "device %d", i);
        put_device(&bytes, name);
        put_port(&bytes, i % 3);
        put_short_note(&bytes, 0);
    }
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    assert_int_equal(file.notes.count, 400);
    assert_int_equal(file.notes.items[399].port, 255);
    assert_int_equal(midi_apply_pedal(&file), STATUS_OK);
    midi_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channel_10_is_percussion),
        cmocka_unit_test(gm2_banks_select_percussion),
        cmocka_unit_test(bank_takes_effect_at_program_change),
        cmocka_unit_test(xg_banks_select_percussion),
        cmocka_unit_test(sysex_selects_percussion),
        cmocka_unit_test(other_sysex_is_ignored),
        cmocka_unit_test(reset_restores_default_parts),
        cmocka_unit_test(part_events_apply_across_tracks),
        cmocka_unit_test(each_pattern_begins_with_default_parts),
        cmocka_unit_test(hash_depends_on_unusual_percussion),
        cmocka_unit_test(programs_are_per_port_and_channel),
        cmocka_unit_test(note_off_applies_to_the_port_of_its_note),
        cmocka_unit_test(device_names_select_ports),
        cmocka_unit_test(parts_are_per_port_and_channel),
        cmocka_unit_test(excess_ports_share_the_last_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
