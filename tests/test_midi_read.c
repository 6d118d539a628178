/* midi_read: valid SMF 1.0, one test for each guarantee of midi.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "midi_expect.h"

static void plain_notes_are_read(void **state)
{
    (void)state;
    struct bytes bytes = two_notes();
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    assert_string_equal(file.reason, "");
    assert_int_equal(file.format, 0);
    assert_int_equal(file.tracks, 1);
    assert_int_equal(file.division, 480);
    assert_int_equal(file.tempo_events, 0);
    assert_true(file.first_tempo == 500000);
    assert_true(file.notes.ticks_per_beat == 480 && file.notes.ticks_per_second == 0);
    assert_string_equal(notes_text(&file), TWO_NOTES_TEXT);
    const struct note *note = &file.notes.items[1];
    assert_true(note->start == 0.5 && note->duration == 0.25);
    assert_int_equal(note->velocity, 80);
    assert_int_equal(note->channel, 0);
    assert_int_equal(note->program, 0);
    assert_int_equal(note->track, 0);
    midi_free(&file);
}

static void running_status_and_velocity_zero_are_read(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    PUT(&bytes, 0, 0x90, 60, 80, 0x10, 60, 0, 0, 62, 80, 0x20, 62, 0);
    end_track(&bytes, begin);
    expect(&bytes, 0, "0+16:60 16+32:62");
}

/* Every channel event must be read with its correct length. */
static void channel_events_are_read_with_their_length(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    for (int channel = 0; channel < 16; channel++) {
        put_event(&bytes, 0, 0xA0 | channel, 60, 127);
        put_event(&bytes, 0, 0xB0 | channel, 7, 127);
        put_program(&bytes, 0, channel, 127);
        PUT(&bytes, 0, (uint8_t)(0xD0 | channel), 127, 0, 5);
        put_event(&bytes, 1, 0xE0 | channel, 0, 64);
    }
    put_note(&bytes, 0, 1, 60);
    end_track(&bytes, begin);
    expect(&bytes, 0, "16+1:60");
}

/* Only note events begin and end notes, wherever the others are among them. */
static void channel_events_leave_sounding_notes_alone(void **state)
{
    (void)state;
    for (int kind = 0xA0; kind <= 0xE0; kind += 0x10) {
        size_t begin;
        struct bytes bytes = one_track(&begin);
        put_event(&bytes, 0, 0x90, 60, 80);
        if (kind == 0xC0 || kind == 0xD0)
            PUT(&bytes, 5, (uint8_t)kind, 60, 5, 60); /* the second by running status */
        else
            PUT(&bytes, 5, (uint8_t)kind, 60, 0, 5, 60, 0);
        put_event(&bytes, 5, 0x80, 60, 64);
        put_note(&bytes, 1, 2, 61);
        end_track(&bytes, begin);
        expect(&bytes, 0, "0+15:60 16+2:61");
    }
}

static void meta_events_are_skipped(void **state)
{
    (void)state;
    static const uint8_t zeros[20000];
    uint32_t lengths[] = {0, 1, 2, 5, 127, 128, 300, 20000};
    size_t begin;
    struct bytes bytes = one_track(&begin);
    for (int type = 0; type < 128; type++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            if (type == 0x2F || type == 0x51)
                continue;
            PUT(&bytes, 0, 0xFF, (uint8_t)type);
            put_number(&bytes, lengths[i]);
            put_bytes(&bytes, zeros, lengths[i]);
        }
    put_note(&bytes, 7, 1, 60);
    end_track(&bytes, begin);
    expect(&bytes, 0, "7+1:60");
}

static void sysex_packets_and_escapes_are_skipped(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    PUT(&bytes, 0, 0xF0, 5, 0x7E, 0x7F, 9, 1, 0xF7);        /* whole */
    PUT(&bytes, 0, 0xF0, 3, 0x43, 0x12, 0);                 /* three packets */
    PUT(&bytes, 10, 0xF7, 6, 0x43, 0x12, 0, 0x43, 0x12, 0); /* (the example in */
    PUT(&bytes, 10, 0xF7, 4, 0x43, 0x12, 0, 0xF7);          /* the specification) */
    PUT(&bytes, 0, 0xF7, 1, 0xFA, 0, 0xF7, 2, 0xF3, 1);     /* escapes */
    PUT(&bytes, 0, 0xF7, 3, 0x90, 99, 99, 0, 0xF7, 0);      /* no note: an escape */
    put_note(&bytes, 0, 1, 60);
    end_track(&bytes, begin);
    expect(&bytes, 0, "20+1:60");
}

static void long_headers_and_unknown_chunks_are_skipped(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_bytes(&bytes, "MThd", 4);
    put_32(&bytes, 10);
    PUT(&bytes, 0, 1, 0, 2, 1, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF);
    for (int track = 0; track < 2; track++) {
        size_t alien = begin_chunk(&bytes, "XFIH");
        put_bytes(&bytes, "MTrk\0\0\0\1 hidden", 15);
        end_chunk(&bytes, alien);
        size_t begin = begin_track(&bytes);
        put_note(&bytes, 0, 5, 60 + track);
        end_track(&bytes, begin);
    }
    end_chunk(&bytes, begin_chunk(&bytes, "Last"));
    expect(&bytes, 0, "0+5:60 0+5:61");
}

static void put_riff(struct bytes *bytes, const struct bytes *inside, uint32_t length)
{
    put_bytes(bytes, "RIFF\0\0\0\0RMIDDISP\3\0\0\0abc\0data", 28);
    PUT(bytes, (uint8_t)length, (uint8_t)(length >> 8), 0, 0);
    put_bytes(bytes, inside->items, inside->count);
    put_bytes(bytes, "LIST\4\0\0\0INFO", 12);
}

static void riff_rmid_is_unwrapped(void **state)
{
    (void)state;
    struct bytes inside = two_notes(), bytes = {0};
    put_riff(&bytes, &inside, (uint32_t)inside.count);
    expect(&bytes, 0, TWO_NOTES_TEXT);
    put_riff(&bytes, &inside, (uint32_t)inside.count + 1000);
    expect(&bytes, MIDI_REPAIR_CONTAINER | MIDI_REPAIR_JUNK, TWO_NOTES_TEXT);
    free_bytes(&inside);
}

static void numbers_may_have_leading_zeros(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    PUT(&bytes, 0x80, 0x80, 0x80, 5, 0x90, 60, 80, 0x80, 7, 60, 0);
    PUT(&bytes, 0, 0xFF, 1, 0x80, 0x80, 2, 'h', 'i');
    end_track(&bytes, begin);
    expect(&bytes, 0, "5+7:60");
}

static void format_1_tracks_are_merged(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 3, 480);
    for (int track = 0; track < 3; track++) {
        size_t begin = begin_track(&bytes);
        put_note(&bytes, (uint32_t)(10 * (2 - track)), 5, 60 + track);
        end_track(&bytes, begin);
    }
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    assert_int_equal(file.tracks, 3);
    assert_string_equal(notes_text(&file), "0+5:62 10+5:61 20+5:60");
    assert_int_equal(file.notes.items[0].track, 2);
    assert_int_equal(file.notes.items[2].track, 0);
    midi_free(&file);
}

/* Two patterns: program, tempo and pedal of the first must not affect the second. */
static void format_2_patterns_are_concatenated(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 2, 2, 100);
    size_t begin = begin_track(&bytes);
    put_tempo(&bytes, 0, 1000000);
    put_program(&bytes, 0, 0, 7);
    put_event(&bytes, 0, 0xB0, 64, 127);
    put_note(&bytes, 0, 50, 60);
    put_end_of_track(&bytes, 50);
    end_chunk(&bytes, begin);
    begin = begin_track(&bytes);
    put_note(&bytes, 10, 40, 61);
    put_tempo(&bytes, 50, 250000);
    put_note(&bytes, 0, 100, 62);
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.outcome, MIDI_OK);
    assert_int_equal(file.format, 2);
    assert_int_equal(file.tempo_events, 2);
    assert_true(file.first_tempo == 1000000);
    assert_string_equal(notes_text(&file), "0+50:60 110+40:61 200+100:62");
    const struct note *notes = file.notes.items;
    assert_true(notes[0].start == 0 && notes[0].duration == 0.5);
    assert_true(notes[1].start == 1.05 && notes[1].duration == 0.2);
    assert_true(notes[2].start == 1.5 && notes[2].duration == 0.25);
    assert_int_equal(notes[0].program, 7);
    assert_int_equal(notes[1].program, 0);
    assert_int_equal(file.pedal_count, 2);
    assert_int_equal(file.pedals[1].tick, 100);
    assert_int_equal(file.pedals[1].value, 0);
    assert_int_equal(midi_apply_pedal(&file), STATUS_OK);
    assert_string_equal(notes_text(&file), "0+100:60 110+40:61 200+100:62");
    midi_free(&file);
}

static void smpte_division_sets_the_tick_rate(void **state)
{
    (void)state;
    const struct {
        int frames, ticks_per_frame;
        double ticks_per_second;
    } cases[] = {
        {24, 1, 24}, {25, 40, 1000}, {29, 80, 80 * 30000.0 / 1001}, {30, 255, 7650}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes bytes = {0};
        struct midi_file file = {0};
        put_header(&bytes, 0, 1, -cases[i].frames * 256 + cases[i].ticks_per_frame);
        size_t begin = begin_track(&bytes);
        put_tempo(&bytes, 0, 1); /* does not apply */
        put_note(&bytes, 1001, 123456, 60);
        end_track(&bytes, begin);
        read_bytes(&bytes, NULL, &file);
        assert_int_equal(file.outcome, MIDI_OK);
        assert_true(file.division < 0);
        assert_int_equal(file.tempo_events, 1);
        assert_true(file.first_tempo == 0);
        assert_true(file.notes.ticks_per_beat == 0);
        double rate = cases[i].ticks_per_second;
        assert_true(fabs(file.notes.ticks_per_second / rate - 1) < 1e-15);
        assert_true(fabs(file.notes.items[0].start * rate / 1001 - 1) < 1e-15);
        assert_true(fabs(file.notes.items[0].duration * rate / 123456 - 1) < 1e-15);
        midi_free(&file);
    }
}

/* Time. */

/* Random tempos over several tracks, against integer arithmetic tick by tick. */
static void tempo_map_is_exact(void **state)
{
    (void)state;
    enum { TICKS = 30000, TRACKS = 3 };
    uint32_t *tempo_at = calloc(TICKS + 1, sizeof *tempo_at);
    uint64_t seed = 11;
    struct bytes bytes = {0};
    put_header(&bytes, 1, TRACKS, 7);
    for (int track = 0; track < TRACKS; track++) {
        size_t begin = begin_track(&bytes);
        uint32_t tick = 0;
        for (;;) {
            uint32_t delta = draw(&seed, 40);
            tick += delta;
            if (tick > TICKS)
                break;
            if (draw(&seed, 2)) {
                uint32_t tempo = 1 + draw(&seed, 0xFFFFFF);
                put_tempo(&bytes, delta, tempo);
                tempo_at[tick] = tempo; /* a later track's event takes effect later */
            } else {
                put_event(&bytes, delta, 0x90, (int)draw(&seed, 128), 1);
            }
        }
        end_track(&bytes, begin);
    }
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    uint64_t *elapsed = calloc(TICKS + 1, sizeof *elapsed);
    uint32_t tempo = 500000;
    for (uint32_t tick = 0; tick < TICKS; tick++) {
        if (tempo_at[tick])
            tempo = tempo_at[tick];
        if (tick == 0)
            assert_true(file.first_tempo == tempo);
        elapsed[tick + 1] = elapsed[tick] + tempo;
    }
    assert_true(file.notes.count > 1000 && file.tempo_events > 1000);
    for (size_t i = 0; i < file.notes.count; i++) {
        const struct note *note = &file.notes.items[i];
        uint64_t start = elapsed[note->start_tick];
        uint64_t length = elapsed[note->start_tick + note->duration_ticks] - start;
        assert_true(note->start == (double)start / 7e6);
        assert_true(note->duration == (double)length / 7e6);
    }
    free(tempo_at);
    free(elapsed);
    midi_free(&file);
}

static void last_tempo_at_a_tick_applies(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_tempo(&bytes, 0, 1);
    put_tempo(&bytes, 0, 250000);
    put_note(&bytes, 480, 480, 60);
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_true(file.first_tempo == 250000);
    assert_true(file.notes.items[0].start == 0.25);
    midi_free(&file);
}

/* Up to 2^32-1 ticks are read; a later event ends its own track, but no other. */
static void ticks_are_limited_to_32_bits(void **state)
{
    (void)state;
    for (uint32_t more = 0; more < 2; more++) {
        size_t begin;
        struct bytes bytes = one_track(&begin);
        put_tempo(&bytes, 0, 0xFFFFFF);
        for (int i = 0; i < 15; i++) {
            put_number(&bytes, 0x0FFFFFFF);
            PUT(&bytes, 0xFF, 1, 0);
        }
        put_event(&bytes, 0, 0x90, 60, 80);
        put_number(&bytes, 0x0FFFFFFF);
        PUT(&bytes, 0xFF, 1, 0);
        put_event(&bytes, 15, 0x80, 60, 0);
        if (more)
            put_note(&bytes, 1, 0, 61);
        end_track(&bytes, begin);
        struct midi_file file = {0};
        read_bytes(&bytes, NULL, &file);
        assert_int_equal(file.repairs, more ? MIDI_REPAIR_TOO_LATE : 0);
        assert_string_equal(notes_text(&file), "4026531825+268435470:60");
        double seconds = 4294967295.0 * 16777215 / 480e6;
        assert_true(fabs(notes_duration(&file.notes) / seconds - 1) < 1e-15);
        midi_free(&file);
    }
}

/* Pairing. */

static void note_off_ends_the_oldest_note(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_event(&bytes, 0, 0x90, 60, 80);
    put_event(&bytes, 10, 0x90, 60, 80);
    put_event(&bytes, 10, 0x90, 60, 80);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_event(&bytes, 10, 0x90, 60, 80);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_event(&bytes, 10, 0x80, 60, 0);
    put_event(&bytes, 10, 0x80, 60, 0); /* no note left: ignored */
    end_track(&bytes, begin);
    expect(&bytes, 0, "0+30:60 10+30:60 20+40:60 50+20:60");
}

static void notes_are_paired_by_channel_pitch_and_track(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    put_event(&bytes, 0, 0x90, 60, 80);
    put_event(&bytes, 10, 0x81, 60, 0); /* another channel */
    put_event(&bytes, 10, 0x80, 61, 0); /* another pitch */
    put_event(&bytes, 80, 0x80, 60, 0);
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_event(&bytes, 30, 0x80, 60, 0); /* another track */
    end_track(&bytes, begin);
    expect(&bytes, 0, "0+100:60");
}

static void unreleased_notes_end_with_their_track(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    put_event(&bytes, 0, 0x90, 60, 80);
    put_event(&bytes, 5, 0x90, 60, 80);
    put_end_of_track(&bytes, 95);
    end_chunk(&bytes, begin);
    begin = begin_track(&bytes);
    put_end_of_track(&bytes, 1000);
    end_chunk(&bytes, begin);
    expect(&bytes, 0, "0+100:60 5+95:60");
}

static void notes_may_have_zero_length(void **state)
{
    (void)state;
    size_t begin;
    struct bytes bytes = one_track(&begin);
    put_note(&bytes, 3, 0, 60);
    put_note(&bytes, 0, 0, 60);
    end_track(&bytes, begin);
    expect(&bytes, 0, "3+0:60 3+0:60");
}

static void all_off_controllers_release_keys(void **state)
{
    (void)state;
    for (int number = 120; number < 128; number++) {
        size_t begin;
        struct bytes bytes = one_track(&begin);
        put_event(&bytes, 0, 0x92, 0, 80);
        put_event(&bytes, 0, 0x92, 64, 80);
        put_event(&bytes, 0, 0x92, 127, 80);
        put_event(&bytes, 0, 0x91, 127, 80);
        put_event(&bytes, 0, 0x93, 0, 80);
        put_event(&bytes, 50, 0xB2, number, 0);
        put_end_of_track(&bytes, 50);
        end_chunk(&bytes, begin);
        bool releases = number == 120 || number >= 123;
        expect(&bytes, 0,
               releases ? "0+100:127 0+50:0 0+50:64 0+50:127 0+100:0"
                        : "0+100:127 0+100:0 0+100:64 0+100:127 0+100:0");
    }
}

static void all_off_controllers_release_keys_of_other_tracks(void **state)
{
    (void)state;
    for (int number = 119; number < 128; number++) {
        struct bytes bytes = {0};
        put_header(&bytes, 1, 4, 480);
        size_t begin = begin_track(&bytes);
        put_event(&bytes, 0, 0x92, 60, 80);
        put_event(&bytes, 50, 0x92, 61, 80); /* at the controller's tick */
        put_event(&bytes, 50, 0x82, 60, 80);
        put_event(&bytes, 0, 0x82, 61, 80);
        end_track(&bytes, begin);
        begin = begin_track(&bytes);
        put_event(&bytes, 50, 0xB2, number, 0);
        put_event(&bytes, 20, 0xB2, number, 0);
        end_track(&bytes, begin);
        begin = begin_track(&bytes);
        put_note(&bytes, 0, 100, 64); /* another channel */
        end_track(&bytes, begin);
        begin = begin_track(&bytes);
        put_event(&bytes, 0, 0x92, 62, 80);
        put_event(&bytes, 40, 0x92, 65, 80); /* never released */
        PUT(&bytes, 0, 0xFF, 0x21, 1, 1);
        put_event(&bytes, 0, 0x92, 63, 80); /* another port */
        put_end_of_track(&bytes, 60);
        end_chunk(&bytes, begin);
        bool releases = number == 120 || number >= 123;
        expect(&bytes, 0,
               releases ? "0+100:64 0+50:60 0+50:62 40+60:63 40+10:65 50+20:61"
                        : "0+100:64 0+100:60 0+100:62 40+60:63 40+60:65 50+50:61");
    }
}

/* Both hands on one channel: the left one ends first, with an all notes off. */
static void trailing_all_off_affects_only_its_track(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    put_note(&bytes, 0, 400, 72);
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_note(&bytes, 0, 20, 48);
    put_event(&bytes, 10, 0xB0, 123, 0); /* tick 30, before its last note */
    put_note(&bytes, 10, 20, 50);
    put_event(&bytes, 0, 0x90, 52, 80); /* tick 60 */
    put_event(&bytes, 40, 0xB0, 123, 0);
    put_event(&bytes, 0, 0xB0, 120, 0);
    put_end_of_track(&bytes, 100);
    end_chunk(&bytes, begin);
    expect(&bytes, 0, "0+20:48 0+30:72 40+20:50 60+40:52");
    bytes.count = 0;
    put_header(&bytes, 1, 2, 480);
    begin = begin_track(&bytes);
    put_note(&bytes, 0, 20, 48);
    put_event(&bytes, 10, 0xB0, 123, 0);
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_note(&bytes, 0, 400, 72);
    end_track(&bytes, begin);
    expect(&bytes, 0, "0+20:48 0+400:72");
}

/* Programs: "pitch/program" of each note. */
static void programs_are_per_channel(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 3, 480);
    size_t begin = begin_track(&bytes);
    put_note(&bytes, 0, 1, 50);    /* tick 0, before any program: 0 */
    put_program(&bytes, 9, 0, 10); /* tick 10 */
    put_note(&bytes, 0, 0, 51);    /* 10 */
    put_program(&bytes, 0, 0, 11); /* tick 10, after the note */
    put_program(&bytes, 0, 1, 99); /* another channel */
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_note(&bytes, 10, 10, 52); /* tick 10, after the first track's: 11 */
    put_note(&bytes, 0, 0, 53);   /* tick 20, before the third track's: 11 */
    put_note(&bytes, 1, 0, 54);   /* tick 21: 12 */
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_program(&bytes, 20, 0, 12); /* tick 20 */
    put_note(&bytes, 0, 0, 55);     /* 12 */
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    const int expected[][2] = {{50, 0}, {51, 10}, {52, 11}, {53, 11}, {55, 12}, {54, 12}};
    assert_int_equal(file.notes.count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(file.notes.items[i].pitch, expected[i][0]);
        assert_int_equal(file.notes.items[i].program, expected[i][1]);
    }
    midi_free(&file);
}

static void pedal_events_are_sorted_by_tick(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 2, 480);
    size_t begin = begin_track(&bytes);
    put_event(&bytes, 10, 0xB3, 64, 127);
    put_event(&bytes, 20, 0xB3, 121, 127); /* resets: the pedal goes up */
    end_track(&bytes, begin);
    begin = begin_track(&bytes);
    put_event(&bytes, 10, 0xB3, 64, 1);
    put_event(&bytes, 0, 0xB4, 64, 2);
    end_track(&bytes, begin);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    const struct midi_control expected[] = {
        {10, 0, 3, 64, 127}, {10, 0, 3, 64, 1}, {10, 0, 4, 64, 2}, {30, 0, 3, 64, 0}};
    assert_int_equal(file.pedal_count, 4);
    assert_memory_equal(file.pedals, expected, sizeof expected);
    midi_free(&file);
}

/* Memory. */

static void reused_reader_keeps_no_state(void **state)
{
    (void)state;
    struct midi_file reused = {0};
    for (uint64_t seed = 1; seed < 60; seed++) {
        struct bytes bytes = {0}, copy = {0};
        struct midi_file fresh = {0};
        put_random_file(&bytes, seed, 0);
        if (seed % 3 == 0)
            bytes.count -= bytes.count / 3; /* notes left sounding, sysex open */
        if (seed % 5 == 0)
            bytes.items[12] = bytes.items[13] = 0; /* skipped */
        put_bytes(&copy, bytes.items, bytes.count);
        read_bytes(&bytes, NULL, &reused);
        read_bytes(&copy, NULL, &fresh);
        assert_int_equal(reused.outcome, fresh.outcome);
        assert_int_equal(reused.repairs, fresh.repairs);
        assert_string_equal(reused.reason, fresh.reason);
        assert_int_equal(reused.tempo_events, fresh.tempo_events);
        assert_int_equal(reused.notes.count, fresh.notes.count);
        struct hash128 a = notes_hash(&reused.notes), b = notes_hash(&fresh.notes);
        assert_int_equal(hash128_compare(a, b), 0);
        assert_int_equal(reused.pedal_count, fresh.pedal_count);
        if (fresh.pedal_count)
            assert_memory_equal(reused.pedals, fresh.pedals,
                                fresh.pedal_count * sizeof *fresh.pedals);
        midi_free(&fresh);
    }
    midi_free(&reused);
}

/* 130 bytes that claim gigabytes of content. */
static void declared_sizes_cost_no_memory(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    put_header(&bytes, 1, 0xFFFF, 480);
    size_t begin = begin_track(&bytes);
    put_note(&bytes, 0, 1, 60);
    set_length(&bytes, begin, 0xFFFFFFFF);
    PUT(&bytes, 0, 0xFF, 1, 0x8F, 0xFF, 0xFF, 0xFF, 0x7F);
    struct midi_file file = {0};
    read_bytes(&bytes, NULL, &file);
    assert_int_equal(file.notes.count, 1);
    assert_true(file.notes.capacity <= 256);
    midi_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_notes_are_read),
        cmocka_unit_test(running_status_and_velocity_zero_are_read),
        cmocka_unit_test(channel_events_are_read_with_their_length),
        cmocka_unit_test(channel_events_leave_sounding_notes_alone),
        cmocka_unit_test(meta_events_are_skipped),
        cmocka_unit_test(sysex_packets_and_escapes_are_skipped),
        cmocka_unit_test(long_headers_and_unknown_chunks_are_skipped),
        cmocka_unit_test(riff_rmid_is_unwrapped),
        cmocka_unit_test(numbers_may_have_leading_zeros),
        cmocka_unit_test(format_1_tracks_are_merged),
        cmocka_unit_test(format_2_patterns_are_concatenated),
        cmocka_unit_test(smpte_division_sets_the_tick_rate),
        cmocka_unit_test(tempo_map_is_exact),
        cmocka_unit_test(last_tempo_at_a_tick_applies),
        cmocka_unit_test(ticks_are_limited_to_32_bits),
        cmocka_unit_test(note_off_ends_the_oldest_note),
        cmocka_unit_test(notes_are_paired_by_channel_pitch_and_track),
        cmocka_unit_test(unreleased_notes_end_with_their_track),
        cmocka_unit_test(notes_may_have_zero_length),
        cmocka_unit_test(all_off_controllers_release_keys),
        cmocka_unit_test(all_off_controllers_release_keys_of_other_tracks),
        cmocka_unit_test(trailing_all_off_affects_only_its_track),
        cmocka_unit_test(programs_are_per_channel),
        cmocka_unit_test(pedal_events_are_sorted_by_tick),
        cmocka_unit_test(reused_reader_keeps_no_state),
        cmocka_unit_test(declared_sizes_cost_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
