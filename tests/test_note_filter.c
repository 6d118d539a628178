/* note_filter: programs against a second parser, the melody against a table of every
 * tick, and both as settings of a piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "midi_make.h"
#include "pieces.h"
#include "base/program_set.h"
#include "data/note_filter.h"
#include "data/piece.h"

/* ---- sets of programs ---- */

static void accepted_texts_give_their_programs(void **state)
{
    (void)state;
    struct program_set set;
    assert_true(program_set_parse("0-7,40,drums", &set));
    for (int i = 0; i < PROGRAMS; i++)
        assert_int_equal(set.programs[i], i <= 7 || i == 40);
    assert_true(set.drums);
    assert_true(program_set_parse(" 127 , 5-5 ,3", &set));
    for (int i = 0; i < PROGRAMS; i++)
        assert_int_equal(set.programs[i], i == 127 || i == 5 || i == 3);
    assert_false(set.drums);
    assert_true(program_set_parse("all", &set));
    assert_true(set.drums && set.programs[0] && set.programs[127]);
    assert_true(program_set_parse("drums", &set));
    for (int i = 0; i < PROGRAMS; i++)
        assert_false(set.programs[i]);
    assert_true(set.drums);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",     " ",      ",",    "0,",    ",0",  "128",  "-1",   "7-0", "0-128", "0-",
        "-7",   "0--7",   "0 7",  "0;7",   "0x1", "1.5",  "none", "ALL", "all,0", "0,all",
        "0001", "drumss", "drum", "0-7-9", "+1",  "0 -7", "1e1",  "٣"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct program_set set = {.drums = true};
        if (program_set_parse(texts[i], &set))
            fail_msg("'%s' is accepted", texts[i]);
        assert_true(set.drums); /* nothing set */
    }
}

static void programs_are_those_listed(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed()};
    for (; dice.piece < 100; dice.piece++) {
        bool listed[PROGRAMS + 1] = {0}; /* the last one: drums */
        char text[256] = "";
        for (uint64_t items = 1 + dice_below(&dice, 6); items > 0; items--) {
            size_t used = strlen(text), first = dice_below(&dice, PROGRAMS + 1);
            size_t last = first + dice_below(&dice, PROGRAMS - first + 1);
            last = last < PROGRAMS ? last : first;
            for (size_t program = first; program <= last; program++)
                listed[program] = true;
            if (first == PROGRAMS)
                snprintf(text + used, sizeof text - used, "%sdrums", used ? "," : "");
            else
                snprintf(text + used, sizeof text - used, "%s%zu-%zu", used ? "," : "",
                         first, last);
        }
        struct notes notes = {0};
        struct program_set set;
        random_piece(&dice, 300, 0, 127, &notes);
        struct note *before = malloc(300 * sizeof *before);
        memcpy(before, notes.items, 300 * sizeof *before);
        assert_true(program_set_parse(text, &set));
        size_t removed = note_filter_programs(&notes, &set), kept = 0;
        for (size_t i = 0; i < 300; i++)
            if (listed[before[i].percussion ? PROGRAMS : before[i].program])
                assert_memory_equal(&before[i], &notes.items[kept++], sizeof *before);
        assert_int_equal(kept, notes.count);
        assert_int_equal(removed, 300 - kept);
        free(before);
        notes_free(&notes);
    }
}

/* ---- the melody ---- */

enum { TICKS = 40000, SMPTE = -25 * 256 + 40 }; /* a tick is a millisecond */

/* Marks the notes of the melody by a table of the pitch that each tick is held at. */
static void mark_melody(const struct notes *notes, bool *kept)
{
    static int held[TICKS];
    for (int i = 0; i < TICKS; i++)
        held[i] = -1;
    memset(kept, false, notes->count * sizeof *kept);
    for (uint32_t tick = 0; tick < TICKS; tick++) {
        int highest = -1; /* of the notes that begin in [tick, tick + 30) */
        uint32_t longest = 0;
        size_t best = 0;
        bool begins = false;
        for (size_t i = 0; i < notes->count; i++) {
            const struct note *note = &notes->items[i];
            if (note->percussion || note->start_tick < tick ||
                note->start_tick >= tick + 30)
                continue;
            begins |= note->start_tick == tick;
            if (note->pitch < highest ||
                (note->pitch == highest && note->duration_ticks <= longest))
                continue;
            highest = note->pitch;
            longest = note->duration_ticks;
            best = i;
        }
        if (!begins)
            continue;
        tick += 29;
        uint32_t start = notes->items[best].start_tick;
        if (highest < held[start])
            continue;
        kept[best] = true;
        for (uint32_t later = start; later < TICKS; later++)
            held[later] = later < start + longest && later < start + 10000 ? highest : -1;
    }
}

static void melody_is_the_highest_voice(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 1000};
    size_t all = 0, removed_in_all = 0, below_held = 0;
    for (; dice.piece < 1040; dice.piece++) {
        struct notes notes = {.ticks_per_second = 1000};
        for (int i = 0; i < 60; i++) {
            uint32_t start = 300 * (uint32_t)dice_below(&dice, 60) +
                             7 * (uint32_t)dice_below(&dice, 6);
            uint32_t length =
                100 * (uint32_t)dice_below(&dice, dice_below(&dice, 9) ? 24 : 200);
            assert_int_equal(
                notes_append(
                    &notes,
                    &(struct note){.start = start / 1000.0,
                                   .duration = length / 1000.0,
                                   .start_tick = start,
                                   .duration_ticks = length,
                                   .channel = (uint8_t)dice_below(&dice, 3),
                                   .velocity = 64,
                                   .percussion = dice_below(&dice, 8) == 0,
                                   .pitch = (uint8_t)(50 + dice_below(&dice, 20))}),
                STATUS_OK);
        }
        notes_sort(&notes);
        struct note before[60];
        bool kept[60] = {0};
        memcpy(before, notes.items, sizeof before);
        mark_melody(&notes, kept);
        size_t removed = note_filter_melody(&notes), next = 0;
        for (size_t i = 0; i < 60; i++)
            if (kept[i])
                assert_memory_equal(&before[i], &notes.items[next++], sizeof *before);
        assert_int_equal(next, notes.count);
        assert_int_equal(removed, 60 - next);
        for (size_t i = 1; i < notes.count; i++)
            assert_true(notes.items[i - 1].start_tick < notes.items[i].start_tick);
        for (size_t i = 0; i < 60; i++) /* alone at its onset, yet not kept */
            below_held += !kept[i] && !before[i].percussion &&
                          (i == 0 || before[i - 1].start_tick < before[i].start_tick) &&
                          (i == 59 || before[i + 1].start_tick > before[i].start_tick);
        all += 60;
        removed_in_all += removed;
        notes_free(&notes);
    }
    assert_true(below_held > 200 && removed_in_all < all && removed_in_all > all / 2);
}

/* A note that is never released counts as held for 10 seconds. */
static void stuck_note_does_not_silence_the_rest(void **state)
{
    (void)state;
    struct note items[] = {{.pitch = 90, .duration = 100, .duration_ticks = 100},
                           {.pitch = 60, .start = 9, .start_tick = 9},
                           {.pitch = 61, .start = 10, .start_tick = 10},
                           {.pitch = 59, .start = 11, .start_tick = 11}};
    struct notes notes = {.items = items, .count = 4, .ticks_per_second = 1};
    assert_int_equal(note_filter_melody(&notes), 1);
    assert_int_equal(notes.items[0].pitch, 90);
    assert_int_equal(notes.items[1].pitch, 61);
    assert_int_equal(notes.items[2].pitch, 59);
}

/* ---- as settings of a piece ---- */

/* Two channels with programs 0 and 40, drums and a pedal, which is up at the end. */
static void put_piece(struct bytes *bytes, struct dice *dice)
{
    put_header(bytes, 0, 1, SMPTE);
    size_t track = begin_track(bytes);
    put_program(bytes, 0, 1, 40);
    for (int i = 0; i < 80; i++) {
        int channel = dice_below(dice, 6) == 0 ? 9 : (int)dice_below(dice, 2);
        int pitch = 50 + (int)dice_below(dice, 12);
        uint32_t wait = dice_below(dice, 2) ? 30 + (uint32_t)dice_below(dice, 300) : 0;
        bool is_on = dice_below(dice, 2);
        put_event(bytes, wait, (is_on ? 0x90 : 0x80) | channel, pitch, 64);
        if (dice_below(dice, 8) == 0)
            put_event(bytes, 30 * (uint32_t)dice_below(dice, 2),
                      0xB0 | (int)dice_below(dice, 2), 64, (int)dice_below(dice, 128));
    }
    for (int channel = 0; channel < 2; channel++)
        put_event(bytes, 500, 0xB0 | channel, 64, 0);
    put_end_of_track(bytes, 10);
    end_chunk(bytes, track);
}

static void prepare(const struct bytes *bytes, const struct options *options,
                    struct midi_file *midi, struct piece_changes *changes)
{
    struct encoding *encoding = NULL;
    assert_int_equal(midi_read(bytes->items, bytes->count, NULL, midi), STATUS_OK);
    assert_int_equal(encoding_from_options(options, &encoding), STATUS_OK);
    assert_int_equal(piece_prepare(midi, encoding, options, changes), STATUS_OK);
    encoding_free(encoding);
}

/* The longest of the notes that begin as `like`. */
static const struct note *find_note(const struct notes *notes, const struct note *like)
{
    for (size_t i = notes->count; i-- > 0;)
        if (notes->items[i].start_tick == like->start_tick &&
            notes->items[i].pitch == like->pitch &&
            notes->items[i].channel == like->channel)
            return &notes->items[i];
    return NULL;
}

/* One note at a time, each as in the whole piece, but for its end. */
static void melody_of_a_piece_is_monophonic(void **state)
{
    (void)state;
    struct dice dice = {.seed = test_seed(), .piece = 2000};
    size_t cut = 0, sustained = 0;
    for (; dice.piece < 2060; dice.piece++) {
        struct bytes bytes = {0};
        struct midi_file whole = {0}, melody = {0};
        struct piece_changes changes;
        struct options options;
        options_defaults(&options);
        put_piece(&bytes, &dice);
        prepare(&bytes, &options, &whole, &changes);
        assert_int_equal(changes.filtered, 0);
        options.data.tracks = TRACKS_MELODY;
        prepare(&bytes, &options, &melody, &changes);
        assert_int_equal(changes.filtered, whole.notes.count - melody.notes.count);
        for (size_t i = 0; i < melody.notes.count; i++) {
            const struct note *note = &melody.notes.items[i];
            const struct note *original = find_note(&whole.notes, note);
            assert_non_null(original);
            uint32_t end = original->start_tick + original->duration_ticks;
            uint32_t next = i + 1 < melody.notes.count ? note[1].start_tick : UINT32_MAX;
            assert_true(note->start_tick < next);
            assert_int_equal(note->start_tick + note->duration_ticks,
                             end < next ? end : next);
            assert_true(note->duration - note->duration_ticks / 1000.0 < 1e-9 &&
                        note->duration - note->duration_ticks / 1000.0 > -1e-9);
            cut += next < end;
            sustained += next >= end;
        }
        midi_free(&whole);
        midi_free(&melody);
        free(bytes.items);
    }
    assert_true(cut > 100 && sustained > 20);
}

static void programs_of_a_piece_are_selected(void **state)
{
    (void)state;
    static const char *const texts[] = {"0", "40", "drums", "0,40", "1-39,41-127"};
    struct dice dice = {.seed = test_seed(), .piece = 3000};
    for (; dice.piece < 3020; dice.piece++) {
        struct bytes bytes = {0};
        struct midi_file midi = {0};
        struct piece_changes changes;
        struct options options;
        size_t counts[5], filtered[5];
        options_defaults(&options);
        put_piece(&bytes, &dice);
        prepare(&bytes, &options, &midi, &changes);
        size_t all = midi.notes.count;
        for (int i = 0; i < 5; i++) {
            strcpy(options.data.only_programs, texts[i]);
            prepare(&bytes, &options, &midi, &changes);
            counts[i] = midi.notes.count;
            filtered[i] = changes.filtered;
            assert_int_equal(counts[i] + filtered[i], all);
            for (size_t n = 0; n < counts[i]; n++) {
                const struct note *note = &midi.notes.items[n];
                assert_int_equal(note->percussion, i == 2);
                assert_true(i == 2 || i == 3 || note->program == (i == 1 ? 40 : 0));
            }
        }
        assert_int_equal(counts[0] + counts[1], counts[3]);
        assert_int_equal(counts[2] + counts[3], all);
        assert_int_equal(counts[4], 0);
        assert_string_equal(piece_empty_reason(&midi.notes, &changes),
                            "no notes after data.only_programs and data.tracks");
        midi_free(&midi);
        free(bytes.items);
    }
}

/* What the filter leaves can begin late; that silence is cut as any other. */
static void silence_left_by_the_filter_is_cut(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    struct midi_file midi = {0};
    struct piece_changes changes;
    struct options options;
    options_defaults(&options);
    put_header(&bytes, 0, 1, SMPTE);
    size_t track = begin_track(&bytes);
    put_program(&bytes, 0, 1, 40);
    for (int i = 0; i < 100; i++)
        put_note(&bytes, 500, 500, 60);
    put_event(&bytes, 0, 0x91, 70, 64);
    put_event(&bytes, 500, 0x81, 70, 64);
    put_end_of_track(&bytes, 0);
    end_chunk(&bytes, track);
    prepare(&bytes, &options, &midi, &changes);
    assert_false(changes.cut);
    strcpy(options.data.only_programs, "40");
    prepare(&bytes, &options, &midi, &changes);
    assert_true(changes.cut && midi.notes.count == 1 && midi.notes.items[0].start == 0);
    assert_string_equal(midi.reason, "silence of 100 s before the first note");
    midi_free(&midi);
    free(bytes.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_texts_give_their_programs),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(programs_are_those_listed),
        cmocka_unit_test(melody_is_the_highest_voice),
        cmocka_unit_test(stuck_note_does_not_silence_the_rest),
        cmocka_unit_test(melody_of_a_piece_is_monophonic),
        cmocka_unit_test(programs_of_a_piece_are_selected),
        cmocka_unit_test(silence_left_by_the_filter_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
