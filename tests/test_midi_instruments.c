/* Pieces of several instruments, with tempo changes, time signatures and track names: the
 * channels that are assigned to them, and what midi_write and midi_read make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <unistd.h>

#include "midi_expect.h"
#include "midi_invariants.h"
#include "midi_output.h"
#include "midi/instruments.h"

enum { DIVISION = 480, PIECES = 60, INSTRUMENTS = 256 };

static void write_and_read(const struct notes *notes, int ticks_per_beat, int tempo,
                           struct midi_file *file)
{
    assert_int_equal(midi_write(path, notes, ticks_per_beat, tempo), STATUS_OK);
    size_t size = read_back(file);
    assert_null(midi_fault(file, size, NULL));
}

/* ---- random pieces ---- */

static void add_random_metre(struct notes *notes, uint64_t *seed, uint32_t changes)
{
    uint32_t tick = draw(seed, 2) * draw(seed, 100);
    for (uint32_t i = 0; i < changes; i++, tick += 1 + draw(seed, 300)) {
        uint32_t tempo = 1 + draw(seed, draw(seed, 2) ? 0xFFFFFF : 600000);
        uint8_t numerator = (uint8_t)(1 + draw(seed, 255)), log2 = (uint8_t)draw(seed, 7);
        assert_int_equal(notes_set_tempo(notes, tick, tempo), STATUS_OK);
        if (draw(seed, 2))
            assert_int_equal(notes_set_signature(notes, tick, numerator, log2),
                             STATUS_OK);
    }
}

/* Seconds at a tick, by adding up the ticks of every tempo. */
static double seconds_at(const struct notes *notes, uint32_t tick)
{
    double seconds = 0, tempo = 500000;
    uint32_t from = 0;
    for (size_t i = 0; i < notes->tempos.count; i++) {
        const struct tempo_change *change = &notes->tempos.items[i];
        if (change->tick >= tick)
            break;
        seconds += (change->tick - from) * tempo / 1e6 / notes->ticks_per_beat;
        from = change->tick;
        tempo = change->tempo;
    }
    return seconds + (tick - from) * tempo / 1e6 / notes->ticks_per_beat;
}

/* Notes of `melodies` programs and `kits` percussion programs. No key of an instrument
 * sounds twice at once. Each instrument plays within a span of `span` notes. */
static struct notes random_piece(uint64_t *seed, uint32_t melodies, uint32_t kits,
                                 uint32_t span)
{
    struct notes notes = {.ticks_per_beat = DIVISION};
    uint32_t spread = draw(seed, 2) ? 400 : 10; /* ticks */
    add_random_metre(&notes, seed, draw(seed, 30));
    for (uint32_t i = 0; i < melodies + kits; i++) {
        uint32_t free_from[128] = {0}, tick = draw(seed, span) * spread;
        for (uint32_t n = 0; n < 1 + draw(seed, span); n++, tick += draw(seed, 200)) {
            struct note note = {.pitch = (uint8_t)draw(seed, 128),
                                .velocity = (uint8_t)(1 + draw(seed, 127)),
                                .program = (uint8_t)(i < melodies ? i * 7 % 128 : i),
                                .percussion = i >= melodies,
                                .start_tick = tick,
                                .duration_ticks = 1 + draw(seed, 500)};
            if (tick < free_from[note.pitch])
                continue;
            uint32_t end = tick + note.duration_ticks;
            free_from[note.pitch] = end;
            note.start = seconds_at(&notes, tick);
            note.duration = seconds_at(&notes, end) - note.start;
            assert_int_equal(notes_append(&notes, &note), STATUS_OK);
        }
    }
    return notes;
}

/* ---- channels ---- */

struct span {
    double begin, end;
    int port, channel, program, percussion;
    size_t notes;
};

static size_t find_spans(const struct notes *notes, struct span spans[INSTRUMENTS])
{
    size_t count = 0;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        size_t at = 0;
        while (at < count && (spans[at].program != note->program ||
                              spans[at].percussion != note->percussion))
            at++;
        if (at == count)
            spans[count++] = (struct span){
                note->start,      0, note->port, note->channel, note->program,
                note->percussion, 0};
        struct span *span = &spans[at];
        assert_int_equal(span->port, note->port);
        assert_int_equal(span->channel, note->channel);
        span->begin = fmin(span->begin, note->start);
        span->end = fmax(span->end, note->start + note->duration);
        span->notes++;
    }
    return count;
}

static bool collide(const struct span *a, const struct span *b)
{
    return a->begin < b->end + 1 && b->begin < a->end + 1;
}

/* The most instruments of a kind that occupy a channel at the same time. */
static int most_at_once(const struct span *spans, size_t count, int percussion)
{
    int most = 0;
    for (size_t i = 0; i < count; i++) {
        int here = 0;
        for (size_t j = 0; j < count; j++)
            here += spans[i].percussion == percussion &&
                    spans[j].percussion == percussion &&
                    spans[j].begin <= spans[i].begin && spans[i].begin < spans[j].end + 1;
        most = here > most ? here : most;
    }
    return most;
}

static void assert_channels(const struct notes *notes)
{
    struct span spans[INSTRUMENTS];
    size_t count = find_spans(notes, spans);
    int used[2] = {0}, of_kind[2] = {0};
    for (size_t i = 0; i < count; i++) {
        const struct span *a = &spans[i];
        bool first_of_channel = true;
        assert_int_equal(a->channel == 9, a->percussion);
        of_kind[a->percussion]++;
        for (size_t j = 0; j < i; j++) {
            if (a->port != spans[j].port || a->channel != spans[j].channel)
                continue;
            assert_false(collide(a, &spans[j]));
            first_of_channel = false;
        }
        used[a->percussion] += first_of_channel;
    }
    for (int percussion = 0; percussion < 2; percussion++) {
        bool enough = of_kind[percussion] <= (percussion ? 1 : 15);
        assert_int_equal(used[percussion], enough
                                               ? of_kind[percussion]
                                               : most_at_once(spans, count, percussion));
    }
}

static void instruments_share_channels_only_when_they_rest(void **state)
{
    (void)state;
    uint64_t seed = 91;
    int highest_port = 0;
    for (int piece = 0; piece < 200; piece++) {
        struct notes notes = random_piece(&seed, 1 + draw(&seed, piece % 2 ? 16 : 128),
                                          draw(&seed, 4), 1 + draw(&seed, 40));
        size_t count = notes.count;
        instruments_assign_channels(&notes);
        assert_int_equal(notes.count, count);
        assert_channels(&notes);
        for (size_t i = 0; i < count; i++)
            if (notes.items[i].port > highest_port)
                highest_port = notes.items[i].port;
        notes_free(&notes);
    }
    assert_true(highest_port >= 3); /* some pieces need several ports */
}

/* ---- written and read ---- */

static void assert_same_metre(const struct notes *read, const struct notes *written)
{
    assert_int_equal(read->tempos.count, written->tempos.count);
    for (size_t i = 0; i < read->tempos.count; i++) {
        assert_int_equal(read->tempos.items[i].tick, written->tempos.items[i].tick);
        assert_int_equal(read->tempos.items[i].tempo, written->tempos.items[i].tempo);
    }
    assert_int_equal(read->signatures.count, written->signatures.count);
    for (size_t i = 0; i < read->signatures.count; i++) {
        const struct time_signature *a = &read->signatures.items[i],
                                    *b = &written->signatures.items[i];
        assert_int_equal(a->tick, b->tick);
        assert_int_equal(a->numerator, b->numerator);
        assert_int_equal(a->denominator_log2, b->denominator_log2);
    }
}

static void assert_same_notes(const struct notes *read, const struct notes *written)
{
    assert_int_equal(read->count, written->count);
    for (size_t i = 0; i < read->count; i++) {
        const struct note *a = &read->items[i], *b = &written->items[i];
        assert_int_equal(a->start_tick, b->start_tick);
        assert_int_equal(a->duration_ticks, b->duration_ticks);
        assert_int_equal(a->pitch, b->pitch);
        assert_int_equal(a->velocity, b->velocity);
        assert_int_equal(a->program, b->program);
        assert_int_equal(a->percussion, b->percussion);
        assert_int_equal(a->channel, b->channel);
        assert_int_equal(a->port, b->port);
        assert_true(fabs(a->start - b->start) <= 1e-9 * (1 + b->start));
        assert_true(fabs(a->duration - b->duration) <= 1e-9 * (1 + b->start));
    }
}

/* One track for each instrument, with its name. */
static void assert_instrument_tracks(const struct midi_file *file)
{
    struct span spans[INSTRUMENTS];
    size_t count = find_spans(&file->notes, spans);
    int program_of[INSTRUMENTS + 1];
    memset(program_of, -1, sizeof program_of);
    assert_int_equal(file->tracks, 1 + count);
    for (size_t i = 0; i < file->notes.count; i++) {
        const struct note *note = &file->notes.items[i];
        int program = note->percussion * 128 + note->program;
        assert_in_range(note->track, 1, count);
        if (program_of[note->track] < 0)
            program_of[note->track] = program;
        assert_int_equal(program_of[note->track], program);
        const char *name = notes_name(&file->notes, note->track);
        if (count > 1)
            assert_string_equal(name, instrument_name(note->program, note->percussion));
        else
            assert_null(name);
    }
    assert_null(notes_name(&file->notes, 0));
}

static void pieces_of_several_instruments_are_read_as_written(void **state)
{
    (void)state;
    uint64_t seed = 92;
    struct midi_file file = {0};
    size_t second_port = 0;
    for (int i = 0; i < PIECES; i++) {
        struct notes notes = random_piece(&seed, draw(&seed, i % 2 ? 6 : 60),
                                          draw(&seed, 3), 1 + draw(&seed, 40));
        instruments_assign_channels(&notes);
        for (size_t n = 0; n < notes.count; n++)
            second_port += notes.items[n].port > 0;
        bool metred = notes.tempos.count + notes.signatures.count > 0;
        write_and_read(&notes, DIVISION, 500000, &file);
        assert_same_notes(&file.notes, &notes);
        assert_same_metre(&file.notes, &notes);
        assert_true(metred || file.tempo_events == 1);
        assert_instrument_tracks(&file);
        notes_free(&notes);
    }
    assert_true(second_port > 1000);
    midi_free(&file);
}

/* What was read, tracks and names included, is written and read unchanged. */
static void files_are_copied_unchanged(void **state)
{
    (void)state;
    uint64_t seed = 93;
    struct midi_file first = {0}, second = {0};
    for (int i = 0; i < PIECES; i++) {
        struct notes notes = random_piece(&seed, 1 + draw(&seed, 40), draw(&seed, 3), 20);
        notes_clear_metre(&notes);
        add_random_metre(&notes, &seed, 1 + draw(&seed, 9));
        assert_int_equal(notes_set_name(&notes, 0, "The \xE9tude", 9), STATUS_OK);
        instruments_assign_channels(&notes);
        write_and_read(&notes, DIVISION, 500000, &first);
        assert_string_equal(notes_name(&first.notes, 0), "The \xE9tude");
        for (size_t n = 0; n < first.notes.names.count; n += 1 + draw(&seed, 3))
            memset(first.notes.names.items[n].text, 'a' + (int)draw(&seed, 26),
                   1 + draw(&seed, TRACK_NAME_SIZE - 1));
        write_and_read(&first.notes, DIVISION, 500000, &second);
        assert_int_equal(metre_fingerprint(&first.notes),
                         metre_fingerprint(&second.notes));
        struct hash128 a = notes_hash(&first.notes), b = notes_hash(&second.notes);
        assert_true(a.high == b.high && a.low == b.low);
        notes_free(&notes);
    }
    midi_free(&first);
    midi_free(&second);
}

/* Written with half the ticks per beat: positions are halved and rounded. */
static void ticks_are_converted(void **state)
{
    (void)state;
    struct midi_file file = {0};
    struct note note = {
        .pitch = 60, .velocity = 1, .start_tick = 241, .duration_ticks = 480};
    struct notes notes = {.ticks_per_beat = DIVISION};
    assert_int_equal(notes_append(&notes, &note), STATUS_OK);
    assert_int_equal(notes_set_signature(&notes, 3, 7, 3), STATUS_OK);
    write_and_read(&notes, DIVISION / 2, 250000, &file);
    assert_string_equal(notes_text(&file), "121+240:60"); /* 120.5 to 360.5 */
    assert_int_equal(file.notes.signatures.items[0].tick, 2);
    assert_true(file.first_tempo == 250000); /* there are no tempo changes */
    assert_int_equal(notes_set_tempo(&notes, 0, 300000), STATUS_OK);
    assert_int_equal(notes_set_tempo(&notes, 1, 200000), STATUS_OK); /* tick 1 of 240 */
    assert_int_equal(notes_set_tempo(&notes, 2, 400000), STATUS_OK); /* the same */
    write_and_read(&notes, DIVISION / 2, 250000, &file);
    assert_true(file.first_tempo == 300000);
    assert_int_equal(file.tempo_events, 2);
    assert_int_equal(file.notes.tempos.count, 2);
    assert_int_equal(file.notes.tempos.items[1].tempo, 400000);
    notes_free(&notes);
    midi_free(&file);
}

/* More than libsmf is given at once. */
static void many_changes_are_written(void **state)
{
    (void)state;
    struct midi_file file = {0};
    struct notes notes = {.ticks_per_beat = DIVISION};
    assert_int_equal(notes_set_name(&notes, 0, "many", 4), STATUS_OK);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(notes_set_tempo(&notes, 100 * i, 400000 + i), STATUS_OK);
        assert_int_equal(notes_set_signature(&notes, 100 * i, 3 + i % 2, 2), STATUS_OK);
    }
    write_and_read(&notes, DIVISION, 500000, &file);
    assert_same_metre(&file.notes, &notes);
    assert_int_equal(file.tempo_events, 5000);
    assert_string_equal(notes_name(&file.notes, 0), "many");
    notes_free(&notes);
    midi_free(&file);
}

static void assert_refused(const struct notes *notes)
{
    assert_int_equal(midi_write(path, notes, DIVISION, 500000), STATUS_FAILED);
    assert_non_null(strstr(status_message(), path));
}

static void metre_out_of_range_is_refused(void **state)
{
    (void)state;
    struct tempo_change bad_tempos[] = {{0, 0}, {0, 1 << 24}, {1 << 28, 400000}};
    struct time_signature bad_signatures[] = {{0, 0, 2}, {0, 3, 7}, {1 << 28, 3, 2}};
    struct notes notes = {.ticks_per_beat = DIVISION};
    for (size_t i = 0; i < 3; i++) {
        notes.tempos = (struct tempo_changes){&bad_tempos[i], 1, 1};
        assert_refused(&notes);
    }
    notes.tempos = (struct tempo_changes){0};
    for (size_t i = 0; i < 3; i++) {
        notes.signatures = (struct time_signatures){&bad_signatures[i], 1, 1};
        assert_refused(&notes);
    }
    struct time_signature good = {0, 3, 2};
    notes.signatures = (struct time_signatures){&good, 1, 1};
    notes.ticks_per_beat = 0;
    assert_refused(&notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instruments_share_channels_only_when_they_rest),
        cmocka_unit_test(pieces_of_several_instruments_are_read_as_written),
        cmocka_unit_test(files_are_copied_unchanged),
        cmocka_unit_test(ticks_are_converted),
        cmocka_unit_test(many_changes_are_written),
        cmocka_unit_test(metre_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
