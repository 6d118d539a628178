/* The reader's tempo changes, time signatures and track names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "midi_expect.h"
#include "midi_invariants.h"

static void put_signature(struct bytes *bytes, uint32_t delta, int numerator,
                          int denominator_log2)
{
    put_number(bytes, delta);
    PUT(bytes, 0xFF, 0x58, 4, (uint8_t)numerator, (uint8_t)denominator_log2, 24, 8);
}

static void put_name(struct bytes *bytes, const char *name, size_t length)
{
    put_number(bytes, 0);
    PUT(bytes, 0xFF, 0x03);
    put_number(bytes, (uint32_t)length);
    put_bytes(bytes, name, length);
}

/* "0:3/4 960:6/8", in the order of the list. */
static const char *signatures_text(const struct notes *notes)
{
    static char text[1024];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < notes->signatures.count && used < sizeof text; i++) {
        const struct time_signature *signature = &notes->signatures.items[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u:%d/%d",
                                 i ? " " : "", signature->tick, signature->numerator,
                                 1 << signature->denominator_log2);
    }
    return text;
}

static const char *tempos_text(const struct notes *notes)
{
    static char text[1024];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < notes->tempos.count && used < sizeof text; i++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%u:%u", i ? " " : "",
                             notes->tempos.items[i].tick, notes->tempos.items[i].tempo);
    return text;
}

static void the_last_of_a_tick_applies_and_defaults_are_implied(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    struct midi_file file = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    put_tempo(&bytes, 0, 500000);
    put_signature(&bytes, 0, 4, 2);
    put_signature(&bytes, 480, 3, 2);
    put_tempo(&bytes, 0, 400000);
    put_signature(&bytes, 480, 6, 3);
    put_tempo(&bytes, 0, 300000);
    put_tempo(&bytes, 480, 300000);
    put_signature(&bytes, 0, 6, 3);
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_signature(&bytes, 960, 3, 2); /* at the tick of 6/8 */
    put_tempo(&bytes, 0, 200000);
    put_note(&bytes, 0, 10, 60);
    end_track(&bytes, begin);
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    assert_string_equal(signatures_text(&file.notes), "480:3/4 1440:6/8");
    assert_string_equal(tempos_text(&file.notes), "480:400000 960:200000 1440:300000");
    midi_free(&file);
}

static void invalid_time_signatures_are_ignored(void **state)
{
    (void)state;
    size_t begin;
    struct midi_file file = {0};
    struct bytes bytes = one_track(&begin);
    put_signature(&bytes, 0, 0, 2);
    put_signature(&bytes, 10, 3, 7);
    PUT(&bytes, 10, 0xFF, 0x58, 1, 3);
    PUT(&bytes, 10, 0xFF, 0x58, 2, 255, 6); /* the first two bytes suffice */
    put_note(&bytes, 0, 10, 60);
    end_track(&bytes, begin);
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    assert_string_equal(signatures_text(&file.notes), "30:255/64");
    midi_free(&file);
}

static void patterns_begin_with_the_defaults(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    struct midi_file file = {0};
    put_header(&bytes, 2, 2, 480);
    for (int pattern = 0; pattern < 2; pattern++) {
        size_t begin = begin_track(&bytes);
        put_note(&bytes, 0, 100, 60);
        put_tempo(&bytes, 0, 250000);
        put_signature(&bytes, 0, 2, 1);
        put_note(&bytes, 0, 100, 60);
        end_track(&bytes, begin);
    }
    read_bytes(&bytes, NULL, &file);
    assert_string_equal(signatures_text(&file.notes), "100:2/2 200:4/4 300:2/2");
    assert_string_equal(tempos_text(&file.notes), "100:250000 200:500000 300:250000");
    midi_free(&file);
}

static void smpte_division_has_neither_tempo_nor_metre(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    struct midi_file file = {0};
    put_header(&bytes, 0, 1, -25 * 256 + 40);
    size_t begin = begin_track(&bytes);
    put_name(&bytes, "film", 4);
    put_tempo(&bytes, 0, 250000);
    put_signature(&bytes, 0, 3, 2);
    put_note(&bytes, 0, 100, 60);
    end_track(&bytes, begin);
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.notes.tempos.count + file.notes.signatures.count, 0);
    assert_string_equal(notes_name(&file.notes, 0), "film");
    midi_free(&file);
}

static void the_first_name_of_a_track_counts(void **state)
{
    (void)state;
    char longest[300];
    memset(longest, 'x', sizeof longest);
    struct bytes bytes = {0};
    struct midi_file file = {0};
    put_header(&bytes, 1, 5, 480);
    for (int track = 0; track < 5; track++) {
        size_t begin = begin_track(&bytes);
        put_name(&bytes, NULL, 0);
        if (track == 1)
            put_name(&bytes, "\xE9t\xE9\0abc", 7); /* not UTF-8 */
        if (track == 3)
            put_name(&bytes, longest, sizeof longest);
        if (track % 2)
            put_name(&bytes, "second", 6);
        put_note(&bytes, 0, 100, 60);
        end_track(&bytes, begin);
    }
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.notes.names.count, 2);
    assert_string_equal(notes_name(&file.notes, 1), "\xE9t\xE9");
    assert_int_equal(strlen(notes_name(&file.notes, 3)), TRACK_NAME_SIZE - 1);
    for (uint16_t track = 0; track < 6; track += 2)
        assert_null(notes_name(&file.notes, track));
    /* nothing remains of it when the next file is read */
    bytes = two_notes();
    read_bytes(&bytes, NULL, &file);
    assert_null(notes_name(&file.notes, 1));
    midi_free(&file);
}

static void a_shifted_piece_begins_with_what_is_in_force(void **state)
{
    (void)state;
    size_t begin;
    struct midi_file file = {0};
    struct bytes bytes = one_track(&begin);
    put_tempo(&bytes, 100, 400000);
    put_signature(&bytes, 0, 3, 2);
    put_tempo(&bytes, 100, 300000);
    put_signature(&bytes, 0, 6, 3);
    put_note(&bytes, 100, 100, 60); /* at tick 300 */
    put_tempo(&bytes, 0, 500000);
    put_signature(&bytes, 0, 4, 2);
    end_track(&bytes, begin);
    read_bytes(&bytes, NULL, &file);
    midi_set_start(&file, 250);
    assert_string_equal(signatures_text(&file.notes), "0:6/8 150:4/4");
    assert_string_equal(tempos_text(&file.notes), "0:300000 150:500000");
    midi_free(&file);
}

/* ---- random files: a naive search through the events as they were written ---- */

enum { EVENTS_MAX = 400 };

struct expected_event { /* in the order of the file */
    uint32_t tick;
    uint32_t tempo; /* 0: a time signature */
    uint8_t numerator, denominator_log2;
};

struct expected_events {
    struct expected_event items[EVENTS_MAX];
    size_t count;
};

static void put_random_metre(struct bytes *bytes, uint64_t *seed, uint32_t origin,
                             struct expected_events *events)
{
    uint32_t tick = origin;
    for (int i = 0; i < 40; i++) {
        uint32_t delta = draw(seed, 3) * draw(seed, 50);
        struct expected_event *event = &events->items[events->count++];
        tick += delta;
        *event = (struct expected_event){.tick = tick};
        if (draw(seed, 2)) {
            event->tempo = 500000 + 10000 * draw(seed, 3);
            put_tempo(bytes, delta, event->tempo);
        } else {
            event->numerator = (uint8_t)(3 + draw(seed, 2));
            event->denominator_log2 = (uint8_t)(2 + draw(seed, 2));
            put_signature(bytes, delta, event->numerator, event->denominator_log2);
        }
    }
}

/* The last event of a kind at or before a tick, and of these the last in the file. */
static struct expected_event find_event(const struct expected_events *events, bool tempo,
                                        uint32_t tick)
{
    struct expected_event found = {
        .tempo = tempo ? 500000 : 0, .numerator = 4, .denominator_log2 = 2};
    for (size_t i = 0; i < events->count; i++) {
        const struct expected_event *event = &events->items[i];
        if ((event->tempo > 0) == tempo && event->tick <= tick &&
            event->tick >= found.tick)
            found = *event;
    }
    return found;
}

static void assert_metre_at(const struct notes *notes,
                            const struct expected_events *events, uint32_t tick)
{
    uint32_t tempo = 500000;
    int numerator = 4, denominator_log2 = 2;
    for (size_t i = 0; i < notes->tempos.count; i++)
        if (notes->tempos.items[i].tick <= tick)
            tempo = notes->tempos.items[i].tempo;
    for (size_t i = 0; i < notes->signatures.count; i++)
        if (notes->signatures.items[i].tick <= tick) {
            numerator = notes->signatures.items[i].numerator;
            denominator_log2 = notes->signatures.items[i].denominator_log2;
        }
    struct expected_event signature = find_event(events, false, tick);
    assert_int_equal(tempo, find_event(events, true, tick).tempo);
    assert_int_equal(numerator, signature.numerator);
    assert_int_equal(denominator_log2, signature.denominator_log2);
}

static void random_files_have_the_metre_of_their_events(void **state)
{
    (void)state;
    uint64_t seed = 4711;
    struct midi_file file = {0};
    for (int round = 0; round < 200; round++) {
        struct expected_events events = {.count = 0};
        struct bytes bytes = {0};
        int tracks = 1 + (int)draw(&seed, 5);
        put_header(&bytes, tracks > 1, tracks, 96);
        for (int track = 0; track < tracks; track++) {
            size_t begin = begin_track(&bytes);
            put_random_metre(&bytes, &seed, 0, &events);
            put_note(&bytes, 0, 10, 60);
            end_track(&bytes, begin);
        }
        size_t size = bytes.count;
        read_bytes(&bytes, NULL, &file);
        const char *fault = midi_fault(&file, size, NULL);
        if (fault)
            fail_msg("round %d: %s", round, fault);
        for (uint32_t tick = 0; tick < 2100; tick += 1 + tick % 3)
            assert_metre_at(&file.notes, &events, tick);
    }
    midi_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_a_tick_applies_and_defaults_are_implied),
        cmocka_unit_test(invalid_time_signatures_are_ignored),
        cmocka_unit_test(patterns_begin_with_the_defaults),
        cmocka_unit_test(smpte_division_has_neither_tempo_nor_metre),
        cmocka_unit_test(the_first_name_of_a_track_counts),
        cmocka_unit_test(a_shifted_piece_begins_with_what_is_in_force),
        cmocka_unit_test(random_files_have_the_metre_of_their_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
