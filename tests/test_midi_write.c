/* midi_write: what is written is read back as intended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <glib.h>
#include <math.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "midi_expect.h"
#include "midi_output.h"

/* The directory contains exactly `expected` entries. */
static void assert_file_count(int expected)
{
    int count = 0;
    DIR *folder = opendir(directory);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(folder);
    assert_int_equal(count, expected);
}

static void assert_directory_is_empty(void)
{
    assert_file_count(0);
}

static struct note make_note(double start, double duration, int pitch)
{
    return (struct note){
        .start = start, .duration = duration, .pitch = (uint8_t)pitch, .velocity = 80};
}

/* Writes at 100 ticks a beat and 60 beats a minute: 10 ms a tick. */
static void expect_written(struct note *items, size_t count, const char *text)
{
    struct notes notes = {.items = items, .count = count};
    struct midi_file file = {0};
    assert_int_equal(midi_write(path, &notes, 100, 1000000), STATUS_OK);
    read_back(&file);
    assert_directory_is_empty();
    assert_string_equal(notes_text(&file), text);
    midi_free(&file);
}

static void times_are_rounded_to_the_nearest_tick(void **state)
{
    (void)state;
    struct note notes[] = {make_note(0, 0.5, 60), make_note(0.014, 0.022, 61),
                           make_note(0.016, 0.001, 62)};
    expect_written(notes, 3, "0+50:60 1+3:61 2+1:62");
}

static void overlapping_notes_are_truncated(void **state)
{
    (void)state;
    struct note notes[] = {make_note(0, 5, 60), make_note(1, 0.5, 60),
                           make_note(2, 1, 60), make_note(2, 3, 60),
                           make_note(2, 2, 60), make_note(0, 5, 61)};
    expect_written(notes, 6, "0+100:60 0+500:61 100+50:60 200+300:60");
}

static void empty_piece_is_written(void **state)
{
    (void)state;
    expect_written(NULL, 0, "");
}

static void file_layout_is_as_documented(void **state)
{
    (void)state;
    struct note items[] = {make_note(0, 1, 60), make_note(0, 1, 61), make_note(0, 1, 62),
                           make_note(0, 1, 63)};
    items[0].channel = 3;
    items[0].program = 9;
    items[1].channel = 3;
    items[1].program = 2;
    items[2].channel = 1;
    items[3].channel = 3;
    items[3].program = 9;
    struct notes notes = {.items = items, .count = 4};
    struct midi_file file = {0};
    assert_int_equal(midi_write(path, &notes, 480, 654321), STATUS_OK);
    read_back(&file);
    assert_directory_is_empty();
    assert_int_equal(file.format, 1);
    assert_int_equal(file.tracks, 4);
    assert_int_equal(file.division, 480);
    assert_int_equal(file.tempo_events, 1);
    assert_true(file.first_tempo == 654321);
    const int expected[][3] = {{62, 1, 0}, {60, 3, 9}, {61, 2, 2}, {63, 3, 9}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(file.notes.items[i].pitch, expected[i][0]);
        assert_int_equal(file.notes.items[i].track, expected[i][1]);
        assert_int_equal(file.notes.items[i].program, expected[i][2]);
    }
    midi_free(&file);
}

/* Percussion on unusual channels is written as in General MIDI 2, and only where
 * needed. */
static void unusual_percussion_round_trips(void **state)
{
    (void)state;
    struct note items[] = {make_note(0, 1, 60), make_note(1, 1, 61), make_note(2, 1, 62),
                           make_note(2, 1, 63), make_note(3, 1, 64), make_note(4, 1, 65)};
    const uint8_t channels[] = {4, 4, 4, 9, 9, 0}, percussion[] = {0, 1, 0, 0, 1, 0};
    for (int i = 0; i < 6; i++) {
        items[i].channel = channels[i];
        items[i].percussion = percussion[i];
        items[i].program = 7;
    }
    struct notes notes = {.items = items, .count = 6};
    struct midi_file file = {0};
    assert_int_equal(midi_write(path, &notes, 100, 1000000), STATUS_OK);
    read_back(&file);
    assert_directory_is_empty();
    assert_int_equal(file.notes.count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(file.notes.items[i].channel, channels[i]);
        assert_int_equal(file.notes.items[i].percussion, percussion[i]);
        assert_int_equal(file.notes.items[i].program, 7);
    }
    midi_free(&file);
}

/* Random pieces without overlaps are read back note for note: times to half a tick,
 * everything else exactly. */
static struct notes random_piece(uint64_t *seed, double ticks_per_second)
{
    struct notes notes = {0};
    uint32_t free_from[16][128] = {{0}};
    uint32_t count = draw(seed, 400), tick = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct note note = {
            .pitch = (uint8_t)draw(seed, 128),
            .velocity = (uint8_t)(1 + draw(seed, 127)),
            .program = (uint8_t)(40 * draw(seed, 3)),
            .channel = (uint8_t)(draw(seed, 3) * 5),
        };
        uint32_t length = 1 + draw(seed, 500);
        tick += draw(seed, 30);
        uint32_t *from = &free_from[note.channel][note.pitch];
        if (tick < *from)
            continue;
        *from = tick + length;
        note.start_tick = tick;
        note.duration_ticks = length;
        double off = draw(seed, 900) / 1000.0 - 0.45; /* the same for start and end */
        note.start = fmax(0, (tick + off) / ticks_per_second);
        note.duration = (tick + length + off) / ticks_per_second - note.start;
        assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    }
    return notes;
}

static void random_pieces_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 77;
    for (int piece = 0; piece < 60; piece++) {
        int ticks_per_beat = piece ? 1 + (int)draw(&seed, 32767) : 32767;
        int tempo = 1 + (int)draw(&seed, 0xFFFFFF);
        struct notes notes = random_piece(&seed, ticks_per_beat * 1e6 / tempo);
        struct midi_file file = {0};
        assert_int_equal(midi_write(path, &notes, ticks_per_beat, tempo), STATUS_OK);
        read_back(&file);
        assert_directory_is_empty();
        notes_sort(&notes);
        assert_int_equal(file.notes.count, notes.count);
        for (size_t i = 0; i < notes.count; i++) {
            const struct note *a = &notes.items[i], *b = &file.notes.items[i];
            assert_int_equal(b->start_tick, a->start_tick);
            assert_int_equal(b->duration_ticks, a->duration_ticks);
            assert_int_equal(b->pitch, a->pitch);
            assert_int_equal(b->velocity, a->velocity);
            assert_int_equal(b->program, a->program);
            assert_int_equal(b->channel, a->channel);
            double tick = tempo / 1e6 / ticks_per_beat;
            assert_true(fabs(b->start - a->start) <= 0.5 * tick);
            assert_true(fabs(b->duration - a->duration) <= tick);
        }
        midi_free(&file);
        notes_free(&notes);
    }
}

/* For any notes: no key sounds twice at once, and every note is present or was covered by
 * a longer one of the same key and onset. */
static void overlapping_random_notes_become_disjoint(void **state)
{
    (void)state;
    uint64_t seed = 78;
    for (int piece = 0; piece < 60; piece++) {
        struct notes notes = {0};
        for (uint32_t i = draw(&seed, 200); i > 0; i--) {
            struct note note =
                make_note(draw(&seed, 300) / 100.0, draw(&seed, 100) / 100.0,
                          60 + (int)draw(&seed, 3));
            note.program = (uint8_t)draw(&seed, 2);
            assert_int_equal(notes_append(&notes, &note), STATUS_OK);
        }
        struct midi_file file = {0};
        assert_int_equal(midi_write(path, &notes, 100, 1000000), STATUS_OK);
        read_back(&file);
        assert_directory_is_empty();
        bool began[128][400] = {{false}};
        size_t distinct = 0;
        for (size_t i = 0; i < notes.count; i++) {
            bool *cell =
                &began[notes.items[i].pitch][(int)round(notes.items[i].start * 100)];
            distinct += !*cell;
            *cell = true;
        }
        assert_int_equal(file.notes.count, distinct);
        uint32_t free_from[128] = {0};
        for (size_t i = 0; i < file.notes.count; i++) {
            const struct note *note = &file.notes.items[i];
            assert_true(note->start_tick >= free_from[note->pitch]);
            assert_true(note->duration_ticks >= 1);
            assert_true(began[note->pitch][note->start_tick]);
            free_from[note->pitch] = note->start_tick + note->duration_ticks;
        }
        midi_free(&file);
        notes_free(&notes);
    }
}

static void bytes_do_not_depend_on_the_order_of_notes(void **state)
{
    (void)state;
    uint64_t seed = 79;
    struct notes notes = random_piece(&seed, 960);
    struct bytes bytes[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(midi_write(path, &notes, 480, 500000), STATUS_OK);
        assert_int_equal(file_read(path, 0, &bytes[i].items, &bytes[i].count), STATUS_OK);
        for (size_t n = 0; n < notes.count / 2; n++) { /* reversed the second time */
            struct note swap = notes.items[n];
            notes.items[n] = notes.items[notes.count - 1 - n];
            notes.items[notes.count - 1 - n] = swap;
        }
    }
    assert_int_equal(bytes[0].count, bytes[1].count);
    assert_memory_equal(bytes[0].items, bytes[1].items, bytes[0].count);
    unlink(path);
    notes_free(&notes);
    free_bytes(&bytes[0]);
    free_bytes(&bytes[1]);
}

/* Intercepts the GLib function with which libsmf deletes its events. */
static size_t searched;

__attribute__((visibility("default"))) gboolean g_ptr_array_remove(GPtrArray *array,
                                                                   gpointer item)
{
    guint index = 0;
    while (index < array->len && g_ptr_array_index(array, index) != item)
        index++;
    searched += index;
    return index < array->len && g_ptr_array_remove_index(array, index);
}

/* A melody on each of two tracks, as bytes: a program, then a note-on and a note-off per
 * note. */
static void put_melodies(struct bytes *file, const struct notes *notes, uint32_t gap)
{
    put_bytes(file, "MThd", 4);
    PUT(file, 0, 0, 0, 6, 0, 1, 0, 3, 0, 100);
    put_bytes(file, "MTrk", 4);
    PUT(file, 0, 0, 0, 11, 0, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40, 0, 0xFF, 0x2F, 0);
    for (int channel = 0; channel < 2; channel++) {
        struct bytes track = {0};
        PUT(&track, 0, (uint8_t)(0xC0 | channel), 0);
        for (size_t i = 0; i < notes->count; i++)
            if (notes->items[i].channel == channel) {
                put_event(&track, i < 2 ? 0 : gap, 0x90 | channel, notes->items[i].pitch,
                          80);
                put_event(&track, 20, 0x80 | channel, notes->items[i].pitch, 0);
            }
        PUT(&track, 0, 0xFF, 0x2F, 0);
        put_bytes(file, "MTrk", 4);
        put_32(file, (uint32_t)track.count);
        put_bytes(file, track.items, track.count);
        free_bytes(&track);
    }
}

static void assert_melodies_written(size_t count, uint32_t gap)
{
    struct notes notes = {0};
    struct bytes expected = {0}, written = {0};
    for (size_t i = 0; i < 2 * count; i++) {
        size_t onset = i / 2;
        struct note note =
            make_note((double)onset * (gap + 20) / 100.0, 0.2, (int)(i % 88));
        note.channel = i % 2;
        assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    }
    put_melodies(&expected, &notes, gap);
    assert_int_equal(midi_write(path, &notes, 100, 1000000), STATUS_OK);
    assert_int_equal(file_read(path, 0, &written.items, &written.count), STATUS_OK);
    assert_int_equal(written.count, expected.count);
    assert_memory_equal(written.items, expected.items, expected.count);
    unlink(path);
    notes_free(&notes);
    free_bytes(&expected);
    free_bytes(&written);
}

/* Also for a number of events at or next to a multiple of the block size. */
static void long_tracks_are_joined_from_blocks(void **state)
{
    (void)state;
    for (size_t count = 509; count <= 514; count++)
        assert_melodies_written(count, 10);
    for (size_t count = 1021; count <= 1026; count++)
        assert_melodies_written(count, 200);
    assert_melodies_written(5000, 20000);
}

/* libsmf searches each event that it deletes from the beginning of its track. */
static void writing_takes_linear_time(void **state)
{
    (void)state;
    enum { NOTES = 10000, EVENTS = 2 * 2 * NOTES };
    searched = 0;
    assert_melodies_written(NOTES, 10);
    assert_true(searched > 0);
    assert_true(searched / EVENTS < 2 * 1024);
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    struct note good = make_note(0, 1, 60), bad[9];
    for (int i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].pitch = 128;
    bad[1].velocity = 0;
    bad[2].velocity = 128;
    bad[3].program = 128;
    bad[4].channel = 16;
    bad[5].start = -1;
    bad[6].duration = (double)NAN;
    bad[7].start = (double)INFINITY;
    bad[8].start = 280e3; /* s: more than 2^28 ticks at 960 a second */
    for (int i = 0; i < 9; i++) {
        struct note both[] = {good, bad[i]};
        struct notes notes = {.items = both, .count = 2};
        assert_int_equal(midi_write(path, &notes, 480, 500000), STATUS_FAILED);
        assert_non_null(strstr(status_message(), path));
        assert_directory_is_empty();
    }
    const int settings[][2] = {{0, 1}, {32768, 1},     {-1, 1},
                               {1, 0}, {1, 0x1000000}, {1, -1}};
    struct notes notes = {.items = &good, .count = 1};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        assert_int_equal(midi_write(path, &notes, settings[i][0], settings[i][1]),
                         STATUS_FAILED);
        assert_non_null(strstr(status_message(), path));
    }
    assert_directory_is_empty();
}

static void missing_folder_is_reported_by_name(void **state)
{
    (void)state;
    struct notes none = {0};
    char *missing = path_join(directory, "missing/out.mid");
    assert_int_equal(midi_write(missing, &none, 480, 500000), STATUS_FAILED);
    assert_non_null(strstr(status_message(), missing));
    free(missing);
}

/* A file size limit simulates a full disk. */
static void full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    uint64_t seed = 80;
    struct notes notes = {0}, none = {0};
    while (notes.count < 3000) {
        struct note note = make_note((double)notes.count, 0.5, 60 + (int)draw(&seed, 12));
        assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    }
    assert_int_equal(midi_write(path, &none, 480, 500000), STATUS_OK);
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    enum status status = midi_write(path, &notes, 480, 500000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, STATUS_FAILED);
    assert_non_null(strstr(status_message(), path));
    struct midi_file file = {0};
    assert_file_count(1); /* only the old one */
    read_back(&file);
    assert_directory_is_empty();
    assert_int_equal(file.notes.count, 0);
    midi_free(&file);
    notes_free(&notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_rounded_to_the_nearest_tick),
        cmocka_unit_test(overlapping_notes_are_truncated),
        cmocka_unit_test(empty_piece_is_written),
        cmocka_unit_test(file_layout_is_as_documented),
        cmocka_unit_test(unusual_percussion_round_trips),
        cmocka_unit_test(random_pieces_round_trip),
        cmocka_unit_test(overlapping_random_notes_become_disjoint),
        cmocka_unit_test(bytes_do_not_depend_on_the_order_of_notes),
        cmocka_unit_test(long_tracks_are_joined_from_blocks),
        cmocka_unit_test(writing_takes_linear_time),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(missing_folder_is_reported_by_name),
        cmocka_unit_test(full_disk_keeps_the_old_file),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
