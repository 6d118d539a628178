/* midi_apply_pedal: handmade cases, and random files against a reference player that
 * steps through the piece tick by tick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "midi_expect.h"

static void expect_sustained(struct bytes *bytes, const char *notes)
{
    struct midi_file file = {0};
    read_bytes(bytes, NULL, &file);
    assert_int_equal(midi_apply_pedal(&file), STATUS_OK);
    assert_string_equal(notes_text(&file), notes);
    midi_free(&file);
}

static void put_pedal(struct bytes *bytes, uint32_t delta, int channel, int value)
{
    put_event(bytes, delta, 0xB0 | channel, 64, value);
}

static void pedal_sustains_released_notes(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_note(&bytes, 0, 10, 60); /* released before the pedal goes down */
    put_pedal(&bytes, 5, 0, 64);
    put_note(&bytes, 0, 10, 61);
    put_pedal(&bytes, 5, 0, 100); /* still down */
    put_event(&bytes, 0, 0x90, 62, 80);
    put_pedal(&bytes, 10, 0, 63);
    put_event(&bytes, 10, 0x80, 62, 0); /* released after the pedal */
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+10:60 15+25:61 30+20:62");
}

static void next_onset_of_the_pitch_ends_a_sustained_note(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 0, 127);
    put_note(&bytes, 0, 10, 60);
    put_event(&bytes, 5, 0x91, 60, 80); /* another channel */
    put_event(&bytes, 0, 0x81, 60, 0);
    put_note(&bytes, 5, 10, 61); /* another pitch */
    put_note(&bytes, 5, 10, 60);
    put_pedal(&bytes, 65, 0, 0);
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+35:60 15+0:60 20+90:61 35+75:60");
}

/* Two notes of a key overlap: the second begins before the first is released. */
static void earlier_onset_does_not_end_a_sustained_note(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 0, 127);
    put_event(&bytes, 0, 0x90, 60, 80);
    put_event(&bytes, 5, 0x90, 60, 80);
    put_event(&bytes, 5, 0x80, 60, 0);
    put_event(&bytes, 5, 0x80, 60, 0);
    put_pedal(&bytes, 85, 0, 0);
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+100:60 5+95:60");
}

static void pedal_events_precede_a_release_at_the_same_tick(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_note(&bytes, 0, 10, 60);
    put_pedal(&bytes, 0, 0, 127); /* down at the tick of the release: sustains the note */
    put_note(&bytes, 0, 10, 61);
    put_pedal(&bytes, 0, 0, 0); /* up at the tick of the release, and down again */
    put_pedal(&bytes, 0, 0, 127);
    put_pedal(&bytes, 30, 0, 0);
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+20:60 10+40:61");
}

static void unreleased_pedal_ends_with_the_last_key(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 0, 127);
    put_note(&bytes, 0, 10, 60);
    put_note(&bytes, 0, 10, 61);
    put_pedal(&bytes, 80, 0, 127);
    put_end_of_track(&bytes, 1000);
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+20:60 10+10:61");
}

/* Notes that begin and end together are ordered by velocity. */
static void pedal_keeps_the_sort_order(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 0, 127);
    put_event(&bytes, 0, 0x90, 60, 90);
    put_event(&bytes, 0, 0x90, 60, 50);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_pedal(&bytes, 80, 0, 0);
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.notes.items[0].velocity, 90); /* the shorter one */
    assert_int_equal(midi_apply_pedal(&file), STATUS_OK);
    assert_string_equal(notes_text(&file), "0+100:60 0+100:60");
    assert_int_equal(file.notes.items[0].velocity, 50);
    midi_free(&file);
}

static void percussion_ignores_the_pedal(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 9, 127);
    put_event(&bytes, 0, 0x99, 60, 80);
    put_event(&bytes, 10, 0x89, 60, 0);
    put_pedal(&bytes, 90, 9, 0);
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+10:60");
}

/* All are silenced: notes held by the pedal, by the key, or released at that very
 * tick. */
static void all_sound_off_ends_sustained_notes(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 0, 127);
    put_note(&bytes, 0, 10, 60);
    put_event(&bytes, 0, 0x90, 61, 80);
    put_event(&bytes, 0, 0x90, 62, 80);
    put_event(&bytes, 30, 0x80, 62, 0);
    put_event(&bytes, 0, 0xB0, 120, 0);  /* tick 40 */
    put_note(&bytes, 10, 10, 63);        /* the pedal is still down */
    put_event(&bytes, 20, 0xB1, 120, 0); /* on another channel */
    put_event(&bytes, 0, 0xB0, 123, 0);  /* keys off, but not the pedal */
    put_pedal(&bytes, 20, 0, 0);
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+40:60 10+30:61 10+30:62 50+50:63");
}

static void all_notes_off_does_not_end_sustained_notes(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 0, 127);
    put_event(&bytes, 0, 0x90, 61, 80);
    put_event(&bytes, 10, 0xB0, 123, 0);
    put_event(&bytes, 10, 0xB0, 121, 0); /* resets the pedal */
    put_note(&bytes, 10, 10, 62);
    put_event(&bytes, 10, 0xB0, 120, 0); /* without a pedal */
    put_pedal(&bytes, 10, 0, 127);
    end_track(&bytes, begin);
    expect_sustained(&bytes, "0+20:61 30+10:62");
}

/* From another track: all sound off ends held and sustained notes, all notes off ends
 * held ones. */
static void all_off_applies_across_tracks(void **state)
{
    (void)state;
    for (int number = 120; number < 124; number += 3) {
        struct bytes bytes = {0};
        put_header(&bytes, 1, 2, 480);
        size_t begin = begin_track(&bytes);
        put_pedal(&bytes, 0, 0, 127);
        put_note(&bytes, 0, 10, 60);
        put_note(&bytes, 0, 100, 61);
        put_pedal(&bytes, 90, 0, 0); /* tick 200 */
        end_track(&bytes, begin);
        begin = begin_track(&bytes);
        put_event(&bytes, 50, 0xB0, number, 0);
        end_track(&bytes, begin);
        expect_sustained(&bytes,
                         number == 120 ? "0+50:60 10+40:61" : "0+200:60 10+190:61");
    }
}

/* The pedal of channel 1 of one port, and notes of channel 1 of another. */
static void pedal_is_per_port(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    for (int port = 0; port < 2; port++) {
        size_t begin = begin_track(&bytes);
        PUT(&bytes, 0, 0xFF, 0x21, 1, (uint8_t)(17 * port));
        if (port == 0)
            put_pedal(&bytes, 0, 0, 127);
        put_note(&bytes, 0, 10, 60 + port);
        put_note(&bytes, 10, 10, 60 + port);
        if (port == 0)
            put_pedal(&bytes, 70, 0, 0);
        end_track(&bytes, begin);
    }
    expect_sustained(&bytes, "0+20:60 0+10:61 20+80:60 20+10:61");
}

static void sustained_seconds_follow_the_tempo_map(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_pedal(&bytes, 0, 0, 127);
    put_note(&bytes, 0, 240, 60);
    put_tempo(&bytes, 240, 1000000);
    put_pedal(&bytes, 480, 0, 0);
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(midi_apply_pedal(&file), STATUS_OK);
    assert_int_equal(file.notes.items[0].duration_ticks, 960);
    assert_true(file.notes.items[0].duration == 1.5);
    midi_free(&file);
}

static void file_without_pedal_is_unchanged(void **state)
{
    (void)state;
    struct midi_file file = {0};
    assert_int_equal(midi_apply_pedal(&file), STATUS_OK);
    struct bytes bytes = two_notes();
    expect_sustained(&bytes, TWO_NOTES_TEXT);
}

/* End of a note as the header defines it, found tick by tick. */
static uint32_t reference_end(const struct midi_file *file, size_t index)
{
    const struct note *note = &file->notes.items[index];
    uint32_t end = note->start_tick + note->duration_ticks, last = 0;
    if (note->percussion)
        return end;
    for (size_t i = 0; i < file->notes.count; i++) {
        const struct note *other = &file->notes.items[i];
        if (other->start_tick + other->duration_ticks > last)
            last = other->start_tick + other->duration_ticks;
    }
    for (uint32_t tick = 0;; tick++) {
        static bool down; /* the pedal of this channel */
        if (tick == 0)
            down = false;
        for (size_t i = 0; i < file->pedal_count; i++) {
            const struct midi_control *pedal = &file->pedals[i];
            if (pedal->tick != tick || pedal->channel != note->channel)
                continue;
            if (pedal->controller == MIDI_ALL_SOUND_OFF) {
                if (tick >= end)
                    return tick;
                continue;
            }
            if (tick > end && down && pedal->value < 64)
                return tick;
            down = pedal->value >= 64;
        }
        if (tick < end)
            continue;
        if (!down)
            return end;
        for (size_t i = index + 1; i < file->notes.count; i++) {
            const struct note *other = &file->notes.items[i];
            if (other->start_tick == tick && other->channel == note->channel &&
                other->pitch == note->pitch)
                return tick;
        }
        bool has_release = false;
        for (size_t i = 0; i < file->pedal_count; i++)
            has_release |= file->pedals[i].tick > tick &&
                           file->pedals[i].channel == note->channel &&
                           file->pedals[i].value < 64;
        if (!has_release && tick >= last)
            return tick;
    }
}

static struct bytes random_pedal_events(uint64_t *seed)
{
    size_t begin;
    struct bytes bytes = one_track(&begin);
    for (int i = 0; i < 120; i++) {
        int channel = 8 + (int)draw(seed, 2);
        uint32_t delta = draw(seed, 5);
        int pitch = 60 + (int)draw(seed, 3);
        uint32_t kind = draw(seed, 5);
        if (draw(seed, 20) == 0)
            put_event(&bytes, delta, 0xB0 | channel, 120, 0);
        else if (kind == 0)
            put_pedal(&bytes, delta, channel, (int)draw(seed, 128));
        else
            put_event(&bytes, delta, (kind < 3 ? 0x90 : 0x80) | channel, pitch, 80);
    }
    end_track(&bytes, begin);
    return bytes;
}

/* Compares order-independent sums over all notes, as the order within a tick may
 * change. */
static void random_files_agree_with_a_reference_player(void **state)
{
    (void)state;
    uint64_t seed = 5;
    size_t extended = 0;
    for (int round = 0; round < 100; round++) {
        struct bytes bytes = random_pedal_events(&seed);
        struct midi_file file = {0};
        read_bytes(&bytes, NULL, &file);
        size_t count = file.notes.count;
        struct notes expected = {0};
        for (size_t i = 0; i < count; i++) {
            struct note note = file.notes.items[i];
            uint32_t length = reference_end(&file, i) - note.start_tick;
            extended += length != note.duration_ticks;
            note.duration_ticks = length;
            note.duration = (double)length * 500000 / 480e6;
            assert_int_equal(notes_append(&expected, &note), STATUS_OK);
        }
        notes_sort(&expected);
        expected.ticks_per_beat = 480;
        assert_int_equal(midi_apply_pedal(&file), STATUS_OK);
        assert_int_equal(file.notes.count, count);
        struct hash128 a = notes_hash(&file.notes), b = notes_hash(&expected);
        assert_int_equal(hash128_compare(a, b), 0);
        notes_free(&expected);
        midi_free(&file);
    }
    assert_true(extended > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pedal_sustains_released_notes),
        cmocka_unit_test(next_onset_of_the_pitch_ends_a_sustained_note),
        cmocka_unit_test(earlier_onset_does_not_end_a_sustained_note),
        cmocka_unit_test(pedal_events_precede_a_release_at_the_same_tick),
        cmocka_unit_test(unreleased_pedal_ends_with_the_last_key),
        cmocka_unit_test(pedal_keeps_the_sort_order),
        cmocka_unit_test(percussion_ignores_the_pedal),
        cmocka_unit_test(all_sound_off_ends_sustained_notes),
        cmocka_unit_test(all_notes_off_does_not_end_sustained_notes),
        cmocka_unit_test(all_off_applies_across_tracks),
        cmocka_unit_test(pedal_is_per_port),
        cmocka_unit_test(sustained_seconds_follow_the_tempo_map),
        cmocka_unit_test(file_without_pedal_is_unchanged),
        cmocka_unit_test(random_files_agree_with_a_reference_player),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
