/* midi_read: the handling of invalid SMF 1.0, row by row of midi.h's table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "midi_expect.h"

/* Repaired. */

static void bytes_before_the_header_are_skipped(void **state)
{
    (void)state;
    size_t lengths[] = {1, 128, 1024};
    for (size_t i = 0; i < 3; i++) {
        struct bytes bytes = {0}, file = two_notes();
        for (size_t n = 0; n < lengths[i]; n++)
            PUT(&bytes, 'M');
        put_bytes(&bytes, file.items, file.count);
        expect(&bytes, MIDI_REPAIR_LEADING, TWO_NOTES_TEXT);
        free_bytes(&file);
    }
}

static void unknown_formats_are_read_as_format_1(void **state)
{
    (void)state;
    struct bytes bytes = two_notes();
    bytes.items[9] = 7;
    expect(&bytes, MIDI_REPAIR_FORMAT, TWO_NOTES_TEXT);
    bytes = two_notes();
    bytes.items[11] = 2;
    struct bytes more = two_notes();
    put_bytes(&bytes, more.items + 14, more.count - 14);
    free_bytes(&more);
    expect(&bytes, MIDI_REPAIR_FORMAT, "0+480:60 0+480:60 480+240:62 480+240:62");
}

static void wrong_track_counts_are_repaired(void **state)
{
    (void)state;
    int declared[] = {0, 2, 0xFFFF};
    for (size_t i = 0; i < 3; i++) {
        struct bytes bytes = two_notes();
        bytes.items[10] = (uint8_t)(declared[i] >> 8);
        bytes.items[11] = (uint8_t)declared[i];
        expect(&bytes, MIDI_REPAIR_COUNT, TWO_NOTES_TEXT);
    }
}

static void wrong_track_lengths_are_repaired(void **state)
{
    (void)state;
    uint32_t lengths[] = {0, 1, 7, 8, 17, 21, 0xFFFFFFFF, 0x7FFFFFFF, 24};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct bytes bytes = two_notes(); /* the track has 22 bytes */
        assert_int_equal(bytes.count, 44);
        set_length(&bytes, 22, lengths[i]);
        expect(&bytes, MIDI_REPAIR_LENGTH, TWO_NOTES_TEXT);
    }
}

/* Wrong lengths of a track that is followed by another. */
static void wrong_lengths_before_another_track_are_repaired(void **state)
{
    (void)state;
    uint32_t lengths[] = {0, 9, 23, 30, 40, 44, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct bytes bytes = two_notes(), more = two_notes();
        bytes.items[9] = 1;
        bytes.items[11] = 2;
        set_length(&bytes, 22, lengths[i]);
        put_bytes(&bytes, more.items + 14, more.count - 14);
        free_bytes(&more);
        expect(&bytes, MIDI_REPAIR_LENGTH, "0+480:60 0+480:60 480+240:62 480+240:62");
    }
}

static void junk_between_and_after_chunks_is_skipped(void **state)
{
    (void)state;
    struct bytes bytes = two_notes();
    PUT(&bytes, 0, 0, 0);
    expect(&bytes, MIDI_REPAIR_JUNK, TWO_NOTES_TEXT);
    bytes = two_notes();
    put_bytes(&bytes, "Eight by", 8); /* a chunk's name, but a length beyond the end */
    expect(&bytes, MIDI_REPAIR_JUNK, TWO_NOTES_TEXT);
    bytes = two_notes();
    struct bytes more = two_notes();
    bytes.items[9] = 1;
    bytes.items[11] = 2;
    PUT(&bytes, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'M', 'T', 'r');
    put_bytes(&bytes, more.items + 14, more.count - 14);
    free_bytes(&more);
    expect(&bytes, MIDI_REPAIR_JUNK, "0+480:60 0+480:60 480+240:62 480+240:62");
}

static void missing_end_of_track_is_repaired(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    put_note(&bytes, 0, 480, 60);
    end_chunk(&bytes, begin);
    size_t alien = begin_chunk(&bytes, "next"); /* is not read as events */
    put_note(&bytes, 0, 480, 99);
    end_chunk(&bytes, alien);
    begin = begin_track(&bytes);
    end_chunk(&bytes, begin);
    expect(&bytes, MIDI_REPAIR_NO_END, "0+480:60");
}

static void events_after_end_of_track_are_ignored(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_note(&bytes, 0, 480, 60);
    put_end_of_track(&bytes, 0);
    put_note(&bytes, 0, 480, 61);
    end_track(&bytes, begin);
    expect(&bytes, MIDI_REPAIR_AFTER_END, "0+480:60");
}

/* A file truncated at every byte: exactly the notes that had begun are read. */
static void truncated_file_has_the_notes_begun_before_the_cut(void **state)
{
    (void)state;
    struct bytes whole = two_notes();
    for (size_t size = 0; size < whole.count; size++) {
        struct bytes bytes = {0};
        struct midi_file file = {0};
        put_bytes(&bytes, whole.items, size);
        read_bytes(&bytes, NULL, &file);
        size_t notes = size < 22 + 4 ? 0 : size < 22 + 4 + 5 + 4 ? 1 : 2;
        if (size < 22) {
            assert_int_equal(file.outcome, MIDI_SKIPPED);
        } else {
            assert_int_equal(file.outcome, MIDI_REPAIRED);
            bool between =
                size == 22 || size == 26 || size == 31 || size == 35 || size == 40;
            assert_int_equal(file.repairs & (MIDI_REPAIR_TRUNCATED | MIDI_REPAIR_NO_END),
                             between ? MIDI_REPAIR_NO_END : MIDI_REPAIR_TRUNCATED);
        }
        assert_int_equal(file.notes.count, notes);
        midi_free(&file);
    }
    free_bytes(&whole);
}

/* One track with a valid note, the given bytes, another valid note. */
static void expect_within(const uint8_t *bad, size_t count, midi_repairs repairs,
                          const char *notes)
{
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_note(&bytes, 0, 10, 60);
    put_bytes(&bytes, bad, count);
    put_note(&bytes, 10, 10, 62);
    end_track(&bytes, begin);
    expect(&bytes, repairs, notes);
}

#define WITHIN(repairs, notes, ...)                                                      \
    expect_within((const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__},  \
                  repairs, notes)

static void invalid_events_are_repaired(void **state)
{
    (void)state;
    const char *both = "0+10:60 20+10:62", *first = "0+10:60";
    WITHIN(MIDI_REPAIR_TRUNCATED, first, 0, 0xFF, 1, 0xFF, 0xFF, 0x7F);
    WITHIN(MIDI_REPAIR_TRUNCATED, first, 0, 0xF0, 0x7F);
    WITHIN(MIDI_REPAIR_TRUNCATED, first, 0, 0xF7, 0x7F);
    WITHIN(MIDI_REPAIR_NUMBER, "0+10:60 10+10:61 30+10:62", 0x90, 0x80, 0x80, 0x80, 0,
           0x90, 61, 1, 10, 0x80, 61, 1);
    WITHIN(MIDI_REPAIR_DATA, "0+10:60 10+0:61 20+10:62", 0, 0x90, 61, 0xFF, 0, 0x80, 61,
           0xFF);
    WITHIN(MIDI_REPAIR_NUMBER, both, 0x80, 0x80, 0x80, 0x80, 0, 0xFF, 1, 0);
    WITHIN(MIDI_REPAIR_STATUS, "0+10:60 10+0:61 20+10:62", 0, 0x90, 61, 80, 0, 0xFF, 1, 0,
           0, 61, 0);
    WITHIN(MIDI_REPAIR_STATUS, "0+10:60 10+0:61 20+10:62", 0, 0x90, 61, 80, 0, 0xF0, 1,
           0xF7, 0, 61, 0);
    WITHIN(MIDI_REPAIR_SYSTEM, both, 0, 0xF1, 1, 0, 0xF2, 1, 2, 0, 0xF3, 1, 0, 0xF4);
    /* missing data bytes are not taken from the bytes that follow */
    WITHIN(MIDI_REPAIR_SYSTEM, "0+10:60 148+10:62", 0, 0xF2, 0x81, 0, 0xFF, 1, 0);
    WITHIN(MIDI_REPAIR_SYSTEM, both, 0, 0xF6, 0, 0xF8, 0, 0xFA, 0, 0xFE);
    WITHIN(MIDI_REPAIR_SYSEX, both, 0, 0xF0, 2, 1, 2);
    WITHIN(MIDI_REPAIR_SYSEX, both, 0, 0xF0, 0);
    WITHIN(MIDI_REPAIR_SYSEX, both, 0, 0xF0, 1, 1, 0, 0xF0, 2, 1, 0xF7);
    WITHIN(MIDI_REPAIR_TEMPO, both, 0, 0xFF, 0x51, 3, 0, 0, 0);
    WITHIN(MIDI_REPAIR_TEMPO, both, 0, 0xFF, 0x51, 2, 1, 0);
    WITHIN(MIDI_REPAIR_META, both, 0, 0xFF, 0x80, 1, 1);
    WITHIN(0, both, 0, 0xFF, 0x51, 4, 7, 0xA1, 0x20, 99); /* longer is allowed */
}

/* They are ignored, and reading continues after them. */
static void events_with_first_data_byte_above_127_are_ignored(void **state)
{
    (void)state;
    const char *both = "0+10:60 20+10:62";
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0x90, 0x80, 80);
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0x80, 0xFF, 80);
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0x90, 0xFD, 0xFE);
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0xA0, 0xF0, 80);
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0xB0, 0xF8, 127); /* no controller 120 */
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0xC0, 0x80);
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0xD0, 0xC0);
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0xE0, 0x80, 0x40);
    WITHIN(MIDI_REPAIR_DATA, both, 0, 0xE0, 0x80, 0xFF, 0, 0xE0, 0x90, 0x90);
    /* running status continues after it */
    WITHIN(MIDI_REPAIR_DATA, "0+10:60 10+5:61 25+10:62", 0, 0x90, 0x82, 80, 0, 61, 80, 5,
           61, 0);
}

/* Bytes were lost, including the delta time of the event that begins there. */
static void status_in_place_of_data_begins_the_next_event(void **state)
{
    (void)state;
    const char *between = "0+10:60 10+5:61 25+10:62";
    WITHIN(MIDI_REPAIR_SHORT, between, 0, 0xE0, 0x90, 61, 80, 5, 0x80, 61, 0);
    WITHIN(MIDI_REPAIR_SHORT, between, 0, 0xE0, 0, 0x90, 61, 80, 5, 0x80, 61, 0);
    WITHIN(MIDI_REPAIR_SHORT, between, 0, 0x90, 0x90, 61, 80, 5, 0x80, 61, 0);
}

static void programs_and_banks_above_127_are_ignored(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_program(&bytes, 0, 0, 40);
    put_program(&bytes, 0, 0, 0x80);
    put_event(&bytes, 0, 0xB0, 0, 0xF8); /* not 127, and not 120 */
    put_program(&bytes, 0, 0, 41);
    put_program(&bytes, 0, 0, 0x80);
    put_note(&bytes, 0, 10, 60);
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.repairs, MIDI_REPAIR_DATA);
    assert_int_equal(file.notes.items[0].program, 41);
    assert_int_equal(file.notes.items[0].percussion, 0);
    midi_free(&file);
}

/* A number that is too long counts with its low 28 bits; a negative one counts as 0. */
static void numbers_of_more_than_four_bytes_are_repaired(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    PUT(&bytes, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x88, 0xDA, 0x6F, 0x90, 60, 80);
    PUT(&bytes, 10, 60, 0);                           /* at 142703 + 10 */
    PUT(&bytes, 0x88, 0x80, 0x80, 0x80, 5, 61, 80);   /* only bit 31 and 5 */
    PUT(&bytes, 0x8F, 0xFF, 0xFF, 0xFC, 0x20, 61, 0); /* -480 */
    PUT(&bytes, 0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 62,
        80); /* -1 */
    PUT(&bytes, 3, 62, 0);
    PUT(&bytes, 0, 0xFF, 1, 0x80, 0x80, 0x80, 0x80, 1, 'x'); /* a length */
    end_track(&bytes, begin);
    expect(&bytes, MIDI_REPAIR_NUMBER, "142703+10:60 142718+0:61 142718+3:62");
}

/* A first track that contains only tempos and exceeds the range of ticks. */
static void overlong_track_does_not_affect_other_tracks(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    put_tempo(&bytes, 0, 250000);
    for (int i = 0; i < 20; i++)
        put_tempo(&bytes, 0x0FFFFFFF, 500000);
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_note(&bytes, 480, 480, 60);
    end_track(&bytes, begin);
    struct bytes copy = {0};
    put_bytes(&copy, bytes.items, bytes.count);
    expect(&bytes, MIDI_REPAIR_TOO_LATE, "480+480:60");
    struct midi_file file = {0};
    read_bytes(&copy, NULL, &file);
    assert_true(file.notes.items[0].start == 0.25);
    assert_int_equal(file.tempo_events, 17);
    midi_free(&file);
}

/* A division that is not valid SMPTE is taken as ticks per quarter note. */
static void divisions_above_32767_are_ticks_per_beat(void **state)
{
    (void)state;
    const int divisions[] = {55440, 0xE428, 0xE800, 0xFFFF, 0x8000};
    for (size_t i = 0; i < sizeof divisions / sizeof *divisions; i++) {
        struct bytes bytes = two_notes();
        bytes.items[12] = (uint8_t)(divisions[i] >> 8);
        bytes.items[13] = (uint8_t)divisions[i];
        struct midi_file file = {0};
        read_bytes(&bytes, NULL, &file);
        assert_int_equal(file.repairs, MIDI_REPAIR_DIVISION);
        assert_int_equal(file.division, divisions[i]);
        assert_true(file.notes.ticks_per_beat == divisions[i]);
        assert_true(file.notes.items[0].duration == 480 * 0.5 / divisions[i]);
        midi_free(&file);
    }
}

/* A reason names the first cause first. */
static void skip_reasons_begin_with_the_repairs(void **state)
{
    (void)state;
    struct midi_limits one = {.min_notes = 1, .max_seconds = 100};
    size_t begin;
    struct bytes bytes = one_track(&begin);
    PUT(&bytes, 0, 0xFF, 1, 0x7F);
    end_track(&bytes, begin);
    expect_skipped(&bytes, &one, "track cut; too few notes: 0 (at least 1)");
    bytes = one_track(&begin);
    PUT(&bytes, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0xFF, 0xFF, 0x6F, 0x90, 60, 80);
    end_track(&bytes, begin);
    expect_skipped(&bytes, &one, "number too long; too long: ");
    bytes = two_notes();
    bytes.items[12] = bytes.items[13] = 0;
    struct bytes late = {0};
    PUT(&late, 1, 2, 3);
    put_bytes(&late, bytes.items, bytes.count);
    free_bytes(&bytes);
    expect_skipped(&late, NULL, "bytes before the header; division is 0");
}

static void second_data_bytes_above_127_are_read_as_127(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_event(&bytes, 0, 0x90, 60, 200);
    put_event(&bytes, 0, 0xB0, 64, 128);
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.repairs, MIDI_REPAIR_DATA);
    assert_int_equal(file.notes.items[0].velocity, 127);
    assert_int_equal(file.pedals[0].value, 127);
    midi_free(&file);
}

static void data_before_the_first_status_is_ignored(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    PUT(&bytes, 0, 61, 80);
    put_note(&bytes, 5, 10, 60);
    end_track(&bytes, begin);
    expect(&bytes, MIDI_REPAIR_STATUS, "5+10:60");
}

static void all_repairs_fit_the_reason(void **state)
{
    (void)state;
    char text[MIDI_REASON_SIZE], larger[4096], tiny[8];
    midi_repairs all = (1u << MIDI_REPAIR_KINDS) - 1;
    midi_repair_text(all, larger, sizeof larger);
    assert_string_equal(midi_repair_text(all, text, sizeof text), larger);
    assert_int_equal(strlen(midi_repair_text(all, tiny, sizeof tiny)), sizeof tiny - 1);
    int commas = 0;
    for (const char *at = text; *at; at++)
        commas += *at == ',';
    assert_int_equal(commas, MIDI_REPAIR_KINDS - 1);
}

/* Skipped. */

static void files_without_a_header_are_skipped(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    expect_skipped(&bytes, NULL, "no MThd");
    put_bytes(&bytes, "just some text", 14);
    expect_skipped(&bytes, NULL, "no MThd");
    struct bytes file = two_notes();
    for (int i = 0; i < 1025; i++)
        PUT(&bytes, 0);
    put_bytes(&bytes, file.items, file.count);
    expect_skipped(&bytes, NULL, "no MThd");
    free_bytes(&file);
}

static void files_with_invalid_headers_are_skipped(void **state)
{
    (void)state;
    const struct {
        size_t at;
        uint8_t bytes[4];
        size_t count;
        const char *why;
    } cases[] = {
        {4, {0, 0, 0, 5}, 4, "header of 5 bytes"},
        {4, {0xFF, 0xFF, 0xFF, 0xFF}, 4, "header of 4294967295 bytes"},
        {4, {0, 0, 0, 37}, 4, "header of 37 bytes"},
        {12, {0, 0}, 2, "division is 0"},
        {14, {'m', 't', 'r', 'k'}, 4, "no track (1 declared)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes bytes = two_notes();
        memcpy(bytes.items + cases[i].at, cases[i].bytes, cases[i].count);
        expect_skipped(&bytes, NULL, cases[i].why);
    }
    struct bytes bytes = two_notes();
    bytes.count = 13;
    expect_skipped(&bytes, NULL, "inside the header (13 bytes of 14)");
}

static void files_of_more_than_65535_tracks_are_skipped(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct bytes bytes = {0};
        put_header(&bytes, 1, 65535, 480);
        for (int track = 0; track < 65535 + more; track++) {
            size_t begin = begin_track(&bytes);
            if (track == 65534)
                put_note(&bytes, 0, 1, 60);
            end_track(&bytes, begin);
        }
        if (more)
            expect_skipped(&bytes, NULL, "more than 65535 tracks");
        else
            expect(&bytes, 0, "0+1:60");
    }
}

static void files_beyond_a_limit_are_skipped(void **state)
{
    (void)state;
    struct bytes bytes = two_notes();
    expect_skipped(&bytes, &(struct midi_limits){.max_bytes = 43},
                   "44 bytes (at most 43)");
    bytes = two_notes();
    expect_skipped(&bytes, &(struct midi_limits){.max_notes = 1}, "more than 1 notes");
    bytes = two_notes();
    expect_skipped(&bytes, &(struct midi_limits){.min_notes = 3}, "2 (at least 3)");
    bytes = two_notes();
    expect_skipped(&bytes, &(struct midi_limits){.max_seconds = 0.74},
                   "0.8 seconds (at most 0.74)");
    struct midi_limits just = {
        .max_bytes = 44, .max_notes = 2, .min_notes = 2, .max_seconds = 0.75};
    struct midi_file file = {0};
    bytes = two_notes();
    read_bytes(&bytes, &just, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    midi_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_before_the_header_are_skipped),
        cmocka_unit_test(unknown_formats_are_read_as_format_1),
        cmocka_unit_test(wrong_track_counts_are_repaired),
        cmocka_unit_test(wrong_track_lengths_are_repaired),
        cmocka_unit_test(wrong_lengths_before_another_track_are_repaired),
        cmocka_unit_test(junk_between_and_after_chunks_is_skipped),
        cmocka_unit_test(missing_end_of_track_is_repaired),
        cmocka_unit_test(events_after_end_of_track_are_ignored),
        cmocka_unit_test(truncated_file_has_the_notes_begun_before_the_cut),
        cmocka_unit_test(invalid_events_are_repaired),
        cmocka_unit_test(events_with_first_data_byte_above_127_are_ignored),
        cmocka_unit_test(status_in_place_of_data_begins_the_next_event),
        cmocka_unit_test(programs_and_banks_above_127_are_ignored),
        cmocka_unit_test(numbers_of_more_than_four_bytes_are_repaired),
        cmocka_unit_test(overlong_track_does_not_affect_other_tracks),
        cmocka_unit_test(divisions_above_32767_are_ticks_per_beat),
        cmocka_unit_test(skip_reasons_begin_with_the_repairs),
        cmocka_unit_test(second_data_bytes_above_127_are_read_as_127),
        cmocka_unit_test(data_before_the_first_status_is_ignored),
        cmocka_unit_test(all_repairs_fit_the_reason),
        cmocka_unit_test(files_without_a_header_are_skipped),
        cmocka_unit_test(files_with_invalid_headers_are_skipped),
        cmocka_unit_test(files_of_more_than_65535_tracks_are_skipped),
        cmocka_unit_test(files_beyond_a_limit_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
